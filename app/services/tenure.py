"""Who may write to the store: one catalogue at a time, by a lease that lies in the store itself.

Hosts that share a Postgres share its catalogue and so the lease: one of them renews it for all, and its row in the
database tells the others until when they may write. A second catalogue on the same bucket or folder (a rolling
update, a mistake) reads only, until the first one has ended and its lease with it.
"""

from __future__ import annotations

import asyncio
import math
import os
import socket
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson
import structlog

from app.db import leases, repositories
from app.db.session import Database
from app.db.transaction import Transaction
from storage import ObjectNotFound, Storage, StorageError, read_all

KEY = ".chartroom/lease.json"
SECONDS = 30.0
"""How long a lease in a folder lasts; it is renewed three times as often. After a crash of the catalogue that holds it,
another one takes over after this long.
"""

BUCKET_SECONDS = 90.0
"""How long a lease in a bucket lasts. It is renewed when a third is left, by two requests: two in a minute."""

MOST_SECONDS = 600.0
"""How long a lease may be set to last."""

_SETTLE_SECONDS = 0.3  # two that find the lease free at once both write; the one that wrote last reads itself back
_ROW, _RENEWAL = "store", "renewal"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Term:
    """How long a lease lasts, and how much of it is left when it is renewed; in seconds."""

    seconds: float = SECONDS
    rest: float = SECONDS * 2 / 3

    @classmethod
    def choose(cls, seconds: float, *, bucket: bool) -> Term:
        """Return the term for a store; `seconds` is 0 for our choice. Requests to a bucket cost money: few renewals."""
        seconds = seconds or (BUCKET_SECONDS if bucket else SECONDS)
        return cls(seconds, seconds / 3 if bucket else seconds * 2 / 3)


@dataclass(frozen=True, slots=True)
class Lease:
    """What lies under `KEY`. `expires` is in seconds since 1970, `seconds` how long it lasts by its own account.

    Older versions named neither `seconds` (0) nor host nor process.
    """

    catalogue: str
    expires: float
    host: str = ""
    process: int = 0
    seconds: float = 0.0

    def render(self) -> bytes:
        """Return its bytes."""
        return orjson.dumps(asdict(self))

    def __str__(self) -> str:
        until = datetime.fromtimestamp(self.expires, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        who = f" on host {self.host}, process {self.process}" if self.host else ""
        return f"held by catalogue {self.catalogue}{who} until {until}"


def parse_lease(content: bytes, seconds: float = SECONDS) -> Lease:
    """Return what a lease says, whether or not it has ended. `seconds` is how long ours last.

    Raises ValueError for one that binds no catalogue: it cannot be read, or ends later than two lease times from now,
    which only a wrong clock or an edited file does.
    """
    try:
        facts = orjson.loads(content)
        catalogue, expires = facts["catalogue"], facts["expires"]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"it cannot be read ({type(error).__name__}: {error})") from error
    if not isinstance(catalogue, str) or isinstance(expires, bool) or not isinstance(expires, (int, float)):
        raise ValueError("catalogue must be a text and expires a number of seconds since 1970")
    declared = _declared(facts)
    longest = 2 * max(seconds, declared)
    if not math.isfinite(expires) or not 0 <= expires <= time.time() + longest:
        raise ValueError(f"expires is {expires}, but a lease ends within {longest:g} s from now; look at the clocks")
    host, process = facts.get("host"), facts.get("process")
    host = host[:255] if isinstance(host, str) else ""
    return Lease(catalogue, expires, host, process if isinstance(process, int) else 0, declared)


def _declared(facts: dict[str, Any]) -> float:
    """Return how long a lease lasts by its own account: servers on one store may be set differently."""
    seconds = facts.get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        return 0.0
    return seconds if 0 < seconds <= MOST_SECONDS else 0.0


async def read_lease(storage: Storage, seconds: float = SECONDS) -> Lease | None:
    """Return the lease that lies in a store, ended or not; None if there is none. Raises what `parse_lease` raises."""
    try:
        content = await read_all(storage, KEY)
    except ObjectNotFound:
        return None
    return parse_lease(content, seconds)


