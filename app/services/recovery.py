"""Which ledger segments of a journal come back after a restart of the machine: those that continue the ledger.

A segment that was acknowledged follows one that is in its place or in a journal, too. One that was discarded has a
sibling: another segment was written after the same commit. One that follows nothing came with a copy of the blobs that
was made after the copy of the ledger.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection
from pathlib import Path

from app.domain.ledger import Header, parse_segment_key, read_header
from storage import LocalFiles, Objects, Recovered, Recoverer

_HEAD_BYTES = 64 * 1024


def recover(storage: Recoverer) -> Recovered:
    """Put into place what a crash left in journals; blocking. Raises StorageError."""
    locate = storage.path if isinstance(storage, LocalFiles) else Path
    return storage.recover(lambda records: choose(records, locate))


def choose(records: Objects, locate: Callable[[str], Path]) -> Collection[str]:
    """Return the keys of the segments that continue what lies in storage; `locate` returns the path of a key."""
    chosen: set[str] = set()
    found = [(key, header) for key, content in records if (header := _parse(content.partition(b"\n")[0])) is not None]
    for repository in {header.repository for _, header in found}:
        mine = [(key, header) for key, header in found if header.repository == repository]
        chosen |= _choose_chain(mine, locate)
    return chosen


def _choose_chain(mine: list[tuple[str, Header]], locate: Callable[[str], Path]) -> set[str]:
    there = _list_there(locate(mine[0][0]).parent)
    revisions = sorted(there)
    chosen: set[str] = set()
    known = {0, *revisions}
    parents = {header.parent for _, header in mine}
    # Of siblings the one that others follow, else the younger one: its writer found the older one unfinished.
    for key, header in sorted(mine, key=lambda one: (one[1].revision, one[1].commit in parents, one[1].committed)):
        siblings = [other for other, its in mine if its.previous == header.previous and other != key]
        if header.previous not in known or header.revision in there or _has_sibling(header, revisions, there):
            continue
        if any(_comes_before(key, other, mine, parents) for other in siblings):
            continue
        chosen.add(key)
        known.add(header.revision)
    return chosen


def _comes_before(key: str, other: str, mine: list[tuple[str, Header]], parents: set[str]) -> bool:
    headers = dict(mine)
    one, two = headers[key], headers[other]
    return (one.commit in parents, one.committed, key) < (two.commit in parents, two.committed, other)


def _has_sibling(header: Header, revisions: list[int], there: dict[int, Path]) -> bool:
    """Return whether the next segment in its place was written after the same commit."""
    at = bisect_right(revisions, header.previous)
    if at == len(revisions) or revisions[at] > header.revision:
        at = bisect_right(revisions, header.revision)
    if at == len(revisions):
        return False
    try:
        with there[revisions[at]].open("rb") as file:
            other = _parse(file.readline(_HEAD_BYTES))
    except OSError:
        return False
    return other is not None and other.previous == header.previous


def _list_there(folder: Path) -> dict[int, Path]:
    """Return the segments and snapshots in a folder of the ledger by revision."""
    there: dict[int, Path] = {}
    for path in folder.glob("*.jsonl") if folder.is_dir() else ():
        name = parse_segment_key(f".chartroom/ledger/{folder.name}/{path.name}")
        if name is not None:
            there[name.revision] = path
    return there


def _parse(line: bytes) -> Header | None:
    try:
        return read_header(line)
    except (ValueError, KeyError, TypeError):
        return None
