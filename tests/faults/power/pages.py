"""One file on a disk that loses power: what is durable, what is pending, and what a crash leaves of the pending part.

The model is that of a page cache. A page that was not synced is on the disk as it was at some moment since the last
sync, each page at a moment of its own (so a later write may survive without an earlier one), and now and then each
sector of a page (a torn page). So is the file's size. Two things are ordered: a cut is part of the size's history, so
that bytes cut away do not come back once the file has a size from after the cut; and within a sector a later moment
holds the earlier writes. Bytes inside the size that never reached the disk are zeros.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

PAGE = 4096
SECTOR = 512
_TORN = 0.2  # the share of pages that are torn into sectors


@dataclass(frozen=True, slots=True)
class Change:
    """Bytes written at an offset; or, without bytes, a new size (`cut`) or zeros over a range (`size` bytes)."""

    place: int  # in the log
    offset: int
    content: bytes | None = None
    size: int = 0
    cut: bool = False

    def new_size(self, size: int) -> int:
        """Return the file's size after this, in bytes."""
        if self.cut:
            return self.offset
        return max(size, self.offset + (self.size if self.content is None else len(self.content)))

    def touches(self, size: int) -> range:
        """Return the numbers of the pages that this changes in a file of `size` bytes."""
        end = max(size, self.offset) if self.cut else self.new_size(0)
        return range(self.offset // PAGE, -(-end // PAGE))

    def apply(self, page: bytearray, number: int) -> None:
        """Change a page of PAGE bytes."""
        start = self.offset - number * PAGE
        content = self.content
        if content is None:
            length = PAGE if self.cut else self.size
            begin, end = max(start, 0), min(start + length, PAGE) if not self.cut else PAGE
            page[begin:end] = bytes(max(end - begin, 0))
            return
        first = max(-start, 0)
        part = content[first : first + PAGE - max(start, 0)]
        page[max(start, 0) : max(start, 0) + len(part)] = part


@dataclass(slots=True, eq=False)
class File:
    """A file; `mapped` when it was written through memory, where nothing is seen."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)
    mapped: bool = False

    def sync(self, place: int) -> None:
        """Make durable what was recorded before a place in the log."""
        done = [change for change in self.pending if change.place < place]
        self.pending = [change for change in self.pending if change.place >= place]
        for change in done:
            _apply_whole(self.durable, change)

    def latest(self) -> bytes:
        """Return the content as every process sees it now."""
        content = bytearray(self.durable)
        for change in self.pending:
            _apply_whole(content, change)
        return bytes(content)

    def crash(self, draw: random.Random, survival: float) -> bytes:
        """Return what a crash leaves: of each pending page `survival` is the chance that it is on the disk as it is."""
        if not self.pending or survival == 0:
            return bytes(self.durable)
        if survival == 1:
            return self.latest()
        sizes = [len(self.durable)]
        touched: dict[int, list[int]] = {}
        for index, change in enumerate(self.pending):
            for number in change.touches(sizes[-1]):
                touched.setdefault(number, []).append(index)
            sizes.append(change.new_size(sizes[-1]))
        moment = _choose(draw, survival, len(self.pending))
        content = bytearray(self.durable[: sizes[moment]].ljust(sizes[moment], b"\0"))
        for number, indexes in touched.items():
            if number * PAGE < len(content):
                page = self._crash_page(number, indexes, moment, draw, survival)
                content[number * PAGE : (number + 1) * PAGE] = page[: len(content) - number * PAGE]
        return bytes(content)

    def _crash_page(
        self, number: int, indexes: list[int], moment: int, draw: random.Random, survival: float
    ) -> bytearray:
        page = bytearray(self.durable[number * PAGE : (number + 1) * PAGE].ljust(PAGE, b"\0"))
        # A cut that the size shows has happened to every sector it covers; one that it does not show took no page away.
        cuts = [(at, index) for at, index in enumerate(indexes) if self.pending[index].cut]
        least = max((at + 1 for at, index in cuts if index < moment), default=0)
        hidden = [at for at, index in cuts if index >= moment and self.pending[index].offset <= number * PAGE]
        newest = min(hidden, default=len(indexes))
        is_torn = draw.random() < _TORN
        count = PAGE // SECTOR if is_torn else 1
        moments = [max(least, _choose(draw, survival, newest)) for _ in range(count)]
        left = bytearray(page)
        length = PAGE // count
        for at in range(max(moments) + 1):
            if at:
                self.pending[indexes[at - 1]].apply(page, number)
            for part in range(count):
                if moments[part] == at:
                    left[part * length : (part + 1) * length] = page[part * length : (part + 1) * length]
        return left


def _choose(draw: random.Random, survival: float, newest: int) -> int:
    return newest if draw.random() < survival else draw.randrange(newest + 1)


def _apply_whole(content: bytearray, change: Change) -> None:
    size = change.new_size(len(content))
    if change.cut:
        del content[size:]
    content.extend(bytes(size - len(content)))
    if change.content is not None:
        content[change.offset : change.offset + len(change.content)] = change.content
    elif not change.cut:
        content[change.offset : change.offset + change.size] = bytes(change.size)
