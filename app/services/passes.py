"""One pass over followed files: what was known of them, what lies there now, and which versions must be looked at."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field

from app.db.museum import Group, MuseumFile
from app.domain import times
from app.domain.foreign import Listed
from app.services.history import History
from storage import ObjectStat

_YOUNG = 5 * 10**9  # ns; a bucket's times are whole seconds, and its clock may differ from ours a little


@dataclass(slots=True)
class Scanned:
    """What a pass did, in files; `withdrawn` in versions."""

    published: int = 0
    withdrawn: int = 0
    refused: int = 0


@dataclass(slots=True)
class Pass:
    """The state of one pass.

    `found` is what storage lists, `saved` what the table holds, `known` what was known of a file before the pass, `now`
    what is known of it in the pass, all by key. `touched` are the versions to look at. `closed` are keys of files that
    may have been there when a client removed their version, in so far as `history` says that one did. `young` are keys
    that are read whatever size and time say: they were written just before the last pass, and perhaps just after it.
    """

    found: dict[str, ObjectStat]
    saved: dict[str, MuseumFile]
    known: dict[str, MuseumFile]
    history: History | None = None
    closed: Collection[str] = ()
    young: Collection[str] = ()
    now: dict[str, MuseumFile] = field(default_factory=dict)
    touched: set[Group] = field(default_factory=set)
    listed: dict[str, asyncio.Task[dict[str, Listed]]] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)  # keys of files whose name another chart has
    is_moving: bool = False  # a file vanished, perhaps to another name: the next pass removes
    scanned: Scanned = field(default_factory=Scanned)
    _before: dict[Group, list[MuseumFile]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.now = {key: file for key, file in self.known.items() if key in self.found}
        self._before = _by_group(self.known)
        self.touched |= {file.group for key, file in self.known.items() if key not in self.found and file.group}

    def list_fresh(self) -> list[ObjectStat]:
        """Return the files that must be read, by key."""
        return [stat for _, stat in sorted(self.found.items()) if self.is_fresh(stat.key)]

    def is_fresh(self, key: str) -> bool:
        """Return whether a file is new, or another than it was."""
        stat, file = self.found.get(key), self.known.get(key)
        if stat is None:
            return False
        if file is None or key in self.young:
            return True
        return (file.size, file.modified) != (stat.size, times.from_datetime(stat.modified))

    def vanish(self, key: str) -> None:
        """Note that a listed file was not there when it was read."""
        self.now.pop(key, None)
        self.is_moving = True

    def list_young(self, moment: int) -> set[str]:
        """Return the keys of files that were written so shortly before `moment` that the next change may look equal."""
        return {key for key, stat in self.found.items() if times.from_datetime(stat.modified) > moment - _YOUNG}

    def list_before(self, group: Group) -> list[MuseumFile]:
        """Return the files that brought a version before, and contents of it that clients removed."""
        told = self.history.list_ignored(group) if self.history else []
        return self._before.get(group, []) + told

    def forget(self, group: Group) -> None:
        """Treat the files of a version as new."""
        self._before.pop(group, None)

    def list_after(self) -> dict[Group, list[MuseumFile]]:
        """Return the files that bring each version now."""
        return _by_group(self.now)

    def find_closed(self, group: Group) -> Collection[str]:
        """Return the keys of files that do not bring a version back, because a client may have removed it."""
        return self.closed if self.history is not None and self.history.is_closed(group) else ()


def _by_group(files: dict[str, MuseumFile]) -> dict[Group, list[MuseumFile]]:
    groups: dict[Group, list[MuseumFile]] = defaultdict(list)
    for file in files.values():
        if file.group is not None:
            groups[file.group].append(file)
    return groups
