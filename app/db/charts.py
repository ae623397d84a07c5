"""Statements about chart versions, provenance files and their blobs.

Every function that changes rows takes a Transaction; those that only ask take a connection. Rules (who may
overwrite, how many) are above, in `app/services`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, and_, bindparam, case, delete, func, insert, null, or_, select, union_all, update
from sqlalchemy.dialects import postgresql

from app.db.statement import Statement
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
    same_filename: str = ""


_VERSION = tuple(chart_versions.c[name] for name in VersionRow.__slots__)
_MINE = and_(chart_versions.c.repository_id == bindparam("repository"), chart_versions.c.name == bindparam("chart"))
_EXACT = and_(_MINE, chart_versions.c.version == bindparam("wanted"))

_FILE = and_(chart_versions.c.repository_id == bindparam("repository"), chart_versions.c.filename == bindparam("file"))
_RIVAL = tuple(chart_versions.c[name] for name in ("name", "version", "digest", "size", "filename"))
# Two look-ups by index; one with OR would let SQLite choose a scan.
_FIND_RIVALS = Statement(union_all(select(*_RIVAL).where(_EXACT), select(*_RIVAL).where(_FILE)))
_FIND_VERSION = select(*_VERSION).where(_EXACT)
_LIST_VERSIONS = select(*_VERSION).where(_MINE).order_by(chart_versions.c.sort_key.desc())
_LIST_ENTRIES = select(chart_versions.c.entry, chart_versions.c.sort_key).where(_MINE)
_INSERT_VERSION = Statement(insert(chart_versions), ["repository_id", *VersionRow.__slots__])
_DELETE_VERSION = Statement(delete(chart_versions).where(_EXACT))
_CHART = and_(charts.c.repository_id == bindparam("repository"), charts.c.name == bindparam("chart"))
_UPDATE_CHART = update(charts).where(_CHART)
# Postgres's form, which SQLite (3.24) has too.
_NEW_CHART = postgresql.insert(charts)
_SHOWN_IF_NEWER = {
    slot: case(
        (or_(charts.c.versions == 0, _NEW_CHART.excluded["rank"] >= charts.c.rank), _NEW_CHART.excluded[slot]),
        else_=charts.c[slot],
    )
    for slot in Summary.__slots__
}
_PUT_CHART = Statement(
    _NEW_CHART.on_conflict_do_update(
        index_elements=["repository_id", "name"],
        set_={
            "revision": _NEW_CHART.excluded.revision,
            "versions": charts.c.versions + bindparam("added"),
            **_SHOWN_IF_NEWER,
        },
    ),
    ["repository_id", "name", "revision", "versions", *Summary.__slots__],
)
_KEEP_BLOB = Statement(
    postgresql.insert(blobs).on_conflict_do_update(index_elements=["digest"], set_={"condemned": null()}),
    ["digest", "size"],
)
_FIND_ARCHIVE = Statement(select(chart_versions.c.digest, chart_versions.c.size).where(_FILE))
_FIND_PROVENANCE = Statement(
    select(provenances.c.digest, provenances.c.size).where(
        provenances.c.repository_id == bindparam("repository"), provenances.c.filename == bindparam("file")
    )
)


def render_version_put(row: VersionRow) -> bytes:
    """Answer the ledger line that puts this row."""
    facts = {"chart": row.name, "version": row.version, "filename": row.filename, "digest": row.digest}
    return render_entry_change({**facts, "size": row.size, "created": row.created, "origin": row.origin}, row.entry)


def find_rivals(connection: Connection, repository_id: int, name: str, version: str, *, filename: str) -> Rivals:
    """Answer what stands in the way of a chart version with this file name."""
    same, other, same_filename = None, None, ""
    values = {"repository": repository_id, "chart": name, "wanted": version, "file": filename}
    for found, its_version, digest, size, its_filename in _FIND_RIVALS.run(connection, **values).fetchall():
        if (found, its_version) == (name, version):
            same, same_filename = BlobFacts(digest, size), its_filename
        else:
            other = (found, its_version)
    return Rivals(same, other, same_filename)


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
    row = _FIND_ARCHIVE.run(connection, repository=repository_id, file=filename).fetchone()
    return BlobFacts(*row) if row else None


def find_chart_of(connection: Connection, repository_id: int, filename: str) -> tuple[str, str] | None:
    """Answer whose archive has this file name: chart and version."""
    query = select(chart_versions.c.name, chart_versions.c.version).where(_FILE)
    row = connection.execute(query, {"repository": repository_id, "file": filename}).one_or_none()
    return (row.name, row.version) if row else None


def find_provenance(connection: Connection, repository_id: int, filename: str) -> BlobFacts | None:
    """Answer which bytes the provenance file of the archive with this file name has."""
    row = _FIND_PROVENANCE.run(connection, repository=repository_id, file=filename).fetchone()
    return BlobFacts(*row) if row else None


def count_objects(connection: Connection, repository_id: int) -> int:
    """Answer how many archives and provenance files a repository holds."""
    archives = select(func.count()).select_from(chart_versions).where(chart_versions.c.repository_id == repository_id)
    signed = select(func.count()).select_from(provenances).where(provenances.c.repository_id == repository_id)
    return int(connection.scalar(archives) or 0) + int(connection.scalar(signed) or 0)


def put_version(transaction: Transaction, repository_id: int, row: VersionRow, shown: Summary) -> None:
    """Insert a version, or replace the one with its name and version; note the change on its chart.

    `shown` becomes what search shows of the chart unless a version of higher rank is shown.
    """
    connection = transaction.connection
    deleted = _DELETE_VERSION.run(connection, repository=repository_id, chart=row.name, wanted=row.version).rowcount
    columns = {name: getattr(row, name) for name in VersionRow.__slots__}
    _INSERT_VERSION.run(connection, repository_id=repository_id, **columns)
    _KEEP_BLOB.run(connection, digest=row.digest, size=row.size)
    facts = {slot: getattr(shown, slot) for slot in Summary.__slots__}
    _PUT_CHART.run(
        connection,
        repository_id=repository_id,
        name=row.name,
        revision=transaction.revision,
        versions=1,
        added=1 - deleted,
        **facts,
    )


def remove_version(transaction: Transaction, repository_id: int, name: str, version: str) -> None:
    """Remove a version; its chart shows the newest of the rest, or is empty."""
    connection = transaction.connection
    chart = {"repository": repository_id, "chart": name}
    _DELETE_VERSION.run(connection, **chart, wanted=version)
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


def put_provenance(
    transaction: Transaction, repository_id: int, filename: str, facts: BlobFacts, *, created: int | None = None
) -> None:
    """Insert or replace the provenance file that belongs to the archive called `filename`; it is created now."""
    remove_provenance(transaction, repository_id, filename)
    created = transaction.now if created is None else created
    values = {"digest": facts.digest, "size": facts.size, "created": created}
    row = {"repository_id": repository_id, "filename": filename, **values}
    transaction.connection.execute(insert(provenances), row)
    _KEEP_BLOB.run(transaction.connection, digest=facts.digest, size=facts.size)


def remove_provenance(transaction: Transaction, repository_id: int, filename: str) -> bool:
    """Remove a provenance file; answer whether it was there."""
    mine = and_(provenances.c.repository_id == repository_id, provenances.c.filename == filename)
    return transaction.connection.execute(delete(provenances).where(mine)).rowcount > 0


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
