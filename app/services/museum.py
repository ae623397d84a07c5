"""ChartMuseum's files beside ours: taken in once, then followed at every rescan. They are read, never touched.

New and changed files publish; a file that vanished withdraws the version it brought, unless that has changed since.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import structlog
from sqlalchemy import Connection

from app.db import charts, museum, repositories
from app.db.museum import MuseumFile
from app.db.session import Database
from app.domain import times
from app.domain.foreign import Listed, read_foreign_index
from app.errors import AppError, Kind
from app.services.charts import Charts, Outcome, Published
from app.services.parcels import Parcel
from storage import ObjectNotFound, ObjectStat, Storage

OURS = ".chartroom/"
_INDEXES = ("index-cache.yaml", "index.yaml")  # where `created` is found, the first that lists the file
_ENDINGS = (".tgz", ".tgz.prov")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Scanned:
    """What a pass did, in files."""

    published: int = 0
    withdrawn: int = 0
    refused: int = 0


class MuseumFiles:
    """Follows the files that ChartMuseum keeps in the same folder or bucket. `parallel` files are read at once."""

    def __init__(self, database: Database, storage: Storage, charts: Charts, *, parallel: int = 8) -> None:
        self._database = database
        self._storage = storage
        self._charts = charts
        self._parallel = parallel

    async def scan(self) -> Scanned:
        """Make one pass. Raises StorageError; a file that cannot be taken in is logged and counted."""
        found = await self._list_files()
        known = await self._database.read_in_thread(museum.list_files)
        fresh = [stat for key, stat in found.items() if key not in known or _changed(known[key], stat)]
        # Provenance after archives: a replaced archive drops the provenance that was there.
        fresh.sort(key=lambda stat: (stat.key.endswith(".prov"), stat.key))
        listed = await self._read_indexes({_folder(stat.key) for stat in fresh})
        outcomes: list[bool] = []
        for kind in (".tgz", ".prov"):
            batch = [stat for stat in fresh if stat.key.endswith(kind)]
            take = partial(self._take, known=known, listed=listed)
            outcomes += await _gather(self._parallel, take, batch)
        gone = [file for key, file in known.items() if key not in found]
        for file in gone:
            await self._forget(file)
        return Scanned(sum(outcomes), len(gone), len(outcomes) - sum(outcomes))

    async def _list_files(self) -> dict[str, ObjectStat]:
        return {
            stat.key: stat
            async for stat in self._storage.scan()
            if stat.key.endswith(_ENDINGS) and not stat.key.startswith(OURS)
        }

    async def _read_indexes(self, folders: set[str]) -> dict[str, dict[str, Listed]]:
        """Answer for each folder what its indexes say of a file, by file name."""
        listed: dict[str, dict[str, Listed]] = {}
        for folder in folders:
            facts: dict[str, Listed] = {}
            for name in reversed(_INDEXES):  # the first one wins
                try:
                    content = await _read_all(self._storage, f"{folder}{name}")
                except ObjectNotFound:
                    continue
                facts |= await asyncio.to_thread(read_foreign_index, content)
            listed[folder] = facts
        return listed

    async def _take(
        self, stat: ObjectStat, *, known: dict[str, MuseumFile], listed: dict[str, dict[str, Listed]]
    ) -> bool:
        folder, filename = _folder(stat.key), stat.key.rpartition("/")[2]
        archive = filename.removesuffix(".prov")
        facts = listed.get(folder, {}).get(archive)
        created = facts.created if facts else None
        try:
            content = await _read_all(self._storage, stat.key)
            digest = hashlib.sha256(content).hexdigest()
            if stat.key in known and known[stat.key].digest == digest:  # only its time is new
                await self._remember(stat, digest, known[stat.key].name, known[stat.key].version)
                return True
            parcel = Parcel(
                archive=None if filename.endswith(".prov") else content,
                provenance=content if filename.endswith(".prov") else None,
                filename=archive,
                created=times.from_datetime(stat.modified) if created is None else created,
                origin="museum",
            )
            replaces = stat.key in known and known[stat.key].digest != ""
            published = await self._charts.publish(folder.rstrip("/"), parcel, overwrite=replaces)
        except ObjectNotFound:
            return False  # it vanished while we looked
        except AppError as error:
            if error.kind in (Kind.UNAVAILABLE, Kind.FULL):
                raise  # that is no fault of the file: the pass is made again
            _log.warning("file refused", key=stat.key, reason=error.message)
            await self._remember(stat, "", "", "")
            return False
        if published.outcome is Outcome.CONFLICT:
            _log.warning("file refused", key=stat.key, reason="other content was uploaded under this version")
            await self._remember(stat, "", "", "")
            return False
        if published.outcome is Outcome.UNCHANGED and not await self._is_brought(folder.rstrip("/"), published):
            await self._remember(stat, digest, "", "")  # somebody uploaded the same: it stays when the file goes
        else:
            await self._remember(stat, digest, published.name, published.version)
        return True

    async def _is_brought(self, repository: str, published: Published) -> bool:
        """Answer whether a version came from a file: of a pass that broke off, or in a database before this one."""

        def work(connection: Connection) -> bool:
            home = repositories.find(connection, repository)
            row = home and charts.find_version(connection, home.id, published.name, published.version)
            return row is not None and row.origin == "museum"

        return await self._database.read(work)

    async def _remember(self, stat: ObjectStat, digest: str, name: str, version: str) -> None:
        file = MuseumFile(stat.key, stat.size, times.from_datetime(stat.modified), digest, name, version)
        await self._database.write(lambda transaction: museum.put_file(transaction.connection, file))

    async def _forget(self, file: MuseumFile) -> None:
        if file.name:
            repository = _folder(file.key).rstrip("/")
            await self._charts.withdraw(repository, file.name, file.version, only_digest=file.digest)
        elif file.digest and file.key.endswith(".prov"):
            archive = file.key.rpartition("/")[2].removesuffix(".prov")
            await self._charts.withdraw_provenance(_folder(file.key).rstrip("/"), archive, only_digest=file.digest)
        await self._database.write(lambda transaction: museum.remove_file(transaction.connection, file.key))


def _changed(file: MuseumFile, stat: ObjectStat) -> bool:
    return (file.size, file.modified) != (stat.size, times.from_datetime(stat.modified))


def _folder(key: str) -> str:
    """Answer the folder of a key, with its slash; "" at the root."""
    return key[: key.rfind("/") + 1]


async def _read_all(storage: Storage, key: str) -> bytes:
    return b"".join([chunk async for chunk in await storage.open(key)])


async def _gather(parallel: int, work: Callable[[ObjectStat], Awaitable[bool]], stats: list[ObjectStat]) -> list[bool]:
    turns = asyncio.Semaphore(parallel)

    async def one(stat: ObjectStat) -> bool:
        async with turns:
            return await work(stat)

    found = await asyncio.gather(*(one(stat) for stat in stats), return_exceptions=True)
    for answer in found:  # only now: nothing goes on behind the back of the next pass
        if isinstance(answer, BaseException):
            raise answer
    return [answer for answer in found if isinstance(answer, bool)]
