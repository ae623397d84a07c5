"""Charts: the one way in (`publish`), the way out (`withdraw`), and questions about what is there.

Order of a publish: read and check the archive; rows in a transaction; archive and ledger segment to storage, durably;
commit. Nothing is acknowledged before. Rules that all protocols share live here; statuses and texts do not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import NamedTuple

import structlog
from sqlalchemy import Connection

from app.db import charts as rows
from app.db import garbage, repositories
from app.db.charts import BlobFacts, Found
from app.db.museum import Group
from app.db.repositories import RepositoryRow
from app.db.session import Database
from app.db.transaction import Transaction
from app.domain.artifact import explain_classic_only
from app.domain.ledger import blob_key
from app.domain.oci import tag_of
from app.domain.retention import Kept, choose_surplus
from app.errors import AppError, Kind
from app.records import charts as records
from app.services import faces, followed
from app.services.ledger import Ledger
from app.services.parcels import Content, Contents, Parcel, Parcels, Signature
from app.services.policy import Policy, Rules
from app.services.withdrawal import withdraw_in
from storage import Storage

_log = structlog.get_logger(__name__)

_WITH_COMMIT = 512 * 1024
"""Bytes of files that are stored together with the commit; larger ones are stored before it, outside of its lock."""


class Outcome(Enum):
    """What publishing came to."""

    CREATED = "created"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"  # the very same content is there already
    CONFLICT = "conflict"  # other content is there, and overwriting is not allowed


@dataclass(frozen=True, slots=True)
class Published:
    """The outcome, and which chart version it is about (empty for provenance alone)."""

    outcome: Outcome
    name: str = ""
    version: str = ""
    filename: str = ""
    digest: str = ""
    warning: str = ""  # why the chart cannot be had at the OCI door
    removed: str = ""  # the version that went because the chart may keep only so many


class Charts:
    """The charts of every repository."""

    def __init__(self, database: Database, storage: Storage, ledger: Ledger, rules: Rules) -> None:
        self.rules = rules
        self._database = database
        self._storage = storage
        self._ledger = ledger
        self._parcels = Parcels()

    def expect_many(self) -> None:
        """Prepare for thousands of charts, one after another: archives are read by other processes."""
        self._parcels.use_processes()

    def close(self) -> None:
        """Stop the threads that read archives."""
        self._parcels.close()

    async def publish(
        self, repository: str, parcel: Parcel, policy: Policy, *, contents: Contents | None = None
    ) -> Published:
        """Store a parcel in a repository as far as `policy` allows; every way in ends here. `contents` is what `read`
        returned for the parcel.

        Raises AppError INVALID for a broken parcel, LIMIT when the repository is full by the policy, CONFLICT when
        another chart has the file name; StorageError when storage fails: then nothing was stored.
        """
        self._database.announce()  # uploads that are on their way together are committed together
        try:
            chart, signature = contents or await self._parcels.read(parcel)
            work = _Publish(policy, repository, parcel, chart, signature)
            blobs = _list_blobs(parcel, chart, signature)
            if sum(len(content) for _, content in blobs) > _WITH_COMMIT:
                refused = await self._put_first(work, blobs)
                if refused is not None:
                    return refused
                blobs = []
        finally:
            self._database.arrive()
        objects = [(blob_key(digest), content) for digest, content in blobs]
        published = await self._ledger.write(work.run, blobs=objects)
        if published.removed:
            facts = {"chart": published.name, "removed": published.removed, "added": published.version}
            setting = f"PER_CHART_LIMIT={policy.versions_per_chart}"
            _log.info("version removed", repository=repository, **facts, setting=setting)
        return published

    async def read(self, parcel: Parcel) -> Contents:
        """Return what a parcel holds, having checked it, for those who must know it before. Raises AppError INVALID."""
        return await self._parcels.read(parcel)

    async def _put_first(self, work: _Publish, blobs: list[tuple[str, bytes]]) -> Published | None:
        """Store large blobs before the transaction, unless it will refuse them: then return why."""

        def look(connection: Connection) -> tuple[Published | None, list[str]]:
            return work.find_refusal(connection), garbage.list_condemned(connection, [digest for digest, _ in blobs])

        refused, marked = await self._database.read(look)
        if refused is None and marked:
            await self._database.write(partial(garbage.pardon, digests=marked))
        for digest, content in blobs if refused is None else ():
            await self._storage.put(blob_key(digest), content)
        return refused

    async def claim(self, repository: str, published: Published, origin: str) -> None:
        """Let a version that a followed file brought belong to `origin`: it stays when its file goes."""
        group = Group(repository, published.name, published.version)
        find = partial(followed.find_owned, group=group, filename=published.filename)
        owned = await self._database.read(find)
        if owned is not None:
            await self._ledger.write(partial(followed.claim, group=owned, origin=origin))

    async def withdraw(self, repository: str, name: str, version: str) -> bool:
        """Remove a version and its provenance for a client; return whether it was there.

        Raises AppError DENIED where the settings forbid deleting.
        """
        if not self.rules.allow_delete:
            raise AppError(Kind.DENIED, "deleting is switched off on this server (DISABLE_DELETE)")
        return await self._ledger.write(lambda transaction: withdraw_in(transaction, repository, name, version))


def _list_blobs(parcel: Parcel, chart: Content | None, signature: Signature | None) -> list[tuple[str, bytes]]:
    """Return digest and bytes of the files that have to be stored, each once; a push has stored them already."""
    if parcel.pushed is not None:
        return []
    held = ((parcel.archive, chart), (parcel.provenance, signature))
    return list(
        {read.blob.digest: content for content, read in held if content is not None and read is not None}.items()
    )


def _check_room(connection: Connection, repository_id: int, limit: int) -> None:
    if limit and rows.count_objects(connection, repository_id) >= limit:
        raise AppError(Kind.LIMIT, "repo has reached storage limit")


def _published(outcome: Outcome, chart: Content | None) -> Published:
    row = chart and chart.row
    return Published(outcome, row.name, row.version, row.filename, row.digest) if row else Published(outcome)


def _name_is_taken(filename: str, other: tuple[str, str]) -> str:
    return f"{filename} is the file of chart {other[0]} version {other[1]}; choose another name or version"


class _There(NamedTuple):
    """What is there already: of the chart, and the provenance of the file that the signature is for."""

    chart: Found
    signed: BlobFacts | None


@dataclass(frozen=True, slots=True)
class _Publish:
    """The transaction of one publish."""

    policy: Policy
    repository: str
    parcel: Parcel
    chart: Content | None
    signature: Signature | None

    def find_refusal(self, connection: Connection) -> Published | None:
        """Return early what the transaction would return without storing anything. Raises what it would raise."""
        there = self._look(connection)
        refused = self._judge(there)
        home = there.chart.repository
        if refused is None and home is not None and self._is_new(there):
            _check_room(connection, home.id, self.policy.max_objects)
        return refused

    def run(self, transaction: Transaction) -> Published:
        there = self._look(transaction.connection)
        repository = there.chart.repository or repositories.create(transaction.connection, self.repository)
        refused, pushed = self._judge(there), self.parcel.pushed
        if refused is not None:
            if pushed is not None and refused.outcome is Outcome.UNCHANGED:
                faces.store_pushed(transaction, repository, pushed)
            return refused
        outcome, warning, removed = Outcome.CREATED, "", ""
        if self.chart is not None:
            outcome, warning = self._put_chart(transaction, repository, self.chart, there.chart)
        if self.chart is not None and outcome is Outcome.CREATED:
            removed = self._drop_surplus(transaction, repository, self.chart.row.name, self.chart.row.version)
        if self.signature is not None and there.signed != self.signature.blob:
            self._put_signature(transaction, repository, self.signature, is_new=there.signed is None)
        if pushed is not None:
            faces.store_pushed(transaction, repository, pushed)
        elif self.chart is None and self.signature is not None:
            faces.add_provenance(transaction, repository, *self.signature)
        return replace(_published(outcome, self.chart), warning=warning, removed=removed)

    def _look(self, connection: Connection) -> _There:
        chart, signature = Found(), self.signature
        if self.chart is not None:
            chart = rows.look_up(connection, self.repository, self.chart.row, tag_of(self.chart.row.version))
            if signature is None or signature.filename == self.chart.row.filename:
                return _There(chart, chart.provenance)
        else:
            chart = Found(repositories.find(connection, self.repository))
        if signature is None or chart.repository is None:
            return _There(chart, None)
        return _There(chart, rows.find_provenance(connection, chart.repository.id, signature.filename))

    def _judge(self, there: _There) -> Published | None:
        """Return CONFLICT or UNCHANGED where nothing may or need be stored. Raises AppError CONFLICT."""
        chart, signature, same = self.chart, self.signature, there.chart.same
        signed = there.signed if signature is not None else None
        if chart is not None and there.chart.other is not None:
            raise AppError(Kind.CONFLICT, _name_is_taken(chart.row.filename, there.chart.other))
        if self.policy.replaces:
            found = same if chart is not None else signed
            expected = found is not None and found.digest == self.policy.replaces
            return None if expected else _published(Outcome.CONFLICT, chart)
        if self.policy.overwrite or (same is None and signed is None):
            return None
        if chart is not None and same is None and signature is not None and signed == signature.blob:
            return None  # its provenance came first, as it may
        is_pushed = self.parcel.pushed is not None
        if is_pushed and chart is not None and same == chart.blob and signed is None and signature is not None:
            return None  # the chart that is there, now with a provenance: nothing is overwritten
        unchanged = (chart is None or same == chart.blob) and (signature is None or signed == signature.blob)
        return _published(Outcome.UNCHANGED if unchanged else Outcome.CONFLICT, chart)

    def _is_new(self, there: _There) -> bool:
        is_new_chart = self.chart is not None and there.chart.same is None
        return is_new_chart or (self.signature is not None and there.signed is None)

    def _put_chart(
        self, transaction: Transaction, repository: RepositoryRow, chart: Content, there: Found
    ) -> tuple[Outcome, str]:
        """Store the version with its manifest and tag; return also a warning if OCI cannot name it, else ""."""
        row, old = chart.row, there.same
        if old is None:
            _check_room(transaction.connection, repository.id, self.policy.max_objects)
        elif old != chart.blob:
            records.remove_provenance(transaction, repository, there.same_filename)
        elif there.same_filename != row.filename:
            there = self._move_signature(transaction, repository, there, row.filename)
        signed = there.provenance if old in (None, chart.blob) else None
        if self.signature is not None and self.signature.filename == row.filename:
            signed = self.signature.blob
        warning, artifact = "", None
        if self.parcel.pushed is None:
            warning = explain_classic_only(repository.path, row.name, row.version)
            artifact = None if warning else chart.derive(signed)
        contents = {artifact.config_digest: artifact.config} if artifact else {}
        records.put_version(transaction, repository, row, chart.summary, replaces=old is not None, contents=contents)
        if artifact is not None:
            faces.put_derived(transaction, repository, row, artifact, signed, tagged=there.tagged)
        return Outcome.REPLACED if old else Outcome.CREATED, warning

    def _move_signature(
        self, transaction: Transaction, repository: RepositoryRow, there: Found, filename: str
    ) -> Found:
        """Let the provenance of an archive follow it to another file name unless that has one; return what is there."""
        moved = rows.find_provenance(transaction.connection, repository.id, there.same_filename)
        records.remove_provenance(transaction, repository, there.same_filename)
        if moved is None or there.provenance is not None:
            return there
        records.put_provenance(transaction, repository, filename, moved)
        return there._replace(provenance=moved)

    def _put_signature(
        self, transaction: Transaction, repository: RepositoryRow, signature: Signature, *, is_new: bool
    ) -> None:
        if is_new:
            _check_room(transaction.connection, repository.id, self.policy.max_objects)
        records.put_provenance(transaction, repository, *signature)

    def _drop_surplus(self, transaction: Transaction, repository: RepositoryRow, name: str, version: str) -> str:
        """Remove the version for which a new one leaves no room; return it, or ""."""
        limit = self.policy.versions_per_chart
        if not limit:
            return ""
        versions = rows.list_versions(transaction.connection, repository.id, name)
        kept = [Kept(row.created, row.sort_key, row.version) for row in versions]
        surplus = choose_surplus(kept, added=version, limit=limit)
        if surplus is None:
            return ""
        withdraw_in(transaction, repository.path, name, surplus, reason="limit")
        return surplus
