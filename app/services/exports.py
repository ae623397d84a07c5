"""A static copy of every repository that any web server can host: plain archive names, provenance, `index.yaml`.

A repository is a folder: `index.yaml`, and its archives in `charts/`, where the index's relative URLs lead. A manifest
says which files are ours: a later run keeps those that did not change and removes those that vanished, and no others.
Archives are written before the index that names them, and removed after it; each file has the time of its version. A
repository with the name of one of these files is skipped and named. Memory does not grow with the number of
versions: what is wanted goes through temporary files, in one order with the manifest.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import IO, NamedTuple

import orjson
from sqlalchemy import Connection

from app.db import audit, entries, repositories
from app.db.repositories import RepositoryRow
from app.db.session import Database
from app.domain import index, times
from app.domain.ledger import blob_key
from app.domain.names import EXPORT_MANIFEST, check_new_repository, parse_repository
from app.errors import AppError, Kind
from app.services.checked import Lost, read_checked
from app.services.file_times import set_time
from storage import CHUNK, ObjectNotFound, Storage, StorageError, StorageFull, StorageUnavailable

MANIFEST = EXPORT_MANIFEST
_INDEX = "index.yaml"
_BATCH = 16  # files written at once
_FIELDS = 4  # of a line, in the manifest

Notify = Callable[[int, int], None]


class Line(NamedTuple):
    """One file of the copy: the repository's path in the copy, the name in its folder, and which bytes."""

    repository: str
    name: str
    digest: str
    size: int
    created: int = 0  # ns since 1970; not in the manifest, and of no account for an index

    @property
    def key(self) -> str:
        """Where it lies in the copy."""
        return f"{self.repository}/{self.name}" if self.repository else self.name

    @property
    def order(self) -> tuple[str, str]:
        """What lines are sorted by."""
        return self.repository, self.name


@dataclass(slots=True)
class Exported:
    """What an export came to, in files; `lost` says what could not be written and why."""

    repositories: int = 0
    written: int = 0
    kept: int = 0
    removed: int = 0
    lost: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)  # which repositories cannot be exported, and why


class Exports:
    """Writes static copies of what `database` and `storage` hold."""

    def __init__(self, database: Database, storage: Storage) -> None:
        self._database = database
        self._storage = storage

    async def run(self, target: Storage, repository: str, *, notify: Notify) -> Exported:
        """Bring a copy up to date: `repository` at its top, all below it in sub-folders.

        Raises AppError CONFLICT when somebody else's repository lies there, StorageError when the target fails.
        """
        rows = await self._database.read_in_thread(lambda connection: audit.list_repositories(connection, repository))
        if not rows or rows[0].path != repository:
            rows.insert(0, RepositoryRow(0, repository, 0, 0))  # nothing is in it: its index says so
        with tempfile.TemporaryFile() as old, tempfile.TemporaryFile() as new, tempfile.TemporaryFile() as gone:
            await _fetch_manifest(target, old)
            run = _Run(self._storage, target, _Lines(old), new, gone)
            for row in rows:
                home = row.path[len(repository) :].lstrip("/")
                if (reason := explain_clash(home)) != "":
                    run.result.skipped.append(f"{row.path}: {reason}")
                    continue
                with tempfile.TemporaryFile() as wanted, tempfile.TemporaryFile() as body:
                    await self._database.read_in_thread(
                        partial(_spool, path=row.path, home=home, wanted=wanted, body=body)
                    )
                    await run.write_repository(wanted, body)
                notify(run.result.repositories, len(rows))
            await run.finish()
        return run.result


def explain_clash(home: str) -> str:
    """Return why a repository cannot have this path in a copy, "" if it can: a file of the copy has the name."""
    try:
        check_new_repository(parse_repository(home))
    except AppError as error:
        return error.message
    return ""


async def _fetch_manifest(target: Storage, old: IO[bytes]) -> None:
    """Copy the last run's manifest into a file; leave one where there is none, so that a half run is known as ours."""
    try:
        async for chunk in await target.open(MANIFEST):
            old.write(chunk)
    except ObjectNotFound:
        try:
            await target.stat(_INDEX)
        except ObjectNotFound:
            await target.put(MANIFEST, b"")
        else:
            text = "an index.yaml lies there that no export of ours wrote; choose another folder"
            raise AppError(Kind.CONFLICT, text) from None


