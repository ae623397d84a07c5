"""`chartroom reindex`: the database made anew from storage.

On SQLite a new file is made beside the old one and takes its place when it is whole; on Postgres everything happens in
one transaction, for which the commits of running servers wait. The catalogue gets a new identity: no old ETag counts.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, make_url

import migrations
from app.commands.house import migrate, quiet_logs, refuse_nothing
from app.commands.places import open_storage
from app.db import rebuild, repositories
from app.db.rebuild import OneTransaction, file_url, held_alone
from app.db.session import Database
from app.services.rebuild import Rebuilt, fill, flush_outbox, hand_over, refuse_loss
from app.settings import Settings
from storage import Storage


async def reindex(settings: Settings, write: Callable[[str], None]) -> int:
    """Replay the ledger into an empty catalogue; answer the exit code. `write` takes lines.

    Raises AppError UNAVAILABLE while a server has the SQLite file open, FAULT for a torn ledger (the old database
    stays as it was), StorageError.
    """
    quiet_logs(settings)
    await refuse_nothing(settings)
    url = make_url(settings.database_url())
    with open_storage(settings) as storage:
        if url.get_backend_name() == "sqlite":
            result = await _reindex_file(Path(url.database or ""), storage)
        else:
            result = await _reindex_server(settings.database_url(), storage)
    totals = result.totals
    for line in result.unrecorded:
        write(f"newer than the last record: {line}; if its upload was acknowledged, its record is lost")
    write(
        f"{totals.repositories} repositories, {totals.charts} charts, {totals.versions} versions, "
        f"{totals.provenances} provenance files, from {result.segments} ledger segments"
    )
    for line in result.aside:
        write(line)
    return 0


async def _reindex_server(url: str, storage: Storage) -> Rebuilt:
    await asyncio.to_thread(migrate, url)
    database = OneTransaction(url)
    try:
        old = repositories.get_catalogue(database.connection).identity
        await flush_outbox(database.connection, storage)
        before = rebuild.list_revisions(database.connection)
        rebuild.empty(database.connection)
        result = await fill(database, storage)
        await refuse_loss(database, before)
        new = repositories.get_catalogue(database.connection).identity
        database.commit()
        await hand_over(storage, old, new)
    finally:
        database.close()
    return result


async def _reindex_file(path: Path, storage: Storage) -> Rebuilt:
    fresh = path.with_name(f"{path.name}.rebuilt")
    with held_alone(path) as found:
        old = found if found is not None and rebuild.is_sound(found) else None
        if old is not None:
            await flush_outbox(old, storage)
        _remove(fresh)
        migrations.upgrade(file_url(fresh))
        result = await _fill_file(fresh, storage, old)
        _settle(fresh)
        # A log that is left of a broken database would be read into the new one.
        for ending in ("-wal", "-shm", "-journal"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
        _place(fresh, path)
    return result


async def _fill_file(path: Path, storage: Storage, old: Connection | None) -> Rebuilt:
    database = Database(file_url(path))
    database.start()
    try:
        result = await fill(database, storage)
        if old is not None:
            await refuse_loss(database, rebuild.list_revisions(old))
            await database.write(lambda transaction: rebuild.copy_museum_files(old, transaction.connection))
            new = (await database.read(repositories.get_catalogue)).identity
            await hand_over(storage, repositories.get_catalogue(old).identity, new)
    finally:
        database.close()
    return result


def _remove(path: Path) -> None:
    """Remove what a broken-off run left."""
    for ending in ("", "-wal", "-shm", "-journal", ".lock"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def _settle(path: Path) -> None:
    """Bring everything into the one file, which is then all there is to move."""
    connection = sqlite3.connect(path)
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")
    finally:
        connection.close()


def _place(fresh: Path, path: Path) -> None:
    """Rename the new file to the old one's name, durably."""
    _sync(fresh)
    os.replace(fresh, path)
    _sync(path.parent)
    fresh.with_name(fresh.name + ".lock").unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
