"""The ledger read back: a database that lacks commits which storage has (restored, lost, new) catches up.

A repository starts at its newest snapshot, or where its rows end, and takes every segment in the order of the
chain: each names the revision before it. A gap or a fork stops the replay and is named; nothing is guessed.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Connection

from app.db import artifacts, charts, held, repositories
from app.db.charts import BlobFacts, VersionRow
from app.db.session import Database
from app.db.transaction import Transaction
from app.domain.ledger import (
    ROOT,
    Header,
    Segment,
    SegmentName,
    blob_key,
    read_change,
    read_header,
    read_segment,
    repository_folder,
)
from app.domain.names import label
from app.domain.semver import sort_key
from app.domain.summary import summarize
from app.errors import AppError, Kind
from app.services.backup_state import refuse_unfinished
from app.services.ledger_names import Folder, Folders
from app.services.scans import scan_ledger
from app.services.set_aside import SetAside
from app.services.snapshots import fetch_snapshot
from storage import LocalFiles, ObjectNotFound, Storage, StorageError, StorageUnavailable, read_all

_BATCH = 50  # segments in one transaction
_NAMES = 1000  # names of segments that are looked at before others have their turn

_MARGIN = 600 * 10**9  # ns; the clocks of two hosts that wrote to the store in turn may differ

_ASIDE = ".incomplete"
"""Ending of a segment that is set aside; what ends so is no segment."""

_RESTORE = "restore it, or run `chartroom verify --repair` while the database still knows what it said"
_FORK = (
    "written after the same commit, by two databases; keep one, move the other and what follows it away, and upload"
    " its charts again"
)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Named:
    key: str
    name: SegmentName


class _Known(NamedTuple):
    """The newest commit of a repository that rows have: its revision (0: none) and its id."""

    revision: int
    commit: str


class Replayed(NamedTuple):
    """What a replay came to: how many segments the database lacked, and the names of the ledger that it found."""

    segments: int
    folders: Folders


class Replay:
    """Brings the database up to the ledger.

    `pause` is awaited again and again while names are listed: a hundred thousand take seconds of the interpreter,
    and those who read an index meanwhile need not wait for them. `blobs_may_lack` is for storage that writes a commit's
    objects side by side: a crash may leave a segment without its blob there.
    """

    def __init__(
        self, database: Database, storage: Storage, *,
        pause: Callable[[], Awaitable[None]] | None = None, blobs_may_lack: bool = False, aside: SetAside | None = None,
    ) -> None:  # fmt: skip
        self._database = database
        self._storage = storage
        self._pause = pause
        self._blobs_may_lack = blobs_may_lack
        self._set_aside = False
        self._aside = aside or SetAside()

    async def run(self, *, set_aside: bool = False) -> Replayed:
        """Replay what the database lacks. Raises AppError FAULT, StorageError.

        A newest segment whose blobs are not there was never acknowledged, and is passed over. `set_aside` is for the
        catalogue that writes: it renames such a segment, so that the next one may follow.
        """
        self._set_aside = set_aside
        await refuse_unfinished(self._storage)
        found, folders = await self._list_segments()
        revisions, newest = await self._database.read(_list_revisions)
        replayed, waiting = 0, list[Segment]()
        for folder, segments in found.items():
            async for more in self._catch_up(segments, revisions.get(folder, _Known(0, ""))):
                replayed += len(more)
                waiting += more
                if len(waiting) >= _BATCH:
                    await self._database.write(partial(self._apply_all, segments=waiting))
                    waiting = []
        # Only now, and with the last of them: whoever reads asks for what came after the newest revision that they
        # know, and repositories come here in no order.
        last = max((named.name.revision for segments in found.values() for named in segments), default=0)
        if waiting or last > newest:
            await self._database.write(partial(self._apply_all, segments=waiting, newest=last))
        if replayed:
            _log.info("ledger replayed", segments=replayed)
        return Replayed(replayed, folders)

    async def _list_segments(self) -> tuple[dict[str, list[_Named]], Folders]:
        """Return what lies in storage by folder: the segments, and what a check needs of their names."""
        found: dict[str, list[_Named]] = {}
        folders: Folders = {}
        number = 0
        async for stat, name in scan_ledger(self._storage):
            path = f"{ROOT}{name.folder}/"
            found.setdefault(path, []).append(_Named(stat.key, name))
            folders.setdefault(path, Folder()).add(name.revision, stat.key, snapshot=name.snapshot)
            number += 1
            if self._pause is not None and number % _NAMES == 0:
                await self._pause()
        for folder in folders.values():
            folder.chain.sort()
        return found, folders

    async def _catch_up(self, named_segments: list[_Named], known: _Known) -> AsyncIterator[list[Segment]]:
        """Return the segments that a repository lacks, having restored it from a snapshot where it needs one."""
        named_segments.sort(key=lambda named: named.name.revision)
        _check_names(named_segments)
        if named_segments[-1].name.revision <= known.revision:
            return
        snapshots = [named for named in named_segments if named.name.snapshot and named.name.revision > known.revision]
        waiting = [
            named for named in named_segments if not named.name.snapshot and named.name.revision > known.revision
        ]
        if snapshots and not (waiting and _follows(await self._read(waiting[0]), known)):
            is_there = any(named.name.revision == known.revision for named in named_segments)
            known = await self._restore_newest(snapshots, margin=0 if is_there else _MARGIN)
            waiting = [named for named in waiting if named.name.revision > known.revision]
        for at in range(0, len(waiting), _BATCH):
            batch = waiting[at : at + _BATCH]
            # From S3 a segment takes 20 ms: read together, a thousand take two seconds instead of twenty.
            segments = list(await asyncio.gather(*map(self._read, batch)))
            for named, segment in zip(batch, segments, strict=True):
                if not _follows(segment, known):
                    raise AppError(Kind.FAULT, _name_break(named, segment.header, known))
                known = _Known(segment.header.revision, segment.header.commit)
            is_last = at + _BATCH >= len(waiting)
            if is_last and self._blobs_may_lack and await self._is_incomplete(batch[-1], segments[-1]):
                segments.pop()
            yield segments

    async def _is_incomplete(self, named: _Named, segment: Segment) -> bool:
        """Return whether a repository's newest segment lacks blobs: in a bucket the two are written side by side."""
        for digest in _list_blobs(segment):
            try:
                await self._storage.stat(blob_key(digest))
            except ObjectNotFound:
                if self._set_aside:
                    content = await read_all(self._storage, named.key)
                    await self._storage.put(f"{named.key}{_ASIDE}", content)
                    await self._storage.delete(named.key)
                    _log.error(
                        "a ledger segment names a blob that is not there, and is set aside", segment=named.key,
                        blob=blob_key(digest), hint=f"bring the blob back and remove {_ASIDE} from the segment's name",
                    )  # fmt: skip
                return True
        return False

    async def _restore_newest(self, snapshots: list[_Named], *, margin: int) -> _Known:
        """Restore the newest snapshot that is whole; return where it ends. Raises AppError FAULT if none is.

        One that was written before our newest commit in this repository, by more than `margin` ns, does not know it.

        One that was damaged while it was written is never read back, so everything before it still lies there.
        """
        for snapshot in reversed(snapshots):
            try:
                return await self._restore(snapshot, margin)
            except AppError as error:
                if error.kind is not Kind.FAULT or snapshot is snapshots[0]:
                    raise
                _log.error("a ledger snapshot is passed over", reason=error.message)
        raise AssertionError("there is at least one")

    async def _restore(self, snapshot: _Named, margin: int) -> _Known:
        """Make a repository what a snapshot says; 90 MB of it pass through a file, not through memory."""
        with tempfile.TemporaryFile() as file:
            try:
                await fetch_snapshot(self._storage, snapshot.key, snapshot.name, file)
            except (ObjectNotFound, StorageUnavailable):
                raise
            except StorageError as error:
                raise AppError(Kind.FAULT, f"ledger snapshot {snapshot.key}: {error}; {_RESTORE}") from error
            return await self._database.write(partial(_restore, aside=self._aside, lines=file, margin=margin))

    def _apply_all(self, transaction: Transaction, *, segments: list[Segment], newest: int = 0) -> None:
        for segment in segments:
            if segment.header.revision >= transaction.revision and self._is_gone(segment.key):
                # It was listed, and then another process found that it was never committed, and removed it.
                raise AppError(Kind.UNAVAILABLE, "the ledger changed while it was read; try again", retry_after=2)
            _apply(transaction, segment, self._aside)
        repositories.raise_revision(transaction.connection, newest)

    def _is_gone(self, key: str) -> bool:
        return isinstance(self._storage, LocalFiles) and not self._storage.path(key).exists()

    async def _read(self, named: _Named) -> Segment:
        try:
            content = await read_all(self._storage, named.key)
            return replace(read_segment(named.name, content), key=named.key)
        except (ObjectNotFound, StorageUnavailable):
            raise
        except (ValueError, KeyError, TypeError, StorageError) as error:
            raise AppError(Kind.FAULT, f"ledger segment {named.key} is damaged: {error}; {_RESTORE}") from error


