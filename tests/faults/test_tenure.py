"""Two SQLite catalogues on one store: one writes, the other follows it, and takes over when the lease ends."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx
import orjson
import pytest
import structlog

from app.domain.ledger import BLOBS, ROOT
from app.jobs import schedule
from app.services import tenure
from app.wiring import House
from storage import Objects, ObjectStat
from storage.filesystem import FilesystemStorage
from tests.api.wire import push
from tests.charts import make_chart
from tests.faults.harm import assert_works, error_of, list_files
from tests.house import open_house
from tests.stories.store import digest_of, list_index, read_chain, read_rows, replay_anew

Open = Callable[..., AbstractAsyncContextManager[tuple[httpx.AsyncClient, House]]]

_SECONDS = 3.0  # a loaded machine may stand still for more than one
_LEASE = f"{_SECONDS:g}s"


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pods look at the lease often."""
    monkeypatch.setattr(tenure, "_SETTLE_SECONDS", 0.05)
    monkeypatch.setattr(schedule, "_TENURE_SECONDS", 0.1)


@pytest.fixture
def open_pod(tmp_path: Path, quick_looks: None) -> Open:
    """Answer how to open a house with a database of its own, by name, on the one store."""

    def open_named(name: str, **flags: str) -> AbstractAsyncContextManager[tuple[httpx.AsyncClient, House]]:
        return open_house(tmp_path / "store", database=f"sqlite:///{tmp_path / name}.db", **flags)

    return open_named


async def until(reached: Callable[[], Awaitable[bool]], seconds: float = 20) -> float:
    """Wait until it is so; answer how many seconds that took."""
    began = time.monotonic()
    while not await reached():
        assert time.monotonic() < began + seconds, "it did not happen"
        await asyncio.sleep(0.02)
    return time.monotonic() - began


async def test_the_second_catalogue_only_reads_and_follows_the_first(tmp_path: Path, open_pod: Open) -> None:
    async with open_pod("first") as (first, _house):
        await push(first, make_chart("before"))
        with structlog.testing.capture_logs() as logs:
            async with open_pod("second") as (second, _other):
                assert [entry["log_level"] for entry in logs if "serving reads only" in entry["event"]] == ["warning"]
                assert "Postgres" in str(logs), "the log names the way out"
                assert sorted(await list_index(second)) == ["before-0.1.0.tgz"]
                before = list_files(tmp_path / "store")
                for answer in (
                    await second.post("/api/charts", content=make_chart("second")),
                    await second.post("/api/charts?force", files={"chart": ("c", make_chart("second"))}),
                    await second.post("/api/prov", content=b"x"),
                    await second.delete("/api/charts/before/0.1.0"),
                ):
                    assert answer.status_code == 503
                    assert_names_the_lease(error_of(answer), tmp_path)
                    assert int(answer.headers["retry-after"]) > 0
                assert list_files(tmp_path / "store") == before
                content = make_chart("during")
                await push(first, content, to="/api/org/charts")
                await first.delete("/api/charts/before/0.1.0")
                await until(lambda: lists(second, "org", "during-0.1.0.tgz"))
                assert (await second.get("/org/charts/during-0.1.0.tgz")).content == content
                await until(lambda: is_empty(second))
        await assert_works(first)


