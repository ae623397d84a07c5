"""The way of a commit into storage: segments go out in order, and a write is acknowledged only afterwards."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from app.db import ledger
from app.db.session import Committed, Database, T
from app.db.transaction import Transaction
from app.errors import AppError, Kind
from storage import Storage, StorageError

_MAY_BE_STORED = "the change may be stored: it is committed, but storage has not recorded it yet; look before repeating"


class Ledger:
    """Flushes the outbox. Any process flushes the segments of all, in the order of their commits."""

    def __init__(self, database: Database, storage: Storage) -> None:
        self._database = database
        self._storage = storage
        self._turn = asyncio.Lock()

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Commit `work` and wait until its segment lies in storage.

        Raises what `work` raises, and AppError UNAVAILABLE ("may be stored") when only the last step failed.
        """
        committed: Committed[T] = await self._database.write(work)
        if committed.outbox_id is not None:
            try:
                await self.flush(committed.outbox_id)
            except (StorageError, AppError) as error:
                raise AppError(Kind.UNAVAILABLE, _MAY_BE_STORED, retry_after=10) from error
        return committed.result

    async def flush(self, upto: int | None = None) -> None:
        """Put every waiting segment up to the outbox row `upto` (default: all) into storage. Raises StorageError."""
        flushed = self._database.flushed
        if upto is not None and flushed.upto >= upto:
            return
        async with self._turn:  # whoever waited here finds that the one before has flushed for all
            if upto is not None and flushed.upto >= upto:
                return
            rows = await self._database.read(lambda connection: ledger.list_after(connection, flushed.upto))
            for row in rows:
                await self._storage.put(row.key, row.content)
                flushed.upto = row.id
            if upto is not None:  # a row that is not there any more was flushed and removed by another process
                flushed.upto = max(flushed.upto, upto)

    async def close(self) -> None:
        """Flush what can be flushed; what cannot waits in the outbox for the next start."""
        with contextlib.suppress(StorageError, AppError):
            await self.flush()
