"""Words that several commands print."""

from __future__ import annotations


def count(number: int, noun: str) -> str:
    """Answer `1 blob`, `2 blobs`, `0 repositories`."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun[:-1]}ies" if noun.endswith("ry") else f"{number} {noun}s"
