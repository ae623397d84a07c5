"""A lock that one process of a catalogue holds. The system frees it when the process dies: a restart never waits.

On SQLite, whose processes are on one host, it is a lock on a file beside the database (flock); on Postgres an advisory
lock that a transaction of its own holds. The calls block shortly: for threads, on Postgres.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from typing import Protocol

from sqlalchemy import Connection, Engine, text

from app.db.failures import translated_errors

_KEY = 0x43686F70  # of Postgres's advisory locks: "Chop"
_PREPARE = (
    "SET LOCAL idle_in_transaction_session_timeout = 0",
    # A host that is gone must not keep the lock: the server notices after 25 s.
    "SET LOCAL tcp_keepalives_idle = 10",
    "SET LOCAL tcp_keepalives_interval = 5",
    "SET LOCAL tcp_keepalives_count = 3",
)


class Exclusive(Protocol):
    """The lock of a database."""

    def acquire(self) -> bool:
        """Take the lock unless it is held, by this process too; return whether it was taken. Raises AppError."""
        ...

    def keep(self) -> None:
        """Show that the lock is in use, so that no connection falls asleep. Raises AppError when it was lost."""
        ...

    def release(self) -> None:
        """Give the lock back, if it is held."""
        ...


def make_exclusive(engine: Engine) -> Exclusive:
    """Return the lock of a database."""
    return _FileLock(engine.url.database) if engine.dialect.name == "sqlite" else _AdvisoryLock(engine)


class _FileLock:
    def __init__(self, database: str | None) -> None:
        self._path = f"{database}.opening" if database else ""
        self._descriptor = -1
        self._held = False

    def acquire(self) -> bool:
        if self._held:
            return False
        self._held = True
        with contextlib.suppress(OSError):  # without the right to make a file, there is none to write the database
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.release()
        return self._held

    def keep(self) -> None:
        """Nothing can be lost."""

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._held = -1, False


class _AdvisoryLock:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._one_call = threading.Lock()  # a connection is for one thread at a time

    def acquire(self) -> bool:
        with self._one_call:
            return self._connection is None and self._try()

    def keep(self) -> None:
        with self._one_call, translated_errors():
            if self._connection is not None:
                try:
                    self._connection.execute(text("SELECT 1"))
                except BaseException:
                    self._drop()
                    raise
            else:
                self._try()  # it was lost: this process goes on with its work, others should wait for it

    def release(self) -> None:
        with self._one_call:
            self._drop()

    def _try(self) -> bool:
        with translated_errors():
            self._connection = self._engine.connect()
            try:
                for statement in _PREPARE:
                    self._connection.execute(text(statement))
                query = text("SELECT pg_try_advisory_xact_lock(:key)")
                taken = bool(self._connection.scalar(query, {"key": _KEY}))
            except BaseException:
                self._drop()
                raise
        if not taken:
            self._drop()
        return taken

    def _drop(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(Exception):  # the server may be gone, and the lock with it
                self._connection.close()
            self._connection = None