async def test_the_second_lists_all_blobs_once_however_often_it_looks(
    open_pod: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []
    scan = FilesystemStorage.scan

    def record(storage: FilesystemStorage, prefix: str = "") -> AsyncIterator[ObjectStat]:
        listed.append(prefix)
        return scan(storage, prefix)

    async with open_pod("first") as (first, _house):
        await push(first, make_chart("before"))
        monkeypatch.setattr(FilesystemStorage, "scan", record)
        async with open_pod("second") as (second, _other):
            await push(first, make_chart("during"))
            assert await until(lambda: lists(second, "", "during-0.1.0.tgz")) < 10

            async def has_looked_often() -> bool:
                return listed.count(ROOT) > 5

            await until(has_looked_often)
    assert listed.count(BLOBS) == 1


def assert_names_the_lease(message: str, tmp_path: Path) -> None:
    """Who is refused learns which file says so, whose it is, until when, and what to do."""
    path = tmp_path / "store" / tenure.KEY
    lease = orjson.loads(path.read_bytes())
    for part in (
        "another catalogue writes to this store", str(path), lease["catalogue"],
        f"on host {socket.gethostname()}, process {os.getpid()}", " UTC", "or stop it", "CHARTROOM_DATABASE",
    ):  # fmt: skip
        assert part in message, message


async def lists(client: httpx.AsyncClient, repository: str, filename: str) -> bool:
    return filename in await list_index(client, repository)


async def is_empty(client: httpx.AsyncClient) -> bool:
    return not await list_index(client)


async def writes(client: httpx.AsyncClient, content: bytes) -> bool:
    answer = await client.post("/api/charts", content=content)
    assert answer.status_code in (201, 503), answer.text
    return answer.status_code == 201


async def test_the_second_takes_over_as_soon_as_the_first_has_ended(tmp_path: Path, open_pod: Open) -> None:
    """A rolling update: the old pod gives its lease back, the new one has every chart of it."""
    first_pod = open_pod("first")
    first, _ = await first_pod.__aenter__()
    async with open_pod("second") as (second, house):
        await push(first, last := make_chart("last"))
        assert not await writes(second, make_chart("new"))
        await first_pod.__aexit__(None, None, None)
        assert not (tmp_path / "store" / tenure.KEY).exists(), "it was given back"
        assert await until(lambda: writes(second, make_chart("new"))) < tenure.SECONDS / 2
        assert (await list_index(second))["last-0.1.0.tgz"] == digest_of(last)
        await assert_works(second)
        await assert_one_chain(house, tmp_path)


async def test_the_second_takes_over_when_the_first_has_died(tmp_path: Path, open_pod: Open) -> None:
    """Nothing is given back: its lease runs out."""
    async with open_pod("first", lease=_LEASE) as (first, _house):
        await push(first, make_chart("before"))
        await asyncio.sleep(0.05)
        left = (tmp_path / "store" / tenure.KEY).read_bytes()
    (tmp_path / "store" / tenure.KEY).write_bytes(left)  # as if it had been killed
    async with open_pod("second", lease=_LEASE) as (second, house):
        assert not await writes(second, make_chart("new"))
        rest = orjson.loads(left)["expires"] - time.time()
        assert await until(lambda: writes(second, make_chart("new"))) < rest + 1
        assert time.time() > orjson.loads(left)["expires"], "not before it had run out"
        await assert_works(second)
        await assert_one_chain(house, tmp_path)


async def assert_one_chain(house: House, tmp_path: Path) -> None:
    """The ledger of both is one chain without fork, and replays to what the living one has."""
    await read_chain(house.storage)
    assert await replay_anew(house.storage, tmp_path / "anew.db") == read_rows(house.settings.database_url())


async def test_a_lease_is_renewed_for_as_long_as_the_first_lives(open_pod: Open) -> None:
    async with open_pod("first", lease=_LEASE) as (first, _house), open_pod("second", lease=_LEASE) as (second, _other):
        end = time.monotonic() + 2 * _SECONDS
        number = 0
        while time.monotonic() < end:
            number += 1
            await push(first, make_chart("steady", f"1.{number}.0"))
            assert not await writes(second, make_chart("never"))
            await asyncio.sleep(0.1)


async def test_a_lease_that_cannot_be_read_binds_nobody(tmp_path: Path, open_pod: Open) -> None:
    for content in (b"", b"{", b"[]", b'{"catalogue": 1}', b'{"catalogue": "x", "expires": "soon"}', b"\xff" * 100):
        (tmp_path / "store" / tenure.KEY).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "store" / tenure.KEY).write_bytes(content)
        async with open_pod("first") as (first, _house):
            await assert_works(first)


