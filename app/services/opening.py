"""From started to ready: what must be done before anybody may read an index or write a chart."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import structlog

from app.db import leases, repositories
from app.db.session import Database
from app.errors import AppError, Kind
from app.services.ledger import Ledger
from app.services.ledger_check import LedgerCheck
from app.services.museum import MuseumFiles
from app.services.readiness import Readiness
from app.services.replay import Replay
from app.services.tenure import SECONDS, Tenure
from storage import StorageError, StorageFull

_HINT = "several hosts on one store need one Postgres: set CHARTROOM_DATABASE"
_LEASE = "opening"
_LEASE_SECONDS = 15.0
_JOB_SECONDS = 60.0
_KEEP_SECONDS = 4.0
_RETRY_SECONDS = 2.0
_POLL_SECONDS = 0.2

_log = structlog.get_logger(__name__)


class Opening:
    """Opens the store; with several processes one does the work and the others wait for it."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        replay: Replay,
        museum: MuseumFiles,
        readiness: Readiness,
        tenure: Tenure,
        recall: Callable[[Database], Awaitable[object]],
        check: LedgerCheck,
        *,
        holder: str,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._replay = replay
        self._museum = museum
        self._readiness = readiness
        self._tenure = tenure
        self._recall = recall
        self._check = check
        self._said = ""
        self._runs = False
        self._holder = holder

    async def run(self) -> None:
        """Make the store ready; try again for as long as storage or the database does not answer."""
        self._runs = True
        try:
            await self._run()
        finally:
            self._runs = False

    async def _run(self) -> None:
        while True:
            try:
                catalogue = await self._database.read(repositories.get_catalogue)
                # What was whole before may be read at once; what it lacks, if anything, comes with the ledger.
                self._readiness.ready = catalogue.scanned and catalogue.revision > 0
                await self._run_once()
            except (StorageError, AppError) as error:
                if self._readiness.ready and _is_full(error):
                    # Reads need no room; `keep_tenure` goes on asking for it.
                    self._readiness.full = self._readiness.opened = True
                    _log.error("the disk is full: serving reads only, until there is room", error=str(error))
                    return
                if isinstance(error, AppError) and error.kind not in (Kind.UNAVAILABLE, Kind.FULL):
                    self._readiness.reason = error.message
                    if error.message != self._said:  # it is tried again every two seconds
                        _log.error("the store cannot be opened", reason=error.message)
                        self._said = error.message
                    return
                self._readiness.reason = "storage or database do not answer"
                _log.warning("not ready yet", error=str(error))
                await asyncio.sleep(_RETRY_SECONDS)
            except Exception as error:  # or it would die unheard, and the server say "reading the ledger" for ever
                self._readiness.reason = "the store cannot be opened; the server's log says why"
                _log.error("the store cannot be opened", exc_info=error)
                return
            else:
                self._readiness.ready = self._readiness.opened = True
                self._said = ""
                return

    async def _run_once(self) -> None:
        while not await self._hold(_LEASE, _LEASE_SECONDS):
            self._readiness.reason = "another process opens the store"
            await asyncio.sleep(_POLL_SECONDS)
        keeper = asyncio.create_task(self._keep_leases())
        try:
            self._readiness.reason = self._said or "reading the ledger"
            if not await self._take_tenure():
                _log.warning("another catalogue writes to this store: serving reads only", hint=_HINT)
                return
            catalogue = await self._database.read(repositories.get_catalogue)
            if not catalogue.scanned:
                self._readiness.reason = "taking in the charts that lie there"
                # What a lost database knew of these files the ledger still says: a deleted chart must not come back.
                await self._recall(self._database)
                await self._museum.scan()
                await self._database.write(lambda transaction: repositories.mark_scanned(transaction.connection))
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            with contextlib.suppress(AppError):  # it ends by itself
                await self._database.write(lambda transaction: leases.release(transaction, _LEASE, self._holder))

    async def _keep_leases(self) -> None:
        """Renew what we hold while the store is opened: a replay or a first pass may take minutes."""
        while True:
            await asyncio.sleep(_KEEP_SECONDS)
            try:
                await self._hold(_LEASE, _LEASE_SECONDS)
                if self._readiness.may_write_until:
                    await self.keep_tenure()
            except (StorageError, AppError) as error:
                _log.warning("a lease could not be renewed", error=str(error))

    async def _take_tenure(self) -> bool:
        """Catch up with the ledger, and become the one who writes if nobody else is."""
        until = await self._tenure.hold()
        if until:
            await self._ledger.flush()
        await self._replay.run()
        await self._check.settle(self._replay.folders, may_write=until > 0)
        self._replay.folders = {}
        self._readiness.may_write_until = until
        return until > 0

    async def keep_tenure(self) -> None:
        """Renew the right to write in time; without it, follow the one who has it and take over when it ends."""
        rest = self._readiness.may_write_until - time.monotonic()
        if rest > SECONDS * 2 / 3:
            return
        if not (self._readiness.opened or self._runs):
            await self.run()  # what stopped it may be settled now
            return
        if rest <= 0:
            await self._take_tenure()
            return
        self._readiness.may_write_until = await self._tenure.hold()
        if not self._readiness.may_write_until:
            _log.error("another catalogue writes to this store now; this one only reads", hint=_HINT)

    async def close(self) -> None:
        """Give back the right to write; where that cannot be noted, on a full disk, it ends by itself."""
        if self._readiness.may_write_until:
            with contextlib.suppress(StorageError, AppError):
                await self._tenure.release()

    async def look_again(self) -> None:
        """Open the store anew where its ledger holds what this catalogue has neither written nor read."""
        if time.monotonic() >= self._readiness.may_write_until:
            return  # who does not write follows the ledger anyway
        if why := await self._check.find_unreplayed():
            _log.error("the ledger is not this server's own: no writes until it is read", reason=why)
            self._readiness.reason, self._readiness.opened = why, False
            self._readiness.may_write_until = 0.0

    async def rescan(self) -> None:
        """Follow ChartMuseum's files once more, unless another process does."""
        if await self.is_first("rescan"):
            await self._museum.scan()

    async def is_first(self, name: str) -> bool:
        """Answer whether this process is the one that does the job `name` for the next minute."""
        return time.monotonic() < self._readiness.may_write_until and await self._hold(name, _JOB_SECONDS)

    async def _hold(self, name: str, seconds: float) -> bool:
        length = int(seconds * 1e9)
        work = await self._database.write(lambda transaction: leases.acquire(transaction, name, self._holder, length))
        return work.result


def _is_full(error: StorageError | AppError) -> bool:
    return error.kind is Kind.FULL if isinstance(error, AppError) else isinstance(error, StorageFull)
