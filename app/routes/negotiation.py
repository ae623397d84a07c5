"""What the request headers of RFC 9110 ask for: encodings (12.5.3), validators (13.1.2), ranges (14.2)."""

from __future__ import annotations

import re
from functools import lru_cache

_RANGE = re.compile(rb"bytes=(\d{0,18})-(\d{0,18})", re.IGNORECASE)
_REMEMBERED = 256  # bytes of a header that is worth remembering; browsers send 23
_PREFERRED = ("zstd", "gzip")  # at equal weight: the smaller body first


def choose_encoding(accepted: bytes) -> str:
    """Answer "zstd", "gzip" or "" (as it is) for an Accept-Encoding header."""
    return _choose_again(accepted) if len(accepted) <= _REMEMBERED else _choose(accepted)


def _choose(accepted: bytes) -> str:
    weights: dict[str, float] = {}
    for item in accepted.decode("latin-1").lower().split(","):
        name, _, parameters = item.strip().partition(";")
        weights[name.strip()] = _parse_weight(parameters)
    default = weights.get("*", 0.0)
    best = max(_PREFERRED, key=lambda name: weights.get(name, default))
    weight = weights.get(best, default)
    return best if weight > 0 and weight >= weights.get("identity", 0.0) else ""


_choose_again = lru_cache(maxsize=256)(_choose)


def _parse_weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def matches(none_match: bytes, etag: bytes) -> bool:
    """Answer whether an If-None-Match header names this ETag (weak comparison, as the RFC wants)."""
    if none_match == etag:
        return True
    if none_match.strip() == b"*":
        return True
    return any(item.strip().removeprefix(b"W/") == etag for item in none_match.split(b","))


def describe_span(start: int, end: int, size: int) -> list[tuple[bytes, bytes]]:
    """Answer the header fields about what `parse_range` found: those of a 206, or of a 416 if it is empty."""
    what = b"*" if start == end else b"%d-%d" % (start, end - 1)
    return [(b"content-length", b"%d" % (end - start)), (b"content-range", b"bytes %b/%d" % (what, size))]


def parse_range(wanted: bytes, size: int) -> tuple[int, int] | None:
    """Answer start and end (exclusive) of a single range; an empty one when none of it lies inside `size` bytes: 416.

    None for what is no single range of bytes: then the whole is the answer.
    """
    match = _RANGE.fullmatch(wanted.strip())
    if match is None or match.groups() == (b"", b""):
        return None
    first, last = match.groups()
    if not first:
        return max(0, size - int(last)), size
    start = int(first)
    end = min(int(last) + 1, size) if last else size
    return start, max(start, end)
