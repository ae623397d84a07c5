"""What all backends have in common: which keys there are, what a range means, how a stream is cut.

Nothing here touches a disk or a network.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterable
from functools import lru_cache

MAX_KEY = 900
"""Bytes of a key in UTF-8. S3 ends at 1024 with the prefix, so that 124 are left for that."""

TEMP = ".chartroom/tmp"
"""The folder of unfinished writes. It has no keys, so that nobody can read, list or replace them."""

JOURNAL = ".chartroom/blobs/journal"
"""The folder of journals (`storage/journal.py`), which are no objects either. A copy of the blobs brings them along."""

# A segment that is empty or made of one or two dots; NUL; half a surrogate pair (not a character, and no
# UTF-8 can hold it); the folders of unfinished writes and of journals.
_OURS = "|".join(map(re.escape, (TEMP, JOURNAL)))
_REFUSED = re.compile(rf"(?:\A|/)\.{{0,2}}(?:/|\Z)|[\0\ud800-\udfff]|\A(?:{_OURS})(?:/|\Z)")


def is_key(text: str) -> bool:
    """Tell whether the text is a key, by the rule at the top of `storage/protocol.py`."""
    return _REFUSED.search(text) is None and len(text.encode()) <= MAX_KEY


@lru_cache(maxsize=4096)  # the rule costs 4 us, a third of a whole read; hot keys repeat
def check_key(key: str) -> None:
    """Refuse what is not a key, with ValueError."""
    if not is_key(key):
        shown = key if len(key) <= 200 else key[:200] + "..."
        raise ValueError(f"not a storage key: {shown!r}")


def clamp(size: int, start: int, length: int | None) -> tuple[int, int]:
    """Cut a range to an object of `size` bytes: answer where it begins and how many bytes it has."""
    begin = min(start, size)
    left = size - begin
    return begin, left if length is None else min(length, left)


def check_range(start: int, length: int | None) -> None:
    """Refuse negative numbers, with ValueError."""
    if start < 0 or (length is not None and length < 0):
        raise ValueError(f"not a range: start {start}, length {length}")


async def batches(content: AsyncIterable[bytes], size: int) -> AsyncGenerator[bytes, None]:
    """Cut a stream into pieces of exactly `size` bytes. The last one is shorter, perhaps empty.

    So a first piece that is shorter than `size` is the whole stream. Holds at most `size` bytes besides one
    chunk of the stream.
    """
    gathered = bytearray()
    async for chunk in content:
        rest = memoryview(chunk)
        while len(gathered) + len(rest) >= size:
            missing = size - len(gathered)
            gathered += rest[:missing]
            rest = rest[missing:]
            piece = bytes(gathered)
            gathered = bytearray()  # a new one: clearing would keep its memory while the piece is on its way
            yield piece
            del piece  # or it would live on while the next one gathers
        gathered += rest
    yield bytes(gathered)
