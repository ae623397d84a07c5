"""A part of a storage: who gets it sees nothing outside of one prefix when they look around."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass

from storage import Objects, ObjectStat, Storage


@dataclass(frozen=True, slots=True)
class Shelf:
    """Keeps the contract of Storage, but a scan answers only keys that start with `prefix`."""

    storage: Storage
    prefix: str

    async def put(self, key: str, content: bytes | AsyncIterable[bytes]) -> None:
        """Write an object."""
        await self.storage.put(key, content)

    def write_batch(self, blobs: Objects, records: Objects) -> None:
        """Write several objects."""
        self.storage.write_batch(blobs, records)

    def discard(self, keys: Sequence[str]) -> None:
        """Remove records of a batch that failed."""
        self.storage.discard(keys)

    async def stat(self, key: str) -> ObjectStat:
        """Tell size and time of an object."""
        return await self.storage.stat(key)

    async def open(self, key: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """Answer an object's bytes."""
        return await self.storage.open(key, start, length)

    async def delete(self, key: str) -> None:
        """Remove an object."""
        await self.storage.delete(key)

    async def scan(self, prefix: str = "") -> AsyncIterator[ObjectStat]:
        """Answer the objects with the prefix that lie on this shelf."""
        wanted = max(prefix, self.prefix, key=len)
        if wanted.startswith(prefix) and wanted.startswith(self.prefix):
            async for stat in self.storage.scan(wanted):
                yield stat