async def find_holder(storage: Storage) -> Lease | None:
    """Return the lease of the catalogue that may write to a store now; None if none may. Raises StorageError."""
    try:
        lease = await read_lease(storage)
    except ValueError:  # what is not valid binds no catalogue
        return None
    return lease if lease is not None and lease.expires > time.time() else None


class Tenure:
    """Takes, renews and gives back the store's lease for this process's catalogue.

    `place` is where the lease lies, as a person looks for it. `other` is the lease of another catalogue, as it was
    found when ours was refused. `was_taken` says whether this process ever held it.
    """

    def __init__(
        self, database: Database, storage: Storage, *, holder: str, term: Term | None = None, place: str = KEY
    ) -> None:
        self._database = database
        self._storage = storage
        self._holder = holder
        self._identity = ""
        self.was_taken = False
        self.term = term or Term()
        self.place = place
        self.other: Lease | None = None

    async def take(self) -> float:
        """Take or renew the lease; return until when this catalogue may write (`time.monotonic`), 0 if it may not.

        Raises StorageError, AppError.
        """
        self._identity = (await self._database.read(repositories.get_catalogue)).identity
        lease = await self._read()
        if self._is_of_another(lease):
            return 0.0
        started, expires = time.monotonic(), time.time() + self.term.seconds
        await self._write(expires)
        if lease is None or lease.catalogue != self._identity:
            await asyncio.sleep(_SETTLE_SECONDS)
            lease = await self._read()
            if lease is None or lease.catalogue != self._identity:
                self.other = lease
                return 0.0
        self.other, self.was_taken = None, True
        await self._database.write(partial(self._note, expires=expires))
        return started + self.term.seconds

    async def renew(self, until: float) -> float:
        """Renew a lease that is held until `until`, unless another process of this catalogue has, or just does.

        Return and raise what `take` does.
        """
        moment = time.monotonic()
        rest, ours = await self._database.write(self._share)
        return await self.take() if ours else max(until, moment + rest)

    async def release(self, *, give_back: bool) -> None:
        """Note that this process has ended; give the lease back if no other process of this catalogue is left."""
        last = await self._database.write(self._unregister)
        if not (last and give_back):
            return
        try:
            lease = await self._read()
            if lease is not None and lease.catalogue == self._identity:
                await self._storage.delete(KEY)
        except StorageError as error:
            _log.warning("the store's lease could not be given back; it ends by itself", error=str(error))

    def _is_of_another(self, lease: Lease | None) -> bool:
        if lease is None or lease.catalogue == self._identity or lease.expires <= time.time():
            return False
        self.other = lease
        return True

    async def _read(self) -> Lease | None:
        try:
            return await read_lease(self._storage, self.term.seconds)
        except ValueError as error:
            _log.warning("the store's lease is not valid: it is replaced", lease=self.place, reason=str(error))
            return None

    async def _write(self, expires: float) -> None:
        lease = Lease(self._identity, expires, socket.gethostname(), os.getpid(), self.term.seconds)
        await self._storage.put(KEY, lease.render())

    # ---------------------------------------------------------------------------------------- in the database

    def _note(self, transaction: Transaction, *, expires: float) -> None:
        self._register(transaction)
        leases.put(transaction, _ROW, self._identity, int(expires * 1e9))

    def _share(self, transaction: Transaction) -> tuple[float, bool]:
        """Return how many seconds are left of the catalogue's lease, and whether this process is to renew it."""
        self._register(transaction)
        expires = leases.get_expiry(transaction, _ROW, self._identity)
        rest = min((expires - transaction.now) / 1e9, self.term.seconds)
        if rest > self.term.rest:
            return rest, False
        return rest, leases.acquire(transaction, _RENEWAL, self._holder, int(self.term.seconds / 6 * 1e9))

    def _register(self, transaction: Transaction) -> None:
        leases.acquire(transaction, f"process {self._holder}", self._holder, int(self.term.seconds * 1e9))

    def _unregister(self, transaction: Transaction) -> bool:
        leases.release(transaction, f"process {self._holder}", self._holder)
        last = leases.count_like(transaction, "process ") == 0
        if last:
            leases.release(transaction, _ROW, self._identity)
        return last
