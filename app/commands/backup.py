"""`chartroom backup` and `chartroom restore`: which places are meant, the old database, and the words at the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import make_url

from app.commands.house import migrate, open_replica, quiet_logs, refuse_nothing
from app.commands.imports import show_progress
from app.commands.places import lie_in_each_other, open_storage
from app.commands.words import count
from app.db import repositories
from app.db.rebuild import held_alone
from app.db.session import Database
from app.errors import AppError, Kind
from app.services.backup import Backup
from app.services.copying import Copied
from app.services.restore import Course, Restore
from app.settings import FolderPlace, Settings

WRONG = 4
"""Exit code when the copy lacks something."""


async def back_up(settings: Settings, target: str, write: Callable[[str], None], *, full: bool) -> int:
    """Bring a backup up to the store's state; return the exit code. `write` takes lines.

    Raises AppError, StorageError when nothing could be copied.
    """
    quiet_logs(settings)
    await refuse_nothing(settings)
    place = _find_place(settings, target)
    with (
        open_storage(settings) as source,
        open_storage(place) as copy,
        open_replica() as replica,
        show_progress("copying") as notify,
    ):
        result = await Backup(source, copy, replica).run(full=full, notify=notify)
    for line in _render(result, "the backup"):
        write(line)
    return WRONG if result.wrong else 0


async def restore(settings: Settings, source: str, write: Callable[[str], None]) -> int:
    """Bring the state of a backup into the storage of the settings; return the exit code. `write` takes lines.

    Raises AppError, StorageError when nothing could be restored.
    """
    quiet_logs(settings)
    place = _find_place(settings, source)
    _refuse_missing(place)
    with open_storage(place) as backup, open_storage(settings) as target, open_replica() as replica:
        work = Restore(backup, target, replica)
        plan = await work.plan()
        if plan.course is Course.NOTHING:
            more = f"{count(len(plan.listing), 'ledger segment')} of this backup, and {plan.more} since"
            write(f"nothing to restore: the storage holds the same store with all {more}")
            return 0
        if plan.course is not Course.RENEW:
            await asyncio.to_thread(_set_database_aside, settings.database_url(), write)
        with show_progress("copying") as notify:
            result = await work.run(plan, notify=notify)
    for line in _render(result, "the store"):
        write(line)
    write("`chartroom serve` makes the database from it when it starts, and so does `chartroom reindex`")
    return WRONG if result.wrong else 0


def _find_place(settings: Settings, text: str) -> Settings:
    """Return settings with another storage; a bucket is reached as ours is. Raises AppError INVALID."""
    scheme, separator, _ = text.partition("://")
    if separator and scheme.lower() != "s3":
        raise AppError(Kind.INVALID, f"{scheme}:// is no place for a backup: name a folder or s3://bucket/prefix")
    other = text if separator else str(Path(text).expanduser().absolute())
    place = settings.model_copy(update={"storage": other})
    ours, theirs = settings.storage_place(), place.storage_place()
    if isinstance(ours, FolderPlace) and isinstance(theirs, FolderPlace):
        one, two = ours.path.resolve(), theirs.path.resolve()
        if lie_in_each_other(one, two):
            raise AppError(
                Kind.INVALID, f"{text} and the storage folder {one} lie in each other; choose another folder"
            )
    elif ours == theirs:
        raise AppError(Kind.INVALID, f"{text} is the storage itself; choose another place")
    return place


def _refuse_missing(place: Settings) -> None:
    found = place.storage_place()
    if isinstance(found, FolderPlace) and not found.path.is_dir():
        raise AppError(Kind.INVALID, f"there is no folder {found.path}")


def _set_database_aside(url: str, write: Callable[[str], None]) -> None:
    """Rename a SQLite file: what it knows is not of this ledger. Raises AppError if it or a Postgres is in use."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        _refuse_used(url)
        return
    path = Path(parsed.database or "")
    if not path.exists():
        return
    old = path.with_name(f"{path.name}.before-restore-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    with held_alone(path):
        path.rename(old)
    for ending in ("-wal", "-shm", "-journal"):  # of a broken one: a new file must not find them
        log = path.with_name(path.name + ending)
        if log.exists():
            log.rename(old.with_name(old.name + ending))
    write(f"the old database is set aside as {old}")


def _refuse_used(url: str) -> None:
    """Raise AppError CONFLICT for a Postgres that holds a catalogue: another store may live by it."""
    migrate(url)
    database = Database(url)
    try:
        catalogue = database.read_now(repositories.get_catalogue)
    finally:
        database.close()
    if catalogue.revision:
        text = (
            f"the database holds a catalogue already ({catalogue.identity}, at revision {catalogue.revision}), and a"
            " restored store needs an empty one: create a database and name it with --database"
        )
        raise AppError(Kind.CONFLICT, text)


def _render(result: Copied, whole: str) -> Iterator[str]:
    totals = result.totals
    yield (
        f"{count(result.blobs, 'blob')} of {result.bytes} bytes and {count(result.segments, 'ledger segment')} copied; "
        f"{count(result.kept_blobs, 'blob')} and {count(result.kept_segments, 'segment')} were there"
    )
    if result.removed_blobs or result.removed_segments:
        removed = f"{count(result.removed_blobs, 'blob')} and {count(result.removed_segments, 'segment')}"
        yield f"{removed} that the store replaced or collected were removed"
    yield (
        f"{whole} holds {count(totals.repositories, 'repository')}, {count(totals.charts, 'chart')}, "
        f"{count(totals.versions, 'version')}, {count(totals.provenances, 'provenance file')}"
    )
    for line in result.renewed:
        yield f"mended: {line} was damaged in the copy and is whole again"
    for line in result.wrong:
        yield f"wrong: {line}"
    yield "clean" if not result.wrong else f"{count(len(result.wrong), 'thing')} wrong"
