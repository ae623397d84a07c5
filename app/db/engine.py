"""Engines: how SQLite and Postgres are opened, and how a transaction begins on each."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.pool import QueuePool

BUSY_SECONDS = 5.0
"""How long SQLite waits for another process's commit before it says "database is locked"."""


def make_engine(url: str) -> Engine:
    """Answer the engine for a database; nothing is opened yet."""
    return _sqlite_engine(url) if make_url(url).get_backend_name() == "sqlite" else _postgres_engine(url)


def _sqlite_engine(url: str) -> Engine:
    engine = create_engine(url, poolclass=QueuePool, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _configure(driver: Any, _record: object) -> None:
        driver.isolation_level = None  # we say BEGIN ourselves, so that a read is one snapshot
        # NORMAL: the ledger is what is synced; a power cut takes commits back, and the replay brings them again.
        # 16 MB of log before it is written back: uploads touch the same pages again and again.
        log = ("journal_mode=WAL", "synchronous=NORMAL", "wal_autocheckpoint=4000")
        for pragma in (*log, "foreign_keys=ON", "cache_size=-8192"):
            driver.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A writer takes the lock first: one that upgrades from a read later cannot wait, it fails.
        writes = connection.get_execution_options().get("writes")
        driver = connection.connection.driver_connection
        assert driver is not None
        if not driver.in_transaction:  # an inline read has begun already
            driver.execute("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgres_engine(url: str) -> Engine:
    # A dead connection is noticed before use, so that a database restart costs nobody an error.
    return create_engine(url, pool_pre_ping=True, pool_size=8, max_overflow=8)


def divide(engine: Engine) -> tuple[Engine, Engine]:
    """Answer the engine as readers and as the writer use it."""
    if engine.dialect.name == "sqlite":
        return engine, engine.execution_options(writes=True)
    # A read of several statements sees one commit; a writer that waited for its turn sees what was committed meanwhile.
    reading = engine.execution_options(isolation_level="REPEATABLE READ")
    return reading, engine.execution_options(isolation_level="READ COMMITTED")
