"""The database's floor plan, version by version. `upgrade` lays it; the tables themselves are in `app/db/tables.py`.

A server that finds the newest version already there does not even import Alembic.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text

HEAD = "0005"
"""The newest version; a test holds it against the files."""

_LOCK = 0x43686172  # of Postgres's advisory locks: "Char"


def is_current(url: str) -> bool:
    """Answer whether the database at `url` exists and has the newest version."""
    database = make_url(url).database
    if make_url(url).get_backend_name() == "sqlite" and not Path(database or "").exists():
        return False
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return _get_version(connection) == HEAD
    finally:
        engine.dispose()


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database at `url` to `revision`; processes that start together take turns."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    engine = _create_engine(url)
    try:
        with _only_one(url), engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    finally:
        engine.dispose()


def _create_engine(url: str) -> Engine:
    """Answer an engine on which an upgrade is whole or absent, tables included."""
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _configure(driver: Any, _record: object) -> None:
            driver.isolation_level = None  # Python's own BEGIN comes only before rows, not before tables
            # Kept in the file: two servers that start at once need not both switch, for which nobody waits.
            driver.execute("PRAGMA journal_mode=WAL")

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _get_version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


@contextlib.contextmanager
def _only_one(url: str) -> Iterator[None]:
    """Hold a lock file beside a SQLite database; Postgres has its own lock."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        yield
        return
    path = Path(parsed.database)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
