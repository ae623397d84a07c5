"""Provenance files of a pass: each belongs to the archive content it was laid next to, whichever file has that now.

The provenance of a version is the file next to the archive that stands for it, else the first by key next to a copy
with the same content. A provenance file without an archive is shown under its own name: it may come before its chart.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import partial

import structlog
from sqlalchemy import Connection

from app.db import charts, repositories
from app.db.charts import BlobFacts
from app.db.museum import COUNTS, ORIGIN, SHARED, Group, MuseumFile
from app.db.session import Database
from app.domain import times
from app.domain.provenance import read_provenance
from app.errors import AppError, Kind
from app.services import followed
from app.services.charts import Charts, Outcome
from app.services.ledger import Ledger
from app.services.parallel import gather
from app.services.parcels import Parcel
from app.services.passes import Pass
from app.services.policy import UNLIMITED
from storage import ObjectNotFound, ObjectStat, Storage, read_all

_log = structlog.get_logger(__name__)

_Contents = dict[tuple[str, str], set[Group]]
"""Which versions have archives with a digest, by repository and digest."""


@dataclass(slots=True)
class _Slot:
    """The provenance of one archive name: the archive's digest ("" if there is none), what is stored for it."""

    repository: str
    filename: str
    archive: str
    stored: BlobFacts | None

    @property
    def key(self) -> str:
        """The key of the provenance file next to it."""
        return "/".join(filter(None, (self.repository, f"{self.filename}.prov")))


@dataclass(slots=True)
class _Files:
    """The provenance files of a pass by the archive content that they sign, in one folder: before it, and now."""

    before: dict[tuple[str, str], list[MuseumFile]] = field(default_factory=lambda: defaultdict(list))
    now: dict[tuple[str, str], list[MuseumFile]] = field(default_factory=lambda: defaultdict(list))


class Signatures:
    """Follows provenance files, after the archives of a pass were settled."""

    def __init__(self, database: Database, storage: Storage, published: Charts, ledger: Ledger, parallel: int) -> None:
        self._database = database
        self._storage = storage
        self._charts = published
        self._ledger = ledger
        self._parallel = parallel

    async def settle(self, state: Pass) -> None:
        """Bring the provenance of every touched version up to its files. Raises what a pass raises."""
        await gather(self._parallel, partial(self._read, state), [one for one in state.list_fresh() if _signs(one.key)])
        await gather(self._parallel, partial(self._bind, state), sorted(state.now.keys() & _list_moved(state)))
        changed = {key for key in state.known.keys() | state.now.keys() if _signs(key) and _differs(state, key)}
        contents, files = _index(state)
        alone = []
        for key in sorted(changed):
            groups = _find_groups(state, contents, key)
            state.touched |= groups
            if not groups:
                alone.append(key)
        await gather(self._parallel, partial(self._settle_group, state, files), sorted(state.touched))
        await gather(self._parallel, partial(self._settle_alone, state), alone)

    async def _read(self, state: Pass, stat: ObjectStat) -> None:
        known = state.known.get(stat.key)
        try:
            content = await read_all(self._storage, stat.key)
        except ObjectNotFound:
            state.vanish(stat.key)
            return
        digest = hashlib.sha256(content).hexdigest()
        file = MuseumFile(stat.key, stat.size, times.from_datetime(stat.modified), digest, "", "")
        if known is not None and known.digest == digest:
            file = file._replace(signs=known.signs, state=known.state)
        try:
            read_provenance(content)
        except AppError as error:
            _log.warning("file refused", key=stat.key, reason=error.message)
            state.scanned.refused += 1
            file = file._replace(digest="")
        if not file.signs:
            file = file._replace(signs=await self._find_neighbour(state, file))
        state.now[stat.key] = file

    async def _find_neighbour(self, state: Pass, file: MuseumFile) -> str:
        """Return the digest of the archive of the same name: the file's, else what is stored; "" if there is none."""
        archive = state.now.get(file.key.removesuffix(".prov"))
        if archive is not None and archive.digest:
            return archive.digest
        slot = await self._database.read(partial(_find_slot, repository=file.repository, filename=_archive_of(file)))
        return slot.archive

    async def _bind(self, state: Pass, key: str) -> None:
        """Let provenance that is as it was sign the archive that has come next to it, if it names its digest."""
        file, archive = state.now[key], state.now[key.removesuffix(".prov")]
        if not file.digest or not archive.digest or file.signs == archive.digest:
            return
        if file.signs:
            try:
                content = await read_all(self._storage, key)
            except ObjectNotFound:
                return
            if archive.digest.encode() not in content:
                return
        state.now[key] = file._replace(signs=archive.digest)

    async def _settle_group(self, state: Pass, files: _Files, group: Group) -> None:
        row = await self._database.read(partial(followed.find, group=group))
        if row is None:
            return
        slot = await self._database.read(partial(_find_slot, repository=group.repository, filename=row.filename))
        place = (group.repository, row.digest)
        sources = [file for file in files.now[place] if file.digest]
        own = state.now.get(slot.key)
        if own is not None and own.digest and not own.signs:  # it came before its chart
            sources.append(own)
        owned = {file.digest for file in files.before[place] if file.state == COUNTS}
        owned |= {file.digest for file in _before(state, slot.key) if file.state == COUNTS}
        if sources:
            file = min(sources, key=lambda one: (one.key != slot.key, one.key))
            await self._show(state, slot, file, owned)
        elif slot.stored is not None and slot.stored.digest in owned:
            await self._withdraw(state, slot)

    async def _settle_alone(self, state: Pass, key: str) -> None:
        """Follow a provenance file without an archive, under its own name."""
        known, file = state.known.get(key), state.now.get(key)
        one = file or known
        assert one is not None
        slot = await self._database.read(partial(_find_slot, repository=one.repository, filename=_archive_of(one)))
        owned = {past.digest for past in _before(state, key) if past.state == COUNTS}
        if file is not None and file.digest and (known is None or known.digest != file.digest):
            await self._show(state, slot, file, owned)
        elif file is None and slot.stored is not None and slot.stored.digest in owned:
            await self._withdraw(state, slot)

    async def _show(self, state: Pass, slot: _Slot, file: MuseumFile, owned: set[str]) -> None:
        """Store a provenance file for an archive, unless a client stored another one."""
        stored, known = slot.stored, state.known.get(file.key)
        if stored is not None and stored.digest == file.digest:
            if known is None and file.digest not in owned:
                state.now[file.key] = state.now[file.key]._replace(state=SHARED)
            return
        has_changed = known is not None and known.digest not in ("", file.digest)
        if stored is not None and stored.digest not in owned and not has_changed:
            _log.warning("file refused", key=file.key, reason="a client stored other provenance for this archive")
            state.scanned.refused += 1
            return
        await self._publish(state, slot, file)

    async def _publish(self, state: Pass, slot: _Slot, file: MuseumFile) -> None:
        try:
            content = await read_all(self._storage, file.key)
        except ObjectNotFound:
            content = b""
        if hashlib.sha256(content).hexdigest() != file.digest:
            state.vanish(file.key)  # the next pass looks again
            return
        parcel = Parcel(provenance=content, filename=slot.filename, origin=ORIGIN)
        policy = replace(UNLIMITED, replaces=slot.stored.digest if slot.stored else "")
        try:
            published = await self._charts.publish(slot.repository, parcel, policy)
        except AppError as error:
            if error.kind in (Kind.UNAVAILABLE, Kind.FULL):
                raise
            _log.warning("file refused", key=file.key, reason=error.message)
            return
        state.scanned.published += published.outcome is not Outcome.CONFLICT

    async def _withdraw(self, state: Pass, slot: _Slot) -> None:
        if state.is_moving:
            return  # the next pass does
        assert slot.stored is not None
        digest = slot.stored.digest
        work = partial(followed.withdraw_provenance, repository=slot.repository, filename=slot.filename, digest=digest)
        await self._ledger.write(work)


