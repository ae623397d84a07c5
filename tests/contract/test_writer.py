"""The one writer and the reads beside it, on SQLite and on Postgres: group commit, savepoints, revisions, segments."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select, text

from app.db import charts, engine, repositories
from app.db.session import Database
from app.db.tables import chart_versions
from app.db.transaction import Transaction
from app.domain.ledger import Segment, parse_segment_key, read_segment, segment_key
from app.errors import AppError, Kind
from storage import Objects, StorageUnavailable
from storage.memory import MemoryStorage
from tests.contract.catalogue import home_id, in_one_commit, make_row, put


async def list_segments(sink: MemoryStorage) -> list[Segment]:
    """Return the segments in storage, by repository and revision."""
    found = []
    for key in sorted([stat.key async for stat in sink.scan(".chartroom/ledger/")]):
        name = parse_segment_key(key)
        assert name is not None, key
        found.append(read_segment(name, sink.read_now(key, 1 << 20) or b""))
    return found


def list_charts(segment: Segment) -> list[str]:
    return [change["chart"] for change in segment.changes]


async def count_versions(database: Database) -> int:
    query = select(func.count()).select_from(chart_versions)
    return await database.read(lambda connection: connection.scalar(query) or 0)


async def newest(database: Database) -> int:
    return (await database.read(repositories.get_catalogue)).revision


async def test_works_that_wait_together_share_one_commit_and_one_segment_for_each_repository(
    database: Database, sink: MemoryStorage
) -> None:
    works = [put(make_row(version=f"1.{number}.0"), "ab"[number % 2]) for number in range(6)]
    answers = await in_one_commit(database, *works)
    assert answers == [1] * 6
    segments = await list_segments(sink)
    assert [(s.header.repository, s.header.revision, s.header.previous) for s in segments] == [("a", 1, 0), ("b", 1, 0)]
    assert [[change["version"] for change in s.changes] for s in segments] == [
        ["1.0.0", "1.2.0", "1.4.0"], ["1.1.0", "1.3.0", "1.5.0"],
    ]  # fmt: skip
    assert len({s.header.commit for s in segments}) == 2


async def test_a_conflict_in_one_work_spoils_no_other(database: Database, sink: MemoryStorage) -> None:
    clash = make_row("b", filename="a-1.0.0.tgz")
    answers = await in_one_commit(database, put(make_row("a")), put(clash, ""), put(make_row("c")))
    assert (answers[0], answers[2]) == (1, 1)
    assert "IntegrityError" in [kind.__name__ for kind in type(answers[1]).__mro__]
    assert await database.read(lambda c: charts.list_names(c, home_id(c))) == ["a", "c"]
    (segment,) = await list_segments(sink)
    assert list_charts(segment) == ["a", "c"]


async def test_a_work_that_raises_leaves_nothing(database: Database, sink: MemoryStorage) -> None:
    def fail(transaction: Transaction) -> None:
        put(make_row(), "new")(transaction)
        raise AppError(Kind.LIMIT, "full")

    with pytest.raises(AppError, match="full"):
        await database.write(fail, blobs=[(".chartroom/blobs/x", b"x")])
    assert (await count_versions(database), await newest(database)) == (0, 0)
    assert [stat.key async for stat in sink.scan()] == []
    assert await database.read(lambda connection: repositories.find(connection, "new")) is None


async def test_a_work_that_notes_nothing_moves_no_revision_and_stores_nothing(
    database: Database, sink: MemoryStorage
) -> None:
    assert await database.write(lambda transaction: transaction.revision, blobs=[(".chartroom/blobs/x", b"x")]) == 1
    assert await newest(database) == 0
    assert [stat.key async for stat in sink.scan()] == []


async def test_blobs_and_segments_are_stored_before_the_commit(database: Database, sink: MemoryStorage) -> None:
    seen: list[tuple[int, int]] = []
    store = sink.write_batch

    def look(blobs: Objects, records: Objects) -> None:
        store(blobs, records)
        revision = database.read_now(repositories.get_catalogue).revision
        seen.append((len(blobs) + len(records), revision))

    sink.write_batch = look  # type: ignore[method-assign]
    await database.write(put(make_row()), blobs=[(".chartroom/blobs/x", b"x")])
    assert seen == [(2, 0)]
    assert await newest(database) == 1


async def test_what_storage_refuses_is_not_committed_and_is_gone(database: Database, sink: MemoryStorage) -> None:
    store = sink.write_batch

    def refuse(blobs: Objects, records: Objects) -> None:
        store(blobs, records)  # it has them, and says that it does not
        raise StorageUnavailable("no")

    sink.write_batch = refuse  # type: ignore[method-assign]
    with pytest.raises(StorageUnavailable):
        await database.write(put(make_row()))
    assert (await count_versions(database), await newest(database), await list_segments(sink)) == (0, 0, [])
    sink.write_batch = store  # type: ignore[method-assign]
    await database.write(put(make_row()))
    assert [segment.header.revision for segment in await list_segments(sink)] == [1]


async def test_a_segment_that_an_ended_process_left_is_gone_before_the_next_commit(
    database: Database, sink: MemoryStorage, catalogue_url: str
) -> None:
    """It was stored, and its process ended before it could commit; another one goes on."""
    await database.write(put(make_row("a")))
    left = segment_key("", 2, "x", b"left")
    sink.write_batch([], [(left, b"left")])
    ended = Database(catalogue_url, sink)
    assert ended._marker is not None
    ended._marker.note(2, [left])
    ended.close()
    await database.write(put(make_row("b")))
    assert [segment.header.revision for segment in await list_segments(sink)] == [1, 2]
    await database.write(put(make_row("c")))
    assert len(await list_segments(sink)) == 3


async def test_a_savepoint_inside_a_work_undoes_its_own_rows_and_lines_alone(
    database: Database, sink: MemoryStorage
) -> None:
    def work(transaction: Transaction) -> None:
        put(make_row("a"))(transaction)
        with contextlib.suppress(ValueError), transaction.savepoint():
            put(make_row("b"))(transaction)
            raise ValueError("stop")

    await database.write(work)
    assert await database.read(lambda c: charts.list_names(c, home_id(c))) == ["a"]
    (segment,) = await list_segments(sink)
    assert list_charts(segment) == ["a"]


async def test_two_processes_take_turns_and_revisions_only_grow(
    database: Database, sink: MemoryStorage, catalogue_url: str
) -> None:
    other = Database(catalogue_url, sink)
    other.start()
    try:
        writes = [
            (database, other)[number % 2].write(put(make_row(version=f"1.{number}.0"), "xy"[number % 3 % 2]))
            for number in range(60)
        ]
        await asyncio.gather(*writes)
    finally:
        other.close()
    headers = [segment.header for segment in await list_segments(sink)]
    for path in "xy":
        chain = [header for header in headers if header.repository == path]
        assert [header.previous for header in chain] == [0, *(header.revision for header in chain[:-1])]
        assert [header.parent for header in chain] == ["", *(header.commit for header in chain[:-1])]
        assert all(before.committed < after.committed for before, after in pairwise(chain))
    assert await newest(database) == max(header.revision for header in headers)
    assert await count_versions(database) == 60


async def test_a_read_is_one_snapshot(database: Database, sink: MemoryStorage, catalogue_url: str) -> None:
    await database.write(put(make_row("a")))
    other = Database(catalogue_url, sink)
    other.start()

    def look_twice(connection: Connection) -> tuple[int, int]:
        query = select(func.count()).select_from(chart_versions)
        before = connection.scalar(query) or 0
        asyncio.run_coroutine_threadsafe(other.write(put(make_row("b"))), loop).result(10)
        return before, connection.scalar(query) or 0

    loop = asyncio.get_running_loop()
    try:
        assert await database.read_in_thread(look_twice) == (1, 1)
    finally:
        other.close()
    assert await count_versions(database) == 2


async def test_what_was_handed_over_before_closing_is_finished_and_later_writes_are_refused(
    database: Database, sink: MemoryStorage, catalogue_url: str
) -> None:
    closing = Database(catalogue_url, sink)
    closing.start()
    writes = [asyncio.ensure_future(closing.write(put(make_row(version=f"1.{n}.0")))) for n in range(100)]
    await asyncio.sleep(0)
    await asyncio.to_thread(closing.close)
    revisions = await asyncio.gather(*writes)
    assert (revisions[0], revisions) == (1, sorted(revisions))
    assert await count_versions(database) == 100
    with pytest.raises(AppError, match="shutting down"):
        await closing.write(put(make_row()))


async def test_a_writer_that_nobody_waits_for_any_more_goes_on(database: Database) -> None:
    abandoned = asyncio.ensure_future(database.write(put(make_row("a"))))
    await asyncio.sleep(0)
    abandoned.cancel()
    await database.write(put(make_row("b")))
    assert await database.read(lambda c: charts.list_names(c, home_id(c))) == ["a", "b"]


async def test_a_connection_that_breaks_in_the_middle_stores_nobody_of_the_group(postgres_url: str) -> None:
    database = Database(postgres_url.replace("postgresql://", "postgresql+psycopg://"), MemoryStorage())
    database.start()

    def break_off(transaction: Transaction) -> None:
        transaction.connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    try:
        answers = await in_one_commit(database, put(make_row("a")), break_off, put(make_row("b")))
        assert [answer.kind for answer in answers] == [Kind.UNAVAILABLE] * 3
        assert await count_versions(database) == 0
        assert await database.write(put(make_row("c"))) == 1
    finally:
        database.close()


@pytest.fixture
def sqlite_database(sqlite_floor: Path, tmp_path: Path, sink: MemoryStorage) -> Database:
    path = tmp_path / "own.db"
    path.write_bytes(sqlite_floor.read_bytes())
    return Database(f"sqlite:///{path}", sink)


async def test_a_full_disk_in_the_middle_stores_nobody_of_the_group(
    sqlite_database: Database, sink: MemoryStorage
) -> None:
    """SQLite ends the whole transaction then; whoever goes on would commit for himself, without a revision."""
    database = sqlite_database
    database.start()

    def limit(pages: int) -> Callable[[Transaction], None]:
        return lambda transaction: transaction.connection.execute(text(f"PRAGMA max_page_count={pages}")).close()

    big = make_row("big", entry=b'{"name":"big","version":"1.0.0","description":"%b"}' % (b"x" * 400_000))
    try:
        answers = await in_one_commit(
            database, put(make_row("a")), limit(1), put(big), limit(10**6), put(make_row("b"))
        )
        assert [answer.kind for answer in answers] == [Kind.FULL] * 5
        assert (await count_versions(database), await newest(database), await list_segments(sink)) == (0, 0, [])
        await database.write(limit(10**6))
        assert await database.write(put(big)) == 1
    finally:
        database.close()


async def test_a_transaction_that_ends_under_a_work_stores_nobody_of_the_group(
    sqlite_database: Database, sink: MemoryStorage
) -> None:
    """SQLite does so by itself when the disk fails."""
    database = sqlite_database
    database.start()

    def end(transaction: Transaction) -> None:
        driver = transaction.connection.connection.driver_connection
        assert driver is not None
        driver.execute("ROLLBACK")
        raise ValueError("the disk failed")

    try:
        answers = await in_one_commit(database, put(make_row("a")), end, put(make_row("b")))
        assert [isinstance(answer, Exception) for answer in answers] == [True] * 3
        assert (await count_versions(database), await newest(database), await list_segments(sink)) == (0, 0, [])
        assert await database.write(put(make_row("c"))) == 1
    finally:
        database.close()


async def test_a_database_that_another_process_locks_is_unavailable(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.1)
    database = Database(str(sqlite_database.engine.url), MemoryStorage())
    database.start()
    holder = sqlite3.connect(str(database.engine.url.database), isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(AppError, match="locked") as caught:
            await database.write(put(make_row()))
        assert (caught.value.kind, bool(caught.value.retry_after)) == (Kind.UNAVAILABLE, True)
        assert await count_versions(database) == 0  # reads go on
        holder.execute("ROLLBACK")
        assert await database.write(put(make_row())) == 1
    finally:
        holder.close()
        database.close()
        sqlite_database.close()


_TAKE_THE_LOCK = """
import sqlite3, sys
try:
    sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0).execute("BEGIN IMMEDIATE")
