"""Which ledger segments the commit under way writes: noted before they are stored, cleared once it is committed.

The writer stores segments before it commits. If it ends between the two, the database knows nothing of segments that
are there, and the next commit would have the same revision. So it looks for a note first: on SQLite in a file beside
the database, on Postgres in a row that the commit itself clears.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import orjson
from sqlalchemy import Connection, Engine, bindparam, select
from sqlalchemy.dialects import postgresql

from app.db.statement import Statement
from app.db.tables import pending_commit
from storage import read_boot_id

_GET = Statement(select(pending_commit.c.segments))
_NEW = postgresql.insert(pending_commit).values(id=1, segments=bindparam("noted"))
_SET = Statement(_NEW.on_conflict_do_update(index_elements=["id"], set_={"segments": _NEW.excluded.segments}))


_LONGEST = 1 << 20
"""Bytes of a note that are read: 64 uploads, each into a repository of its own, make 20 KB."""


class Marker(Protocol):
    """The note of one database. All but `note` and `clear` run in the writer's transaction, which excludes others."""

    def find(self, connection: Connection, revision: int) -> list[str]:
        """Return the keys that a commit noted which never came to its end; `revision` is the newest committed one.

        What was noted before this process first looked is left to the replay that follows every start.
        """
        ...

    def note(self, revision: int, keys: Sequence[str]) -> None:
        """Note the keys of the commit that will have this revision, visible to all at once; none clear the note."""
        ...

    def clear_in(self, connection: Connection) -> None:
        """Clear the note together with the transaction, where it can be."""
        ...

    def clear(self) -> None:
        """Clear the note once the transaction is committed, where it was not cleared with it."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


class RowMarker:
    """The note as a row, written by a connection of its own. Unsynced: a database that crashed has no open commit."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._connection: Connection | None = None
        self._inherited: str | None = None

    def find(self, connection: Connection, revision: int) -> list[str]:
        """Return what is noted for a revision that is not committed."""
        row = _GET.run(connection).fetchone()
        text = row[0] if row else ""
        if self._inherited is None:
            self._inherited = text
        if not text or text == self._inherited:
            return []
        noted, *keys = text.split("\n")
        return keys if int(noted) > revision else []

    def note(self, revision: int, keys: Sequence[str]) -> None:
        """Write the row, visible to all hosts at once."""
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
                self._connection.exec_driver_sql("SET synchronous_commit = off")
            _SET.run(self._connection, noted="\n".join([str(revision), *keys]) if keys else "")
        except Exception:
            self.close()
            raise

    def clear_in(self, connection: Connection) -> None:
        """Clear the row in the transaction."""
        _SET.run(connection, noted="")

    def clear(self) -> None:
        """Nothing is left to clear."""

    def close(self) -> None:
        """Let the connection go; it is not given back to others, whose commits are synced."""
        if self._connection is not None:
            with suppress(Exception):
                self._connection.invalidate()
                self._connection.close()
            self._connection = None


class FileMarker:
    """The note as a file beside a SQLite database.

    It is never synced: it is for processes that end while others go on. After a restart of the machine it may be older
    or newer than the database, and is passed over (`boot` differs); the replay of the ledger does the rest.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._boot = read_boot_id()
        self._inherited: bytes | None = None

    def find(self, connection: Connection, revision: int) -> list[str]:
        """Return what is noted for a revision that is not committed."""
        content = os.pread(self._open(), _LONGEST, 0).partition(b"\0")[0]
        if self._inherited is None:
            self._inherited = content
        if not content or content == self._inherited:
            return []
        with suppress(ValueError, KeyError, TypeError):
            noted = orjson.loads(content)
            if noted["boot"] == self._boot and noted["revision"] > revision:
                return [str(key) for key in noted["keys"]]
        return []

    def note(self, revision: int, keys: Sequence[str]) -> None:
        """Write the file."""
        content = orjson.dumps({"boot": self._boot, "revision": revision, "keys": list(keys)})
        os.pwrite(self._open(), content + b"\0", 0)

    def clear_in(self, connection: Connection) -> None:
        """Do nothing: a file is no part of a transaction."""

    def clear(self) -> None:
        """Make the file say nothing; shortening it would cost more than a write."""
        os.pwrite(self._open(), b"\0", 0)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        return self._descriptor
