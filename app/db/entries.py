"""Statements that read index entries: of a span of names, or of one chart."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TypeVar

from sqlalchemy import Connection, Select, select

from app.db.tables import chart_versions as v

T = TypeVar("T")

_BATCH = 1000  # rows fetched at a time: 730 KB of entries


def iterate(
    connection: Connection, repository_id: int, *, start: str = "", end: str | None = None, limit: int | None = None
) -> Iterator[tuple[str, list[bytes]]]:
    """Answer charts with their entries, by name, versions newest first, `limit` of them at most for each chart.

    Names from `start` up to but not including `end`.
    """
    query = select(v.c.name, v.c.entry).where(v.c.repository_id == repository_id, v.c.name >= start)
    query = query.order_by(v.c.name, v.c.sort_key.desc())
    if end is not None:
        query = query.where(v.c.name < end)
    rows = connection.execute(query, execution_options={"yield_per": _BATCH})
    for name, group in groupby(rows, key=lambda row: row[0]):
        entries = [row[1] for row in group]
        yield name, entries[:limit]


def list_for(connection: Connection, repository_id: int, name: str, *, limit: int | None = None) -> list[bytes]:
    """Answer the entries of one chart, newest first, at most `limit`."""
    return list(connection.scalars(_newest_first(select(v.c.entry), repository_id, name, limit)))


def list_versions(connection: Connection, repository_id: int, name: str, *, limit: int | None = None) -> list[str]:
    """Answer the versions of one chart, newest first, at most `limit`."""
    return list(connection.scalars(_newest_first(select(v.c.version), repository_id, name, limit)))


def _newest_first(query: Select[tuple[T]], repository_id: int, name: str, limit: int | None) -> Select[tuple[T]]:
    mine = query.where(v.c.repository_id == repository_id, v.c.name == name)
    return mine.order_by(v.c.sort_key.desc()).limit(limit)
