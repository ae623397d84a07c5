"""A database that another process holds, or that is lost or damaged: uploads wait or are refused, reads go on."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import structlog

from app.db import engine
from app.domain.ledger import Header, render_change, render_segment, segment_key
from tests.api.conftest import Rooms
from tests.api.wire import push, sign
from tests.charts import make_chart
from tests.faults.harm import assert_works, error_of, list_files
from tests.house import open_house
from tests.stories.store import list_index, read_rows

LOCKED = "the database is locked by another process; try again"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.3)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the database's write lock, as another process would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def database_of(folder: Path) -> Path:
    return folder / ".chartroom" / "chartroom.db"


async def test_a_lock_that_outlasts_our_patience_refuses_writes_and_leaves_reads(rooms: Rooms) -> None:
    async with rooms() as (client, house):
        folder = Path(house.settings.storage)
        await push(client, make_chart())
        rows, index = read_rows(house.settings.database_url()), (await client.get("/index.yaml")).content
        with locked(database_of(folder)):
            answers = await asyncio.gather(
                client.post("/api/charts", content=make_chart("more")),
                client.post("/api/charts", files={"chart": ("c", make_chart("form"))}),
                client.post("/api/prov", content=sign()),
                client.delete("/api/charts/mychart/0.1.0"),
            )
            for answer in answers:
                assert (answer.status_code, error_of(answer)) == (503, LOCKED)
                assert answer.headers["retry-after"] == "2"
            for path in ("/", "/charts/mychart-0.1.0.tgz", "/api/charts/mychart/0.1.0", "/api/search?q=my", "/-/ready"):
                assert (await client.get(path)).status_code == 200, path
            assert (await client.get("/index.yaml")).content == index
        assert read_rows(house.settings.database_url()) == rows
        assert sum("/ledger/" in path for path in list_files(folder)) == 1
        await push(client, make_chart("more"))
        await assert_works(client)


async def test_a_lock_that_ends_in_time_costs_only_time(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_SECONDS", 5.0)
    async with rooms() as (client, house):
        with locked(database_of(Path(house.settings.storage))):
            waiting = asyncio.ensure_future(client.post("/api/charts", content=make_chart()))
            await asyncio.sleep(0.2)
            assert not waiting.done()
            assert (await client.get("/health")).status_code == 200, "nobody else waits"
        assert (await waiting).status_code == 201


async def test_a_server_that_starts_while_the_database_is_locked_waits_for_it(tmp_path: Path) -> None:
    async with open_house(tmp_path) as (client, _house):
        await push(client, make_chart())
    with locked(database_of(tmp_path)):
        opening = asyncio.ensure_future(list_with_a_new_house(tmp_path))
        await asyncio.sleep(0.6)
        assert not opening.done()
    assert await asyncio.wait_for(opening, 10) == ["mychart-0.1.0.tgz"]


async def list_with_a_new_house(folder: Path) -> list[str]:
    async with open_house(folder) as (client, _house):
        names = sorted(await list_index(client))
        await assert_works(client)
        return names


async def test_a_segment_that_this_version_cannot_read_is_named_and_nothing_is_taken(tmp_path: Path) -> None:
    """What a newer version wrote must not be skipped, and the server must not die of it silently."""
    async with open_house(tmp_path) as (client, _house):
        await push(client, make_chart())
    line = render_change("put", "something-newer", name="x")
    content = render_segment(Header("", 2, 1, "0" * 32, 1), [line])
    (tmp_path / segment_key("", 2, "0" * 32, content)).write_bytes(content)
    with structlog.testing.capture_logs() as logs:
        async with open_house(tmp_path) as (client, _house):
            ready = (await client.get("/-/ready")).json()
            assert (ready["writes"], "something-newer" in ready["reason"]) == (False, True)
            for answer in (
                await client.get("/-/ready?write"), await client.post("/api/charts", content=make_chart("x")),
            ):  # fmt: skip
                assert answer.status_code == 503
                assert "something-newer" in error_of(answer)
            assert (await client.get("/index.yaml")).status_code == 200  # what was whole before may still be read
            assert (await client.get("/health")).status_code == 200
    assert "error" in {entry["log_level"] for entry in logs}


_UNFORESEEN = """
import structlog
from app.logs import configure_logs

def fail(password):
    raise RuntimeError("unforeseen")

configure_logs(level="info", as_json=False)
try:
    fail("opensesame"[::-1])
except RuntimeError as error:
    structlog.get_logger().error("unexpected error", exc_info=error)
"""


def test_the_trace_of_an_unforeseen_error_does_not_tell_what_functions_were_given() -> None:
    """Passwords, tokens and keys would be among it."""
    done = subprocess.run([sys.executable, "-c", _UNFORESEEN], capture_output=True, text=True, check=True, timeout=60)
    assert "RuntimeError: unforeseen" in done.stderr
    assert "Traceback" in done.stderr
    assert "opensesame"[::-1] not in done.stderr
