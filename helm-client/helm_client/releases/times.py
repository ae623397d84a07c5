"""Times as Helm records them (RFC 3339, with nanoseconds), and as Go writes them. No clock."""

from __future__ import annotations

import re
from datetime import datetime

_TIME = re.compile(r"(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}:\d{2})(?:\.(\d+))?(Z|[+-]\d{2}:\d{2})")
_LAYOUT = re.compile(
    r"2006|January|Jan|Monday|Mon|MST|Z07:00|Z0700|-07:00|-0700|-07|PM|pm|_2|0[1-6]|15|[1-5]|\.0+(?![0-9])|\.9+(?![0-9])"
)
_PARTS = {
    "2006": "%Y", "06": "%y", "01": "%m", "Jan": "%b", "January": "%B", "02": "%d", "15": "%H", "03": "%I", "04": "%M",
    "05": "%S", "Mon": "%a", "Monday": "%A", "PM": "%p", "-0700": "%z", "-07:00": "%:z",
}  # fmt: skip


def is_zero(text: str) -> bool:
    """Answer whether that is no time, or Go's zero time."""
    return not text or text.startswith("0001-01-01T00:00:00")


def render_time(text: str, layout: str = "") -> str:
    """Write a recorded time as Go's time.String does: `2016-01-16 00:00:03.5 +0000 UTC`; or in a layout of Go's."""
    match = _TIME.fullmatch(text)
    if match is None:
        return text
    date, clock, fraction, zone = match.groups()
    offset = "+0000" if zone == "Z" else zone.replace(":", "")
    name = "UTC" if zone == "Z" else _find_zone(text, offset)
    if layout:
        moment = _to_moment(text)
        return _LAYOUT.sub(lambda part: _render_part(part[0], moment, name, fraction or ""), layout)
    shown = f".{fraction.rstrip('0')}" if fraction and fraction.strip("0") else ""
    return f"{date} {clock}{shown} {offset} {name}"


def render_ansi_time(text: str) -> str:
    """Write a recorded time as Go's time.ANSIC: `Sat Jan  6 00:00:00 2016`."""
    return render_time(text, "Mon Jan _2 15:04:05 2006")


def render_seconds(text: str) -> str:
    """Write a recorded time in RFC 3339, to the second."""
    return re.sub(r"\.\d+", "", text)


def _to_moment(text: str) -> datetime:
    return datetime.fromisoformat(render_seconds(text))


def _render_part(part: str, moment: datetime, zone: str, fraction: str) -> str:
    if part.startswith("."):
        digits = fraction.ljust(9, "0")[: len(part) - 1]
        return f".{digits}" if part[1] == "0" else f".{digits.rstrip('0')}".rstrip(".")
    if part.startswith("Z") and not moment.utcoffset():
        return "Z"
    if part in ("Z07:00", "-07:00"):
        return f"{moment:%z}"[:3] + ":" + f"{moment:%z}"[3:]
    special = {
        "_2": f"{moment.day:2}", "1": str(moment.month), "2": str(moment.day), "3": str(moment.hour % 12 or 12),
        "4": str(moment.minute), "5": str(moment.second), "MST": zone, "pm": f"{moment:%p}".lower(),
        "Z0700": f"{moment:%z}", "-07": f"{moment:%z}"[:3],
    }  # fmt: skip
    return special[part] if part in special else moment.strftime(_PARTS[part])


def _find_zone(text: str, offset: str) -> str:
    """Answer the name of an offset if it is this machine's at that time, as Go does; else the offset once more."""
    local = _to_moment(text).astimezone()
    return (local.tzname() or offset) if local.strftime("%z") == offset else offset
