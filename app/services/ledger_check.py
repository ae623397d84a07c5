"""The ledger in storage against the database: what storage lost is written again, what it has and rows lack is named.

At the start the names that the replay listed are compared with the rows. A repository whose rows are newer than its
ledger, or whose chain lacks a segment that its rows know, has lost records in storage: the database still has every
row, and a snapshot of it takes their place before anything else is acknowledged. Only names are read, but for the
segments that follow a gap.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from itertools import islice
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Connection

from app.db import repositories
from app.db.repositories import CatalogueRow, RepositoryRow
from app.db.session import GROUP, Database
from app.domain.ledger import BLOBS, ROOT, parse_header, repository_folder
from app.domain.names import label
from app.errors import AppError, Kind
from app.services.ledger import Ledger
from app.services.ledger_names import Folder, Folders, describe_gaps, find_gaps, list_folders, list_news
from app.services.snapshots import Snapshots
from app.services.unknown import has_many_unknown, survey_blobs
from storage import Storage, StorageError, StorageUnavailable

_MANY = 16
"""Blobs without any ledger, from which on a database that was never opened before is not the first of a new store.

A server that was killed between its first blob and its first record leaves its database behind. Only where that is
lost as well do its blobs look like a store without a ledger, and then they are the few that came at one moment.
"""

_OWN = 2 * GROUP
"""The same for a database that was opened: one commit takes so many uploads, each an archive and its provenance."""

_HEADERS = 200  # segments that are opened to see which repository a gap belongs to
_GAPS = 1000
_HEAD_BYTES = 4096
_SETTLE_SECONDS = (1.0, 4.0)  # a segment lies in storage before its commit: a moment, with a slow bucket some seconds

_log = structlog.get_logger(__name__)


class _Rows(NamedTuple):
    catalogue: CatalogueRow
    repositories: list[RepositoryRow]
    marks: dict[int, list[int]]


class LedgerCheck:
    """Compares, and repairs the ledger from the database. One process at a time calls `settle`."""

    def __init__(self, database: Database, storage: Storage, ledger: Ledger) -> None:
        self._database = database
        self._storage = storage
        self._ledger = ledger
        self._snapshots = Snapshots(database, storage)
        self._told: set[tuple[str, str]] = set()
        self._is_surveyed = False
        self.written: list[str] = []
        """What was written again from the database, in words."""

    async def settle(self, folders: Folders, *, may_write: bool) -> None:
        """Compare after a replay, whose list of the ledger is `folders`; with `may_write`, write again what is lost.

        Raises AppError FAULT with what to do where only a person can decide, StorageError.
        """
        rows = await self._database.read(_read_rows)
        if not folders and not rows.repositories:
            await self._refuse_blobs_without_ledger(opened=rows.catalogue.scanned)
        if not rows.catalogue.scanned and (may_write or not self._is_surveyed):
            self._is_surveyed = True  # a server that only reads looks again every two seconds
            await self._name_unrecorded(folders)
        lost = await self._find_lost(folders, rows)
        if lost and may_write:
            await self._ledger.flush()  # what another process of this catalogue has just committed is not lost
            rows = await self._database.read(_read_rows)
            lost = await self._find_lost(await list_folders(self._storage), rows)
        for row, reason in lost.values():
            await self._rewrite(row, reason, rows.catalogue, may_write=may_write)

    async def find_difference(self) -> str:
        """Return what the ledger and the database do not both hold, in words; "" if nothing. Raises StorageError."""
        rows = await self._database.read(_read_rows)  # first: a record lies in the ledger before its rows are committed
        folders = await list_folders(self._storage)
        for row, reason in (await self._find_lost(folders, rows)).values():
            return f"the ledger of {label(row.path)} lacks records that this server wrote or read: {reason}"
        return await self._find_unreplayed(folders)

    async def _find_unreplayed(self, folders: Folders) -> str:
        unreplayed = await self._list_unreplayed(folders)
        for seconds in _SETTLE_SECONDS:
            if unreplayed:
                await asyncio.sleep(seconds)
                later = set(await self._list_unreplayed(await list_folders(self._storage)))
                unreplayed = [key for key in unreplayed if key in later]
        if not unreplayed:
            return ""
        more = f" and {len(unreplayed) - 1} more" if len(unreplayed) > 1 else ""
        return f"the ledger holds records that this server has neither written nor read: {unreplayed[0]}{more}"

    async def write_again(self, name: str, reason: str) -> bool:
        """Write the ledger of a repository's folder again from the database, which has all that its names show.

        Return False, having done nothing, where the database does not know the repository, or the folder holds records
        that it lacks. Raises AppError FAULT for a fork, StorageError.
        """
        rows = await self._database.read(_read_rows)
        row = {repository_folder(row.path): row for row in rows.repositories}.get(name)
        folder = (await list_folders(self._storage, name)).get(name, Folder())
        if row is None or list_news(folder, row.revision):
            return False
        await self._rewrite(row, reason, rows.catalogue, may_write=True)
        return True

    async def _list_unreplayed(self, folders: Folders) -> list[str]:
        rows = await self._database.read(_read_rows)  # after the listing: what is committed since only makes them newer
        known = {repository_folder(row.path): row.revision for row in rows.repositories}
        found = [key for name, folder in folders.items() for key in list_news(folder, known.get(name, 0))]
        return sorted(found)

    async def _name_unrecorded(self, folders: Folders) -> None:
        """Say what a new database cannot know: what was stored after the last record, and which records are gone."""
        survey = await survey_blobs(self._storage, self._database)
        if survey.newer:
            _log.warning(
                "blobs are newer than the last record, or have none: an upload that was never acknowledged, or one"
                " whose record is lost with the old database",
                blobs=survey.describe_newer(),
                hint="if charts are missing, stop the server before anybody uploads, and restore the ledger",
            )
        gaps = find_gaps(folders)
        if gaps:
            _log.error("records are missing in the ledger", revisions=describe_gaps(gaps), folder=ROOT)

    async def _refuse_blobs_without_ledger(self, *, opened: bool) -> None:
        limit = _OWN if opened else _MANY
        if await has_many_unknown(self._storage, self._database, limit):
            text = (
                f"more than {limit} blobs lie under {BLOBS}, but there is no ledger ({ROOT}) that says what they are,"
                " and the database does not know them; restore the ledger from a backup (it is noticed at once), or, if"
                " these blobs may be lost, run `chartroom gc --force`"
            )
            raise AppError(Kind.FAULT, text)

    async def _find_lost(self, folders: Folders, rows: _Rows) -> dict[str, tuple[RepositoryRow, str]]:
        """Return the repositories of which storage lacks records, by folder, and what is missing."""
        lost: dict[str, tuple[RepositoryRow, str]] = {}
        for row in rows.repositories:
            name = repository_folder(row.path)
            reason = _compare(folders.get(name, Folder()), row, rows.marks.get(row.id, []))
            if reason:
                lost[name] = (row, reason)
        by_folder = {repository_folder(row.path): row for row in rows.repositories}
        for name, missing in (await self._find_torn(folders, skip=lost)).items():
            if name in by_folder:
                lost[name] = (by_folder[name], f"revision {missing} is missing in it")
        return lost

    async def _find_torn(self, folders: Folders, *, skip: dict[str, tuple[RepositoryRow, str]]) -> dict[str, int]:
        """Return the folders of which a segment names one before it that is not there, and that one's revision."""
        candidates: dict[str, str] = {}
        for first, _ in islice(find_gaps(folders), _GAPS):
            for name, folder in folders.items():
                at = bisect_right(folder.chain, (first, ""))
                if at < len(folder.chain) and name not in skip:
                    candidates[folder.chain[at][1]] = name
        torn: dict[str, int] = {}
        for key in list(candidates)[:_HEADERS]:
            header = await self._read_header(key)
            previous = header.get("previous")
            if isinstance(previous, int) and previous and not folders[candidates[key]].holds(previous):
                torn.setdefault(candidates[key], previous)
        return torn

    async def _rewrite(self, row: RepositoryRow, reason: str, catalogue: CatalogueRow, *, may_write: bool) -> None:
        name = label(row.path)
        if (row.path, reason) not in self._told:  # a server that only reads looks again every two seconds
            self._told.add((row.path, reason))
            text = "the ledger in storage is older than the database, or has a hole"
            _log.error(text, repository=row.path, missing=reason)
        if not may_write:
            return
        folder = (await list_folders(self._storage, repository_folder(row.path))).get(repository_folder(row.path))
        if folder is not None:
            await self._refuse_fork(name, row, folder, catalogue.identity)
        key = await self._snapshots.write(row.path)
        _log.warning("the ledger was written again from the database", repository=row.path, snapshot=key)
        self.written.append(f"the ledger of {name} was written again from the database ({reason})")

    async def _refuse_fork(self, name: str, row: RepositoryRow, folder: Folder, identity: str) -> None:
        """Raise AppError FAULT where the newest record is another catalogue's, and written after our last one."""
        newest = folder.newest[1]
        header = await self._read_header(newest)
        committed = header.get("committed")
        if header.get("catalogue") != identity and isinstance(committed, int) and committed > row.committed:
            text = (
                f"the ledger of {name} has a fork: {newest} was written by another database after revision"
                f" {row.revision} of this one, whose own records are gone; run `chartroom reindex` to follow the"
                " ledger, or move the file away to keep what this database has"
            )
            raise AppError(Kind.FAULT, text)

    async def _read_header(self, key: str) -> dict[str, Any]:
        """Return the header of a segment; an empty one where it cannot be read, which `verify` names."""
        try:
            chunks = [chunk async for chunk in await self._storage.open(key, 0, _HEAD_BYTES)]
        except StorageUnavailable:
            raise
        except StorageError:
            return {}
        return parse_header(b"".join(chunks))


def _compare(folder: Folder, row: RepositoryRow, marks: list[int]) -> str:
    """Return what a folder lacks of its repository's records, "" if the names show nothing."""
    newest = folder.newest[0]
    if newest < row.revision:
        return f"it ends at revision {newest}, the database is at {row.revision}" if newest else "there is none"
    missing = [revision for revision in marks if not folder.holds(revision)]
    return f"revision {missing[0]} is missing in it" if missing else ""


def _read_rows(connection: Connection) -> _Rows:
    found = repositories.list_since(connection, 0)
    return _Rows(repositories.get_catalogue(connection), found, repositories.list_marks(connection))
