"""The stores that both sides work on: made once by the other checkout's commands, then copied for each side.

A newer checkout opens an older store, so the other checkout should be the older one.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.load.against.checkout import Checkout, Store
from tests.load.generated import make_archive, make_tiny_archive, name_chart
from tests.needs import find_postgres
from tests.postgres import PostgresServer, postgres_server

_PER_CHART = 10
# Tests need no durable Postgres; what a durable upload costs does. The log names the database of each line.
_POSTGRES = ("fsync=on", "full_page_writes=on", "autovacuum=on", "log_line_prefix=%d ")


class UnavailableError(Exception):
    """A program that a row needs is not installed."""


class Stores:
    """Makes and copies stores below `folder`; with `kept`, a folder, large ones are kept there for the next run."""

    def __init__(self, maker: Checkout, folder: Path, kept: Path | None, say: Callable[[str], None]) -> None:
        self._maker = maker
        self._folder = folder
        self._kept = kept or folder
        self._say = say
        self._running = ExitStack()
        self._postgres: PostgresServer | None = None
        self.on_folder = cache(self._copy)
        self.on_postgres = cache(self._copy_to_postgres)
        self._filled = cache(self._fill)
        self._filled_postgres = cache(self._fill_postgres)

    def close(self) -> None:
        """End what runs. Remaining files go with the folder."""
        self._running.close()

    def make_folder(self) -> Path:
        """Return a new empty folder."""
        return Path(tempfile.mkdtemp(dir=self._folder))

    def postgres(self) -> PostgresServer:
        """Return a durable Postgres server of this run. Raises UnavailableError."""
        if self._postgres is None:
            try:
                self._postgres = self._running.enter_context(postgres_server(*_POSTGRES))
            except pytest.skip.Exception as error:
                raise UnavailableError("PostgreSQL's server is not installed") from error
        return self._postgres

    def create_database(self, *, template: str = "template1") -> str:
        """Make a database, empty or a copy of another, and return its name."""
        name = f"bench_{uuid.uuid4().hex}"
        with self.postgres().connect() as connection:
            command = "CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY"
            connection.execute(sql.SQL(command).format(sql.Identifier(name), sql.Identifier(template)))
        return name

    def connect(self) -> psycopg.Connection[object]:
        """Connect to the Postgres server."""
        return self.postgres().connect()

    def _copy(self, side: str, versions: int, *, size: int = 0) -> Store:
        """Return one side's folder store with so many versions, on SQLite."""
        folder = self.make_folder()
        shutil.copytree(self._filled(versions, size), folder, dirs_exist_ok=True)
        return Store(str(folder))

    def _copy_to_postgres(self, side: str, versions: int) -> Store:
        """Return one side's folder store with so many versions, on Postgres."""
        filled, database = self._filled_postgres(versions)
        folder = self.make_folder()
        shutil.copytree(filled, folder, dirs_exist_ok=True)
        return Store(str(folder), self.postgres().url(self.create_database(template=database)))

    def _fill(self, versions: int, size: int) -> Path:
        """Return a folder store with so many versions; their archives have `size` bytes, or only a Chart.yaml."""
        kept = self._kept / f"{self._maker.commit()}-{versions}-{size}"
        if not kept.exists():
            self._say(f"  importing {versions:,} versions with the other checkout")
            with _unfinished(kept) as made:
                self._import(versions, size, Store(str(made)))
        return kept

    def _fill_postgres(self, versions: int) -> tuple[Path, str]:
        """Return a folder store, and its database on Postgres; the database is kept as a dump."""
        database = self.create_database()
        url = self.postgres().url(database)
        kept = self._kept / f"{self._maker.commit()}-{versions}-postgres"
        if kept.exists():
            subprocess.run([find_postgres("pg_restore"), "--dbname", url, kept / "dump"], check=True)
        else:
            self._say(f"  importing {versions:,} versions with the other checkout, on Postgres")
            with self.connect() as connection:  # copies do not inherit it
                name = sql.Identifier(database)
                connection.execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(name))
            with _unfinished(kept) as made:
                self._import(versions, 0, Store(str(made / "store"), url))
                command = [find_postgres("pg_dump"), "--format=custom", "--dbname", url, "--file", made / "dump"]
                subprocess.run([*map(str, command)], check=True)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
        return kept / "store", database

    def _import(self, versions: int, size: int, store: Store) -> None:
        """Let the other checkout import so many archives, which are made first."""
        with tempfile.TemporaryDirectory(dir=self._folder) as source:
            _write_archives(Path(source), versions, size)
            self._maker.run("import", source, store=store)


@contextmanager
def _unfinished(folder: Path) -> Iterator[Path]:
    """Make a folder under another name; it gets its own when the block has ended well."""
    made = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    yield made
    made.rename(folder)


def _write_archives(folder: Path, count: int, size: int) -> None:
    for name, archive in _make_archives(count, size):
        (folder / name).write_bytes(archive)


def _make_archives(count: int, size: int) -> Iterator[tuple[str, bytes]]:
    """Yield file names and archives: ten versions of each chart."""
    charts = max(1, count // _PER_CHART)
    for at in range(count):
        number, version = at % charts, f"1.{at // charts}.0"
        archive = make_archive(number, version, size=size) if size else make_tiny_archive(number, version)
        yield f"{name_chart(number)}-{version}.tgz", archive
