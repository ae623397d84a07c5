"""The ledger as a set of names: what lies in a storage, and whether two of them tell one history.

A segment's name holds its repository, revision, catalogue and the hash of its content, so equal names are equal
content. A store's ledger only ever changes in two ways: a segment is added, or a snapshot takes the place of the
segments of its repository up to its revision. So a ledger B is an earlier state of the ledger S exactly if each name
of B is in S or was replaced by a snapshot of S. One name that S neither has nor replaced was written elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from app.domain.ledger import parse_segment_key
from app.services.checked import Damaged
from app.services.scans import scan_ledger
from app.services.shelf import Shelf
from storage import ObjectStat, Storage

Listing = Mapping[str, ObjectStat]
"""Segments and snapshots by key."""


async def list_ledger(storage: Storage) -> dict[str, ObjectStat]:
    """Return every segment and snapshot in a storage; other keys below ROOT are left out. Raises StorageError."""
    return {stat.key: stat async for stat, _ in scan_ledger(storage)}


def list_foreign(earlier: Iterable[str], later: Collection[str]) -> list[str]:
    """Return the names of `earlier` that `later` neither has nor replaced by a snapshot, sorted."""
    replaced: dict[str, int] = {}
    for key in later:
        name = parse_segment_key(key)
        if name is not None and name.snapshot:
            replaced[name.folder] = max(name.revision, replaced.get(name.folder, 0))
    return sorted(key for key in earlier if key not in later and not _is_replaced(key, replaced))


def is_related(one: Iterable[str], other: Iterable[str]) -> bool:
    """Return whether one catalogue wrote to both ledgers."""
    return not _list_catalogues(one).isdisjoint(_list_catalogues(other))


def hash_names(keys: Iterable[str]) -> str:
    """Return 32 hex digits that stand for a ledger's state: two that are equal have the same segments."""
    return hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest()[:32]


def find_oldest(keys: Iterable[str]) -> str:
    """Return the name with the least revision. `keys` must not be empty."""
    return min(keys, key=_order)


async def read_named(storage: Storage, key: str) -> AsyncGenerator[bytes, None]:
    """Return a segment's bytes in chunks; raise Damaged instead of ending when its name promises others.

    A `put` of these chunks leaves nothing when it raises. Raises ObjectNotFound, StorageError.
    """
    name, found = parse_segment_key(key), hashlib.sha256()
    async for chunk in await storage.open(key):
        found.update(chunk)
        yield chunk
    if name is None or found.hexdigest()[: len(name.hash)] != name.hash:
        raise Damaged("damaged: its content does not match the hash in its name")


@dataclass(frozen=True, slots=True)
class ListedLedger(Shelf):
    """A storage in which a scan finds the segments of `listing` and nothing else: the ledger as it was then."""

    listing: Listing = field(default_factory=dict)

    async def scan(self, prefix: str = "") -> AsyncIterator[ObjectStat]:
        """Return the listed segments with the prefix."""
        for key, stat in self.listing.items():
            if key.startswith(prefix):
                yield stat


def _is_replaced(key: str, replaced: Mapping[str, int]) -> bool:
    name = parse_segment_key(key)
    return name is not None and name.revision <= replaced.get(name.folder, 0)


def _list_catalogues(keys: Iterable[str]) -> set[str]:
    return {name.catalogue for name in map(parse_segment_key, keys) if name is not None}


def _order(key: str) -> tuple[int, str]:
    name = parse_segment_key(key)
    return (name.revision if name is not None else 0), key
