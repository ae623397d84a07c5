"""The catalogue made anew from storage: every acknowledged chart comes back, nothing that was removed or replaced.

What of ChartMuseum's files was taken in already must not be forgotten: a rescan would publish again what was removed
since. The old database knows it; where that is lost, the ledger tells: a version of origin `museum` was brought by the
file of its name in its repository's folder, also if the version is gone. Files that differ from what they brought last
are taken in as replacements. (Two things the ledger cannot tell: a file that never brought anything, because the same
bytes had been uploaded before; and what was removed before the newest snapshot. If the database is lost as well, the
next scan publishes those again.)
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
from sqlalchemy import Connection

from app.db import ledger, museum, rebuild, repositories
from app.db.museum import MuseumFile
from app.db.rebuild import Totals
from app.db.repositories import RepositoryRow
from app.db.session import Database
from app.db.transaction import Transaction
from app.domain import times
from app.domain.ledger import ROOT, parse_segment_key, read_change
from app.errors import AppError, Kind
from app.services import tenure
from app.services.museum import OURS
from app.services.replay import Replay
from app.services.unknown import survey_blobs
from storage import ObjectNotFound, ObjectStat, Storage

_CHANGED = -1
"""A size that no file has: the next scan sees that the file is not the one that was taken in."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild came to."""

    segments: int
    totals: Totals
    unrecorded: list[str]  # blobs that are newer than the last record, in words


async def flush_outbox(connection: Connection, storage: Storage) -> None:
    """Put the segments that a catalogue committed, and storage may lack, where they belong. Raises StorageError.

    Not if another catalogue has the store: they would fork its ledger, and none of them was acknowledged.
    """
    holder = await _read_holder(storage)
    if holder is not None and holder["catalogue"] != repositories.get_catalogue(connection).identity:
        return
    for row in ledger.list_after(connection, 0):
        await storage.put(row.key, row.content)


async def hand_over(storage: Storage, old: str, new: str) -> None:
    """Let the new catalogue write at once where the old one might: else it waits until that lease has ended."""
    holder = await _read_holder(storage)
    if holder is not None and holder["catalogue"] == old:
        await storage.put(tenure.KEY, orjson.dumps({**holder, "catalogue": new}))


async def _read_holder(storage: Storage) -> dict[str, Any] | None:
    """Answer the lease of the catalogue that has the store, None if nobody has."""
    try:
        found = orjson.loads(b"".join([chunk async for chunk in await storage.open(tenure.KEY)]))
        return dict(found) if found["expires"] > time.time() else None
    except (ObjectNotFound, ValueError, KeyError, TypeError):
        return None


async def fill(database: Database, storage: Storage) -> Rebuilt:
    """Replay the whole ledger into an empty catalogue. Raises AppError FAULT for a torn ledger, StorageError."""
    segments = await Replay(database, storage).run()
    survey = await survey_blobs(storage, database)
    return Rebuilt(segments, await database.read(rebuild.count_all), survey.describe_newer())


async def refuse_loss(database: Database, before: Sequence[RepositoryRow]) -> None:
    """Raise AppError CONFLICT if the old database knew commits that the ledger, and so the new one, lacks.

    Where another database wrote to the ledger after the last of these commits, the ledger is followed.
    """
    rows = await database.read(lambda connection: repositories.list_since(connection, 0))
    after = {row.path: row for row in rows}
    for old in before:
        new = after.get(old.path)
        if new is None or (new.revision < old.revision and new.committed <= old.committed):
            raise AppError(
                Kind.CONFLICT,
                f"the ledger of {f'repository {old.path}' if old.path else 'the root repository'} ends at revision"
                f" {new.revision if new else 0}, the database is at {old.revision}; nothing was changed: run `chartroom"
                " verify --repair`, which writes the ledger again from the database, or move the database file away to"
                " do without what only it knows",
            )


async def recall_museum_files(database: Database, storage: Storage) -> int:
    """Note which of ChartMuseum's files the ledger says were taken in; answer how many. Raises StorageError."""
    there = {
        stat.key: stat
        async for stat in storage.scan()
        if stat.key.endswith((".tgz", ".tgz.prov")) and not stat.key.startswith(OURS)
    }
    if not there:
        return 0
    brought: dict[str, MuseumFile] = {}
    async for repository, change in _read_ledger(storage):
        file = _find_brought(repository, change)
        if file is not None and file.key in there:
            brought[file.key] = file
    for file in brought.values():
        known = await _compare(storage, file, there[file.key])
        await database.write(partial(_remember, file=known))
    return len(brought)


def _remember(transaction: Transaction, *, file: MuseumFile) -> None:
    museum.put_file(transaction.connection, file)


async def _read_ledger(storage: Storage) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Answer every change with its repository, those of one repository in their order. It was checked just before."""
    found = [
        (name.folder, name.revision, stat.key)
        async for stat in storage.scan(ROOT)
        if (name := parse_segment_key(stat.key)) is not None
    ]
    for _, _, key in sorted(found):
        with tempfile.TemporaryFile() as file:  # a snapshot may have 90 MB
            async for chunk in await storage.open(key):
                file.write(chunk)
            file.seek(0)
            header = orjson.loads(file.readline())
            for line in file:
                yield header["repository"], read_change(line)


def _find_brought(repository: str, change: dict[str, Any]) -> MuseumFile | None:
    """Answer which file brought this change, if it was put by one."""
    key = "/".join(filter(None, (repository, change.get("filename", ""))))
    if change["op"] != "put":
        return None
    if change["kind"] == "provenance":
        return MuseumFile(f"{key}.prov", 0, 0, change["digest"], "", "")
    if change["kind"] == "version" and change["origin"] == "museum":
        return MuseumFile(key, 0, 0, change["digest"], change["chart"], change["version"])
    return None


async def _compare(storage: Storage, file: MuseumFile, stat: ObjectStat) -> MuseumFile:
    """Answer what is known of a file: that it is as it was taken in, or that it has changed."""
    digest = hashlib.sha256()
    try:
        async for chunk in await storage.open(file.key):
            digest.update(chunk)
    except ObjectNotFound:
        return file._replace(size=_CHANGED)
    if digest.hexdigest() != file.digest:
        return file._replace(size=_CHANGED)
    return file._replace(size=stat.size, modified=times.from_datetime(stat.modified))
