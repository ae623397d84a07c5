"""What the names of the ledger's segments tell, without opening one: which revisions are there, and which are not."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import islice, pairwise

from app.domain.ledger import ROOT
from app.services.scans import scan_ledger
from storage import Storage


@dataclass(slots=True)
class Folder:
    """What the names in one repository's folder say: revision and key of each segment, and the newest snapshot."""

    chain: list[tuple[int, str]] = field(default_factory=list)
    snapshot: tuple[int, str] = (0, "")

    def add(self, revision: int, key: str, *, snapshot: bool) -> None:
        """Take in one name."""
        if snapshot:
            self.snapshot = max(self.snapshot, (revision, key))
        else:
            self.chain.append((revision, key))

    @property
    def newest(self) -> tuple[int, str]:
        """Revision and key of the newest segment or snapshot; (0, "") if there is none."""
        return max([self.snapshot, *self.chain])

    def holds(self, revision: int) -> bool:
        """Return whether a segment of this revision is there, or a snapshot that is not older."""
        at = bisect_right(self.chain, (revision, ""))
        return revision <= self.snapshot[0] or (at < len(self.chain) and self.chain[at][0] == revision)


Folders = dict[str, Folder]
"""Folders of the ledger by their key prefix; each chain is sorted."""


async def list_folders(storage: Storage, prefix: str = ROOT) -> Folders:
    """List the ledger, or a part of it. Raises StorageError."""
    folders: Folders = {}
    async for stat, name in scan_ledger(storage, prefix):
        folder = folders.setdefault(f"{ROOT}{name.folder}/", Folder())
        folder.add(name.revision, stat.key, snapshot=name.snapshot)
    for folder in folders.values():
        folder.chain.sort()
    return folders


def list_news(folder: Folder, revision: int) -> list[str]:
    """Return the keys of a folder that are newer than a revision, or the second of its revision."""
    news = [key for found, key in (*folder.chain, folder.snapshot) if found > revision]
    return news + [other[1] for one, other in pairwise(folder.chain) if one[0] == other[0]]


def find_gaps(folders: Folders) -> list[tuple[int, int]]:
    """Return the ranges of revisions of which no segment is there, and that no snapshot is newer than.

    Revisions are counted over all repositories, so that each is in one folder at least.
    """
    there = sorted({revision for folder in folders.values() for revision, _ in folder.chain})
    start = max((folder.snapshot[0] for folder in folders.values()), default=0)
    above = [start, *there[bisect_right(there, start) :]]
    return [(one + 1, other - 1) for one, other in pairwise(above) if other > one + 1]


def describe_gaps(gaps: list[tuple[int, int]]) -> str:
    """Return ranges of revisions in words, the first few of them."""
    words = [f"{first}" if first == last else f"{first} to {last}" for first, last in islice(gaps, 5)]
    return ", ".join(words) + (f" and {len(gaps) - 5} more" if len(gaps) > 5 else "")