def _check_names(segments: list[_Named]) -> None:
    """Raise AppError FAULT where two commits have one revision; those that the database knows are looked at too."""
    chain = [named for named in segments if not named.name.snapshot]
    for one, other in pairwise(chain):
        if one.name.revision == other.name.revision:
            raise AppError(Kind.FAULT, f"the ledger has a fork: {one.key} and {other.key} are both {_FORK}")


def _follows(segment: Segment, known: _Known) -> bool:
    """Return whether a segment was written after the newest known commit; commits of old versions have no id."""
    previous, parent = segment.header.previous, segment.header.parent
    return previous == known.revision and (parent == known.commit or not parent or not known.commit)


_KEYS = {"version": ("chart", "version"), "provenance": ("filename",), "blob": ("name", "digest")}


def _list_blobs(segment: Segment) -> list[str]:
    """Return the digests of the blobs in storage that are needed when a segment's changes are made, each once."""
    needed: dict[tuple[str, ...], str] = {}
    for change in segment.changes:
        if (fields := _KEYS.get(change["kind"])) is not None:
            key = (change["kind"], *(change[field] for field in fields))
            if change["op"] == "put":
                needed[key] = change["digest"]
            else:
                needed.pop(key, None)
    return list(dict.fromkeys(needed.values()))


