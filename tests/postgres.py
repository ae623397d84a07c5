"""A PostgreSQL server for tests: its own data folder, a Unix socket only, ended by its handle.

One server serves the whole session; each test gets a database of its own, whose locale does not sort bytewise, as
most databases' does not.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

import migrations
from tests.needs import find_postgres

_START_SECONDS = 30.0
_FLOOR = "floor"  # a database with all tables and no rows: copying it takes a tenth of migrating
_SETTINGS = (
    "listen_addresses=", "fsync=off", "full_page_writes=off", "max_connections=100", "shared_buffers=32MB",
    "autovacuum=off",
)  # fmt: skip


@dataclass(frozen=True)
class PostgresServer:
    """A running server; `folder` holds its socket."""

    folder: Path
    user: str

    def url(self, database: str) -> str:
        """Answer the URL of a database, as the setting takes it."""
        return f"postgresql://{self.user}@/{database}?host={self.folder}"

    def create(self, *, empty: bool = False) -> str:
        """Make a database with all tables, or with none, and answer its name."""
        name = f"test_{uuid.uuid4().hex}"
        command = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
            sql.Identifier(name), sql.Identifier("template1" if empty else _FLOOR)
        )
        self._execute(command)
        return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever still uses it."""
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def lay_floor(self) -> None:
        """Make the database that others are copied from."""
        self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_FLOOR)))
        migrations.upgrade(driver_url(self.url(_FLOOR)))

    def _execute(self, command: sql.Composed) -> None:
        with self.connect() as connection:
            connection.execute(command)

    def connect(self) -> psycopg.Connection[Any]:
        """Connect to the database that every server has."""
        return psycopg.connect(host=str(self.folder), user=self.user, dbname="postgres", autocommit=True)


def driver_url(url: str) -> str:
    """Answer the same URL as SQLAlchemy takes it."""
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


@contextmanager
def postgres_server(*settings: str) -> Iterator[PostgresServer]:
    """Run a server until the block ends, with settings (name=value) over ours; skip the test if there is none."""
    initdb, program = find_postgres("initdb"), find_postgres("postgres")
    owner = _find_owner()
    folder = Path(tempfile.mkdtemp(prefix="chartroom-pg-"))  # a short path: a socket's ends at 107 bytes
    try:
        if owner:
            os.chown(folder, owner["user"], owner["group"])
        name = pwd.getpwuid(folder.stat().st_uid).pw_name
        data = str(folder / "data")
        command = [
            initdb, "-D", data, "-U", name, "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8",
            "--locale-provider=icu", "--icu-locale=en-US",
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, cwd=folder, **owner)
        server = PostgresServer(folder, name)
        with _running([program, "-D", data, "-k", str(folder)], settings, server, owner):
            server.lay_floor()
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _find_owner() -> dict[str, Any]:
    """Answer as whom to run it: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
    raise RuntimeError("run the tests as somebody else than root, or add a user called postgres")


@contextmanager
def _running(
    command: list[str], settings: Sequence[str], server: PostgresServer, owner: dict[str, Any]
) -> Iterator[None]:
    for setting in (*_SETTINGS, *settings):
        command += ["-c", setting]
    log = server.folder / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, cwd=server.folder, **owner)
    try:
        _wait(process, server, log)
        yield
    finally:
        process.send_signal(signal.SIGINT)  # hang up on everybody, then end
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], server: PostgresServer, log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            server.connect().close()
        except psycopg.OperationalError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"PostgreSQL did not start: {log.read_text(errors='replace')}")
