"""Which version goes when a chart may keep only so many."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Kept(NamedTuple):
    """A stored version: when it was uploaded (ns since 1970), its key in version order, its name."""

    created: int
    sort_key: bytes
    version: str

    @property
    def is_stable(self) -> bool:
        """Whether it is no pre-release."""
        return "-" not in self.version.partition("+")[0]


def choose_surplus(versions: Iterable[Kept], *, added: str, limit: int) -> str | None:
    """Return the one version to remove after `added` was stored: the oldest by upload, of equal age the lowest.

    None while there are at most `limit`, or only `added` and the newest stable version, which always stay.
    """
    kept = list(versions)
    if len(kept) <= limit:
        return None
    newest = max((one for one in kept if one.is_stable), key=lambda one: one.sort_key, default=None)
    others = [one for one in kept if one.version != added and one != newest]
    return min(others).version if others else None
