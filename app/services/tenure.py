"""Who may write to the store: one catalogue at a time, by a lease that lies in the store itself.

Hosts that share a Postgres share its catalogue and so the lease. A second SQLite catalogue on the same bucket or
folder (a rolling update, a mistake) reads only, until the first one has ended and its lease with it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import orjson
import structlog

from app.db import leases, repositories
from app.db.session import Database
from app.db.transaction import Transaction
from storage import ObjectNotFound, Storage, StorageError

KEY = ".chartroom/lease.json"
SECONDS = 30.0
"""How long a lease lasts; it is renewed three times as often. A catalogue that died is followed after this long."""

_SETTLE_SECONDS = 0.3  # two that find the lease free at once both write; the one that wrote last reads itself back

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Lease:
    catalogue: str
    expires: float  # seconds since 1970


class Tenure:
    """Takes, renews and gives back the store's lease for this process's catalogue."""

    def __init__(self, database: Database, storage: Storage, *, holder: str) -> None:
        self._database = database
        self._storage = storage
        self._holder = holder

    async def hold(self) -> float:
        """Take or renew the lease; answer until when this catalogue may write (`time.monotonic`), 0 if it may not.

        Raises StorageError.
        """
        identity = (await self._database.read(repositories.get_catalogue)).identity
        started = time.monotonic()
        lease = await self._read()
        if lease is not None and lease.catalogue != identity and lease.expires > time.time():
            return 0.0
        await self._write(identity)
        if lease is None or lease.catalogue != identity:
            await asyncio.sleep(_SETTLE_SECONDS)
            lease = await self._read()
            if lease is None or lease.catalogue != identity:
                return 0.0
        await self._database.write(self._register)
        return started + SECONDS

    async def release(self) -> None:
        """Give the lease back if no other process of this catalogue is left."""
        last = (await self._database.write(self._unregister)).result
        identity = (await self._database.read(repositories.get_catalogue)).identity
        try:
            lease = await self._read()
            if last and lease is not None and lease.catalogue == identity:
                await self._storage.delete(KEY)
        except StorageError as error:
            _log.warning("the store's lease could not be given back; it ends by itself", error=str(error))

    async def _read(self) -> _Lease | None:
        try:
            content = b"".join([chunk async for chunk in await self._storage.open(KEY)])
            facts = orjson.loads(content)
            return _Lease(str(facts["catalogue"]), float(facts["expires"]))
        except (ObjectNotFound, ValueError, KeyError, TypeError):
            return None  # what cannot be read binds nobody

    async def _write(self, identity: str) -> None:
        await self._storage.put(KEY, orjson.dumps({"catalogue": identity, "expires": time.time() + SECONDS}))

    def _register(self, transaction: Transaction) -> None:
        leases.acquire(transaction, f"process {self._holder}", self._holder, int(SECONDS * 1e9))

    def _unregister(self, transaction: Transaction) -> bool:
        leases.release(transaction, f"process {self._holder}", self._holder)
        return leases.count_like(transaction, "process ") == 0
