"""The database itself: connections, reads, and the one writer. No statement about charts lives here.

Reads run inline on SQLite (10 us; a thread hop would cost 300) and in threads on Postgres. Writes go through
one thread that commits together what has gathered (group commit): each piece of work has its own savepoint,
so that a conflict in one spoils no other, and all share one sync: that of the storage behind it. Blobs and ledger
segments are durable before the database commits, which syncs nothing: after a crash it is replayed from the ledger.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine, make_url

from app.db.engine import divide, make_engine
from app.db.failures import is_over, translate, translated_errors
from app.db.marker import FileMarker, Marker, RowMarker
from app.db.transaction import Transaction
from app.db.wal_index import WalIndex
from app.errors import AppError, Kind
from storage import Objects

T = TypeVar("T")

_LAPSED = "the right to write has ended before it was renewed; nothing was stored; try again"

_MAY_BE_STORED = "the change may be stored: storage did not say, or the database did not; look before repeating"

GROUP = 64
"""Pieces of work that share a commit, at most: 64 publishes take about 30 ms, and nobody waits longer."""

CLOSE_SECONDS = 5.0
"""How long the end of a process waits for the transaction that runs, and for reads in threads."""

_LOOK_SECONDS = 30.0
"""How long a writer that stood still waits to learn what others made of its segments."""

GATHER_SECONDS = 0.002
"""How long a commit waits for writes that were announced; as Postgres's commit_delay: a wait that saves a sync."""


class Sink(Protocol):
    """What makes a commit durable before it is committed; both block. `storage.Storage` is one."""

    def write_batch(self, blobs: Objects, records: Objects) -> None:
        """Write objects (key and bytes), durably. Raises StorageError."""
        ...

    def discard(self, keys: Sequence[str]) -> None:
        """Remove records of a batch that failed. Raises StorageError: they may be there."""
        ...


@dataclass(slots=True)
class _Job:
    work: Callable[[Transaction], Any]
    blobs: Objects
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    error: BaseException | None = None
    result: Any = None
    has_changes: bool = False


async def _list_none(_records: Objects) -> Collection[str]:
    return ()


