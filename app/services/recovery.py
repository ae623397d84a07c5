"""Which ledger segments of a journal come back after a restart of the machine: those that continue the ledger.

A segment that was acknowledged follows one that is in its place or in a journal, too. One that was discarded has a
sibling: another segment was written after the same commit. One that follows nothing came with a copy of the blobs that
was made after the copy of the ledger.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import structlog

from app.domain.ledger import ROOT, Header, parse_segment_key, read_header
from storage import LocalFiles, Objects, Recoverer

_HEAD_BYTES = 64 * 1024

_log = structlog.get_logger(__name__)


class _Found(NamedTuple):
    """A segment that a journal holds."""

    key: str
    header: Header


def recover(storage: Recoverer) -> None:
    """Put into place what a crash left in journals, and log what that was; blocking. Raises StorageError."""
    locate = storage.path if isinstance(storage, LocalFiles) else Path
    found = storage.recover(lambda records: choose(records, locate))
    if found.objects:
        _log.warning("objects that a crash left in a journal were put into place", objects=found.objects)
    for name in found.damaged:
        _log.error("a journal was damaged; what could be read of it is in place", journal=name, hint="chartroom verify")


def choose(records: Objects, locate: Callable[[str], Path]) -> Collection[str]:
    """Return the keys of the segments that continue what lies in storage; `locate` returns the path of a key."""
    found: dict[str, list[_Found]] = defaultdict(list)
    for key, content in records:
        header = _parse(content.partition(b"\n")[0])
        if header is not None:
            found[header.repository].append(_Found(key, header))
    return {key for mine in found.values() for key in _choose_chain(mine, locate)}


def _choose_chain(mine: list[_Found], locate: Callable[[str], Path]) -> Iterator[str]:
    there = _list_there(locate(mine[0].key).parent)
    revisions = sorted(there)
    known = {0, *revisions}
    for key, header in sorted(_drop_siblings(mine), key=lambda one: one.header.revision):
        if header.previous in known and header.revision not in there and not _has_sibling(header, revisions, there):
            known.add(header.revision)
            yield key


def _drop_siblings(mine: list[_Found]) -> Collection[_Found]:
    """Keep of siblings the one that others follow, else the younger one: its writer found the older one unfinished."""
    parents = {header.parent for _, header in mine}
    by_rank = sorted(mine, key=lambda one: (one.header.commit in parents, one.header.committed, one.key))
    return {one.header.previous: one for one in by_rank}.values()


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
        name = parse_segment_key(f"{ROOT}{folder.name}/{path.name}")
        if name is not None:
            there[name.revision] = path
    return there


def _parse(line: bytes) -> Header | None:
    try:
        return read_header(line)
    except (ValueError, KeyError, TypeError):
        return None
