"""Questions about charts, for the API: lists, pages, versions by constraint, and what an archive holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from sqlalchemy import Connection

from app.db import charts, entries, repositories
from app.db.charts import BlobFacts, VersionRow
from app.db.session import Database
from app.domain import semver
from app.errors import AppError, Kind

T = TypeVar("T")

_LATEST = "latest"


class Page(NamedTuple):
    """A part of the charts, by name: where it starts and how many (None: all the rest)."""

    offset: int = 0
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """Reads what is there; changes nothing."""

    database: Database

    async def list_charts(self, repository: str, page: Page, *, limit: int | None) -> list[tuple[str, list[bytes]]]:
        """Answer a page of charts with their entries, newest first, at most `limit` of each chart."""

        def work(connection: Connection) -> list[tuple[str, list[bytes]]]:
            row = repositories.find(connection, repository)
            if row is None:
                return []
            if page == Page():
                return list(entries.iterate(connection, row.id, limit=limit))
            names = charts.list_names(connection, row.id)[page.offset :]
            if not names:
                return []
            end = None if page.limit is None or page.limit >= len(names) else names[page.limit]
            return list(entries.iterate(connection, row.id, start=names[0], end=end, limit=limit))

        return await self.database.read_in_thread(work)

    async def list_versions(self, repository: str, name: str, *, limit: int | None) -> list[bytes]:
        """Answer the entries of one chart, newest first. Raises AppError NOT_FOUND."""

        def work(connection: Connection) -> list[bytes]:
            row = repositories.find(connection, repository)
            return entries.list_for(connection, row.id, name, limit=limit) if row else []

        found = await self.database.read_in_thread(work)
        if not found:
            raise AppError(Kind.NOT_FOUND, "chart not found")
        return found

    async def get_version(self, repository: str, name: str, wanted: str, *, limit: int | None = None) -> VersionRow:
        """Answer the version that an exact text, a constraint, "latest" or "" means, as Helm's IndexFile.Get does.

        Raises AppError NOT_FOUND in ChartMuseum's words.
        """
        wanted = "" if wanted == _LATEST else wanted

        def find_exact(connection: Connection) -> VersionRow | None:
            row = repositories.find(connection, repository)
            return charts.find_version(connection, row.id, name, wanted) if row else None

        def choose(connection: Connection) -> VersionRow:
            row = repositories.find(connection, repository)
            versions = entries.list_versions(connection, row.id, name, limit=limit) if row else []
            found = charts.find_version(connection, row.id, name, _choose(versions, name, wanted)) if row else None
            if found is None:
                raise AppError(Kind.NOT_FOUND, "no chart name found")
            return found

        if wanted and limit is None and (exact := await self.database.read(find_exact)) is not None:
            return exact
        return await self.database.read_in_thread(choose)


def _choose(versions: list[str], name: str, wanted: str) -> str:
    if not versions:
        raise AppError(Kind.NOT_FOUND, "no chart name found")
    try:
        found = semver.find_version(versions, wanted)
    except ValueError as error:
        raise AppError(Kind.NOT_FOUND, str(error)) from None
    if found is None:
        raise AppError(Kind.NOT_FOUND, f"no chart version found for {name}-{wanted}")
    return found


def blob_of(row: VersionRow) -> BlobFacts:
    """Answer which bytes a version's archive has."""
    return BlobFacts(row.digest, row.size)


async def unpack(content: bytes, read: Callable[[bytes], T]) -> T:
    """Answer what `read` finds in a stored archive, in a thread: it may expand to 100 MiB.

    Raises AppError FAULT if it cannot be read: it could when it was stored.
    """
    try:
        return await asyncio.to_thread(read, content)
    except AppError as error:
        raise AppError(Kind.FAULT, f"the stored archive is damaged; tell the operator ({error.message})") from error
