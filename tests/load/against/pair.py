"""Both sides of a comparison: what every row is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.load.against.checkout import Checkout
from tests.load.against.rounds import OURS, THEIRS, Line, Turn, take_turns
from tests.load.against.scale import Scale
from tests.load.against.stores import Stores
from tests.load.uploading import Supply

Start = Callable[[Checkout, ExitStack], Turn]
"""Starts what a row needs of one side, to be ended with the stack; returns the side's turn."""


@dataclass(slots=True)
class Pair:
    """Two checkouts; `stores` has equal ones for both, `supply` the same new versions for both."""

    sides: tuple[Checkout, Checkout]
    scale: Scale
    stores: Stores
    _majors: dict[str, Iterator[int]] = field(default_factory=lambda: {OURS: count(7), THEIRS: count(7)})

    def supply(self, side: Checkout, versions: int) -> Supply:
        """Return new versions of the charts of a store with so many versions; none is made twice."""
        return Supply(max(1, versions // 10), major=next(self._majors[side.name]))

    def compare(self, start: Start, *, rounds: int = 0, warm: bool = True) -> list[Line]:
        """Start both sides, let them take turns, and return the lines of the table."""
        with ExitStack() as running:
            turns = {side.name: start(side, running) for side in self.sides}
            return take_turns(turns, rounds or self.scale.rounds, warm=warm)


@contextmanager
def open_pair(
    ours: Checkout, theirs: Checkout, folder: Path, scale: Scale, *, kept: Path | None, say: Callable[[str], None]
) -> Iterator[Pair]:
    """Open both sides; stores are made below `folder`."""
    stores = Stores(theirs, folder, kept, say)
    try:
        yield Pair((ours, theirs), scale, stores)
    finally:
        stores.close()
