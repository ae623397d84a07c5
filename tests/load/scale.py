"""How much is measured: the whole benchmark, or the few seconds that show that it works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """Counts and times. `rounds` alternate ours and the peers, `seconds` is one turn of one of them."""

    rounds: int
    seconds: float
    small: int  # versions in the index of 50 KB
    large: int  # versions in the index of 20 MB
    helm: int  # versions that Helm's code loads
    full: int  # versions of the big repository
    archives: int  # files that archives are drawn from
    archive_targets: tuple[tuple[int, float], ...]  # their sizes in bytes, and the least ratio to nginx
    uploads: int  # in one turn of ours
    peer_uploads: int  # in one turn of the reference
    fresh: int  # uploads followed by a first index
    acknowledged: int  # uploads followed by a read on the other worker
    readers: int  # connections that stop reading
    starts: int  # starts of each kind
    pulled: int  # archives of the generated incubator
    blob: int  # bytes of a large blob
    tags: int  # of one name
    stream: int  # MB of a blob that must not lie in memory


FULL = Scale(
    rounds=9, seconds=1.0, small=64, large=27_000, helm=12_000, full=100_000, archives=1000,
    archive_targets=((20_000, 0.30), (200_000, 0.60)), uploads=400, peer_uploads=100, fresh=40, acknowledged=1000,
    readers=100, starts=5, pulled=1234, blob=20_000_000, tags=10_000, stream=2000,
)  # fmt: skip

TINY = Scale(
    rounds=1, seconds=0.1, small=8, large=200, helm=200, full=200, archives=8,
    archive_targets=((20_000, 0.30),), uploads=16, peer_uploads=8, fresh=2, acknowledged=4,
    readers=3, starts=1, pulled=8, blob=100_000, tags=200, stream=5,
)  # fmt: skip