except sqlite3.OperationalError as error:
    print(error)
"""


async def test_watching_for_commits_lets_no_lock_go(sqlite_database: Database) -> None:
    """Closing a descriptor of a file ends every lock that the process holds on it, and the WAL index carries SQLite's.

    So another process must find the database locked while we write, whoever begins or ends to watch meanwhile.
    """
    path = str(sqlite_database.engine.url.database)
    other = Database(str(sqlite_database.engine.url), MemoryStorage())
    sqlite_database.start()
    said: list[str] = []

    def watch_and_ask(transaction: Transaction) -> None:
        for watch in (sqlite_database.data_version, other.data_version, other.close):
            watch()
            asked = subprocess.run(
                [sys.executable, "-c", _TAKE_THE_LOCK, path], capture_output=True, text=True, check=True
            )
            said.append(asked.stdout.strip())

    try:
        await sqlite_database.write(watch_and_ask)
        assert said == ["database is locked"] * 3
        await sqlite_database.write(put(make_row()))
    finally:
        sqlite_database.close()


async def test_the_data_version_moves_with_every_commit_of_any_process(sqlite_database: Database) -> None:
    reader, writer = sqlite_database, Database(str(sqlite_database.engine.url), MemoryStorage())
    writer.start()
    reader.start()
    try:
        seen = [reader.data_version()]
        for database in (writer, reader, writer):
            await database.write(put(make_row()))
            seen.append(reader.data_version())
            assert reader.data_version() == seen[-1]
        assert len(set(seen)) == 4
    finally:
        reader.close()
        writer.close()
