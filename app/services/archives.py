"""Archives and provenance files on their way out: from a file name to bytes, by way of the digest.

What a name stands for is remembered with the revision at which it was so; what a digest stands for never changes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import NamedTuple

import structlog
from sqlalchemy import Connection

from app.db import charts, repositories
from app.db.charts import BlobFacts
from app.db.session import Database
from app.domain.ledger import blob_key
from app.errors import AppError, Kind
from app.services.blob_pool import BlobPool
from app.services.revisions import Revisions
from storage import FileOpener, InlineReader, ObjectNotFound, OpenFile, Presigner, Storage

_NAMES = 8192
"""Names remembered, at most: about 3 MB."""

_HELD = 64 * 1024
"""Bytes up to which a blob on a disk at hand is kept in memory: opening the file costs as much as sending it."""

INLINE = 256 * 1024
"""Bytes up to which a blob is read at once, on the event loop when storage can and in memory otherwise."""

_log = structlog.get_logger(__name__)


class _Known(NamedTuple):
    revision: int
    identity: str
    blob: BlobFacts | None


class Archives:
    """The files of every repository. `memory` bounds the bytes of small blobs that are kept at hand."""

    def __init__(
        self, database: Database, storage: Storage, revisions: Revisions, *, memory: int, presign_seconds: int = 0
    ) -> None:
        self._database = database
        self._storage = storage
        self._revisions = revisions
        self._presign_seconds = presign_seconds
        self._inline = storage if isinstance(storage, InlineReader) else None
        self._opener = storage if isinstance(storage, FileOpener) else None
        self._names: OrderedDict[tuple[str, str], _Known] = OrderedDict()
        self._blobs = BlobPool(memory)

    def find_now(self, repository: str, filename: str) -> BlobFacts | None:
        """Answer what `find` would, if that takes no waiting; else None."""
        if not self._database.inline:
            return None
        self._revisions.check_inline()
        return self.find_known(repository, filename)

    def find_known(self, repository: str, filename: str) -> BlobFacts | None:
        """Answer what is remembered and current; the revisions must have been checked just before."""
        row = self._revisions.known.get(repository)
        known = self._names.get((repository, filename))
        if row is None or known is None or known.revision != row.revision:
            return None
        return known.blob if known.identity == self._revisions.identity else None

    async def find(self, repository: str, filename: str) -> BlobFacts | None:
        """Answer which bytes `filename` (an archive's, or one ending in .prov) stands for, at the newest commit."""
        await self._revisions.check()
        row = self._revisions.known.get(repository)
        if row is None:
            return None
        if (blob := self.find_known(repository, filename)) is not None:
            return blob
        revision, blob = await self._database.read(lambda connection: _look_up(connection, repository, filename))
        if blob is not None:
            self._names[repository, filename] = _Known(revision, self._revisions.identity, blob)
            if len(self._names) > _NAMES:
                self._names.popitem(last=False)
        return blob

    def read_now(self, blob: BlobFacts) -> bytes | None:
        """Answer a small blob's bytes if they are at hand without waiting.

        Raises AppError FAULT if they are gone, or more or fewer than they were.
        """
        held = self._blobs.get(blob.digest)
        if held is not None or self._inline is None or blob.size > INLINE:
            return held
        try:
            content = self._inline.read_now(blob_key(blob.digest), INLINE)
        except ObjectNotFound as error:
            raise self.lost(blob) from error
        if content is not None and len(content) != blob.size:
            raise self.damaged(blob)
        if content is not None and blob.size <= _HELD:
            self._blobs.put(blob.digest, content)
        return content

    def open_now(self, blob: BlobFacts) -> bytes | OpenFile | None:
        """Answer what `read_now` does, or the open file if the blob is too large to be kept. Raises what it raises."""
        if self._opener is None or not _HELD < blob.size <= INLINE:
            return self.read_now(blob)
        try:
            opened = self._opener.open_now(blob_key(blob.digest), INLINE)
        except ObjectNotFound as error:
            raise self.lost(blob) from error
        if opened is not None and opened.size != blob.size:
            opened.file.close()
            raise self.damaged(blob)
        return opened

    async def read(self, blob: BlobFacts) -> bytes:
        """Answer all of a blob's bytes. Raises AppError FAULT if storage lacks it, StorageUnavailable."""
        content = self.read_now(blob)
        if content is None:
            content = b"".join([chunk async for chunk in await self.open(blob)])
        if self._inline is None and len(content) <= INLINE:
            self._blobs.put(blob.digest, content)
        return content

    async def open(self, blob: BlobFacts, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """Answer a blob's bytes in chunks. Raises AppError FAULT if storage lacks it, StorageUnavailable.

        The chunks raise FAULT at their end when they are more or fewer bytes than there must be.
        """
        try:
            chunks = await self._storage.open(blob_key(blob.digest), start, length)
        except ObjectNotFound as error:
            raise self.lost(blob) from error
        left = blob.size - start
        return self._count(blob, chunks, left if length is None else min(length, left))

    async def _count(
        self, blob: BlobFacts, chunks: AsyncGenerator[bytes, None], left: int
    ) -> AsyncGenerator[bytes, None]:
        async with aclosing(chunks):
            async for chunk in chunks:
                left -= len(chunk)
                yield chunk
        if left:
            raise self.damaged(blob)

    def presign(self, blob: BlobFacts) -> str | None:
        """Answer a URL at which the client may fetch the blob itself, where the settings say so."""
        if not self._presign_seconds or not isinstance(self._storage, Presigner):
            return None
        return self._storage.presign(blob_key(blob.digest), self._presign_seconds)

    def lost(self, blob: BlobFacts) -> AppError:
        """Say, loudly, that storage lacks what a row names: somebody removed it, or a disk did."""
        _log.error("stored object is missing", key=blob_key(blob.digest), hint="run: chartroom verify")
        return AppError(Kind.FAULT, f"the stored object sha256:{blob.digest} is missing; tell the operator")

    def damaged(self, blob: BlobFacts) -> AppError:
        """Say, loudly, that storage has other bytes than were stored."""
        _log.error("stored object is damaged", key=blob_key(blob.digest), hint="run: chartroom verify")
        return AppError(Kind.FAULT, f"the stored object sha256:{blob.digest} is damaged; tell the operator")


def _look_up(connection: Connection, repository: str, filename: str) -> tuple[int, BlobFacts | None]:
    row = repositories.find(connection, repository)
    if row is None:
        return 0, None
    if filename.endswith(".prov"):
        return row.revision, charts.find_provenance(connection, row.id, filename.removesuffix(".prov"))
    return row.revision, charts.find_archive(connection, row.id, filename)
