"""Statements that find charts by their words. Charts whose versions were all deleted are not there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, Select, and_, func, select, tuple_

from app.db.tables import chart_versions, charts, repositories

_CHUNK = 200  # charts asked for in one statement: 400 bound values


class Match(NamedTuple):
    """A chart that matches: enough to rank it."""

    repository_id: int
    repository: str
    name: str
    description: str
    deprecated: bool
    words: str


class Found(NamedTuple):
    """A chart as search shows it: where it is, and the entry of its newest stable version."""

    repository: str
    name: str
    version: str
    app_version: str
    description: str
    deprecated: bool
    entry: bytes


_SHOWN = (
    repositories.c.path, charts.c.name, charts.c.version, charts.c.app_version, charts.c.description,
    charts.c.deprecated, chart_versions.c.entry,
)  # fmt: skip
_ORDER = (charts.c.name, repositories.c.path)


def count_charts(connection: Connection) -> int:
    """Answer how many charts there are in all repositories."""
    return int(connection.scalar(select(func.count()).select_from(charts).where(charts.c.versions > 0)) or 0)


def list_charts(connection: Connection, offset: int, limit: int | None) -> list[Found]:
    """Answer a page of all charts, by name."""
    return [Found._make(row) for row in connection.execute(_shown().order_by(*_ORDER).offset(offset).limit(limit))]


def match_charts(connection: Connection, words: Sequence[str]) -> list[Match]:
    """Answer every chart whose name, keywords or description hold all the words (lower case), by name."""
    query = (
        select(
            charts.c.repository_id, repositories.c.path, charts.c.name, charts.c.description, charts.c.deprecated,
            charts.c.words,
        )
        .join(repositories, repositories.c.id == charts.c.repository_id)
        .where(charts.c.versions > 0, *(charts.c.words.contains(word, autoescape=True) for word in words))
        .order_by(*_ORDER)
    )  # fmt: skip
    return [Match._make(row) for row in connection.execute(query)]


def load_charts(connection: Connection, matches: Sequence[Match]) -> list[Found]:
    """Answer these charts as search shows them, in this order."""
    found: dict[tuple[str, str], Found] = {}
    key = tuple_(charts.c.repository_id, charts.c.name)
    for start in range(0, len(matches), _CHUNK):
        wanted = [(match.repository_id, match.name) for match in matches[start : start + _CHUNK]]
        for row in connection.execute(_shown().where(key.in_(wanted))):
            found[row.path, row.name] = Found._make(row)
    return [found[match.repository, match.name] for match in matches if (match.repository, match.name) in found]


def _shown() -> Select[tuple[str, str, str, str, str, bool, bytes]]:
    return (
        select(*_SHOWN)
        .join(repositories, repositories.c.id == charts.c.repository_id)
        .join(chart_versions, and_(
            chart_versions.c.repository_id == charts.c.repository_id,
            chart_versions.c.name == charts.c.name,
            chart_versions.c.version == charts.c.version,
        ))
        .where(charts.c.versions > 0)
    )  # fmt: skip
