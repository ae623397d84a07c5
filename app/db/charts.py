"""Statements about chart versions, provenance files and their blobs.

Every function that changes rows takes a Transaction; those that only ask take a connection. Rules (who may
overwrite, how many) are above, in `app/services`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Text,
    and_,
    bindparam,
    case,
    cast,
    delete,
    func,
    insert,
    literal_column,
    null,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql

from app.db.repositories import RepositoryRow
from app.db.statement import ManyRows, Statement
from app.db.tables import blobs, chart_versions, charts, provenances, repositories, tags
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


class Found(NamedTuple):
    """What is there already of what an upload brings.

    `same` is the chart and version itself, `other` another chart (name, version) under the same file name, `tagged` the
    digest that the version's tag names, or "".
    """

    repository: RepositoryRow | None = None
    same: BlobFacts | None = None
    same_filename: str = ""
    other: tuple[str, str] | None = None
    provenance: BlobFacts | None = None
    tagged: str = ""


_VERSION = tuple(chart_versions.c[name] for name in VersionRow.__slots__)
_MINE = and_(chart_versions.c.repository_id == bindparam("repository"), chart_versions.c.name == bindparam("chart"))
_EXACT = and_(_MINE, chart_versions.c.version == bindparam("wanted"))

_FILE = and_(chart_versions.c.repository_id == bindparam("repository"), chart_versions.c.filename == bindparam("file"))
_HOME = repositories.c.path == bindparam("path")
_NO: ColumnElement[int] = literal_column("0")
_NONE: ColumnElement[str] = literal_column("''")


def _in_home(kind: int, table: Any, values: Sequence[Any], *conditions: Any) -> Any:
    """Return a part of the question below: seven columns, of which the first says what kind of row it is."""
    padded = [literal_column(str(kind)), *values, *[_NONE] * (6 - len(values))]
    home = table.join(repositories, repositories.c.id == table.c.repository_id)
    return select(*padded).select_from(home).where(_HOME, *conditions)


_SAME_FILE = (chart_versions.c.size, chart_versions.c.name, chart_versions.c.version, chart_versions.c.digest)
# Look-ups by index, in one question; one with OR would let SQLite choose a scan.
_LOOK_UP = Statement(
    union_all(
        select(
            literal_column("0"), repositories.c.id, repositories.c.commit_id,
            *(cast(repositories.c[name], Text) for name in ("revision", "committed")), _NONE, _NONE,
        ).where(_HOME),
        _in_home(
            1, chart_versions, [*_SAME_FILE, chart_versions.c.filename],
            chart_versions.c.name == bindparam("chart"), chart_versions.c.version == bindparam("wanted"),
        ),
        _in_home(
            1, chart_versions, [*_SAME_FILE, chart_versions.c.filename], chart_versions.c.filename == bindparam("file")
        ),
        _in_home(
            2, provenances, [provenances.c.size, provenances.c.digest], provenances.c.filename == bindparam("file")
        ),
        _in_home(3, tags, [_NO, tags.c.digest], tags.c.name == bindparam("chart"), tags.c.tag == bindparam("tag")),
    )
)  # fmt: skip
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
_KEEP_BLOBS = ManyRows(
    lambda rows: (
        postgresql.insert(blobs)
        .values(rows)
        .on_conflict_do_update(index_elements=["digest"], set_={"condemned": null()})
    ),
    ["digest", "size", "content"],
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


def look_up(connection: Connection, path: str, row: VersionRow, tag: str) -> Found:
    """Return what is there already of a chart version, by one question."""
    values = {"path": path, "chart": row.name, "wanted": row.version, "file": row.filename, "tag": tag}
    found = Found()
    for kind, number, *texts in _LOOK_UP.run(connection, **values).fetchall():
        if kind == 0:
            commit, revision, committed, *_ = texts
            found = found._replace(repository=RepositoryRow(number, path, int(revision), int(committed), commit))
        elif kind == 1 and (texts[0], texts[1]) == (row.name, row.version):
            found = found._replace(same=BlobFacts(texts[2], number), same_filename=texts[3])
        elif kind == 1:
            found = found._replace(other=(texts[0], texts[1]))
        elif kind == 2:
            found = found._replace(provenance=BlobFacts(texts[0], number))
        else:
            found = found._replace(tagged=texts[0])
    return found


def keep_blobs(connection: Connection, facts: Sequence[BlobFacts], contents: Mapping[str, bytes] | None = None) -> None:
    """Note blobs as used; `contents` are those whose bytes lie in the database."""
    rows: list[dict[str, Any]]
    rows = [{"digest": digest, "size": size, "content": None} for digest, size in dict.fromkeys(facts)]
    rows += [{"digest": digest, "size": len(its), "content": its} for digest, its in (contents or {}).items()]
    _KEEP_BLOBS.run(connection, rows)


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


def put_version(
    transaction: Transaction, repository_id: int, row: VersionRow, shown: Summary, *,
    replaces: bool | None = None, contents: Mapping[str, bytes] | None = None,
) -> None:  # fmt: skip
    """Insert a version, or replace the one with its name and version; note the change on its chart.

    `shown` becomes what search shows of the chart unless a version of higher rank is shown. `replaces` says whether the
    version is there already (None: not known), `contents` are blobs beside it whose bytes lie in the database.
    """
    connection, deleted = transaction.connection, 0
    if replaces is not False:
        values = {"repository": repository_id, "chart": row.name, "wanted": row.version}
        deleted = _DELETE_VERSION.run(connection, **values).rowcount
    columns = {name: getattr(row, name) for name in VersionRow.__slots__}
    _INSERT_VERSION.run(connection, repository_id=repository_id, **columns)
    keep_blobs(connection, [BlobFacts(row.digest, row.size)], contents)
    facts = {slot: getattr(shown, slot) for slot in Summary.__slots__}
    place = {"repository_id": repository_id, "name": row.name, "revision": transaction.revision}
    _PUT_CHART.run(connection, **place, versions=1, added=1 - deleted, **facts)


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
    keep_blobs(transaction.connection, [facts])


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
