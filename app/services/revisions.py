"""Is what we hold in memory current? Asked for every read, so that a read after another process's 201 sees the commit.

On SQLite the question costs next to nothing. On Postgres it is a way there and back, shared by all who wait.
"""

from __future__ import annotations

import asyncio

from sqlalchemy import Connection

from app.db import repositories
from app.db.repositories import RepositoryRow
from app.db.session import Database


class Revisions:
    """Which repositories exist and which commit changed each last."""

    def __init__(self, database: Database) -> None:
        self.known: dict[str, RepositoryRow] = {}
        self.identity = ""
        self.changes = 0  # how often `known` was made current
        self._database = database
        self._newest = -1
        self._data_version = -1
        self._pending: asyncio.Task[None] | None = None

    def check_inline(self) -> None:
        """Make `known` current, on SQLite: 0.3 us when nothing changed."""
        version = self._database.data_version()
        if version != self._data_version:
            self._database.read_inline(self._load)
            self._data_version = version
            self.changes += 1

    async def check(self) -> None:
        """Make `known` current, on any database. Callers that wait share one question."""
        if self._database.inline:
            self.check_inline()
            return
        # A question that is already on its way may have been answered before this caller's commit: ask after it.
        running = self._pending
        if running is not None:
            await asyncio.wait([running])
        if self._pending is None or self._pending is running:
            self._pending = asyncio.create_task(self._ask())
        await asyncio.shield(self._pending)

    async def _ask(self) -> None:
        await self._database.read_in_thread(self._load)

    def _load(self, connection: Connection) -> None:
        identity, newest = repositories.get_newest(connection)
        if identity != self.identity:  # first time, or the database was rebuilt
            # At one moment: this may be a thread, and meanwhile others must not find every repository unknown.
            known = {row.path: row for row in repositories.list_since(connection, -1)}
            self.known, self.identity, self._newest = known, identity, newest
            return
        if newest == self._newest:
            return
        for row in repositories.list_since(connection, self._newest):
            self.known[row.path] = row
        self._newest = newest