def _find_slot(connection: Connection, *, repository: str, filename: str) -> _Slot:
    home = repositories.find(connection, repository)
    if home is None:
        return _Slot(repository, filename, "", None)
    archive = charts.find_archive(connection, home.id, filename)
    stored = charts.find_provenance(connection, home.id, filename)
    return _Slot(repository, filename, archive.digest if archive else "", stored)


def _index(state: Pass) -> tuple[_Contents, _Files]:
    contents: _Contents = defaultdict(set)
    files = _Files()
    for notes, by_content in ((state.known, files.before), (state.now, files.now)):
        for file in notes.values():
            if file.is_provenance:
                by_content[file.repository, file.signs].append(file)
            elif file.group is not None and file.digest:
                contents[file.repository, file.digest].add(file.group)
    return contents, files


def _find_groups(state: Pass, contents: _Contents, key: str) -> set[Group]:
    """Return the versions that a provenance file is about, or was."""
    groups: set[Group] = set()
    for file in (*_before(state, key), *filter(None, [state.now.get(key)])):
        groups |= contents.get((file.repository, file.signs), set())
    archive = state.now.get(key.removesuffix(".prov"))
    return groups | ({archive.group} if archive is not None and archive.group else set())


def _list_moved(state: Pass) -> set[str]:
    """Return the keys of provenance files whose neighbour is another archive than it was."""
    archives = (key for key in state.now if not _signs(key))
    return {
        f"{key}.prov" for key in archives if key not in state.known or state.known[key].digest != state.now[key].digest
    }


def _differs(state: Pass, key: str) -> bool:
    before, now = state.known.get(key), state.now.get(key)
    return before is None or now is None or (before.digest, before.signs) != (now.digest, now.signs)


def _before(state: Pass, key: str) -> list[MuseumFile]:
    return [state.known[key]] if key in state.known else []


def _archive_of(file: MuseumFile) -> str:
    return file.filename.removesuffix(".prov")


def _signs(key: str) -> bool:
    return key.endswith(".prov")
