"""Rows against the ledger: the ledger is replayed into a catalogue of its own, and the two are compared in order.

The ledger is the truth. Where its chain is whole and the rows differ, the rows can be mended, by a commit like any
other: its segment says again what the ledger said, so that caches and other processes see it. A torn ledger is named
and left alone. A server may go on committing meanwhile: a repository that moved is looked at again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import NamedTuple
from urllib.parse import unquote

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from app.db import audit, ledger, repositories
from app.db.session import Database
from app.domain.ledger import ROOT, parse_segment_key, repository_folder
from app.domain.names import label
from app.errors import AppError, Kind
from app.services.differences import Difference, list_differences, mend
from app.services.ledger import Ledger
from app.services.ledger_check import LedgerCheck
from app.services.replay import Replay
from app.services.scans import scan_ledger
from app.services.set_aside import SetAside
from app.services.shelf import Shelf
from storage import ObjectNotFound, Storage

_ROUNDS = 5
_FLUSH_SECONDS = 0.5
_PAGE = 500  # differences that are mended in one commit
_SHOWN = 20  # differences of one repository that are named


@dataclass(slots=True)
class Findings:
    """What a check came to, in words: what is wrong still, what was mended, what is only worth knowing."""

    open: list[str] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class _Look(NamedTuple):
    """A repository on both sides, each in one snapshot: the revisions (0: not there), and where they differ."""

    rows: int
    ledger: int
    differences: list[Difference]


class Reconcile:
    """Compares `database` with the ledger in `storage`; `replica` is an empty, started database to replay it into."""

    def __init__(
        self, database: Database, ledger: Ledger, storage: Storage, replica: Database, check: LedgerCheck
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._storage = storage
        self._replica = replica
        self._aside = SetAside()
        self._check = check

    async def run(self, findings: Findings, *, repair: bool) -> int:
        """Compare every repository and answer how many; with `repair`, mend rows. Raises StorageError, AppError."""
        torn = await self._replay_all()
        if repair:
            torn = {folder: reason for folder, reason in torn.items() if not await self._write_again(folder, reason)}
        findings.mended += self._check.written
        findings.open += [f"ledger of {_label_folder(folder)}: {reason}" for folder, reason in torn.items()]
        paths = sorted(await _list_paths(self._database) | await _list_paths(self._replica))
        for path in paths:
            if repository_folder(path).removeprefix(ROOT).rstrip("/") not in torn:
                await self._settle(path, findings, repair=repair)
        findings.open += self._aside.describe()  # after the repair, which may remove what it is about
        return len(paths)

    async def _replay_all(self) -> dict[str, str]:
        """Replay the ledger; answer which repositories' folders cannot be, and why."""
        try:
            await self._replay(self._storage)
        except AppError as error:
            if error.kind is not Kind.FAULT:
                raise
        else:
            return {}
        torn: dict[str, str] = {}
        for folder in sorted({name.folder async for _, name in scan_ledger(self._storage)}):
            try:
                await self._replay_one(folder)
            except AppError as error:
                if error.kind is not Kind.FAULT:
                    raise
                torn[folder] = error.message
        return torn

    async def _write_again(self, folder: str, reason: str) -> bool:
        """Let the database say what a torn ledger cannot; answer whether it could, and the ledger is whole now."""
        try:
            written = await self._check.write_again(f"{ROOT}{folder}/", reason)
            if written:
                await self._replay_one(folder)
        except AppError as error:
            if error.kind is not Kind.FAULT:
                raise
            return False
        return written

    async def _replay_one(self, folder: str) -> None:
        await self._replay(Shelf(self._storage, f"{ROOT}{folder}/"))

    async def _replay(self, storage: Storage) -> None:
        """Bring the replica up to the ledger; a server may put a snapshot in the place of segments meanwhile."""
        for left in reversed(range(_ROUNDS)):
            try:
                await Replay(self._replica, storage, aside=self._aside).run()
            except ObjectNotFound:
                if not left:
                    raise
            else:
                return

    async def _name_missing(self, path: str, look: _Look, findings: Findings) -> None:
        folder = repository_folder(path)
        rows = await self._database.read_in_thread(ledger.list_waiting)
        names = [parse_segment_key(row.key) for row in rows if row.key.startswith(folder)]
        if any(name is not None and name.revision > look.ledger for name in names):
            findings.notes.append(f"{label(path)}: commits wait to be written to the ledger; a server does it first")
            return
        text = f"{label(path)}: rows are at revision {look.rows}, its ledger ends at {look.ledger}"
        findings.open.append(
            f"{text}; run `chartroom verify --repair`, which writes it again from the database, or restore the missing"
            f" segments under {folder}"
        )

    async def _settle(self, path: str, findings: Findings, *, repair: bool) -> None:
        """Look at one repository until both sides show the same commit, then compare, then mend."""
        folder = repository_folder(path).removeprefix(ROOT).rstrip("/")
        committed = ahead = 0
        for _ in range(_ROUNDS):
            look = await asyncio.to_thread(self._look, path)
            if look.ledger < committed:  # the ledger was read since: its segments should be there
                await self._name_missing(path, look, findings)
                return
            if look.ledger > look.rows and look.ledger == ahead:  # it had time to commit what it stored
                findings.open.append(f"{label(path)}: rows are at revision {look.rows}, its ledger at {look.ledger}")
                return
            if look.ledger == look.rows:
                await self._judge(path, folder, look, findings, repair=repair)
                return
            committed, ahead = (look.rows, 0) if look.rows > look.ledger else (0, look.ledger)
            await asyncio.sleep(_FLUSH_SECONDS)  # a server is committing them
            await self._replay_one(folder)
        findings.notes.append(f"{label(path)}: commits came in all the time; its rows were not compared")

    def _look(self, path: str) -> _Look:
        def both(rows: Connection, ledger: Connection) -> _Look:
            mine, theirs = repositories.find(rows, path), repositories.find(ledger, path)
            if mine is None or theirs is None or mine.revision != theirs.revision:
                return _Look(mine.revision if mine else 0, theirs.revision if theirs else 0, [])
            found = islice(list_differences(rows, mine.id, ledger, theirs.id), _PAGE)
            return _Look(mine.revision, theirs.revision, list(found))

        return self._database.read_now(lambda rows: self._replica.read_now(partial(both, rows)))

    async def _judge(self, path: str, folder: str, look: _Look, findings: Findings, *, repair: bool) -> None:
        while look.differences and repair:
            page = [one for one in look.differences if one.ledger is None] or look.differences
            try:
                await self._ledger.write(partial(mend, path=path, revision=look.rows, page=page))
            except (AppError, SQLAlchemyError) as error:
                findings.open.append(f"{label(path)}: rows cannot be mended ({error}); run chartroom reindex")
                break
            _name_all(path, page, findings.mended)
            await self._replay_one(folder)
            before, look = look, await asyncio.to_thread(self._look, path)
            if look.differences == before.differences:
                break  # what was done did not help
        _name_all(path, look.differences, findings.open)


def _name_all(path: str, differences: list[Difference], into: list[str]) -> None:
    into += [f"{label(path)}: {one}" for one in differences[:_SHOWN]]
    if len(differences) > _SHOWN:
        more = len(differences) - _SHOWN
        into.append(f"{label(path)}: and {more}{' or more' if len(differences) == _PAGE else ''} other differences")


async def _list_paths(database: Database) -> set[str]:
    rows = await database.read_in_thread(audit.list_repositories)
    return {row.path for row in rows}


def _label_folder(folder: str) -> str:
    """Return what a message calls the repository whose segments lie in a folder of the ledger."""
    is_root = f"{ROOT}{folder}/" == repository_folder("")
    return label("" if is_root else unquote(folder))
