"""Statements that go through everything in order, a page at a time: for an export, a check, a comparison.

No statement here changes a row. Text is ordered bytewise on both databases, as Python orders it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, and_, exists, func, literal, not_, select, union

from app.db.artifacts import BLOB
from app.db.charts import BlobFacts, VersionRow
from app.db.repositories import COLUMNS, RepositoryRow
from app.db.tables import blobs, chart_versions, charts, links, provenances, repositories, tags

_PAGE = 1000


class Stored(NamedTuple):
    """One file of a repository as clients know it: its name, which bytes, when it was created (ns)."""

    filename: str
    digest: str
    size: int
    created: int


class Use(NamedTuple):
    """Who needs a blob: the repository, and the file name there."""

    repository: str
    filename: str


class Shown(NamedTuple):
    """What lists and search know of a chart: its name, how many versions it has, which one stands for it (rank)."""

    name: str
    versions: int
    rank: bytes
    version: str


def list_repositories(connection: Connection, below: str = "") -> list[RepositoryRow]:
    """Answer the repository `below` and all under it, by path; "" is all of them."""
    query = select(*COLUMNS).order_by(repositories.c.path)
    rows = (RepositoryRow(*row) for row in connection.execute(query))
    return [row for row in rows if not below or row.path == below or row.path.startswith(f"{below}/")]


def iterate_files(connection: Connection, repository_id: int) -> Iterator[Stored]:
    """Answer every archive and provenance file (`NAME.prov`) of a repository, by file name."""
    archives = select(
        chart_versions.c.filename.label("filename"), chart_versions.c.digest, chart_versions.c.size,
        chart_versions.c.created,
    ).where(chart_versions.c.repository_id == repository_id)  # fmt: skip
    signed = select(
        (provenances.c.filename + literal(".prov")).label("filename"), provenances.c.digest, provenances.c.size,
        provenances.c.created,
    ).where(provenances.c.repository_id == repository_id)  # fmt: skip
    both = archives.union_all(signed).order_by("filename")
    for row in connection.execution_options(yield_per=_PAGE).execute(both):
        yield Stored(*row)


def iterate_versions(connection: Connection, repository_id: int) -> Iterator[VersionRow]:
    """Answer every version of a repository, by name and version."""
    query = select(*(chart_versions.c[name] for name in VersionRow.__slots__))
    query = query.where(chart_versions.c.repository_id == repository_id)
    ordered = query.order_by(chart_versions.c.name, chart_versions.c.version)
    for row in connection.execution_options(yield_per=_PAGE).execute(ordered):
        yield VersionRow(*row)


def list_untagged_versions(connection: Connection) -> list[tuple[str, VersionRow]]:
    """Answer the chart versions without a tag of their own, each with its repository's path; 0.2 s for 100,000."""
    tag = func.replace(chart_versions.c.version, "+", "_")
    mine = and_(
        tags.c.repository_id == chart_versions.c.repository_id, tags.c.name == chart_versions.c.name, tags.c.tag == tag
    )
    columns = [chart_versions.c[name] for name in VersionRow.__slots__]
    query = select(repositories.c.path, *columns).join(
        repositories, repositories.c.id == chart_versions.c.repository_id
    )
    rows = connection.execute(query.where(not_(exists().where(mine))))
    return [(row[0], VersionRow(*row[1:])) for row in rows]


def iterate_provenances(connection: Connection, repository_id: int) -> Iterator[tuple[str, BlobFacts]]:
    """Answer every provenance file of a repository with the archive's name, by that."""
    query = select(provenances.c.filename, provenances.c.digest, provenances.c.size)
    ordered = query.where(provenances.c.repository_id == repository_id).order_by(provenances.c.filename)
    for filename, digest, size in connection.execution_options(yield_per=_PAGE).execute(ordered):
        yield filename, BlobFacts(digest, size)


def iterate_shown(connection: Connection, repository_id: int) -> Iterator[Shown]:
    """Answer what lists show of each chart that has versions, by name."""
    query = select(charts.c.name, charts.c.versions, charts.c.rank, charts.c.version)
    mine = query.where(charts.c.repository_id == repository_id, charts.c.versions > 0).order_by(charts.c.name)
    for row in connection.execution_options(yield_per=_PAGE).execute(mine):
        yield Shown(*row)


def list_blobs_after(connection: Connection, digest: str, *, limit: int = _PAGE) -> list[BlobFacts]:
    """Answer the next blobs that rows name, by digest, each once."""
    parts = [
        select(table.c.digest, table.c.size).where(table.c.digest > digest).order_by(table.c.digest).limit(limit)
        for table in (chart_versions, provenances)
    ]
    linked = select(links.c.digest, blobs.c.size).join(blobs, blobs.c.digest == links.c.digest).distinct()
    in_storage = and_(links.c.kind == BLOB, blobs.c.content.is_(None), links.c.digest > digest)
    parts.append(linked.where(in_storage).order_by(links.c.digest).limit(limit))
    both = union(*(select(part.subquery()) for part in parts)).order_by("digest").limit(limit)
    return [BlobFacts(*row) for row in connection.execute(both)]


def find_named(connection: Connection, digests: Sequence[str]) -> set[str]:
    """Answer which of these blobs a row names."""
    named: set[str] = set()
    for table in (chart_versions, provenances, links):
        named.update(connection.scalars(select(table.c.digest).where(table.c.digest.in_(digests)).distinct()))
    return named


def list_uses(connection: Connection, digest: str) -> list[Use]:
    """Answer every file that has these bytes."""
    uses: list[Use] = []
    for table, ending in ((chart_versions, ""), (provenances, ".prov")):
        query = (
            select(repositories.c.path, table.c.filename)
            .join(repositories, repositories.c.id == table.c.repository_id)
            .where(table.c.digest == digest)
        )
        uses += [Use(path, filename + ending) for path, filename in connection.execute(query)]
    if not uses:  # then it is no chart's file, and its OCI name is what can be said of it
        query = (
            select(repositories.c.path, links.c.name)
            .join(repositories, repositories.c.id == links.c.repository_id)
            .where(links.c.digest == digest)
        )
        uses = [Use(path, name) for path, name in connection.execute(query.distinct())]
    return sorted(uses)
