"""Snapshots of the ledger: a whole repository as it is at one revision, so that old segments can go.

A snapshot is written, read back and only then are the segments before it removed. It passes through a temporary
file, both ways: a repository of 100,000 versions is 90 MB of lines and never lies in memory.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from functools import partial
from itertools import chain
from typing import IO, NamedTuple

import structlog
from sqlalchemy import Connection

from app.db import charts, held, repositories
from app.db.charts import render_version_put
from app.db.session import Database
from app.domain.ledger import (
    ROOT,
    Header,
    SegmentName,
    render_change,
    render_header,
    repository_folder,
    segment_key_of,
)
from app.errors import AppError, Kind
from app.services.scans import scan_ledger
from storage import CHUNK, Storage

SEGMENTS = 1000
"""Segments after which a repository is worth a snapshot; reading them one by one from S3 takes a minute."""

_log = structlog.get_logger(__name__)


class _Written(NamedTuple):
    revision: int
    digest: str
    catalogue: str


class Snapshots:
    """Writes snapshots and removes what they replace."""

    def __init__(self, database: Database, storage: Storage, *, segments: int = SEGMENTS) -> None:
        self._database = database
        self._storage = storage
        self._segments = segments

    async def run(self) -> int:
        """Write a snapshot for every repository with many segments; answer how many. Raises StorageError."""
        counts: Counter[str] = Counter()
        async for _, name in scan_ledger(self._storage):
            if not name.snapshot:
                counts[name.folder] += 1
        rows = await self._database.read(lambda connection: repositories.list_since(connection, -1))
        written = 0
        for row in rows:
            folder = repository_folder(row.path)
            if counts[folder.removeprefix(ROOT).rstrip("/")] >= self._segments:
                await self.write(row.path)
                written += 1
        return written

    async def write(self, repository: str) -> str:
        """Write a repository's snapshot, read it back, remove what is older; answer its key.

        Raises AppError FAULT when storage gives back other bytes than it was given, StorageError.
        """
        with tempfile.TemporaryFile() as file:
            written = await self._database.read_in_thread(partial(_spool, repository=repository, file=file))
            key = segment_key_of(repository, written.revision, written.catalogue, written.digest, snapshot=True)
            await self._storage.put(key, _chunks(file))
        if await self._hash(key) != written.digest:
            raise AppError(Kind.FAULT, f"storage gave back other bytes for {key}; the old segments stay")
        await self._remove_older(repository, key, written.revision)
        _log.info("snapshot written", repository=repository, revision=written.revision)
        return key

    async def _hash(self, key: str) -> str:
        digest = hashlib.sha256()
        async for chunk in await self._storage.open(key):
            digest.update(chunk)
        return digest.hexdigest()

    async def _remove_older(self, repository: str, key: str, revision: int) -> None:
        segments = scan_ledger(self._storage, repository_folder(repository))
        old = [stat.key async for stat, name in segments if name.revision <= revision and stat.key != key]
        for one in old:
            await self._storage.delete(one)


async def fetch_snapshot(storage: Storage, key: str, name: SegmentName, file: IO[bytes]) -> None:
    """Bring a snapshot into a file, rewound. Raises AppError FAULT when it is damaged, StorageError."""
    digest = hashlib.sha256()
    async for chunk in await storage.open(key):
        digest.update(chunk)
        file.write(chunk)
    if digest.hexdigest()[: len(name.hash)] != name.hash:
        raise AppError(Kind.FAULT, f"ledger snapshot {key} is damaged: its content does not match its name; restore it")
    file.seek(0)


def _spool(connection: Connection, *, repository: str, file: IO[bytes]) -> _Written:
    """Write a repository's lines to a file, all from one read of the database."""
    row = repositories.find(connection, repository)
    if row is None:
        raise AppError(Kind.NOT_FOUND, f"there is no repository {repository!r}")
    identity = repositories.get_catalogue(connection).identity
    header = Header(repository, row.revision, 0, identity, row.committed, row.commit)
    digest = hashlib.sha256()
    for line in chain([render_header(header)], _lines(connection, row.id)):
        digest.update(line + b"\n")
        file.write(line + b"\n")
    file.seek(0)
    return _Written(row.revision, digest.hexdigest(), identity)


def _lines(connection: Connection, repository_id: int) -> Iterator[bytes]:
    for version in charts.iterate_versions(connection, repository_id):
        yield render_version_put(version)
    for filename, blob, created in charts.list_provenances(connection, repository_id):
        yield render_change("put", "provenance", filename=filename, digest=blob.digest, size=blob.size, created=created)
    for one in held.iterate_held(connection, repository_id):
        yield one.line


async def _chunks(file: IO[bytes]) -> AsyncGenerator[bytes, None]:
    while chunk := file.read(CHUNK):
        yield chunk
