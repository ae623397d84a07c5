"""How much is measured beside another checkout: all of it, or the few seconds that show that it works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """Counts of one turn; `seconds` is one turn of a read."""

    rounds: int
    reads: int  # rounds of reads: CPU within a few percent needs more of them
    counted: int  # rounds of what is counted, not timed
    seconds: float
    many: int  # versions of the large store
    few: int  # of the one that growth is measured against
    small: int  # of the one that is read
    uploads: int  # by 8 clients
    uploads_alone: int  # by 1 client
    uploads_traced: int
    uploads_slow: int  # to a bucket with 30 ms a request
    uploads_logged: int  # whose statements are counted
    imported: int  # archives of a folder


FULL = Scale(
    rounds=7, reads=21, counted=3, seconds=1.0, many=100_000, few=100, small=64, uploads=400, uploads_alone=200,
    uploads_traced=400, uploads_slow=20, uploads_logged=40, imported=10_000,
)  # fmt: skip

TINY = Scale(
    rounds=1, reads=1, counted=1, seconds=0.1, many=60, few=20, small=8, uploads=16, uploads_alone=4,
    uploads_traced=16, uploads_slow=2, uploads_logged=4, imported=40,
)  # fmt: skip