async def test_an_upload_that_began_before_the_lease_was_lost_is_not_stored(
    tmp_path: Path, open_pod: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that stood still for longer than its lease: storing would fork the ledger."""
    async with open_pod("first", lease=_LEASE) as (first, house):
        await push(first, make_chart("before"))
        await house.schedule.stop()  # it stands still
        released = asyncio.Event()
        content = make_chart("late")

        async def slowly() -> AsyncIterator[bytes]:
            yield content[:10]
            await released.wait()
            yield content[10:]

        uploading = asyncio.ensure_future(first.post("/api/charts", content=slowly()))
        async with open_pod("second", lease=_LEASE) as (second, other):
            await until(lambda: writes(second, make_chart("new")))
            released.set()
            answer = await uploading
            assert answer.status_code == 503
            assert "the right to write has ended before it was renewed" in error_of(answer)
            await push(second, make_chart("later"))
            await assert_one_chain(other, tmp_path)


class StandingStill(FilesystemStorage):
    """A folder whose writer can be made to stand still, just before or just after the next batch is stored."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.stops = ""
        self._stopped, self._resumed = threading.Event(), threading.Event()

    def write_batch(self, blobs: Objects, records: Objects) -> None:
        stops, self.stops = self.stops, ""
        if stops == "before":
            self._stand()
        super().write_batch(blobs, records)
        if stops == "after":
            self._stand()

    async def stands(self) -> bool:
        return self._stopped.is_set()

    def resume(self) -> None:
        self._resumed.set()

    def _stand(self) -> None:
        self._stopped.set()
        assert self._resumed.wait(30)


@pytest.mark.parametrize(("stops", "is_stored"), [("before", False), ("after", True)])
async def test_a_writer_that_stood_still_keeps_what_the_next_one_went_on_from(
    tmp_path: Path, quick_looks: None, stops: str, is_stored: bool
) -> None:
    """Removing a segment that another catalogue has read, and written after, would tear the ledger."""
    storage = StandingStill(tmp_path / "store")
    first_database, second_database = (f"sqlite:///{tmp_path / name}.db" for name in ("first", "second"))
    async with open_house(tmp_path / "store", storage=storage, database=first_database, lease=_LEASE) as (first, house):
        await push(first, make_chart("before"))
        await house.schedule.stop()
        storage.stops = stops
        uploading = asyncio.ensure_future(first.post("/api/charts", content=make_chart("late")))
        await until(storage.stands)
        async with open_house(tmp_path / "store", database=second_database, lease=_LEASE) as (second, other):
            await until(lambda: writes(second, make_chart("new")))
            storage.resume()
            answer = await uploading
            assert answer.status_code == 503
            assert "may be stored" in error_of(answer)
            await push(second, make_chart("later"))
            expected = {"before-0.1.0.tgz", "new-0.1.0.tgz", "later-0.1.0.tgz"}
            assert set(await list_index(second)) == expected | ({"late-0.1.0.tgz"} if is_stored else set())
            await assert_one_chain(other, tmp_path)
            await house.opening.keep_tenure()
            assert await list_index(first) == await list_index(second)


async def test_of_two_that_find_the_lease_free_at_once_one_writes(open_pod: Open) -> None:
    async with open_pod("first"), open_pod("second"):  # both databases exist
        pass
    pods = [open_pod("first"), open_pod("second")]
    opened = await asyncio.gather(*(pod.__aenter__() for pod in pods))
    try:
        answers = await asyncio.gather(*(client.post("/api/charts", content=make_chart("a")) for client, _ in opened))
        assert sorted(answer.status_code for answer in answers) == [201, 503]
    finally:
        for pod in pods:
            await pod.__aexit__(None, None, None)


@pytest.mark.usefixtures("quick_looks")
async def test_storage_that_fails_while_the_lease_is_renewed_is_no_end(tmp_path: Path) -> None:
    class Sulking(FilesystemStorage):
        sulks = False

        async def put(self, key: str, content: object) -> None:
            if self.sulks and key == tenure.KEY:
                raise RuntimeError("nobody foresaw this")
            await super().put(key, content)  # type: ignore[arg-type]

    storage = Sulking(tmp_path / "store")
    async with open_house(tmp_path / "store", storage=storage, lease=_LEASE) as (client, _house):
        storage.sulks = True
        await asyncio.sleep(_SECONDS + 0.2)
        assert not await writes(client, make_chart("during")), "without a lease nobody writes"
        assert (await client.get("/index.yaml")).status_code == 200
        storage.sulks = False
        await until(lambda: writes(client, make_chart("again")))
        await assert_works(client)
