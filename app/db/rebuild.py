"""A catalogue that is made anew: emptied in one transaction on Postgres, or in a file of its own on SQLite.

Which rows come in is not known here. What the ledger cannot tell (which of ChartMuseum's files were taken in) is kept.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import URL, Connection, create_engine, delete, func, insert, inspect, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from app.db import charts as rows
from app.db.failures import translated_errors
from app.db.repositories import RepositoryRow
from app.db.session import Database, T
from app.db.tables import (
    blobs,
    catalogue,
    chart_versions,
    charts,
    links,
    manifests,
    museum_files,
    provenances,
    tags,
    unknown_blobs,
)
from app.db.tables import repositories as repository_rows
from app.db.transaction import Transaction
from app.domain.summary import Summary, summarize
from app.errors import AppError, Kind
from storage import Objects

_PAGE = 1000
_WAIT_SECONDS = 1.0


class Totals(NamedTuple):
    """How much a catalogue holds."""

    repositories: int
    charts: int
    versions: int
    provenances: int


def count_all(connection: Connection) -> Totals:
    """Answer how much there is; charts without versions do not count."""

    def count(query: Any) -> int:
        return int(connection.scalar(query) or 0)

    return Totals(
        count(select(func.count()).select_from(repository_rows)),
        count(select(func.count()).select_from(charts).where(charts.c.versions > 0)),
        count(select(func.count()).select_from(chart_versions)),
        count(select(func.count()).select_from(provenances)),
    )


def empty(connection: Connection) -> None:
    """Remove every row that the ledger brings back, and give the catalogue a new identity.

    What the ledger does not tell stays: what is known of ChartMuseum's files, and the outbox of older versions.
    """
    for table in (tags, links, manifests, charts, chart_versions, provenances, repository_rows, blobs, unknown_blobs):
        connection.execute(delete(table))
    connection.execute(update(catalogue).values(identity=secrets.token_hex(8), revision=0))


def copy_museum_files(source: Connection, target: Connection) -> None:
    """Copy which of ChartMuseum's files were taken in, and whether all were, and the key of tokens."""
    known = {column["name"] for column in inspect(source).get_columns("museum_files")}  # it may be of an older version
    columns = [column for column in museum_files.c if column.name in known]
    for page in source.execute(select(*columns)).mappings().partitions(_PAGE):
        target.execute(insert(museum_files), [dict(row) for row in page])
    known = {column["name"] for column in inspect(source).get_columns("catalogue")}
    kept = [column for column in (catalogue.c.scanned, catalogue.c.token_key) if column.name in known]
    target.execute(update(catalogue).values(dict(source.execute(select(*kept)).mappings().one())))


def recount(transaction: Transaction, repository_id: int, name: str) -> None:
    """Make what lists and search show of a chart agree with its versions."""
    connection = transaction.connection
    versions = rows.list_versions(connection, repository_id, name)
    mine = (charts.c.repository_id == repository_id) & (charts.c.name == name)
    changes: dict[str, object] = {"revision": transaction.revision, "versions": len(versions)}
    if versions:
        newest = max((summarize(row.entry, row.sort_key) for row in versions), key=lambda facts: facts.rank)
        changes |= {slot: getattr(newest, slot) for slot in Summary.__slots__}
        if not connection.execute(update(charts).where(mine).values(changes)).rowcount:
            connection.execute(insert(charts), {"repository_id": repository_id, "name": name, **changes})
    else:
        connection.execute(update(charts).where(mine).values(changes))


class OneTransaction(Database):
    """A database of which everything happens in one transaction: others see all of it after `commit`, or nothing.

    It locks the catalogue at once: commits of other processes wait until this one has ended.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        with translated_errors():
            self.connection = self.engine.connect()

    def commit(self) -> None:
        """Let everybody see it."""
        with translated_errors():
            self.connection.commit()

    def close(self) -> None:
        """Undo what was not committed, and let go of the connection."""
        self.connection.close()
        super().close()

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` inside the transaction."""
        with translated_errors():
            return work(self.connection)

    async def write(self, work: Callable[[Transaction], T], *, blobs: Objects = ()) -> T:
        """Run `work` inside the transaction. It must not record changes of its own."""
        with translated_errors():
            return work(Transaction(self.connection, time.time_ns()))


def is_sound(connection: Connection) -> bool:
    """Return whether SQLite finds every page of this database as it should be."""
    try:
        return bool(connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar_one() == "ok")
    except DBAPIError:
        return False


def list_revisions(connection: Connection) -> list[RepositoryRow]:
    """Return the repositories of a database, of any version of ours, that something was put in, by revision."""
    columns = (
        repository_rows.c.id, repository_rows.c.path, repository_rows.c.revision, repository_rows.c.committed
    )  # fmt: skip
    query = select(*columns).where(repository_rows.c.revision > 0).order_by(repository_rows.c.revision)
    return [RepositoryRow(*row) for row in connection.execute(query)]


def file_url(path: Path) -> str:
    """Answer the URL of a SQLite file."""
    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


@contextmanager
def held_alone(path: Path) -> Iterator[Connection | None]:
    """Hold a SQLite file that nobody else has open, and answer a connection to it; None if it is missing or broken.

    A connection in WAL mode keeps a shared lock for as long as it is open, so that leaving the mode fails while a
    server runs (https://www.sqlite.org/wal.html, "Concurrency"). Raises AppError UNAVAILABLE then.
    """
    if not path.exists():
        yield None
        return
    options = {"timeout": _WAIT_SECONDS, "isolation_level": None, "check_same_thread": False}
    engine = create_engine(file_url(path), poolclass=StaticPool, connect_args=options)
    try:
        yield _take(engine.connect(), path)
    finally:
        engine.dispose()


def _take(connection: Connection, path: Path) -> Connection | None:
    try:
        connection.exec_driver_sql("PRAGMA locking_mode=EXCLUSIVE")
        mode = connection.exec_driver_sql("PRAGMA journal_mode=DELETE").scalar_one()
        if mode == "delete":
            connection.exec_driver_sql("BEGIN EXCLUSIVE")
            connection.execute(select(museum_files.c.key).limit(1)).all()
            connection.execute(select(catalogue.c.scanned)).one()
            return connection
    except DBAPIError as error:
        if "locked" not in str(error.orig):
            return None
    text = f"{path} is in use by another process, a server perhaps; stop it and run this again"
    raise AppError(Kind.UNAVAILABLE, text)
