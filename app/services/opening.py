"""From started to ready: what must be done before an index is read or a chart written, and who may write afterwards.

States: starting, replaying, importing, then ready or read-only (`readiness.State`).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from app.db import leases, repositories
from app.db.exclusive import make_exclusive
from app.db.session import Database
from app.errors import AppError, Kind
from app.services import readiness as store_state
from app.services.ledger import Ledger
from app.services.ledger_check import LedgerCheck
from app.services.museum import MuseumFiles
from app.services.readiness import Readiness, Refusal, State
from app.services.recovery import recover
from app.services.replay import Replay
from app.services.tenure import Tenure
from storage import Recoverer, StorageDenied, StorageError, StorageFull

T = TypeVar("T")

_HINT = "several hosts on one store need one Postgres: set CHARTROOM_DATABASE"
_FULL = "the server's disk is full; nothing was stored; make room and try again"
_CLOSED = "the store cannot be opened; the server's log says why"
_JOB_SECONDS = 60.0
_KEEP_SECONDS = 4.0
_RETRY_SECONDS = 2.0
_POLL_SECONDS = 0.1
_RECHECK_SECONDS = 2.0  # a ledger that is being copied into the store may be there in part only

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
        check: LedgerCheck,
        *,
        holder: str,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._replay = replay
        self._museum = museum
        self._readiness = readiness
        self._storage = readiness.storage
        self._tenure = tenure
        self._check = check
        self._runs = False
        self._trouble = False  # the last try failed, and its reason stays until one succeeds
        self._recheck = math.inf  # when the ledger is compared once more, after it was put right under us
        self._holder = holder
        self._exclusive = make_exclusive(database.engine)
        self._logged = ""  # why nothing may be written, as far as it was logged: once, not at every look
        self._is_whole = False  # the database knew a whole catalogue before; it may be behind the ledger

    @property
    def lease_seconds(self) -> float:
        """How long the store's lease lasts without being renewed."""
        return self._tenure.term.seconds

    async def run(self) -> None:
        """Make the store ready; try again for as long as storage or the database does not answer."""
        # What was whole before is better than nothing, where the replay takes longer than anybody waits.
        late = asyncio.get_running_loop().call_later(store_state.WAIT_SECONDS, self._allow_old_reads)
        self._runs = True
        try:
            while True:
                if await self._try_once():
                    return
                await asyncio.sleep(_RETRY_SECONDS)
        finally:
            self._runs = False
            late.cancel()

    async def _try_once(self) -> bool:
        """Try to open the store; return whether that has come to an end, a good or a bad one."""
        try:
            catalogue = await self._database.read(repositories.get_catalogue)
            self._readiness.know(first_import=not catalogue.scanned)
            self._is_whole = catalogue.scanned and catalogue.revision > 0
            await self._run_once()
        except (StorageError, AppError) as error:
            self._trouble = True
            return self._handle_failure(error)
        except Exception as error:  # or it would die unheard, and the server say "replaying the ledger" for ever
            self._trouble = True
            _log.error("the store cannot be opened", exc_info=error)
            self._allow_old_reads()
            self._readiness.fail(_CLOSED)
            return True
        if self._trouble:
            self._recheck = time.monotonic() + _RECHECK_SECONDS
        self._trouble = False
        self._readiness.finish()
        return True

    def _allow_old_reads(self) -> None:
        if self._is_whole:
            self._readiness.allow_reads()

    def _handle_failure(self, error: StorageError | AppError) -> bool:
        """Say why the store is not open; return whether trying again is of no use, or left to `keep_tenure`."""
        self._allow_old_reads()
        if self._readiness.ready and _hinders_writes_alone(error):
            self._refuse(error)
            self._readiness.finish()
            return True
        if isinstance(error, AppError) and error.kind not in (Kind.UNAVAILABLE, Kind.FULL):
            self._readiness.fail(error.message)
            if self._is_new(error.message):  # it is tried again every two seconds
                _log.error("the store cannot be opened", reason=error.message)
            return True
        text = str(error) if _hinders_writes_alone(error) else f"storage or database do not answer: {error}"
        self._readiness.reason = text
        _log.warning("not ready yet", error=str(error))
        return False

    async def _run_once(self) -> None:
        while not await self._acquire():
            self._enter(State.STARTING, "while another process opens the store")
            await asyncio.sleep(_POLL_SECONDS)
        keeper = asyncio.create_task(self._keep())
        try:
            await self._open_store()
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            await asyncio.shield(self._release())

    def _enter(self, state: State, detail: str) -> None:
        if not self._trouble:
            self._readiness.enter(state, detail)

    async def _open_store(self) -> None:
        """Do all that one process does for the others of its catalogue."""
        self._enter(State.REPLAYING, "the ledger")
        may_write = await self._take_tenure()
        # The database knows all that the ledger says now. What is checked at each start is checked here.
        if may_write:
            await self._import_files()

    async def _import_files(self) -> None:
        """Take in ChartMuseum's files, at the first start on a store and after an upgrade."""
        if await self._museum.is_due():
            if self._readiness.first_import:
                self._enter(State.IMPORTING, "the charts that lie there")
            await self._museum.scan()

    async def _keep(self) -> None:
        """Renew what we hold while the store is opened: a replay or a first pass may take minutes."""
        while True:
            await asyncio.sleep(min(_KEEP_SECONDS, self.lease_seconds / 10))
            try:
                await self._in_thread(self._exclusive.keep)
            except AppError as error:
                _log.warning("the lock on the opening was lost", error=str(error))
            if self._readiness.may_write_until:
                await self.keep_tenure(alone=True)

    # ------------------------------------------------------------------------------------------ who may write

    async def _take_tenure(self) -> bool:
        """Become the one who writes if no other catalogue does, and catch up with the ledger. For one process only."""
        trouble: StorageError | None = None
        until = 0.0
        try:
            until = await self._tenure.take()
        except (StorageDenied, StorageFull) as error:
            trouble = error  # reads need no right to write, but all that the ledger says
        # What a process that ended has noted and stored until now is seen by this replay; what others note from now on
        # is found by the writer (app/db/marker.py).
        await self._database.write(lambda transaction: None)
        if until:
            await self._recover()
            await self._ledger.flush()
        replayed = await self._replay.run(set_aside=until > 0)
        await self._check.settle(replayed.folders, may_write=until > 0)
        if trouble is not None:
            raise trouble
        if until and until - time.monotonic() < self._tenure.term.rest:  # the replay was long
            until = await self._tenure.take()
        self._note(until)
        return until > 0

    async def _recover(self) -> None:
        """Put into place what a crash left in journals: nothing may be written while some of it is missing."""
        if isinstance(self._storage, Recoverer):
            await asyncio.to_thread(recover, self._storage)

    def _note(self, until: float) -> None:
        """Note until when this process may write."""
        self._readiness.may_write_until = until
        if until:
            if self._logged:
                _log.info("this server writes to the store now", lease=self._tenure.place)
            self._readiness.refusal, self._logged = None, ""
            return
        other = self._tenure.other
        held = f": its lease {self._tenure.place} is {other}" if other else ""
        text = (
            f"another catalogue writes to this store{held}; send writes to that server, or stop it: this one only reads"
            f" until that lease ends; {_HINT}"
        )
        self._readiness.refusal = Refusal(Kind.UNAVAILABLE, text, 10)
        if self._is_new(other.catalogue if other else "another"):
            _log.warning("another catalogue writes to this store: serving reads only", reason=text, hint=_HINT)

    def _refuse(self, error: StorageError | AppError) -> None:
        """Note why the right to write was not renewed. It lasts to its end, unless nothing can be written anyway."""
        if isinstance(error, StorageDenied):
            self._readiness.may_write_until = 0.0
        self._readiness.refusal = self._explain(error)
        if self._is_new(type(error).__name__):
            _log.error("the right to write cannot be renewed", lease=self._tenure.place, error=str(error))

    def _is_new(self, cause: str) -> bool:
        before, self._logged = self._logged, cause
        return before != cause

    def _explain(self, error: StorageError | AppError) -> Refusal:
        if isinstance(error, AppError):
            return Refusal(error.kind, error.message, error.retry_after)
        if isinstance(error, StorageFull):
            return Refusal(Kind.FULL, _FULL)
        if isinstance(error, StorageDenied):
            return Refusal(Kind.UNAVAILABLE, str(error), 10)
        text = f"storage does not answer, so the lease {self._tenure.place} cannot be renewed: {error}; try again"
        return Refusal(Kind.UNAVAILABLE, text, 10)

    async def keep_tenure(self, *, alone: bool = False) -> None:
        """Renew the right to write in time; without it, follow the one who has it and take over when it ends.

        `alone` says that this process holds the lock on the opening already.
        """
        if time.monotonic() >= self._recheck and not alone:
            self._recheck = math.inf
            await self.look_again()
        until = self._readiness.may_write_until
        rest = until - time.monotonic()
        if rest > self._tenure.term.rest:
            return
        if not (self._readiness.opened or self._runs or alone):
            await self._try_once()  # what stopped it may be settled now
            return
        try:
            if rest <= 0 and alone:
                await self._take_tenure()
            elif rest <= 0:
                await self._take_over()
            else:
                self._note(await self._tenure.renew(until))
        except (StorageError, AppError) as error:
            self._refuse(error)

    async def _take_over(self) -> None:
        if not await self._acquire():
            return  # another process of this catalogue does so just now
        try:
            await self._take_tenure()
        finally:
            await asyncio.shield(self._release())

    async def close(self) -> None:
        """Give back the right to write; where that cannot be noted, on a full disk, it ends by itself."""
        if not self._tenure.was_taken:
            return
        with contextlib.suppress(StorageError, AppError):
            # The next process need not wait for the end of a job that this one will not do.
            await self._database.write(lambda transaction: leases.release(transaction, "rescan", self._holder))
            alone = await self._acquire()  # a process that starts just now must not lose what it takes
            try:
                await self._tenure.release(give_back=alone)
            finally:
                await self._release()

    # ---------------------------------------------------------------------------------------- scheduled work

    async def look_again(self) -> None:
        """Open the store anew where its ledger and this catalogue do not say the same."""
        if time.monotonic() >= self._readiness.may_write_until:
            return  # a catalogue that does not write follows the ledger anyway
        if why := await self._check.find_difference():
            _log.error("the ledger and the database differ: no writes until that is settled", reason=why)
            self._readiness.reopen(why)
            self._recheck = time.monotonic() + _RECHECK_SECONDS

    async def may_take_lease(self) -> bool:
        """Return whether no other catalogue writes, for a command that works on a store which cannot be opened."""
        return await self._tenure.take() > 0

    async def rescan(self) -> None:
        """Follow ChartMuseum's files once more, unless another process does."""
        if await self.is_first("rescan"):
            await self._museum.scan()

    async def is_first(self, name: str) -> bool:
        """Answer whether this process is the one that does the job `name` for the next minute."""
        if time.monotonic() >= self._readiness.may_write_until:
            return False
        length = int(_JOB_SECONDS * 1e9)
        return await self._database.write(lambda transaction: leases.acquire(transaction, name, self._holder, length))

    # ----------------------------------------------------------------------------------------------- the lock

    async def _acquire(self) -> bool:
        return await self._in_thread(self._exclusive.acquire)

    async def _release(self) -> None:
        await self._in_thread(self._exclusive.release)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Run a call of the lock: inline on SQLite, where it never waits."""
        return work() if self._database.inline else await asyncio.to_thread(work)


def _hinders_writes_alone(error: StorageError | AppError) -> bool:
    """Return whether storage or database can be read all the same."""
    return error.kind is Kind.FULL if isinstance(error, AppError) else isinstance(error, (StorageDenied, StorageFull))
