"""One commit in the making: its revision, and what it changed in which repository."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from app.db import repositories
from app.db.repositories import RepositoryRow
from app.domain.ledger import Header, render_segment, segment_key


class Transaction:
    """What a piece of work gets: the connection, the revision its rows carry, the time (ns since 1970)."""

    def __init__(self, connection: Connection, now: int) -> None:
        self.connection = connection
        self.revision, self._identity = repositories.next_revision(connection)
        self.now = now
        self._repositories: dict[int, RepositoryRow] = {}
        self._lines: list[tuple[int, bytes]] = []

    @property
    def changes(self) -> int:
        """How many changes were recorded until now."""
        return len(self._lines)

    def record(self, repository: RepositoryRow, line: bytes) -> None:
        """Note one change; the lines of a commit become one ledger segment for each repository."""
        self._repositories.setdefault(repository.id, repository)
        self._lines.append((repository.id, line))

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo the rows and the lines of what runs inside if it raises."""
        mark = len(self._lines)
        cursor = self.connection.connection.cursor()  # SQLAlchemy's own savepoints cost 150 us each
        cursor.execute("SAVEPOINT work")
        try:
            yield
        except BaseException:
            del self._lines[mark:]
            cursor.execute("ROLLBACK TO SAVEPOINT work")
            raise
        finally:
            cursor.execute("RELEASE SAVEPOINT work")

    def finish(self) -> list[tuple[str, bytes]]:
        """Give each changed repository its new revision; return its ledger segment (key and bytes)."""
        segments: dict[int, list[bytes]] = {}
        for repository_id, line in self._lines:
            segments.setdefault(repository_id, []).append(line)
        if not segments:
            return []
        repositories.move_revision(self.connection, self.revision)
        return [self._finish(self._repositories[repository_id], lines) for repository_id, lines in segments.items()]

    def _finish(self, repository: RepositoryRow, lines: list[bytes]) -> tuple[str, bytes]:
        commit = secrets.token_hex(8)
        repositories.touch(self.connection, repository.id, self.revision, self.now, commit)
        header = Header(
            repository.path, self.revision, repository.revision, self._identity, self.now, commit, repository.commit
        )
        content = render_segment(header, lines)
        return segment_key(repository.path, self.revision, self._identity, content), content
