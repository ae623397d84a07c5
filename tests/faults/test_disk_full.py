"""No room for charts, for the database, for both: uploads get 507, reads go on, and nothing is left by half."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import shutil
import time
from collections.abc import AsyncIterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from storage import Objects, StorageFull
from storage.filesystem import FilesystemStorage
from tests.api.conftest import Rooms
from tests.api.wire import push, sign
from tests.charts import make_chart
from tests.faults.harm import assert_works, error_of, list_files, small_disk, take_stock, unharmed
from tests.house import open_house
from tests.stories.store import digest_of, list_index

STORAGE_FULL = "storage is full; nothing was stored; make room and try again"
DATABASE_FULL = "the database's disk is full; nothing was stored; make room and try again"


def make_big(number: int, size: int = 300_000) -> bytes:
    """Answer a chart whose bytes do not compress."""
    return make_chart("big", f"1.{number}.0", files={"noise": random.Random(number).randbytes(size)})


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Answer a folder on a disk of 4 MB; the test is skipped where it cannot be made."""
    with small_disk(tmp_path / "disk", "4m") as is_small:
        if not is_small:
            pytest.skip("mounting a small disk takes root")
        yield tmp_path / "disk"


_numbers = itertools.count(1)


async def fill(client: httpx.AsyncClient) -> dict[str, bytes]:
    """Upload until there is no room, also not after the journals were emptied; return what was taken."""
    taken: dict[str, bytes] = {}
    before = -1
    while len(taken) > before:
        before = len(taken)
        for size in (300_000, 30_000, 3_000):
            for number in itertools.islice(_numbers, 200):
                content = make_big(number, size)
                answer = await client.post("/api/charts", content=content)
                if answer.status_code == 507:
                    break
                # Where only the last step found no room, it is committed, and there whole: "may be stored".
                assert answer.status_code in (201, 503), answer.text
                taken[f"big-1.{number}.0.tgz"] = content
    return taken


async def assert_readable(client: httpx.AsyncClient, taken: dict[str, bytes]) -> None:
    listed = await list_index(client)
    assert listed == {name: digest_of(content) for name, content in taken.items()}
    for name, content in taken.items():
        assert (await client.get(f"/charts/{name}")).content == content
    assert (await client.get("/api/charts/big")).status_code == 200
    assert (await client.get("/health")).status_code == 200


async def test_a_full_disk_of_charts_stops_uploads_and_nothing_else(tmp_path: Path, disk: Path) -> None:
    async with open_house(disk, database=f"sqlite:///{tmp_path / 'elsewhere.db'}") as (client, _house):
        taken = await fill(client)
        assert 8 < len(taken) < 400
        before = list_files(disk)
        index = (await client.get("/index.yaml")).content
        both = {"chart": ("c", make_big(50_001)), "prov": ("p", sign("big", "1.50001.0"))}
        for answer in (
            await client.post("/api/charts", content=make_big(50_000)),
            await client.post("/api/charts", files=both),
        ):
            assert (answer.status_code, error_of(answer)) == (507, STORAGE_FULL)
        assert list_files(disk) == before
        assert not any("/tmp/" in path for path in before)
        assert (await client.get("/index.yaml")).content == index
        await assert_readable(client, taken)
        # Room is made, and nobody needs to restart anything.
        shutil.rmtree(disk / ".chartroom" / "blobs" / "sha256" / digest_of(next(iter(taken.values())))[:2])
        await assert_works(client)


async def test_a_full_disk_of_everything_stops_uploads_and_nothing_else(disk: Path) -> None:
    async with open_house(disk) as (client, _house):
        taken = await fill(client)
        answer = await client.post("/api/charts", content=make_big(50_000))
        assert answer.status_code == 507
        assert error_of(answer) in (STORAGE_FULL, DATABASE_FULL)
        await assert_readable(client, taken)
        assert not any("/tmp/" in path for path in list_files(disk))
    async with open_house(disk) as (client, _house):  # a restart on the full disk
        await assert_readable(client, taken)
        taken |= await fill(client)  # the end of the first server made room: its journals are empty
        answer = await client.post("/api/charts", content=make_big(50_000))
        assert answer.status_code == 507
        for name in list(taken)[:3]:  # a commit needs room in the journal, in its places and in SQLite's log
            shutil.rmtree(disk / ".chartroom" / "blobs" / "sha256" / digest_of(taken[name])[:2], ignore_errors=True)
        end = time.monotonic() + 20
        while (await client.post("/api/charts?force", content=make_chart("again"))).status_code == 507:
            assert time.monotonic() < end, "there is room, and it does not write again"
            await asyncio.sleep(0.1)
        await assert_works(client)


