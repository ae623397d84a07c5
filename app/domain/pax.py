"""Pax records: what a tar archive says about its next member where the header has no room for it.

Read as Go's archive/tar reads them. Not here: headers (tar.py).
"""

from __future__ import annotations

import re

from app.domain.inflate import broken
from app.errors import AppError

_MAX_RECORDS = 1000  # of one member; file systems keep a dozen attributes
_DECIMAL = re.compile(rb"[-+]?[0-9]{1,40}")
_PAX_TIME = re.compile(rb"([-+]?[0-9]{1,18})(?:\.[0-9]*)?")


def invalid() -> AppError:
    """Answer Go's error for a header or records that break the rules of tar."""
    return broken("archive/tar: invalid tar header")


def read_records(text: bytes) -> dict[bytes, bytes]:
    """Read pax records, `<length> <key>=<value>\\n` each (archive/tar, strconv.go)."""
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(text):
        space = text.find(b" ", at, at + 8)
        digits = text[at:space]
        if space < 0 or not digits.isdigit():
            raise invalid()
        end = at + int(digits)
        key, equals, value = text[space + 1 : end - 1].partition(b"=")
        if end > len(text) or end - at < 5 or text[end - 1 : end] != b"\n" or not equals or not key:
            raise invalid()
        if b"\0" in (value if key in (b"path", b"linkpath", b"uname", b"gname") else key):
            raise invalid()
        records[key] = value
        if len(records) > _MAX_RECORDS:
            raise broken(f"tar header holds more than {_MAX_RECORDS} pax records; package the chart without them")
        at = end
    return records


def overrule(
    records: dict[bytes, bytes], name: bytes, size: int, kind: bytes, modified: int
) -> tuple[bytes, int, bytes, int]:
    """Let records overrule the header; an empty one does not (archive/tar, mergePAX)."""
    if any(key.startswith(b"GNU.sparse.") for key in records):
        kind = b"S"
    for key in (b"uid", b"gid", b"size"):
        if records.get(key) and not _DECIMAL.fullmatch(records[key]):
            raise invalid()
    times = {key: _PAX_TIME.fullmatch(records[key]) for key in (b"atime", b"ctime", b"mtime") if records.get(key)}
    if not all(times.values()):
        raise invalid()
    size = int(records.get(b"size") or size)
    if not -(2**63) <= size < 2**63:
        raise invalid()
    changed = times.get(b"mtime")
    return records.get(b"path") or name, size, kind, int(changed[1]) if changed else modified
