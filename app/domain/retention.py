"""Which versions go when a chart may keep only so many."""

from __future__ import annotations

from collections.abc import Iterable


def choose_surplus(ages: Iterable[tuple[int, str]], *, keep: int) -> list[str]:
    """Answer the versions to remove so that the `keep` youngest stay. `ages` are (created in ns, version)."""
    ordered = sorted(ages)
    return [version for _, version in ordered[: max(0, len(ordered) - keep)]]
