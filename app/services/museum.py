"""ChartMuseum's files beside ours: read once, then followed at every rescan. They are never touched.

A pass reads the files that are new or changed, then looks at each version that they bring or brought: which file stands
for it now, if any (`followed.decide`). Files with a canonical name stand for their version at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import structlog
from sqlalchemy import Connection

from app.db import museum, repositories
from app.db.charts import VersionRow
from app.db.museum import COUNTS, IGNORED, ORIGIN, WAITING, Group, MuseumFile
from app.db.session import Database
from app.db.transaction import Transaction
from app.domain import times
from app.domain.foreign import Listed, read_foreign_index
from app.domain.names import FILE_ENDINGS, is_ours
from app.errors import AppError, Kind
from app.services import followed
from app.services.charts import Charts, Outcome
from app.services.followed import Decision
from app.services.history import read_history
from app.services.ledger import Ledger
from app.services.parallel import gather
from app.services.parcels import Contents, Parcel
from app.services.passes import Pass, Scanned
from app.services.policy import UNLIMITED
from app.services.review import review
from app.services.signatures import Signatures
from storage import ObjectNotFound, ObjectStat, Storage, read_all

_INDEXES = ("index-cache.yaml", "index.yaml")  # where `created` is found, the first that lists the file
_MANY = 10
"""Followed files of which not one is left: more likely a mount that is missing than files that were removed."""

_LISTINGS = 2  # more, before a file counts as gone
_PAGE = 500  # files noted in one commit

_log = structlog.get_logger(__name__)


class _Blocked(Exception):
    """Another chart has the file name of a file."""


class MuseumFiles:
    """Follows the files that ChartMuseum keeps in the same folder or bucket. `parallel` files are read at once."""

    def __init__(
        self, database: Database, storage: Storage, charts: Charts, ledger: Ledger, *, parallel: int = 8
    ) -> None:
        self._database = database
        self._storage = storage
        self._charts = charts
        self._ledger = ledger
        self._parallel = parallel
        self._young: set[str] = set()  # read again by the next pass

    async def is_due(self) -> bool:
        """Return whether a start must make a pass: the first one, or the first after an upgrade."""

        def ask(connection: Connection) -> bool:
            return not repositories.get_catalogue(connection).scanned or museum.has_old_files(connection)

        return await self._database.read(ask)

    async def scan(self) -> Scanned:
        """Make one pass. Raises StorageError, AppError UNAVAILABLE; a file that is no chart is logged and counted."""
        began = time.time_ns()
        state = await self._begin()
        self._young = state.list_young(began)
        if len(state.saved) >= _MANY and not state.found:
            # A mount that is missing looks so. Removing on purpose leaves other files, or goes through the API.
            hint = "mount the folder again; to remove these charts, delete them through the API"
            _log.error("all followed files are gone at once: nothing is removed", files=len(state.saved), hint=hint)
            return state.scanned
        fresh = [stat for stat in state.list_fresh() if not stat.key.endswith(".prov")]
        await gather(self._parallel, partial(self._read, state), fresh)
        await self._settle_all(state)
        await Signatures(self._database, self._storage, self._charts, self._ledger, self._parallel).settle(state)
        await self._save(state, state.now.values())
        if not state.is_moving:
            for key in state.saved.keys() - state.now.keys():
                await self._forget(state, key)
        await self._mark_scanned()
        return state.scanned

    async def _begin(self) -> Pass:
        found = await self._list_files()
        saved = await self._database.read_in_thread(museum.list_files)
        for _ in range(_LISTINGS):
            if saved.keys() <= found.keys():
                break
            found = await self._list_files()  # a rename in the midst of a listing may have shown neither name
        scanned = (await self._database.read(repositories.get_catalogue)).scanned
        if not scanned and found:
            # What a lost database knew of these files the ledger still says: a deleted chart must not come back.
            history = await read_history(self._storage)
            told = {file.key: file for file in history.list_files() if file.key in found}
            return Pass(found, saved, told | saved, history, set(found))
        if any(file.state is None for file in saved.values()):
            return await review(self._database, self._storage, found, saved)
        return Pass(found, saved, dict(saved), young=self._young)

    async def _mark_scanned(self) -> None:
        if not (await self._database.read(repositories.get_catalogue)).scanned:
            await self._database.write(lambda transaction: repositories.mark_scanned(transaction.connection))

    async def _list_files(self) -> dict[str, ObjectStat]:
        return {
            stat.key: stat
            async for stat in self._storage.scan()
            if stat.key.endswith(FILE_ENDINGS) and not is_ours(stat.key)
        }

    async def _read(self, state: Pass, stat: ObjectStat) -> None:
        """Read an archive; publish it at once if it stands for its version whatever else lies there."""
        known = state.known.get(stat.key)
        try:
            content = await read_all(self._storage, stat.key)
        except ObjectNotFound:
            state.vanish(stat.key)
            return
        digest = hashlib.sha256(content).hexdigest()
        moment = times.from_datetime(stat.modified)
        if known is not None and known.digest == digest:  # only its time is new
            state.now[stat.key] = known._replace(size=stat.size, modified=moment)
            state.touched |= {known.group} if known.group else set()
            return
        parcel = Parcel(content, filename=stat.key.rpartition("/")[2], created=moment, origin=ORIGIN)
        contents: Contents | None = None
        name, version = (known.name, known.version) if known else ("", "")
        try:
            contents = await self._charts.read(parcel)
        except AppError as error:
            _refuse(state, stat.key, error)
            digest = ""
        if contents is not None and contents[0] is not None:
            name, version = contents[0].row.name, contents[0].row.version
        file = MuseumFile(stat.key, stat.size, moment, digest, name, version)
        state.now[stat.key] = file
        state.touched |= {one.group for one in (known, file) if one is not None and one.group is not None}
        if digest and followed.is_canonical(file):
            await self._settle_canonical(state, file, content)

    async def _settle_canonical(self, state: Pass, file: MuseumFile, content: bytes) -> None:
        assert file.group is not None
        _, decision = await self._decide(state, file.group, [file])
        if decision.file is None:
            return
        try:
            if not await self._publish(state, decision, content):
                return
        except _Blocked:
            return  # it is tried again when the other chart's files were looked at
        known = state.known.get(file.key)
        if known is None or known.group == file.group:
            await self._save(state, [file])

    async def _settle_all(self, state: Pass) -> None:
        """Look at each touched version; what waits for a file name of another one is tried again after that one."""
        after = state.list_after()
        state.touched |= {file.group for file in state.now.values() if file.state == WAITING and file.group}
        pending = set(state.touched)
        while pending:
            settled = await gather(self._parallel, partial(self._settle, state, after), sorted(pending))
            blocked = {group for group, done in zip(sorted(pending), settled, strict=True) if not done}
            if blocked == pending:
                blocked = await self._make_way(state, after, sorted(blocked))
            pending = blocked

    async def _settle(self, state: Pass, after: dict[Group, list[MuseumFile]], group: Group) -> bool:
        """Do what one version needs and note its files; return False where another chart has the file name."""
        files = after.get(group, [])
        row, decision = await self._decide(state, group, files)
        try:
            if decision.file is not None:
                if not await self._publish(state, decision):
                    # Noted as if it counted, it would look next time as if a client had removed its version.
                    files = [file for file in files if file.key != decision.file.key]
            elif decision.removes and not state.is_moving:
                await self._ledger.write(partial(followed.withdraw, group=group, digest=decision.removes))
                state.scanned.withdrawn += 1
        except _Blocked:
            return False
        noted = [file._replace(state=_find_state(state, file, decision)) for file in files]
        for file in noted:
            state.now[file.key] = file
            if file.key not in state.known:
                state.scanned.refused += _log_refused(file, row)
        stayed = [file for file in noted if file.key not in state.known or state.known[file.key].group == group]
        await self._save(state, stayed)
        return True

    async def _make_way(self, state: Pass, after: dict[Group, list[MuseumFile]], blocked: list[Group]) -> set[Group]:
        """Remove one version whose file holds another chart by now, so that others get its name; return who waits."""
        for group in blocked:
            _, decision = await self._decide(state, group, after.get(group, []))
            if decision.file is None:
                continue
            holder = await self._database.read(partial(followed.find_holder, file=decision.file))
            if holder is not None and holder.origin == ORIGIN:
                other = Group(group.repository, holder.name, holder.version)
                for key, file in list(state.saved.items()):
                    if file.group == other:  # else a crash now would look as if a client had removed it
                        await self._forget(state, key)
                state.forget(other)
                await self._ledger.write(partial(followed.withdraw, group=other, digest=holder.digest))
                return {*blocked, other}
            state.blocked.add(decision.file.key)
        return set(blocked)  # without those files

    async def _decide(self, state: Pass, group: Group, files: list[MuseumFile]) -> tuple[VersionRow | None, Decision]:
        row = await self._database.read(partial(followed.find, group=group))
        closed = state.find_closed(group)
        files = [file._replace(digest="") if file.key in state.blocked else file for file in files]
        return row, followed.decide(row, state.list_before(group), files, closed=closed)

    async def _publish(self, state: Pass, decision: Decision, content: bytes | None = None) -> bool:
        """Publish a file; return False if it is not there any more as it was read: the next pass looks again.

        Raises _Blocked where another chart has its name.
        """
        file = decision.file
        assert file is not None
        if file.state == WAITING and await self._database.read(partial(followed.find_holder, file=file)) is not None:
            raise _Blocked
        try:
            content = await read_all(self._storage, file.key) if content is None else content
        except ObjectNotFound:
            content = b""
        if hashlib.sha256(content).hexdigest() != file.digest:
            state.vanish(file.key)
            return False
        created = await self._find_created(state, file)
        parcel = Parcel(content, filename=file.filename, created=created, origin=ORIGIN)
        policy = replace(UNLIMITED, replaces=decision.replaces)
        try:
            published = await self._charts.publish(file.repository, parcel, policy)
        except AppError as error:
            if error.kind is Kind.CONFLICT:
                raise _Blocked from error
            _refuse(state, file.key, error)
            return True
        state.scanned.published += published.outcome is not Outcome.CONFLICT
        return True

    async def _find_created(self, state: Pass, file: MuseumFile) -> int:
        """Return when a file's chart was uploaded: what the folder's index says, else the file's own time."""
        folder = f"{file.repository}/" if file.repository else ""
        if folder not in state.listed:
            state.listed[folder] = asyncio.create_task(self._read_indexes(folder))
        facts = (await state.listed[folder]).get(file.filename)
        return file.modified if facts is None or facts.created is None else facts.created

    async def _read_indexes(self, folder: str) -> dict[str, Listed]:
        """Return what the indexes of a folder say of a file, by file name."""
        facts: dict[str, Listed] = {}
        for name in reversed(_INDEXES):  # the first one wins
            try:
                content = await read_all(self._storage, f"{folder}{name}")
            except ObjectNotFound:
                continue
            facts |= await asyncio.to_thread(read_foreign_index, content)
        return facts

    async def _save(self, state: Pass, files: Iterable[MuseumFile]) -> None:
        """Note files in the table, where they differ from what it holds."""
        changed = [file for file in files if state.saved.get(file.key) != file]
        for at in range(0, len(changed), _PAGE):
            page = changed[at : at + _PAGE]
            await self._database.write(partial(_put_files, files=page))
            state.saved |= {file.key: file for file in page}

    async def _forget(self, state: Pass, key: str) -> None:
        await self._database.write(lambda transaction: museum.remove_file(transaction.connection, key))
        del state.saved[key]


def _put_files(transaction: Transaction, *, files: list[MuseumFile]) -> None:
    museum.put_files(transaction.connection, files)


def _refuse(state: Pass, key: str, error: AppError) -> None:
    """Log and count a file that is no chart. Raises the error again if that is no fault of the file."""
    if error.kind in (Kind.UNAVAILABLE, Kind.FULL):
        raise error
    _log.warning("file refused", key=key, reason=error.message)
    state.scanned.refused += 1


def _find_state(state: Pass, file: MuseumFile, decision: Decision) -> str:
    if file.key in state.blocked:
        return WAITING
    return IGNORED if file.digest and file.digest in decision.ignored else COUNTS


def _log_refused(file: MuseumFile, row: VersionRow | None) -> bool:
    """Log a new file that does not bring its version; return whether it is one."""
    if file.state == WAITING:
        reason, hint = "another chart has its file name", "give the file another name"
    elif file.state == IGNORED:
        reason, hint = "a client removed this version", "remove the file, and lay it down again after a rescan"
    elif row is not None and row.origin != ORIGIN and file.digest not in ("", row.digest):
        reason, hint = "a client stored this version with other content", "delete the version first"
    else:
        return False
    _log.warning("file refused", key=file.key, reason=reason, hint=hint)
    return True
