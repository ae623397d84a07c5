"""Is the store ready to be shown? Until the first pass over old files or the replay has ended, it is not.

Nobody may see half an index: until then indexes and writes wait for later (503), and archives are read from the files
that lie there already.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import NoReturn

from app.errors import AppError, Kind
from storage import ObjectNotFound, Storage

_READ_ONLY = "this server only reads: another one with its own database writes to the same store; try again, or there"


@dataclass(slots=True)
class Readiness:
    """What the store is ready for, and why not for more.

    `ready`: indexes and archives may be read. `opened`: the ledger was compared, too, so that charts may come in, until
    `may_write_until` (`time.monotonic`, in seconds).
    """

    storage: Storage
    ready: bool = False
    opened: bool = False
    reason: str = "starting"
    may_write_until: float = 0.0
    full: bool = False  # there was no room to note who writes

    def check(self) -> None:
        """Raise AppError UNAVAILABLE while the store is not ready to be read."""
        if not self.ready:
            self._refuse()

    def check_opened(self) -> None:
        """Raise AppError UNAVAILABLE while the store is being opened."""
        if not (self.ready and self.opened):
            self._refuse()

    def _refuse(self) -> NoReturn:
        text = f"the repository is not ready yet ({self.reason}); try again"
        raise AppError(Kind.UNAVAILABLE, text, retry_after=5)

    def check_writable(self) -> None:
        """Raise AppError UNAVAILABLE while nothing may be written."""
        self.check_opened()
        if time.monotonic() > self.may_write_until:
            if self.full:
                raise AppError(Kind.FULL, "the server's disk is full; nothing was stored; make room and try again")
            raise AppError(Kind.UNAVAILABLE, _READ_ONLY, retry_after=10)

    async def open_old_file(self, repository: str, filename: str) -> tuple[int, AsyncGenerator[bytes, None]]:
        """Answer size and bytes of a file as ChartMuseum stored it. Raises AppError NOT_FOUND."""
        key = "/".join(filter(None, (repository, filename)))
        try:
            stat = await self.storage.stat(key)
            return stat.size, await self.storage.open(key)
        except (ObjectNotFound, ValueError) as error:  # ValueError: what is too long for a key is no file's name
            raise AppError(Kind.NOT_FOUND, "object not found") from error