def _name_break(named: _Named, header: Header, known: _Known) -> str:
    """Say why a segment does not follow the newest known commit."""
    where = label(header.repository)
    if header.previous <= known.revision:
        return f"the ledger of {where} has a fork: {named.key} and revision {known.revision} are both {_FORK}"
    return (
        f"the ledger of {where} has a gap: revision {header.revision} follows {header.previous}, but the last known"
        f" one is {known.revision}; restore the missing segments under {repository_folder(header.repository)}"
    )


def _name_older_snapshot(header: Header, revision: int) -> str:
    """Say why a snapshot of a higher revision is not what came after the newest known commit."""
    return (
        f"the ledger of {label(header.repository)} has a fork: its snapshot of revision {header.revision} was written"
        f" before revision {revision} of this database, and does not know it; run `chartroom export` to keep what this"
        " database shows, then `chartroom reindex` to follow the ledger, and upload again what is missing"
    )


def _list_revisions(connection: Connection) -> tuple[dict[str, _Known], int]:
    """Return each repository's newest commit, by the folder of its segments, and the newest revision of all."""
    rows = repositories.list_since(connection, -1)
    known = {repository_folder(row.path): _Known(row.revision, row.commit) for row in rows}
    return known, repositories.get_newest(connection)[1]


def _restore(transaction: Transaction, *, aside: SetAside, lines: Iterable[bytes], margin: int) -> _Known:
    numbered = iter(lines)
    header = read_header(next(numbered))
    repository = repositories.get_or_create(transaction.connection, header.repository)
    if repository.revision < header.revision:
        if header.committed < repository.committed - margin:
            raise AppError(Kind.FAULT, _name_older_snapshot(header, repository.revision))
        charts.clear(transaction.connection, repository.id)
        artifacts.clear(transaction.connection, repository.id)
        aside.clear(repository.path)
        changes = (change for change in map(read_change, numbered) if not aside.refuses(repository.path, change))
        _apply_changes(transaction, repository.id, header, changes)
    return _Known(header.revision, header.commit)