class Database:
    """One engine, one writer thread. `start` before use, `close` at the end.

    `may_write` is asked before segments are stored and after. Where it says no then, `list_followed` returns the keys
    of those that another catalogue has read and written after: they stay, though this commit fails.
    """

    def __init__(self, url: str, sink: Sink | None = None) -> None:
        parsed = make_url(url)
        self.inline = parsed.get_backend_name() == "sqlite"
        self.engine = make_engine(url)
        self._reading, self._writing = divide(self.engine)
        self._sink = sink
        self._marker = _make_marker(self.engine) if sink is not None else None
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._coming = 0
        self.may_write: Callable[[], bool] = lambda: True
        self.list_followed: Callable[[Objects], Awaitable[Collection[str]]] = _list_none
        self._writer: threading.Thread | None = None
        self._ended = threading.Condition()
        self._running = 0  # reads in threads
        self._reader: Connection | None = None
        self._driver: Any = None
        self._cursor: Any = None
        self._shared: WalIndex | None = None
        self._header = b""
        self._version = -1

    def start(self) -> None:
        """Start the writer thread."""
        self._writer = threading.Thread(target=self._write_forever, name="writer", daemon=True)
        self._writer.start()

    def close(self) -> None:
        """Finish what was handed to the writer, then let go of every connection.

        A transaction that takes longer than `CLOSE_SECONDS` (a large snapshot that is restored at the start) ends with
        the process, and is undone.
        """
        if self._writer is not None:
            self._jobs.put(None)
            self._writer.join(CLOSE_SECONDS)
            self._writer = None
        with self._ended:  # whoever waited for such a read may be gone, and its connection must come back first
            self._ended.wait_for(lambda: not self._running, CLOSE_SECONDS)
        if self._reader is not None:
            self._reader.close()
            self._reader = self._cursor = None
        if self._marker is not None:
            self._marker.close()
        self.engine.dispose()
        if self._shared is not None:
            self._shared.close()
            self._shared = None

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one read snapshot: inline on SQLite, in a thread on Postgres."""
        if self.inline:
            return self.read_inline(work)
        return await self.read_in_thread(work)

    async def read_in_thread(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which takes longer than the event loop may wait, in one snapshot in a thread."""
        return await asyncio.to_thread(self.read_now, work)

    def read_inline(self, work: Callable[[Connection], T]) -> T:
        """Run short `work` on the event loop's own SQLite connection."""
        with translated_errors():
            reader, driver = self._get_reader()
            # Plain calls of the driver: SQLAlchemy's own transaction would cost more than most reads.
            driver.execute("BEGIN")
            try:
                return work(reader)
            finally:
                if reader.in_transaction():
                    reader.rollback()
                elif driver.in_transaction:  # SQLite ends it by itself when the disk fails
                    driver.execute("ROLLBACK")

    def _get_reader(self) -> tuple[Connection, Any]:
        if self._reader is None:
            self._reader = self.engine.connect()
            self._driver = self._reader.connection.driver_connection
        return self._reader, self._driver

    def read_now(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one snapshot on this thread."""
        with self._ended:
            self._running += 1
        try:
            with translated_errors(), self._reading.connect() as connection, connection.begin():
                return work(connection)
        finally:
            with self._ended:
                self._running -= 1
                self._ended.notify_all()

    def data_version(self) -> int:
        """Answer a number that changes with every commit of any process (SQLite only, 4 us, mostly 0.2).

        https://www.sqlite.org/pragma.html#pragma_data_version: asked on one connection that never writes. It need not
        be asked while the header of the WAL index is what it was before the last answer: every commit and every reset
        of the log writes it.
        """
        if self._shared is not None:
            header = self._shared.read()
            if header == self._header:
                return self._version
            self._header = header  # read before the question: a commit between the two changes it again
        with translated_errors():
            if self._cursor is None:
                self._cursor = self._get_reader()[1].cursor()
            self._version = self._cursor.execute("PRAGMA data_version").fetchone()[0]
        if self._shared is None:
            self._shared = self._map_shared()
        return self._version

    def _map_shared(self) -> WalIndex | None:
        """Map the WAL index, which stays the same file while our own connection is open; None where that fails."""
        try:
            return WalIndex(self.engine.url.database or "")
        except (OSError, ValueError):
            return None

    def announce(self) -> None:
        """Say that a write will come soon; `arrive` says that it comes now, or not at all."""
        self._coming += 1

    def arrive(self) -> None:
        """Take back an `announce`."""
        self._coming -= 1

    async def write(self, work: Callable[[Transaction], T], *, blobs: Objects = ()) -> T:
        """Run `work` in the writer's next transaction; return its result when it is durable and committed.

        `blobs` (key and bytes) are stored with it if it records a change. An exception of `work` undoes that work alone
        and is raised here. Raises StorageError; AppError UNAVAILABLE when the database is locked, FULL when its disk
        is; UNAVAILABLE with "may be stored" where it is not known whether the change is stored.
        """
        if self._writer is None:
            raise AppError(Kind.UNAVAILABLE, "the server is shutting down; try again", retry_after=5)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(work, blobs, loop, future))
        return await future

    def _write_forever(self) -> None:
        while (job := self._jobs.get()) is not None:
            group, last = self._gather(job)
            self._commit(group)
            if last:
                return

    def _gather(self, first: _Job) -> tuple[list[_Job], bool]:
        group = [first]
        deadline = time.monotonic() + GATHER_SECONDS
        while len(group) < GROUP:
            rest = deadline - time.monotonic() if self._coming > 0 else 0
            try:
                job = self._jobs.get(timeout=rest) if rest > 0 else self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return group, True
            group.append(job)
        return group, False

    def _commit(self, group: list[_Job]) -> None:
        noted: list[str] = []
        try:
            with translated_errors(), self._writing.connect() as connection:
                self._run_group(connection, group, noted)
        except Exception as error:  # the commit failed: of the whole group nothing is stored
            reason = self._take_back(noted, error) if noted else error
            for job in group:
                job.error = job.error or reason
        for loop in {job.loop for job in group}:
            loop.call_soon_threadsafe(_resolve_all, [job for job in group if job.loop is loop])

    def _run_group(self, connection: Connection, group: list[_Job], noted: list[str]) -> None:
        """Run a group in one transaction; `noted` gets the keys of its segments before they are stored."""
        with connection.begin():
            transaction = Transaction(connection, 0)
            if self._marker is not None:
                self._discard_left(connection, transaction.revision - 1, self._marker)
            transaction.now = time.time_ns()  # after the wait for our turn: times grow as revisions do
            for job in group:
                self._run_job(transaction, job)
            records = transaction.finish()
            if records:
                self._store(connection, transaction.revision, group, records, noted)
        if records and self._marker is not None:
            self._marker.clear()

    def _store(
        self, connection: Connection, revision: int, group: list[_Job], records: Objects, noted: list[str]
    ) -> None:
        """Make the group's blobs and segments durable. Raises StorageError."""
        if self._sink is None or self._marker is None:
            raise AssertionError("changes were recorded in a database that has no storage behind it")
        if not self.may_write():  # it was asked when the requests came, and this process may have stood still since
            raise AppError(Kind.UNAVAILABLE, _LAPSED, retry_after=10)
        keys = [key for key, _ in records]
        noted += keys
        self._marker.note(revision, keys)
        blobs = {key: content for job in group if job.has_changes for key, content in job.blobs}
        try:
            self._sink.write_batch(list(blobs.items()), records)
            if not self.may_write():
                raise may_be_stored(AppError(Kind.UNAVAILABLE, _LAPSED))
            self._marker.clear_in(connection)  # fails where the server has ended the session, and its lock, meanwhile
        except Exception:
            # Here, not after the rollback: another process's transaction would come between.
            followed = () if self.may_write() else self._ask_who_follows(group[0].loop, records)
            self._sink.discard([key for key in keys if key not in followed])
            self._marker.note(revision, [])
            noted.clear()
            raise

    def _ask_who_follows(self, loop: asyncio.AbstractEventLoop, records: Objects) -> Collection[str]:
        """Return the keys of those segments that another catalogue went on from while this process stood still."""

        async def ask() -> Collection[str]:
            return await self.list_followed(records)

        return asyncio.run_coroutine_threadsafe(ask(), loop).result(_LOOK_SECONDS)

    def _discard_left(self, connection: Connection, revision: int, marker: Marker) -> bool:
        """Remove the segments of a commit that was under way when its process ended: it was never acknowledged.

        Return whether there were some, and they are gone. Not where another catalogue writes the ledger now: it may
        have gone on from them.
        """
        left = marker.find(connection, revision)
        if not left or not self.may_write():
            return False
        assert self._sink is not None
        self._sink.discard(left)
        marker.note(revision, [])
        return True

    def _take_back(self, noted: list[str], error: Exception) -> Exception:
        """Remove the segments of a commit that failed; return the error that says what is stored.

        The next transaction tries it again where it fails now: nothing is committed before.
        """
        assert self._marker is not None
        try:
            with translated_errors(), self._writing.connect() as connection, connection.begin():
                revision = Transaction(connection, 0).revision - 1
                is_gone = self._discard_left(connection, revision, self._marker)
        except Exception:
            is_gone = False
        return error if is_gone else may_be_stored(error)

    @staticmethod
    def _run_job(transaction: Transaction, job: _Job) -> None:
        try:
            before = transaction.changes
            with transaction.savepoint():
                job.result = job.work(transaction)
            job.has_changes = transaction.changes > before
        except Exception as error:
            # A full disk or a lost connection ends the whole transaction, not the savepoint: whoever went on in it
            # would commit without a revision. Then every job of the group gets this error.
            if (ours := translate(error)) is not None:
                raise ours from error
            if is_over(transaction.connection):
                raise
            job.error = error


def may_be_stored(cause: Exception) -> AppError:
    """Return the error for a change of which nobody can tell yet whether it is stored."""
    error = AppError(Kind.UNAVAILABLE, _MAY_BE_STORED, retry_after=10)
    error.__cause__ = cause
    return error


def _make_marker(engine: Engine) -> Marker:
    if engine.dialect.name == "sqlite":
        return FileMarker(Path(f"{engine.url.database}-pending"))
    return RowMarker(engine)


def _resolve_all(group: list[_Job]) -> None:
    for job in group:
        if job.future.cancelled():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)