async def test_a_database_whose_disk_is_full_refuses_uploads_and_reads_on(tmp_path: Path, disk: Path) -> None:
    """Only the database lies on the full disk."""
    store = tmp_path / "store"
    async with open_house(store, database=f"sqlite:///{disk / 'chartroom.db'}") as (client, house):
        await push(client, make_chart("before"))
        stuff_disk(disk)
        refused = await until_refused(client)
        assert (refused.status_code, error_of(refused)) == (507, DATABASE_FULL)
        before = await client.get("/index.yaml")
        assert (await client.post("/api/charts", content=make_chart("more"))).status_code == 507
        assert (await client.delete("/api/charts/before/0.1.0")).status_code == 507
        assert (await client.get("/index.yaml")).content == before.content
        assert (await client.get("/charts/before-0.1.0.tgz")).status_code == 200
        (disk / "stuffing").unlink()
        await assert_works(client)
        assert house.parts.readiness.ready


def stuff_disk(disk: Path) -> None:
    """Leave no byte free."""
    with (disk / "stuffing").open("wb", buffering=0) as file:
        try:
            while True:
                os.write(file.fileno(), bytes(4096))
        except OSError:
            pass


async def until_refused(client: httpx.AsyncClient) -> httpx.Response:
    """SQLite writes into pages that it has; at some upload it needs more."""
    for number in range(200):
        content = make_chart("filling", f"1.{number}.0", description="x" * 3000)
        answer = await client.post("/api/charts", content=content)
        if answer.status_code != 201:
            return answer
    raise AssertionError("the disk never filled")


class FullStorage(FilesystemStorage):
    """A folder without room for keys that hold `refused`; where nobody may mount a small disk."""

    refused = ""

    async def put(self, key: str, content: bytes | AsyncIterable[bytes]) -> None:
        self._check(key)
        await super().put(key, content)

    def write_batch(self, blobs: Objects, records: Objects) -> None:
        for key, _ in (*blobs, *records):
            self._check(key)
        super().write_batch(blobs, records)

    def _check(self, key: str) -> None:
        if self.refused and self.refused in key:
            raise StorageFull("no space left")


async def test_storage_that_is_full_takes_no_blob_and_no_row(tmp_path: Path) -> None:
    storage = FullStorage(tmp_path)
    async with open_house(tmp_path, storage=storage) as (client, _house), unharmed(client, tmp_path):
        storage.refused = "/blobs/"
        for answer in (
            await client.post("/api/charts", content=make_chart()),
            await client.post("/api/charts", files={"chart": ("c", make_chart())}),
            await client.post("/api/prov", content=sign()),
        ):
            assert (answer.status_code, error_of(answer)) == (507, STORAGE_FULL)
        storage.refused = ""


async def test_a_ledger_without_room_takes_no_row(tmp_path: Path) -> None:
    storage = FullStorage(tmp_path)
    async with open_house(tmp_path, storage=storage) as (client, _house), unharmed(client, tmp_path):
        storage.refused = "/ledger/"
        answer = await client.post("/api/charts", content=make_chart())
        assert (answer.status_code, error_of(answer)) == (507, STORAGE_FULL)
        storage.refused = ""


@pytest.mark.parametrize("body", ["raw", "form", "provenance"])
async def test_a_repository_that_is_full_by_its_setting_stores_no_blob_either(rooms: Rooms, body: str) -> None:
    chart = make_chart("third")
    requests: dict[str, tuple[str, dict[str, Any]]] = {
        "raw": ("/api/charts", {"content": chart}),
        "form": ("/api/charts", {"files": {"chart": ("c", chart)}}),
        "provenance": ("/api/prov", {"content": sign("third")}),
    }
    path, content = requests[body]
    async with rooms(max_storage_objects="2") as (client, house):
        await push(client, make_chart("first"), make_chart("second"))
        before = await take_stock(client, Path(house.settings.storage))
        answer = await client.post(path, **content)
        assert (answer.status_code, error_of(answer)) == (507, "repo has reached storage limit")
        assert await take_stock(client, Path(house.settings.storage)) == before
        assert (await client.post("/api/charts?force", content=make_chart("first", home="x"))).status_code == 201
        assert (await client.delete("/api/charts/second/0.1.0")).status_code == 200
        await assert_works(client)
