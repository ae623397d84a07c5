"""The way back: a ChartMuseum folder or bucket brought to what we show, by a plan.

The folder may be the one that we follow (`app/services/museum.py`): then what we write, replace and remove is noted as
taken in, and no pass over the files runs meanwhile, so that none takes our own files for somebody's change. In another
folder a manifest says what we exported there.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

import orjson

from app.db import leases, museum
from app.db.museum import MuseumFile
from app.db.session import Database
from app.domain import times
from app.domain.ledger import blob_key
from app.domain.names import CHARTMUSEUM_MANIFEST, EXPORT_MANIFEST
from app.errors import AppError, Kind
from app.services.chartmuseum_plan import Known, Plan, Planner, Seen, Wanted, list_wanted
from app.services.checked import Lost, read_checked
from app.services.file_times import set_time
from storage import ObjectNotFound, Storage, StorageError, StorageFull, StorageUnavailable, read_all

_BATCH = 16  # files written at once
_LEASE = "rescan"
_LEASE_SECONDS = 60
_POLL_SECONDS = 0.5
_NEVER = -1  # a time that no scan gives: the bytes are read

Notify = Callable[[int, int], None]


@dataclass(slots=True)
class Copied:
    """What a run came to, in files; `lost` says what could not be done and why."""

    added: int = 0
    replaced: int = 0
    removed: int = 0
    lost: list[str] = field(default_factory=list)


class ChartMuseumExport:
    """Brings `target` to what `database` and `storage` hold. `followed` says that it is our own storage."""

    def __init__(self, database: Database, storage: Storage, target: Storage, *, followed: bool) -> None:
        self._database = database
        self._storage = storage
        self._target = target
        self._followed = followed
        self._rows: dict[str, MuseumFile] = {}
        self._known: Known = {}

    async def plan(self, repository: str) -> Plan:
        """Return what must happen to the files of a repository and all below it; nothing is changed.

        In another folder the repository lies at the top. Raises AppError CONFLICT for a static export, StorageError.
        """
        plan = Plan()
        if self._followed:
            self._rows = await self._database.read_in_thread(museum.list_files)
            seen = (row for row in self._rows.values() if row.digest)
            self._known = {row.key: [Seen(row.size, row.modified, row.digest)] for row in seen}
        else:
            await self._refuse_static_export()
            self._known = await self._read_manifest()
        ask = partial(list_wanted, repository=repository, strip=not self._followed, plan=plan)
        wanted = await self._database.read_in_thread(ask)
        scope = f"{repository}/" if self._followed and repository else ""
        await Planner(self._target, self._known, scope, plan).run(wanted)
        return plan

    async def run(self, plan: Plan, *, notify: Notify) -> Copied:
        """Carry out a plan; a run that breaks off is finished by the next one. Raises StorageError, AppError."""
        copied = Copied()
        if not self._followed:
            await self._write_manifest([*plan.add, *plan.replace])
        for key in plan.state_files:  # first: it must not outlive a run that breaks off
            await self._target.delete(key)
        new = {one.key for one in (*plan.add, *plan.replace)}
        every = (*plan.add, *plan.replace, *plan.keep)
        for at in range(0, len(every), _BATCH):
            batch = every[at : at + _BATCH]
            settled = await asyncio.gather(*(self._settle(one, copied, put=one.key in new) for one in batch))
            await self._note([one for one, is_settled in zip(batch, settled, strict=True) if is_settled])
            notify(at + len(batch), len(every))
        lost = {line.partition(": ")[0] for line in copied.lost}
        copied.added = sum(one.key not in lost for one in plan.add)
        copied.replaced = sum(one.key not in lost for one in plan.replace)
        for key in plan.remove:
            await self._target.delete(key)
            await self._forget(key)
            copied.removed += 1
        if not self._followed:
            await self._write_manifest(())
        return copied

    async def _settle(self, one: Wanted, copied: Copied, *, put: bool) -> bool:
        """Write a file, or only give it its time; return whether it is as it must be."""
        try:
            if put:
                await self._target.put(one.key, read_checked(self._storage, blob_key(one.digest), one.digest))
            await set_time(self._target, one.key, one.created)
        except (StorageFull, StorageUnavailable):
            raise  # that is no fault of this file
        except (Lost, ValueError, StorageError) as error:
            copied.lost.append(f"{one.key}: {error}")
            return False
        return True

    async def _note(self, settled: Sequence[Wanted]) -> None:
        """Remember what lies under these keys now, as one that was taken in: a scan finds nothing new there."""
        rows = []
        for one in settled:
            try:
                stat = await self._target.stat(one.key)
            except ObjectNotFound:
                continue  # it vanished meanwhile, and the next scan says so
            seen = Seen(stat.size, times.from_datetime(stat.modified), one.digest)
            if self._known.get(one.key) != [seen]:
                self._known[one.key] = [seen]
                rows.append(self._make_row(one.key, seen))
        if rows and self._followed:
            await self._database.write(lambda transaction: museum.put_files(transaction.connection, rows))

    def _make_row(self, key: str, seen: Seen) -> MuseumFile:
        """Return what is remembered: which version a file brought, while it has the bytes that brought it.

        Of a version that came in here none is noted: it stays when the file goes.
        """
        old = self._rows.get(key)
        name, version = (old.name, old.version) if old and old.digest == seen.digest else ("", "")
        return MuseumFile(key, seen.size, seen.modified, seen.digest, name, version)

    async def _forget(self, key: str) -> None:
        self._known.pop(key, None)
        if self._followed:
            await self._database.write(lambda transaction: museum.remove_file(transaction.connection, key))

    async def _refuse_static_export(self) -> None:
        try:
            await self._target.stat(EXPORT_MANIFEST)
        except ObjectNotFound:
            return
        text = "a static copy that `chartroom export FOLDER` wrote lies there; choose a folder of ChartMuseum's layout"
        raise AppError(Kind.CONFLICT, text)

    async def _read_manifest(self) -> Known:
        known: Known = {}
        try:
            content = await read_all(self._target, CHARTMUSEUM_MANIFEST)
        except ObjectNotFound:
            return known
        for line in content.splitlines():
            key, *facts = orjson.loads(line)
            known.setdefault(key, []).append(Seen(*facts))
        return known

    async def _write_manifest(self, coming: Sequence[Wanted]) -> None:
        """Write what is known, and what is about to be written: a file of a run that breaks off is ours, too."""
        lines = [orjson.dumps([key, *seen]) for key, found in self._known.items() for seen in found]
        lines += [orjson.dumps([one.key, *Seen(one.size, _NEVER, one.digest)]) for one in coming]
        await self._target.put(CHARTMUSEUM_MANIFEST, b"".join(line + b"\n" for line in lines))


@asynccontextmanager
async def without_rescans(database: Database) -> AsyncIterator[None]:
    """Let no process of this catalogue look at ChartMuseum's files while the block runs.

    A server holds the lease for a minute after each look. Raises AppError UNAVAILABLE when it cannot be had.
    """
    holder, end = secrets.token_hex(8), time.monotonic() + _LEASE_SECONDS + 5
    while not await _acquire(database, holder):
        if time.monotonic() > end:
            text = (
                "a server looks at this folder more often than once a minute: stop it, or set CHARTROOM_CACHE_INTERVAL"
                " to more than 1m until the export has ended"
            )
            raise AppError(Kind.UNAVAILABLE, text)
        await asyncio.sleep(_POLL_SECONDS)
    keeper = asyncio.create_task(_renew(database, holder))
    try:
        yield
    finally:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        with suppress(AppError):  # it ends by itself
            await database.write(lambda transaction: leases.release(transaction, _LEASE, holder))


async def _acquire(database: Database, holder: str) -> bool:
    length = _LEASE_SECONDS * 10**9
    return await database.write(lambda transaction: leases.acquire(transaction, _LEASE, holder, length))


async def _renew(database: Database, holder: str) -> None:
    while True:
        await asyncio.sleep(_LEASE_SECONDS / 4)
        with suppress(AppError):  # it is tried again
            await _acquire(database, holder)
