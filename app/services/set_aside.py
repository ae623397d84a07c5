"""Records of the ledger that no database can hold: named and left out, so that all others come back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import structlog

from app.domain.names import label
from app.domain.record_check import explain_unfit, is_known
from app.errors import AppError, Kind

_SHOWN = 20  # records that are named, at most
_KEYS = {"version": ("chart", "version"), "provenance": ("filename",), "tag": ("name", "tag")}

_log = structlog.get_logger(__name__)


class _Key(NamedTuple):
    """What a record is about: a later record of the same key takes its place."""

    repository: str
    kind: str
    names: tuple[str, ...]


class _Found(NamedTuple):
    """What is said of a record, and the digest in it."""

    text: str
    digest: str


class SetAside:
    """The records that were left out, as long as no later record puts or removes the same thing."""

    def __init__(self) -> None:
        self._found: dict[_Key, _Found] = {}

    def refuses(self, repository: str, change: Mapping[str, Any]) -> bool:
        """Return whether a record must be left out, and note it then.

        Raises AppError FAULT for a kind of record that this version does not know: a newer version wrote it, and a
        catalogue without it would be wrong in a way that nobody can name.
        """
        if not is_known(change):
            raise AppError(Kind.FAULT, _name_unknown(repository, change))
        reason, key = explain_unfit(change) or self._find_missing(repository, change), _key_of(repository, change)
        if change["op"] == "put" and reason:
            text = f"{_describe(key)} is set aside: {reason}; upload it again without that"
            self._found[key] = _Found(text, str(change.get("digest", "")))
            _log.error("a ledger record is set aside", repository=repository, record=_describe(key), reason=reason)
        elif self._found:
            self._settle(key)
        return bool(reason)

    def clear(self, repository: str) -> None:
        """Forget what was noted of a repository: it is read from its beginning again."""
        self._found = {key: found for key, found in self._found.items() if key.repository != repository}

    def describe(self) -> list[str]:
        """Return one line for each record that is left out, of the first 20, and how many more there are."""
        lines = [found.text for found in self._found.values()]
        more = [f"{len(lines) - _SHOWN} more records are set aside"] if len(lines) > _SHOWN else []
        return lines[:_SHOWN] + more

    def _find_missing(self, repository: str, change: Mapping[str, Any]) -> str:
        """Return why a tag cannot be put although its own text fits: its manifest is not there."""
        if not self._found or change["kind"] != "tag" or change["op"] != "put":
            return ""
        manifest = _Key(repository, "manifest", (change["name"], change["digest"]))
        return "its manifest is set aside" if manifest in self._found else ""

    def _settle(self, key: _Key) -> None:
        """Forget what a record that was taken replaces or removes; a manifest's tags go with it."""
        self._found.pop(key, None)
        if key.kind == "manifest":
            name, digest = key.names
            for one, found in list(self._found.items()):
                if one[:2] == (key.repository, "tag") and (one.names[0], found.digest) == (name, digest):
                    del self._found[one]


def _key_of(repository: str, change: Mapping[str, Any]) -> _Key:
    fields = _KEYS.get(change["kind"], ("name", "digest"))
    return _Key(repository, change["kind"], tuple(str(change.get(field, "")) for field in fields))


def _describe(key: _Key) -> str:
    return f"{label(key.repository)}: {key.kind} {' '.join(json.dumps(name[:100])[1:-1] for name in key.names)}"


def _name_unknown(repository: str, change: Mapping[str, Any]) -> str:
    what = json.dumps([str(change.get("op"))[:50], str(change.get("kind"))[:50]])
    return (
        f"the ledger of {label(repository)} holds a record of a kind that this version does not know, {what}: a newer"
        " version wrote it; run that version again"
    )
