"""An index that follows the store: no commit slips through between two questions, and a replay lets it go first."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, update

from app.db.session import Database, T
from app.db.tables import catalogue
from app.db.transaction import Transaction
from app.domain import rope
from app.domain.rope import Charts, Rope
from app.services import replay
from app.services.indexes import Indexes, View
from app.services.ledger import Ledger
from app.services.revisions import Revisions
from storage.memory import MemoryStorage
from tests.contract.catalogue import make_row, put


class BusyDatabase(Database):
    """A database in which somebody else commits after each read, while there is something to do."""

    def __init__(self, url: str) -> None:
        super().__init__(url, MemoryStorage())
        self.after_read: list[Callable[[], Awaitable[object]]] = []

    async def read(self, work: Callable[[Connection], T]) -> T:
        answer = await super().read(work)
        if self.after_read:
            await self.after_read.pop(0)()
        return answer


@pytest.fixture
def busy(sqlite_floor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BusyDatabase]:
    monkeypatch.setattr(rope, "TARGET", 16)  # each chart is a bucket of its own
    shutil.copyfile(sqlite_floor, tmp_path / "charts.db")
    database = BusyDatabase(f"sqlite:///{tmp_path / 'charts.db'}")
    database.start()
    yield database
    database.close()


async def test_while_a_rebuilt_catalogue_is_read_the_old_one_is_still_known(busy: BusyDatabase) -> None:
    """On Postgres this happens in a thread: a repository unknown for a moment would be served as an empty index."""
    revisions = Revisions(busy)
    await busy.write(put(make_row()))
    await revisions.check()
    await busy.write(lambda transaction: transaction.connection.execute(update(catalogue).values(identity="other")))
    known_meanwhile = []

    def look(connection: Connection) -> None:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.set_trace_callback(lambda _statement: known_meanwhile.append(list(revisions.known)))

    busy.read_inline(look)
    await revisions.check()
    assert revisions.identity == "other"
    assert len(known_meanwhile) > 1
    assert {tuple(known) for known in known_meanwhile} == {("",)}


async def read(indexes: Indexes) -> bytes:
    found = await indexes.get("", View())
    return b"".join(found.get("").body.pieces)


@pytest.mark.parametrize("name", ["a", "m", "z"])
async def test_a_commit_during_a_refresh_is_in_the_next_index(busy: BusyDatabase, name: str) -> None:
    indexes = Indexes(busy, Revisions(busy), memory=10**6)
    for chart in "amz":
        await busy.write(put(make_row(chart)))
    await read(indexes)
    await busy.write(put(make_row("a", "2.0.0")))
    busy.after_read = [lambda: busy.write(put(make_row(name, "3.0.0")))]
    await read(indexes)
    assert busy.after_read == []
    index = await read(indexes)
    assert b'"version":"2.0.0"' in index
    assert b'"version":"3.0.0"' in index


class ForeignCommits(Database):
    """A database to which another process commits right after each read, `commits` times, without any waiting here."""

    commits = 0

    async def read(self, work: Callable[[Connection], T]) -> T:
        answer = await super().read(work)
        if self.commits:
            self.commits -= 1
            self._come_between(f"4.{self.commits}.0")
        return answer

    def _come_between(self, version: str) -> None:
        with self.engine.execution_options(writes=True).connect() as connection, connection.begin():
            transaction = Transaction(connection, time.time_ns())
            put(make_row("m", version))(transaction)
            transaction.finish()


@pytest.mark.timeout(3)
async def test_a_reader_who_comes_just_as_a_refresh_ends_gets_an_answer(sqlite_floor: Path, tmp_path: Path) -> None:
    shutil.copyfile(sqlite_floor, tmp_path / "charts.db")
    database = ForeignCommits(f"sqlite:///{tmp_path / 'charts.db'}", MemoryStorage())
    database.start()
    try:
        indexes = Indexes(database, Revisions(database), memory=10**6)
        await database.write(put(make_row()))
        await read(indexes)
        await database.write(put(make_row("a")))
        database.commits = 2  # after what changed was asked, and after the charts were read

        async def come_later() -> bytes:
            return await asyncio.create_task(read(indexes))

        for index in await asyncio.gather(read(indexes), come_later()):
            assert b'"version":"4.0.0"' in index
    finally:
        database.close()


async def test_a_replay_lets_an_index_that_is_being_built_go_first(
    sqlite_floor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copyfile(sqlite_floor, tmp_path / "charts.db")
    storage = MemoryStorage()
    database = Database(f"sqlite:///{tmp_path / 'charts.db'}", storage)
    may_end, ended = threading.Event(), list[str]()
    fill = Rope.fill

    def fill_slowly(rope: Rope, charts: Charts) -> None:
        assert may_end.wait(10)
        fill(rope, charts)
        ended.append("index")

    monkeypatch.setattr(Rope, "fill", fill_slowly)
    monkeypatch.setattr(replay, "_NAMES", 1)
    database.start()
    try:
        ledger, indexes = Ledger(database, storage), Indexes(database, Revisions(database), memory=10**6)
        await ledger.write(put(make_row()))

        async def replay_all() -> None:
            await replay.Replay(database, storage, pause=indexes.settle).run()
            ended.append("replay")

        await replay_all()
        assert ended == ["replay"], "nobody builds an index: it waits for nobody"
        reader, behind = asyncio.create_task(read(indexes)), asyncio.create_task(replay_all())
        await asyncio.sleep(0.2)
        assert ended == ["replay"]
        may_end.set()
        await asyncio.gather(reader, behind)
        assert ended == ["replay", "index", "replay"]
    finally:
        may_end.set()
        database.close()
