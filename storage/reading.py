"""Reading objects whole, from any backend."""

from __future__ import annotations

from storage.protocol import Storage


async def read_all(storage: Storage, key: str) -> bytes:
    """Return all bytes of an object. Raises ObjectNotFound, StorageError."""
    return b"".join([chunk async for chunk in await storage.open(key)])
