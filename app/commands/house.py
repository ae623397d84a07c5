"""The house without its HTTP door: what every command opens, uses and closes."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

import migrations
from app.db.rebuild import file_url
from app.db.session import Database
from app.errors import AppError, Kind
from app.logs import configure_logs
from app.services.database_file import find_file, refuse_damaged
from app.settings import FolderPlace, Settings
from app.wiring import House, build_house, build_storage
from storage import StorageError

_KEEP_SECONDS = 2.0
_PROBE = ".chartroom/probe"  # a key that nothing has


@asynccontextmanager
async def open_house(settings: Settings, *, ready: bool = True, must_exist: bool = False) -> AsyncIterator[House]:
    """Bring the tables to this version, open the store as a server does, answer its parts, close everything.

    The right to write is kept while the block runs, if this catalogue has it. With `ready` False nothing is replayed
    or taken in first. Raises AppError, INVALID where `must_exist` and nothing lies there; StorageError.
    """
    quiet_logs(settings)
    if must_exist:
        await refuse_nothing(settings)
    await refuse_damaged(settings.database_url(), partial(build_storage, settings))
    await asyncio.to_thread(migrate, settings.database_url())
    house = build_house(settings)
    house.database.start()
    keeper = asyncio.create_task(_keep_tenure(house))
    try:
        async for _ in house.storage.scan(_PROBE):  # the opening waits for storage that does not answer; we do not
            break
        if ready:
            await make_ready(house)
        yield house
    finally:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        await house.close()


async def _keep_tenure(house: House) -> None:
    """Renew the right to write in time, as a server's schedule does."""
    while True:
        await asyncio.sleep(min(_KEEP_SECONDS, house.opening.lease_seconds / 10))
        if house.parts.readiness.may_write_until:
            with suppress(AppError, StorageError):  # it is tried again, and whoever writes asks first
                await house.opening.keep_tenure()


async def make_ready(house: House) -> None:
    """Replay what the database lacks and take in ChartMuseum's files. Raises AppError when the store stays closed."""
    await house.opening.run()
    readiness = house.parts.readiness
    if not readiness.opened:
        raise AppError(Kind.FAULT, f"the store cannot be opened: {readiness.reason}")


async def refuse_nothing(settings: Settings) -> None:
    """Raise AppError INVALID where there is neither a database nor an object: the place is most likely a wrong one."""
    place, file = settings.storage_place(), find_file(settings.database_url())
    if file is None or file.exists():
        return
    if not isinstance(place, FolderPlace) or place.path.exists():
        async for _ in build_storage(settings).scan():
            return
    where = place.path if isinstance(place, FolderPlace) else f"s3://{place.bucket}/{place.prefix}"
    raise AppError(Kind.INVALID, f"there is no store in {where}, so nothing was done; is it the right --storage?")


def quiet_logs(settings: Settings) -> None:
    """Log as the settings say, but not what is merely as it should be: a command says itself what it did."""
    configure_logs(level="warning" if settings.level == "info" else settings.level, as_json=settings.log_json)


def migrate(url: str) -> None:
    """Bring the tables to this version. Raises AppError INVALID when the database cannot be reached or read."""
    try:
        if not migrations.is_current(url):
            migrations.upgrade(url)
    except (SQLAlchemyError, OSError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        file = find_file(url)
        which = f"the database {file}" if file else "the database"
        hint = "; let this user write to the file and its folder" if file else ""
        raise AppError(Kind.INVALID, f"{which} cannot be opened: {reason}{hint}") from error


@contextmanager
def open_replica() -> Iterator[Database]:
    """Make an empty catalogue in a temporary folder, started, to replay a ledger into."""
    with tempfile.TemporaryDirectory(prefix="chartroom-replica-") as folder:
        url = file_url(Path(folder) / "replica.db")
        migrations.upgrade(url)
        replica = Database(url)
        replica.start()
        try:
            yield replica
        finally:
            replica.close()
