"""Statements about chart versions, provenance files and their blobs.

Every function that changes rows takes a Transaction; those that only ask take a connection. Rules (who may
overwrite, how many) are above, in `app/services`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, or_, select, update

from app.db.tables import blobs, chart_versions, charts, provenances, repositories
from app.db.transaction import Transaction
from app.domain.ledger import render_entry_change
from app.domain.summary import Summary, summarize


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One chart version as stored. `created` in ns since 1970; `size` in bytes; `digest` 64 hex digits."""

    name: str
    version: str
    sort_key: bytes
    filename: str
    digest: str
    size: int
    created: int
    origin: str
    entry: bytes


class BlobFacts(NamedTuple):
    """Which bytes a file name stands for: the digest, the size in bytes."""

    digest: str
    size: int


class Rivals(NamedTuple):
    """Who is there already: the same chart and version, and another chart under the same file name."""

    same: BlobFacts | None
    other: tuple[str, str] | None


_VERSION = tuple(chart_versions.c[name] for name in VersionRow.__slots__)
_MINE = and_(chart_versions.c.repository_id == bindparam("repository"), chart_versions.c.name == bindparam("chart"))
_EXACT = and_(_MINE, chart_versions.c.version == bindparam("wanted"))

_FIND_RIVALS = select(
    chart_versions.c.name, chart_versions.c.version, chart_versions.c.digest, chart_versions.c.size
).where(or_(_EXACT, and_(
    chart_versions.c.repository_id == bindparam("repository"), chart_versions.c.filename == bindparam("file")
)))  # fmt: skip
_FIND_VERSION = select(*_VERSION).where(_EXACT)
_LIST_VERSIONS = select(*_VERSION).where(_MINE).order_by(chart_versions.c.sort_key.desc())
_LIST_ENTRIES = select(chart_versions.c.entry, chart_versions.c.sort_key).where(_MINE)
_FIND_RANK = select(charts.c.rank, charts.c.versions).where(
    charts.c.repository_id == bindparam("repository"), charts.c.name == bindparam("chart")
)
_INSERT_VERSION = insert(chart_versions)
_UPDATE_VERSION = update(chart_versions).where(_EXACT)
_INSERT_CHART = insert(charts)
_CHART = and_(charts.c.repository_id == bindparam("repository"), charts.c.name == bindparam("chart"))
_UPDATE_CHART = update(charts).where(_CHART)
_FIND_BLOB = select(blobs.c.condemned).where(blobs.c.digest == bindparam("wanted"))
_FIND_ARCHIVE = select(chart_versions.c.digest, chart_versions.c.size).where(
    chart_versions.c.repository_id == bindparam("repository"), chart_versions.c.filename == bindparam("file")
)
_FIND_PROVENANCE = select(provenances.c.digest, provenances.c.size).where(
    provenances.c.repository_id == bindparam("repository"), provenances.c.filename == bindparam("file")
)


def render_version_put(row: VersionRow) -> bytes:
    """Answer the ledger line that puts this row."""
    facts = {"chart": row.name, "version": row.version, "filename": row.filename, "digest": row.digest}
    return render_entry_change({**facts, "size": row.size, "created": row.created, "origin": row.origin}, row.entry)


def find_rivals(connection: Connection, repository_id: int, name: str, version: str, *, filename: str) -> Rivals:
    """Answer what stands in the way of a chart version with this file name."""
    same: BlobFacts | None = None
    other: tuple[str, str] | None = None
    values = {"repository": repository_id, "chart": name, "wanted": version, "file": filename}
    for row in connection.execute(_FIND_RIVALS, values):
        if (row.name, row.version) == (name, version):
            same = BlobFacts(row.digest, row.size)
        else:
            other = (row.name, row.version)
    return Rivals(same, other)


def find_version(connection: Connection, repository_id: int, name: str, version: str) -> VersionRow | None:
    """Answer one chart version."""
    values = {"repository": repository_id, "chart": name, "wanted": version}
    row = connection.execute(_FIND_VERSION, values).one_or_none()
    return VersionRow(*row) if row else None


def list_versions(connection: Connection, repository_id: int, name: str) -> list[VersionRow]:
    """Answer every version of a chart, newest first."""
    rows = connection.execute(_LIST_VERSIONS, {"repository": repository_id, "chart": name})
    return [VersionRow(*row) for row in rows]


def find_archive(connection: Connection, repository_id: int, filename: str) -> BlobFacts | None:
    """Answer which bytes the archive with this file name has."""
    row = connection.execute(_FIND_ARCHIVE, {"repository": repository_id, "file": filename}).one_or_none()
    return BlobFacts(*row) if row else None


def find_provenance(connection: Connection, repository_id: int, filename: str) -> BlobFacts | None:
    """Answer which bytes the provenance file of the archive with this file name has."""
    row = connection.execute(_FIND_PROVENANCE, {"repository": repository_id, "file": filename}).one_or_none()
    return BlobFacts(*row) if row else None


def count_objects(connection: Connection, repository_id: int) -> int:
    """Answer how many archives and provenance files a repository holds."""
    archives = select(func.count()).select_from(chart_versions).where(chart_versions.c.repository_id == repository_id)
    signed = select(func.count()).select_from(provenances).where(provenances.c.repository_id == repository_id)
    return int(connection.scalar(archives) or 0) + int(connection.scalar(signed) or 0)


