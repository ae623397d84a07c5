"""What the ledger tells of followed files, where the database does not: it is new, or an older version wrote it.

A version of origin `museum` was brought by the file of its name in its repository's folder. The ledger says, too, what
clients removed or replaced since. (It does not say what was removed before the newest snapshot of a repository.)
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

from app.db.museum import IGNORED, ORIGIN, Group, MuseumFile
from app.domain.ledger import read_change, read_header
from app.domain.record_check import explain_unfit, is_known
from app.services.scans import scan_ledger
from storage import Storage

_CHANGED = -1
"""A size that no file has: the next pass reads the file."""

_WITHOUT_POLICY = (ORIGIN, "import")
"""Origins whose versions older versions of this program let PER_CHART_LIMIT remove others for."""


@dataclass(slots=True)
class _Told:
    """What the ledger tells of one version: contents by files, what is stored now, and how it went if it is not."""

    counts: set[str] = field(default_factory=set)
    ignored: set[str] = field(default_factory=set)
    origin: str = ""
    digest: str = ""
    is_closed: bool = False
    is_cut: bool = False


class History:
    """The ledger's story of each version and file name."""

    def __init__(self) -> None:
        self._versions: dict[Group, _Told] = {}
        self._files: dict[str, MuseumFile] = {}
        self._stored: dict[str, str] = {}  # key of an archive's file -> digest
        self._adding = ""  # the chart of which a version was just put without the policy of an upload

    def start_segment(self) -> None:
        """Begin another commit."""
        self._adding = ""

    def add(self, repository: str, change: dict[str, Any]) -> None:
        """Take in the next change of a repository."""
        kind = change["kind"]
        if change["op"] == "put":
            self._adding = ""
        if kind == "version":
            group = Group(repository, change["chart"], change["version"])
            told = self._versions.setdefault(group, _Told())
            (self._put if change["op"] == "put" else self._remove)(group, told, change)
        elif kind == "provenance" and change["op"] == "put":
            key = _join(repository, change["filename"])
            signs = self._stored.get(key, "")
            self._files[f"{key}.prov"] = MuseumFile(f"{key}.prov", _CHANGED, 0, change["digest"], "", "", signs)

    def _put(self, group: Group, told: _Told, change: dict[str, Any]) -> None:
        key, origin, digest = _join(group.repository, change["filename"]), change["origin"], change["digest"]
        if origin == ORIGIN:
            told.counts.add(digest)
            told.ignored.discard(digest)
            self._files[key] = MuseumFile(key, _CHANGED, 0, digest, group.name, group.version)
        else:
            told.ignored |= told.counts
            told.counts.clear()
        if origin in _WITHOUT_POLICY and not told.origin:
            self._adding = group.name
        told.origin, told.digest, told.is_closed, told.is_cut = origin, digest, False, False
        self._stored[key] = digest

    def _remove(self, group: Group, told: _Told, change: dict[str, Any]) -> None:
        reason = change.get("reason", "")
        # Only the removal of what was too many comes between the line of a version and that of its manifest.
        told.is_cut = not reason and self._adding == group.name and told.origin == ORIGIN
        if reason == "file" or told.is_cut:
            told.counts.clear()
            told.is_closed = False
        else:
            told.ignored |= told.counts
            told.counts.clear()
            told.is_closed = True
        told.origin = told.digest = ""

    def list_files(self) -> Iterator[MuseumFile]:
        """Return the files that the ledger says were read, as they were then; what they hold now must be looked at."""
        for file in self._files.values():
            told = self._versions.get(file.group) if file.group else None
            if told is None or file.digest in told.counts:
                yield file
            elif file.digest in told.ignored:
                yield file._replace(state=IGNORED)

    def list_ignored(self, group: Group) -> list[MuseumFile]:
        """Return the contents of a version that clients removed or replaced, each as a file without a key."""
        told = self._versions.get(group)
        return [MuseumFile("", 0, 0, one, *group[1:], state=IGNORED) for one in sorted(told.ignored)] if told else []

    def is_closed(self, group: Group) -> bool:
        """Return whether the last that was told of a version is that a client, or its policy, removed it."""
        told = self._versions.get(group)
        return told is not None and told.is_closed

    def was_cut(self, group: Group) -> bool:
        """Return whether an older version removed it to keep to PER_CHART_LIMIT while it read files or imported."""
        told = self._versions.get(group)
        return told is not None and told.is_cut


async def read_history(storage: Storage) -> History:
    """Read the whole ledger. Raises StorageError."""
    history = History()
    async for repository, change in _read_ledger(storage):
        if change is None:
            history.start_segment()
        else:
            history.add(repository, change)
    return history


async def _read_ledger(storage: Storage) -> AsyncIterator[tuple[str, dict[str, Any] | None]]:
    """Return every change with its repository, in order; None begins a segment. They were checked by the replay."""
    found = [(name.folder, name.revision, stat.key) async for stat, name in scan_ledger(storage)]
    for _, _, key in sorted(found):
        with tempfile.TemporaryFile() as file:  # a snapshot may have 90 MB
            async for chunk in await storage.open(key):
                file.write(chunk)
            file.seek(0)
            repository = read_header(file.readline()).repository
            yield repository, None
            for line in file:
                change = read_change(line)
                if is_known(change) and not explain_unfit(change):  # what was set aside brought nothing
                    yield repository, change


def _join(repository: str, filename: str) -> str:
    return f"{repository}/{filename}" if repository else filename
