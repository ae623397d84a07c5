"""Times as whole nanoseconds since 1970 UTC, and as RFC 3339 text with a zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_NANO = 1_000_000_000
_TEXT = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_LIMIT = 2**63
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def render_time(nanoseconds: int) -> str:
    """Answer RFC 3339 in UTC with as many fraction digits as needed, as Go's RFC3339Nano does."""
    seconds, rest = divmod(nanoseconds, _NANO)
    text = (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]
    fraction = f".{rest:09d}".rstrip("0").rstrip(".") if rest else ""
    return f"{text}{fraction}Z"


def parse_time(text: str) -> int:
    """Answer the nanoseconds of an RFC 3339 text with a zone.

    Raises ValueError, also for a time that 64 bits do not hold (before 1677, after 2262): Go's zero time is one.
    """
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not a time in RFC 3339 with a zone: {text!r}")
    day, clock, fraction, zone = match.groups()
    moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in 'Zz' else zone}")
    since = moment - _EPOCH
    nanoseconds = (since.days * 86400 + since.seconds) * _NANO + int((fraction or "").ljust(9, "0"))
    if not -_LIMIT <= nanoseconds < _LIMIT:
        raise ValueError(f"a time out of range: {text!r}")
    return nanoseconds


def from_datetime(moment: datetime) -> int:
    """Return the nanoseconds of an aware datetime; of one that 64 bits do not hold, the nearest that they do.

    A file's time may be any: a wrong clock or `touch` writes years that no column takes.
    """
    since = moment - _EPOCH
    nanoseconds = (since.days * 86400 + since.seconds) * _NANO + since.microseconds * 1000
    return min(max(nanoseconds, -_LIMIT), _LIMIT - 1)
