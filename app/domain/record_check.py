"""Which records of the ledger every database can hold: one rule for SQLite and Postgres.

Postgres takes no NUL in text and checks lengths, SQLite takes both; numbers end at 64 bits on both. A record that
breaks the rule would be in a catalogue of one kind only, so it is kept out of both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_UNFIT = re.compile("[\x00\ud800-\udfff]")
_HEX = re.compile(r"(?:[0-9a-f]{64}){1,2}")
_WORD = re.compile(r"[a-z_-]{1,16}")  # what the short columns hold
_LIMIT = 2**63

Check = Callable[[object], str]


def _text(value: object) -> str:
    if not isinstance(value, str):
        return "is no text"
    return "holds a NUL character or half a character" if _UNFIT.search(value) else ""


def _number(value: object) -> str:
    return "" if type(value) is int and -_LIMIT <= value < _LIMIT else "is no number of 64 bits"


def _digest(value: object) -> str:
    return "" if isinstance(value, str) and _HEX.fullmatch(value) else "is no digest in hex"


def _subject(value: object) -> str:
    return "" if value == "" else _digest(value)


def _word(value: object) -> str:
    return "" if isinstance(value, str) and _WORD.fullmatch(value) else "is no word of at most 16 letters"


def _bytes(value: object) -> str:
    """Check what a column of bytes gets: text that may hold NUL, or an index entry as it came."""
    return "" if isinstance(value, (str, bytes)) else "is no text"


def _children(value: object) -> str:
    pairs = value if isinstance(value, list) else [None]
    good = all(isinstance(one, list) and len(one) == 2 and not _digest(one[0]) and not _word(one[1]) for one in pairs)
    return "" if good else "is no list of digests"


_VERSION: dict[str, Check] = {"chart": _text, "version": _text}
_FILE: dict[str, Check] = {"digest": _digest, "size": _number}
_MANIFEST: dict[str, Check] = {"name": _text, "digest": _digest}
_FIELDS: dict[tuple[str, str], dict[str, Check]] = {
    ("put", "version"): {
        **_VERSION, **_FILE, "filename": _text, "created": _number, "origin": _word, "entry": _bytes,
    },
    ("remove", "version"): _VERSION,
    ("put", "provenance"): {"filename": _text, **_FILE, "created": _number},
    ("remove", "provenance"): {"filename": _text},
    ("put", "manifest"): {
        **_MANIFEST, "media_type": _text, "artifact_type": _text, "subject": _subject, "annotations": _bytes,
        "content": _bytes, "origin": _word, "created": _number, "children": _children,
    },
    ("remove", "manifest"): _MANIFEST,
    ("put", "tag"): {**_MANIFEST, "tag": _text, "updated": _number},
    ("remove", "tag"): {"name": _text, "tag": _text},
    ("put", "blob"): {**_MANIFEST, "size": _number},
    ("remove", "blob"): _MANIFEST,
}  # fmt: skip


def is_known(change: Mapping[str, Any]) -> bool:
    """Return whether this version knows what the record does; a newer one may have written others."""
    return (change.get("op"), change.get("kind")) in _FIELDS


def explain_unfit(change: Mapping[str, Any]) -> str:
    """Return why no database can hold a record of a known kind, for a person; "" if each can."""
    for field, check in _FIELDS[change["op"], change["kind"]].items():
        if field not in change:
            return f"it lacks {field}"
        fault = check(change[field])
        if fault:
            return f"its {field} {fault}"
    return ""
