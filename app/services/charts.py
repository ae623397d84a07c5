"""Charts: the one road in (`publish`), the way out (`withdraw`), and questions about what is there.

Order of a publish: read and judge the archive, blobs to storage, one transaction, the ledger segment to storage.
Nothing is acknowledged before all four. Rules that every door shares live here; statuses and texts of a door do not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from functools import partial

import structlog
from sqlalchemy import Connection

from app.db import charts as rows
from app.db import garbage, repositories
from app.db.charts import BlobFacts
from app.db.museum import Group
from app.db.repositories import RepositoryRow
from app.db.session import Database
from app.db.transaction import Transaction
from app.domain.ledger import blob_key, render_change
from app.domain.retention import Kept, choose_surplus
from app.errors import AppError, Kind
from app.services import faces, followed
from app.services.ledger import Ledger
from app.services.parcels import Content, Contents, Parcel, Parcels, Signature
from app.services.policy import Policy, Rules
from app.services.withdrawal import drop_signature, withdraw_in
from storage import Storage

_log = structlog.get_logger(__name__)


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

    def close(self) -> None:
        """Stop the threads that read archives."""
        self._parcels.close()

    async def publish(
        self, repository: str, parcel: Parcel, policy: Policy, *, contents: Contents | None = None
    ) -> Published:
        """Store a parcel in a repository as far as `policy` allows; every way in ends here. `contents` is what `read`
        answered for the parcel.

        Raises AppError INVALID for a broken parcel, LIMIT when the repository is full by the policy, CONFLICT when
        another chart has the file name; StorageError when storage fails: then nothing was stored.
        """
        chart, signature = contents or await self._parcels.read(parcel)
        is_pushed = parcel.pushed is not None

        def look(connection: Connection) -> tuple[Published | None, list[str]]:
            refused = self._find_conflict(connection, repository, chart, signature, policy, pushed=is_pushed)
            blobs = [read.blob.digest for read in (chart, signature) if read is not None]
            return refused, garbage.list_condemned(connection, blobs)

        refused, condemned = await self._database.read(look)
        if refused is not None and (parcel.pushed is None or refused.outcome is Outcome.CONFLICT):
            return refused
        if parcel.pushed is None:  # else their bytes are in storage already
            await self._put_blobs(parcel, chart, signature, condemned)
        published = await self._ledger.write(_Publish(policy, repository, parcel, chart, signature).run)
        if published.removed:
            facts = {"chart": published.name, "removed": published.removed, "added": published.version}
            setting = f"PER_CHART_LIMIT={policy.versions_per_chart}"
            _log.info("version removed", repository=repository, **facts, setting=setting)
        return published

    async def read(self, parcel: Parcel) -> Contents:
        """Answer what a parcel holds, having judged it, for those who must know it before. Raises AppError INVALID."""
        return await self._parcels.read(parcel)

    async def _put_blobs(
        self, parcel: Parcel, chart: Content | None, signature: Signature | None, condemned: list[str]
    ) -> None:
        held = ((parcel.archive, chart), (parcel.provenance, signature))
        blobs = {read.blob.digest: content for content, read in held if content is not None and read is not None}
        if condemned:
            await self._database.write(partial(garbage.pardon, digests=condemned))
        self._database.announce()  # writes that are on their way together are committed together
        try:
            for digest, content in blobs.items():
                await self._storage.put(blob_key(digest), content)
        finally:
            self._database.arrive()

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

    def _find_conflict(
        self, connection: Connection, repository: str, chart: Content | None,
        signature: Signature | None, policy: Policy, *, pushed: bool,
    ) -> Published | None:  # fmt: skip
        """Answer early what the transaction would answer: no blob needs writing then."""
        found = repositories.find(connection, repository)
        if found is None:
            return None
        refused = _judge(connection, found.id, chart, signature, policy, pushed=pushed)
        if refused is None and policy.max_objects and _is_new(connection, found.id, chart, signature):
            _check_room(connection, found.id, policy.max_objects)
        return refused


def _judge(
    connection: Connection, repository_id: int, chart: Content | None,
    signature: Signature | None, policy: Policy, *, pushed: bool,
) -> Published | None:  # fmt: skip
    """Answer CONFLICT or UNCHANGED where nothing may or need be stored. Raises AppError CONFLICT."""
    same = signed = None
    if chart is not None:
        row = chart.row
        rivals = rows.find_rivals(connection, repository_id, row.name, row.version, filename=row.filename)
        same = rivals.same
        if rivals.other is not None:
            raise AppError(Kind.CONFLICT, _name_is_taken(row.filename, rivals.other))
    if signature is not None:
        signed = rows.find_provenance(connection, repository_id, signature.filename)
    if policy.replaces:
        there = same if chart is not None else signed
        return None if there and there.digest == policy.replaces else _published(Outcome.CONFLICT, chart)
    if policy.overwrite or (same is None and signed is None):
        return None
    if chart is not None and same is None and signature is not None and signed == signature.blob:
        return None  # its provenance came first, as it may
    if pushed and chart is not None and same == chart.blob and signed is None and signature is not None:
        return None  # the chart that is there, now with a provenance: nothing is overwritten
    unchanged = (chart is None or same == chart.blob) and (signature is None or signed == signature.blob)
    outcome = Outcome.UNCHANGED if unchanged else Outcome.CONFLICT
    return _published(outcome, chart)


def _is_new(connection: Connection, repository_id: int, chart: Content | None, signature: Signature | None) -> bool:
    if chart is not None:
        name, version, filename = chart.row.name, chart.row.version, chart.row.filename
        if rows.find_rivals(connection, repository_id, name, version, filename=filename).same is None:
            return True
    return signature is not None and rows.find_provenance(connection, repository_id, signature.filename) is None


def _check_room(connection: Connection, repository_id: int, limit: int) -> None:
    if limit and rows.count_objects(connection, repository_id) >= limit:
        raise AppError(Kind.LIMIT, "repo has reached storage limit")


def _published(outcome: Outcome, chart: Content | None) -> Published:
    row = chart and chart.row
    return Published(outcome, row.name, row.version, row.filename, row.digest) if row else Published(outcome)


def _name_is_taken(filename: str, other: tuple[str, str]) -> str:
    return f"{filename} is the file of chart {other[0]} version {other[1]}; choose another name or version"


@dataclass(frozen=True, slots=True)
class _Publish:
    """The transaction of one publish."""

    policy: Policy
    repository: str
    parcel: Parcel
    chart: Content | None
    signature: Signature | None

    def run(self, transaction: Transaction) -> Published:
        connection = transaction.connection
        repository = repositories.get_or_create(connection, self.repository)
        pushed = self.parcel.pushed
        refused = _judge(connection, repository.id, self.chart, self.signature, self.policy, pushed=pushed is not None)
        if refused is not None:
            if pushed is not None and refused.outcome is Outcome.UNCHANGED:
                faces.store_pushed(transaction, repository, pushed)
            return refused
        outcome, removed = Outcome.CREATED, ""
        if self.chart is not None:
            outcome = self._put_chart(transaction, repository, self.chart)
            if outcome is Outcome.CREATED:
                removed = self._drop_surplus(transaction, repository, self.chart.row.name, self.chart.row.version)
        if self.signature is not None:
            self._put_signature(transaction, repository, *self.signature)
        warning = self._put_face(transaction, repository)
        return replace(_published(outcome, self.chart), warning=warning, removed=removed)

    def _put_face(self, transaction: Transaction, repository: RepositoryRow) -> str:
        """Let the OCI door show what is there now; answer a warning if it cannot."""
        if self.parcel.pushed is not None:
            faces.store_pushed(transaction, repository, self.parcel.pushed)
        elif self.chart is not None:
            return faces.put_derived(transaction, repository, self.chart)
        elif self.signature is not None:
            faces.add_provenance(transaction, repository, *self.signature)
        return ""

    def _put_chart(self, transaction: Transaction, repository: RepositoryRow, chart: Content) -> Outcome:
        row = chart.row
        old = rows.find_rivals(transaction.connection, repository.id, row.name, row.version, filename=row.filename)
        if old.same is None:
            _check_room(transaction.connection, repository.id, self.policy.max_objects)
        elif old.same != chart.blob:
            drop_signature(transaction, repository, old.same_filename)
        elif old.same_filename != row.filename:
            self._move_signature(transaction, repository, old.same_filename, row.filename)
        rows.put_version(transaction, repository.id, row, chart.summary)
        transaction.record(repository, rows.render_version_put(row))
        return Outcome.REPLACED if old.same else Outcome.CREATED

    def _move_signature(self, transaction: Transaction, repository: RepositoryRow, old: str, new: str) -> None:
        """Let the provenance of an archive follow it to another file name, unless that has one."""
        moved = rows.find_provenance(transaction.connection, repository.id, old)
        drop_signature(transaction, repository, old)
        if moved is not None and rows.find_provenance(transaction.connection, repository.id, new) is None:
            self._record_signature(transaction, repository, new, moved)

    def _put_signature(
        self, transaction: Transaction, repository: RepositoryRow, filename: str, blob: BlobFacts
    ) -> None:
        found = rows.find_provenance(transaction.connection, repository.id, filename)
        if found == blob:
            return
        if found is None:
            _check_room(transaction.connection, repository.id, self.policy.max_objects)
        self._record_signature(transaction, repository, filename, blob)

    def _record_signature(
        self, transaction: Transaction, repository: RepositoryRow, filename: str, blob: BlobFacts
    ) -> None:
        rows.put_provenance(transaction, repository.id, filename, blob)
        facts = {"filename": filename, "digest": blob.digest, "size": blob.size, "created": transaction.now}
        transaction.record(repository, render_change("put", "provenance", **facts))

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