def put_version(transaction: Transaction, repository_id: int, row: VersionRow, facts: Summary) -> None:
    """Insert a version, or replace the one with its name and version; note the change on its chart."""
    connection = transaction.connection
    values = {name: getattr(row, name) for name in VersionRow.__slots__}
    replaced = connection.execute(
        _UPDATE_VERSION.values(**values), {"repository": repository_id, "chart": row.name, "wanted": row.version}
    ).rowcount
    if not replaced:
        connection.execute(_INSERT_VERSION, {"repository_id": repository_id, **values})
    keep_blob(transaction, row.digest, row.size)
    _note_put(transaction, repository_id, row.name, facts, added=0 if replaced else 1)


def _note_put(transaction: Transaction, repository_id: int, name: str, facts: Summary, *, added: int) -> None:
    connection = transaction.connection
    chart = {"repository": repository_id, "chart": name}
    found = connection.execute(_FIND_RANK, chart).one_or_none()
    shown = {slot: getattr(facts, slot) for slot in Summary.__slots__}
    if found is None:
        values = {"repository_id": repository_id, "name": name, "revision": transaction.revision, "versions": 1}
        connection.execute(_INSERT_CHART, {**values, **shown})
        return
    changes = {"revision": transaction.revision, "versions": found.versions + added}
    if not found.versions or facts.rank >= found.rank:
        changes |= shown
    connection.execute(_UPDATE_CHART.values(changes), chart)


def remove_version(transaction: Transaction, repository_id: int, name: str, version: str) -> None:
    """Remove a version; its chart shows the newest of the rest, or is empty."""
    connection = transaction.connection
    chart = {"repository": repository_id, "chart": name}
    connection.execute(delete(chart_versions).where(_EXACT), {**chart, "wanted": version})
    rest = connection.execute(_LIST_ENTRIES, chart).all()
    changes = {"revision": transaction.revision, "versions": len(rest)}
    newest = max((summarize(*row) for row in rest), key=lambda summary: summary.rank, default=None)
    if newest is not None:
        changes |= {slot: getattr(newest, slot) for slot in Summary.__slots__}
    connection.execute(_UPDATE_CHART.values(changes), chart)


def clear(connection: Connection, repository_id: int) -> None:
    """Remove everything of a repository but its own row."""
    for table in (chart_versions, provenances, charts):
        connection.execute(delete(table).where(table.c.repository_id == repository_id))


def put_provenance(transaction: Transaction, repository_id: int, filename: str, facts: BlobFacts) -> None:
    """Insert or replace the provenance file that belongs to the archive called `filename`."""
    remove_provenance(transaction, repository_id, filename)
    values = {"digest": facts.digest, "size": facts.size, "created": transaction.now}
    row = {"repository_id": repository_id, "filename": filename, **values}
    transaction.connection.execute(insert(provenances), row)
    keep_blob(transaction, facts.digest, facts.size)


def remove_provenance(transaction: Transaction, repository_id: int, filename: str) -> bool:
    """Remove a provenance file; answer whether it was there."""
    mine = and_(provenances.c.repository_id == repository_id, provenances.c.filename == filename)
    return transaction.connection.execute(delete(provenances).where(mine)).rowcount > 0


def keep_blob(transaction: Transaction, digest: str, size: int) -> None:
    """Note that a blob is needed: insert its row, or clear its mark for collection."""
    found = transaction.connection.execute(_FIND_BLOB, {"wanted": digest}).one_or_none()
    if found is None:
        transaction.connection.execute(insert(blobs), {"digest": digest, "size": size})
    elif found.condemned is not None:
        transaction.connection.execute(update(blobs).where(blobs.c.digest == digest).values(condemned=None))


def list_changed(connection: Connection, repository_id: int, revision: int) -> list[str]:
    """Answer the names of charts that changed after `revision`, sorted."""
    query = select(charts.c.name).where(charts.c.repository_id == repository_id, charts.c.revision > revision)
    return sorted(connection.scalars(query))


def list_names(connection: Connection, repository_id: int) -> Sequence[str]:
    """Answer the names of all charts that have versions, sorted bytewise."""
    query = select(charts.c.name).where(charts.c.repository_id == repository_id, charts.c.versions > 0)
    return connection.scalars(query.order_by(charts.c.name)).all()


def count_by_repository(connection: Connection) -> list[tuple[str, int, int]]:
    """Answer for each repository that has charts its path, its charts and their versions, by path."""
    query = (
        select(repositories.c.path, func.count(), func.sum(charts.c.versions))
        .join(repositories, repositories.c.id == charts.c.repository_id)
        .where(charts.c.versions > 0)
        .group_by(repositories.c.path)
        .order_by(repositories.c.path)
    )
    return [(path, int(number), int(total)) for path, number, total in connection.execute(query)]


def iterate_versions(connection: Connection, repository_id: int) -> Iterator[VersionRow]:
    """Answer every version of a repository, by name, newest first, without holding them all."""
    query = select(*_VERSION).where(chart_versions.c.repository_id == repository_id)
    ordered = query.order_by(chart_versions.c.name, chart_versions.c.sort_key.desc())
    for row in connection.execution_options(yield_per=1000).execute(ordered):
        yield VersionRow(*row)


def list_provenances(connection: Connection, repository_id: int) -> list[tuple[str, BlobFacts, int]]:
    """Answer a repository's provenance files: the archive's file name, the bytes' facts, when it came (ns)."""
    query = select(provenances.c.filename, provenances.c.digest, provenances.c.size, provenances.c.created)
    rows = connection.execute(query.where(provenances.c.repository_id == repository_id))
    return [(row.filename, BlobFacts(row.digest, row.size), row.created) for row in rows]
