"""Blobs that lie in storage and that no record ever named: how many there are, and which may be a lost upload.

A blob is known when a row of the catalogue names it or once did. Unknown are uploads that broke off before their
record, the files of a restored or foreign store, and those whose record was lost with the ledger.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import Connection

from app.db import garbage, repositories
from app.db.session import Database
from app.domain import times
from app.services.scans import scan_blobs
from storage import ObjectStat, Storage

_PAGE = 500
_NAMED = 5
_FEW = 16
"""Blobs that uploads may have left which broke off together, when the server was killed or the power failed."""

_MARGIN = 60 * 10**9  # ns; the clocks of a bucket and of a server may differ, and a bucket's times are whole seconds


@dataclass(slots=True)
class Survey:
    """All blobs in storage, in numbers and bytes; of the unknown ones each, by digest.

    `newer` of the unknown ones were written after the last record (`last`, ns since 1970; 0: there is none), or up to a
    minute before it; `newest` are the last of these.
    """

    blobs: int = 0
    bytes: int = 0
    unknown: dict[str, int] = field(default_factory=dict)
    last: int = 0
    newer: int = 0
    newest: list[ObjectStat] = field(default_factory=list)

    @property
    def unknown_bytes(self) -> int:
        """The size of all unknown blobs together."""
        return sum(self.unknown.values())

    @property
    def mostly_unknown(self) -> bool:
        """Whether more than half of all bytes are unknown: then it is the records that are missing."""
        return self.unknown_bytes * 2 > self.bytes

    @property
    def is_broken_off(self) -> bool:
        """Whether the unknown blobs are few, and all newer than the last record: as a crash leaves them."""
        return self.last > 0 and self.newer == len(self.unknown) <= _FEW

    def describe_newer(self) -> list[str]:
        """Return the newest of `newer` in words, each with its key, time and size, and how many more there are."""
        self._cut()
        lines = [f"{stat.key} of {stat.size} bytes, written {_render(stat)}" for stat in self.newest]
        if self.newer > len(lines):
            lines.append(f"and {self.newer - len(lines)} more")
        return lines

    def add(self, digest: str, stat: ObjectStat, *, unknown: bool) -> None:
        """Count one blob."""
        self.blobs += 1
        self.bytes += stat.size
        if not unknown:
            return
        self.unknown[digest] = stat.size
        if times.from_datetime(stat.modified) > self.last - _MARGIN:
            self.newer += 1
            self.newest.append(stat)
            if len(self.newest) > _PAGE:
                self._cut()

    def _cut(self) -> None:
        self.newest = heapq.nlargest(_NAMED, self.newest, key=lambda stat: stat.modified)


async def survey_blobs(storage: Storage, *databases: Database) -> Survey:
    """List all blobs; unknown are those that none of the databases knows. Raises StorageError, AppError."""
    survey = Survey()
    for database in databases:
        survey.last = max(survey.last, await database.read(_find_last))
    async for page in scan_blobs(storage):
        unknown = set(await list_unknown([digest for digest, _ in page], databases))
        for digest, stat in page:
            survey.add(digest, stat, unknown=digest in unknown)
    return survey


async def has_many_unknown(storage: Storage, database: Database, limit: int) -> bool:
    """Return whether storage has more than `limit` unknown blobs; it is listed no further than needed."""
    found = 0
    async for page in scan_blobs(storage):
        found += len(await list_unknown([digest for digest, _ in page], [database]))
        if found > limit:
            return True
    return False


async def list_unknown(digests: Sequence[str], databases: Sequence[Database]) -> list[str]:
    """Return which of these few blobs none of the databases knows."""
    left = list(digests)
    for database in databases:
        if left:
            left = await database.read(partial(garbage.list_unknown, digests=left))
    return left


def _find_last(connection: Connection) -> int:
    return max((row.committed for row in repositories.list_since(connection, -1)), default=0)


def _render(stat: ObjectStat) -> str:
    return times.render_time(times.from_datetime(stat.modified))
