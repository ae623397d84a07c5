"""Objects in a dictionary: for tests and for trying things out. Nothing here survives the process."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from datetime import UTC, datetime

from storage.errors import ObjectNotFound
from storage.protocol import CHUNK, Objects, ObjectStat
from storage.rules import check_key, check_range, clamp


class MemoryStorage:
    """Keeps the contract of Storage and InlineReader, durability aside. Holds every object in memory."""

    def __init__(self) -> None:
        self._objects: dict[str, tuple[bytes, datetime]] = {}

    async def put(self, key: str, content: bytes | AsyncIterable[bytes]) -> None:
        """Keep the bytes, once the stream has come to its end."""
        check_key(key)
        if not isinstance(content, bytes):
            content = b"".join([chunk async for chunk in content])
        self._objects[key] = (content, datetime.now(UTC))

    def write_batch(self, blobs: Objects, records: Objects) -> None:
        """Keep all of them."""
        for key, _ in (*blobs, *records):
            check_key(key)
        self._objects |= {key: (content, datetime.now(UTC)) for key, content in (*blobs, *records)}

    def discard(self, keys: Sequence[str]) -> None:
        """Forget these objects."""
        for key in keys:
            self._objects.pop(key, None)

    async def stat(self, key: str) -> ObjectStat:
        """Tell size and time of an object. Raises ObjectNotFound."""
        content, modified = self._get(key)
        return ObjectStat(key, len(content), modified)

    async def open(self, key: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """Answer a range of an object in chunks. Raises ObjectNotFound."""
        check_range(start, length)
        content, _ = self._get(key)
        return _chunks(content, *clamp(len(content), start, length))

    async def delete(self, key: str) -> None:
        """Forget an object."""
        check_key(key)
        self._objects.pop(key, None)

    async def scan(self, prefix: str = "") -> AsyncIterator[ObjectStat]:
        """Answer the objects there are at the first step of the iteration."""
        for key, (content, modified) in list(self._objects.items()):
            if key.startswith(prefix):
                yield ObjectStat(key, len(content), modified)

    def read_now(self, key: str, limit: int) -> bytes | None:
        """Answer the whole object if it is at most `limit` bytes, else None. Raises ObjectNotFound."""
        content, _ = self._get(key)
        return content if len(content) <= limit else None

    def _get(self, key: str) -> tuple[bytes, datetime]:
        check_key(key)
        try:
            return self._objects[key]
        except KeyError:
            raise ObjectNotFound(f"there is no object {key!r}") from None


async def _chunks(content: bytes, begin: int, size: int) -> AsyncGenerator[bytes, None]:
    for offset in range(begin, begin + size, CHUNK):
        yield content[offset : min(offset + CHUNK, begin + size)]