def _apply(transaction: Transaction, segment: Segment, aside: SetAside) -> None:
    repository = repositories.get_or_create(transaction.connection, segment.header.repository)
    # Its own process may have committed it since it was listed: segments are stored first.
    if repository.revision < segment.header.revision:
        changes = (change for change in segment.changes if not aside.refuses(repository.path, change))
        _apply_changes(transaction, repository.id, segment.header, changes)


def _apply_changes(
    transaction: Transaction, repository_id: int, header: Header, changes: Iterable[dict[str, Any]]
) -> None:
    ours, transaction.revision = transaction.revision, header.revision
    for change in changes:
        apply_change(transaction, repository_id, change)
    transaction.revision = ours
    repositories.touch(transaction.connection, repository_id, header.revision, header.committed, header.commit)


def apply_change(transaction: Transaction, repository_id: int, change: dict[str, Any]) -> None:
    """Make rows what one line of the ledger says; nothing is recorded."""
    _CHANGES[change["op"], change["kind"]](transaction, repository_id, change)


def _put_version(transaction: Transaction, repository_id: int, change: dict[str, Any]) -> None:
    entry: bytes = change["entry"]
    order = sort_key(change["version"])
    row = VersionRow(
        change["chart"], change["version"], order, change["filename"], change["digest"], change["size"],
        change["created"], change["origin"], entry,
    )  # fmt: skip
    charts.put_version(transaction, repository_id, row, summarize(entry, order))


def _remove_version(transaction: Transaction, repository_id: int, change: dict[str, Any]) -> None:
    charts.remove_version(transaction, repository_id, change["chart"], change["version"])


def _put_provenance(transaction: Transaction, repository_id: int, change: dict[str, Any]) -> None:
    blob = BlobFacts(change["digest"], change["size"])
    charts.put_provenance(transaction, repository_id, change["filename"], blob, created=change["created"])


def _put_manifest(transaction: Transaction, repository_id: int, change: dict[str, Any]) -> None:
    row, children, contents = held.read_manifest_put(change)
    artifacts.put_manifest(transaction, repository_id, change["name"], row, children, contents=contents)


def _remove_manifest(transaction: Transaction, repository_id: int, change: dict[str, Any]) -> None:
    artifacts.remove_manifest(transaction, repository_id, change["name"], change["digest"])


def _put_tag(transaction: Transaction, repository_id: int, change: dict[str, Any]) -> None:
    name, tag, digest = change["name"], change["tag"], change["digest"]
    artifacts.put_tag(transaction, repository_id, name, tag, digest, updated=change["updated"])


def _remove_tag(transaction: Transaction, repository_id: int, change: dict[str, Any]) -> None:
    artifacts.remove_tag(transaction, repository_id, change["name"], change["tag"])


def _put_blob(transaction: Transaction, repository_id: int, change: dict[str, Any]) -> None:
    artifacts.put_link(transaction, repository_id, change["name"], change["digest"], change["size"])


def _remove_blob(transaction: Transaction, repository_id: int, change: dict[str, Any]) -> None:
    artifacts.remove_link(transaction, repository_id, change["name"], change["digest"])


def _remove_provenance(transaction: Transaction, repository_id: int, change: dict[str, Any]) -> None:
    charts.remove_provenance(transaction, repository_id, change["filename"])


_CHANGES = {
    ("put", "version"): _put_version,
    ("remove", "version"): _remove_version,
    ("put", "provenance"): _put_provenance,
    ("remove", "provenance"): _remove_provenance,
    ("put", "manifest"): _put_manifest,
    ("remove", "manifest"): _remove_manifest,
    ("put", "tag"): _put_tag,
    ("remove", "tag"): _remove_tag,
    ("put", "blob"): _put_blob,
    ("remove", "blob"): _remove_blob,
}
