"""The catalogue made anew from storage: every acknowledged chart comes back, nothing that was removed or replaced.

What of ChartMuseum's files was taken in already must not be forgotten: a rescan would publish again what was removed
since. The old database knows it; where that is lost, the ledger tells: a version of origin `museum` was brought by the
file of its name in its repository's folder, also if the version is gone. Files that differ from what they brought last
are taken in as replacements. (A file that never brought anything, because the same bytes had been uploaded before, is
not in the ledger; if its chart was removed as well, the next scan publishes it.)
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from app.db import ledger, museum, rebuild
from app.db.museum import MuseumFile
from app.db.rebuild import Totals
from app.db.session import Database
from app.db.transaction import Transaction
from app.domain import times
from app.domain.ledger import ROOT, Segment, parse_segment_key, read_segment
from app.services.museum import OURS
from app.services.replay import Replay
from storage import ObjectNotFound, ObjectStat, Storage

_CHANGED = -1
"""A size that no file has: the next scan sees that the file is not the one that was taken in."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild came to."""

    segments: int
    totals: Totals


async def flush_outbox(connection: Connection, storage: Storage) -> None:
    """Put the segments that a catalogue committed, and storage may lack, where they belong. Raises StorageError."""
    for row in ledger.list_after(connection, 0):
        await storage.put(row.key, row.content)


async def fill(database: Database, storage: Storage) -> Rebuilt:
    """Replay the whole ledger into an empty catalogue. Raises AppError FAULT for a torn ledger, StorageError."""
    segments = await Replay(database, storage).run()
    return Rebuilt(segments, await database.read(rebuild.count_all))


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
    async for segment in _read_ledger(storage):
        for file in _list_brought(segment):
            if file.key in there:
                brought[file.key] = file
    for file in brought.values():
        known = await _compare(storage, file, there[file.key])
        await database.write(partial(_remember, file=known))
    return len(brought)


def _remember(transaction: Transaction, *, file: MuseumFile) -> None:
    museum.put_file(transaction.connection, file)


async def _read_ledger(storage: Storage) -> AsyncIterator[Segment]:
    """Answer every segment, those of one repository in their order."""
    found = [
        (name.folder, name.revision, stat.key)
        async for stat in storage.scan(ROOT)
        if (name := parse_segment_key(stat.key)) is not None
    ]
    for _, _, key in sorted(found):
        name = parse_segment_key(key)
        assert name is not None
        yield read_segment(name, b"".join([chunk async for chunk in await storage.open(key)]))


def _list_brought(segment: Segment) -> list[MuseumFile]:
    folder = f"{segment.repository}/" if segment.repository else ""
    files = []
    for change in segment.changes:
        key = folder + change.get("filename", "")
        if change["op"] != "put":
            continue
        if change["kind"] == "version" and change["origin"] == "museum":
            files.append(MuseumFile(key, 0, 0, change["digest"], change["chart"], change["version"]))
        elif change["kind"] == "provenance":
            files.append(MuseumFile(f"{key}.prov", 0, 0, change["digest"], "", ""))
    return files


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
