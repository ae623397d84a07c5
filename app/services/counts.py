"""How much there is: charts and versions of each repository."""

from __future__ import annotations

from dataclasses import dataclass

from app.db import charts
from app.db.session import Database


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts what the catalogue holds."""

    database: Database

    async def count(self) -> list[tuple[str, int, int]]:
        """Answer for each repository its path, its charts and their versions, by path."""
        return await self.database.read_in_thread(charts.count_by_repository)