def _spool(connection: Connection, *, path: str, home: str, wanted: IO[bytes], body: IO[bytes]) -> None:
    """Write the list of a repository's files, and its index, as they are in one snapshot."""
    row = repositories.find(connection, path) or RepositoryRow(0, path, 0, 0)
    for stored in audit.iterate_files(connection, row.id):
        line = Line(home, f"charts/{stored.filename}", stored.digest, stored.size, stored.created)
        wanted.write(orjson.dumps(tuple(line)) + b"\n")
    digest, size = hashlib.sha256(), 0
    for piece in _render_index(connection, row):
        body.write(piece)
        digest.update(piece)
        size += len(piece)
    wanted.write(_render(Line(home, _INDEX, digest.hexdigest(), size)))


def _render_index(connection: Connection, row: RepositoryRow) -> Iterator[bytes]:
    yield index.render_head(times.render_time(row.committed), "")
    separator = b""
    for name, lines in entries.iterate(connection, row.id):
        yield separator + index.render_chart(name, lines)
        separator = index.SEPARATOR
    yield index.render_tail()


class _Lines:
    """A file of lines, in order, read with a look at the next one."""

    def __init__(self, file: IO[bytes]) -> None:
        file.seek(0)
        self._lines = (Line(*orjson.loads(line)) for line in file)
        self.next = next(self._lines, None)

    def take(self) -> Line | None:
        """Answer the next line and go on."""
        line, self.next = self.next, next(self._lines, None)
        return line


@dataclass(slots=True)
class _Run:
    """One run: `old` is what lies there, `new` what will, `gone` what is to be removed."""

    storage: Storage
    target: Storage
    old: _Lines
    new: IO[bytes]
    gone: IO[bytes]
    result: Exported = field(default_factory=Exported)

    async def write_repository(self, wanted: IO[bytes], body: IO[bytes]) -> None:
        """Write what changed of one repository: its files, then its index."""
        lines = _Lines(wanted)
        batch: list[tuple[Line, Line | None]] = []
        while (line := lines.take()) is not None:
            before = self._find_old(line)
            if line.name == _INDEX or len(batch) == _BATCH:
                await self._write_all(batch)
            if line.name == _INDEX:
                written = await self._write(line, before, _read_file(body))
                self.new.write(_render(written or line))
            else:
                batch.append((line, before))
        self.result.repositories += 1

    def _find_old(self, line: Line) -> Line | None:
        """Answer what the last run wrote under this name; what comes before it in order has vanished."""
        while self.old.next is not None and self.old.next.order < line.order:
            self._condemn(self.old.take())
        if self.old.next is not None and self.old.next.order == line.order:
            return self.old.take()
        return None

    def _condemn(self, line: Line | None) -> None:
        if line is not None:
            self.gone.write(_render(line))

    async def _write_all(self, batch: list[tuple[Line, Line | None]]) -> None:
        written = await asyncio.gather(*(self._write(line, before, self._read(line)) for line, before in batch))
        batch.clear()
        self.new.writelines(map(_render, filter(None, written)))  # in order, which the next run relies on

    def _read(self, line: Line) -> AsyncIterator[bytes]:
        return read_checked(self.storage, blob_key(line.digest), line.digest)

    async def _write(self, line: Line, before: Line | None, content: AsyncIterator[bytes]) -> Line | None:
        """Bring one file up to date; answer what of ours lies there now."""
        try:
            if before is not None and before[:_FIELDS] == line[:_FIELDS] and await self._is_there(line):
                self.result.kept += 1
            else:
                await self.target.put(line.key, content)
                self.result.written += 1
            if line.name != _INDEX:
                await set_time(self.target, line.key, line.created)
        except (StorageFull, StorageUnavailable):
            raise  # that is no fault of this file
        except (Lost, ValueError, StorageError) as error:
            self.result.lost.append(f"{line.key}: {error}")
            return before
        return line

    async def _is_there(self, line: Line) -> bool:
        try:
            return (await self.target.stat(line.key)).size == line.size
        except ObjectNotFound:
            return False

    async def finish(self) -> None:
        """Remove what vanished, then write the manifest."""
        while (line := self.old.take()) is not None:
            self._condemn(line)
        gone = _Lines(self.gone)
        while (line := gone.take()) is not None:
            await self.target.delete(line.key)
            self.result.removed += 1
        await self.target.put(MANIFEST, _read_file(self.new))


def _render(line: Line) -> bytes:
    return orjson.dumps(line[:_FIELDS]) + b"\n"


async def _read_file(file: IO[bytes]) -> AsyncIterator[bytes]:
    file.seek(0)
    while chunk := await asyncio.to_thread(file.read, CHUNK):
        yield chunk
