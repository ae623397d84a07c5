"""What the store is ready for, why not for more, and how requests wait while it is being opened.

Until the replay of the ledger or the import of old files has ended, there is no index to show. A request that comes
meanwhile waits, for at most `WAIT_SECONDS`, and gets a 503 then. Archives are read at once from the files that lie
there already.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from app.errors import AppError, Kind
from storage import ObjectNotFound, Storage

WAIT_SECONDS = 10.0
"""How long a request waits for the store to open, at most."""

MAX_WAITING = 1000
"""Requests that wait at one time, at most; a flood of others is told to come again."""

_LAPSED = "this server may not write now: the right to write has ended before it was renewed; it tries again by itself"


class State(Enum):
    """What the process does with the store."""

    STARTING = "starting"
    REPLAYING = "replaying"
    IMPORTING = "importing"
    READY = "ready"
    READ_ONLY = "read-only"


class Refusal(NamedTuple):
    """Why nothing may be written: what a caller is told. `retry_after` is in seconds."""

    kind: Kind
    message: str
    retry_after: int | None = None


@dataclass(slots=True)
class Readiness:
    """What may be done with the store now.

    `ready`: indexes and archives may be read. `opened`: the opening has ended, so that charts may come in until
    `may_write_until` (`time.monotonic`, in seconds). `reason` says why not more. `refusal` says why an open store may
    not be written. `first_import` says whether old files are still to be imported; None while that is unknown.
    `failed`: the opening has ended without success, and waiting is of no use.
    """

    storage: Storage
    ready: bool = False
    opened: bool = False
    reason: str = State.STARTING.value
    may_write_until: float = 0.0
    refusal: Refusal | None = None
    first_import: bool | None = None
    failed: bool = False
    _waiting: set[asyncio.Future[None]] = field(default_factory=set)

    # ------------------------------------------------------------------------------------- what the opening says

    def enter(self, state: State, detail: str = "") -> None:
        """Note what is done before the store is open."""
        self.reason = f"{state.value} {detail}".strip()

    def know(self, *, first_import: bool) -> None:
        """Note whether old files are still to be imported."""
        self.first_import = first_import
        self._wake()

    def allow_reads(self) -> None:
        """Note that the store may be read."""
        self.ready = True
        self._wake()

    def finish(self) -> None:
        """Note that the store is open."""
        self.ready = self.opened = True
        self.failed = False
        self._wake()

    def reopen(self, reason: str) -> None:
        """Note that nothing may be written until the store was opened once more."""
        self.reason, self.opened, self.may_write_until = reason, False, 0.0

    def fail(self, reason: str) -> None:
        """Note that the store stays closed, for writes at least."""
        self.reason, self.failed = reason, True
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
        self._waiting.clear()

    # ------------------------------------------------------------------------------------------ what others ask

    @property
    def state(self) -> State:
        """What an open store is ready for; STARTING for one that is not open yet."""
        if not (self.ready and self.opened):
            return State.STARTING
        return State.READ_ONLY if self.find_refusal() else State.READY

    def check(self) -> None:
        """Raise AppError UNAVAILABLE while the store is not ready to be read."""
        if not self.ready:
            raise self._not_ready()

    def check_writable(self) -> None:
        """Raise AppError UNAVAILABLE or FULL while nothing may be written."""
        refusal = self.find_refusal()
        if refusal is not None:
            raise refusal

    def find_refusal(self) -> AppError | None:
        """Return why nothing may be written now, None if it may."""
        if not (self.ready and self.opened):
            return self._not_ready()
        if time.monotonic() <= self.may_write_until:
            return None
        kind, message, retry_after = self.refusal or Refusal(Kind.UNAVAILABLE, _LAPSED, 10)
        return AppError(kind, message, retry_after=retry_after)

    def _not_ready(self) -> AppError:
        text = f"the repository is not ready yet ({self.reason}); try again"
        return AppError(Kind.UNAVAILABLE, text, retry_after=5)

    async def wait_known(self, interruption: asyncio.Future[None] | None = None) -> None:
        """Wait until it is known whether old files are still to be imported, or the time is over."""
        if self.first_import is None:
            await self._wait(lambda: self.ready or self.first_import is not None, interruption)

    async def wait_readable(self, interruption: asyncio.Future[None] | None = None) -> None:
        """Wait until the store can be read. `interruption` ends the wait before its time.

        Raises AppError UNAVAILABLE when it cannot be read in time.
        """
        if not self.ready:
            await self._wait(lambda: self.ready, interruption)
            self.check()

    async def wait_writable(self, interruption: asyncio.Future[None] | None = None) -> None:
        """Wait until the store is open; it is not waited for another process that has the right to write.

        Raises AppError UNAVAILABLE or FULL when nothing may be written then.
        """
        if not (self.ready and self.opened):
            await self._wait(lambda: self.ready and self.opened, interruption)
        self.check_writable()

    async def _wait(self, reached: Callable[[], bool], interruption: asyncio.Future[None] | None) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not (reached() or self.failed) and len(self._waiting) < MAX_WAITING:
            rest = deadline - time.monotonic()
            if rest <= 0 or (interruption is not None and interruption.done()):
                return
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(waiter)
            try:
                both = {waiter} if interruption is None else {waiter, interruption}
                await asyncio.wait(both, timeout=rest, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._waiting.discard(waiter)

    async def open_old_file(self, repository: str, filename: str) -> tuple[int, AsyncGenerator[bytes, None]]:
        """Return size and bytes of a file as ChartMuseum stored it. Raises AppError NOT_FOUND."""
        key = "/".join(filter(None, (repository, filename)))
        try:
            stat = await self.storage.stat(key)
            return stat.size, await self.storage.open(key)
        except (ObjectNotFound, ValueError) as error:  # ValueError: what is too long for a key is no file's name
            raise AppError(Kind.NOT_FOUND, "object not found") from error
