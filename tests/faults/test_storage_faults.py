"""Storage that loses, damages, refuses, hangs or cuts off: the rest works, and nothing is stored by half."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

import app.services.opening
import app.services.readiness
from app.domain.ledger import blob_key
from app.main import create_app
from app.settings import load_settings
from app.wiring import House, build_house
from storage import Storage, StorageUnavailable
from storage.s3 import S3Storage
from tests.api.conftest import Rooms
from tests.api.wire import push
from tests.charts import make_chart
from tests.contract.conftest import Bucket
from tests.faults.harm import assert_works, error_of, take_stock
from tests.house import open_house
from tests.servers import Fault, FaultyProxy, cut, delay, free_port, hang_up, refuse
from tests.stories.store import digest_of, list_index, read_rows, replay_anew

LARGE = {"files/random.bin": random.Random(1).randbytes(600_000)}


def path_of(house: House, content: bytes) -> Path:
    return Path(house.settings.storage) / blob_key(digest_of(content))


# ------------------------------------------------------------------------------------- lost and damaged blobs


@pytest.mark.parametrize("files", [None, LARGE], ids=["small", "large"])
async def test_a_blob_that_vanished_is_our_fault_and_nobody_else_s(rooms: Rooms, files: Any) -> None:
    lost, kept = make_chart("lost", files=files), make_chart("kept", files=files)
    async with rooms() as (client, house):
        await push(client, lost, kept)
        path_of(house, lost).unlink()
        with structlog.testing.capture_logs() as logs:
            for target, method in (
                ("/charts/lost-0.1.0.tgz", "GET"), ("/charts/lost-0.1.0.tgz", "HEAD"),
                ("/api/charts/lost/0.1.0/values", "GET"), ("/api/charts/lost/0.1.0/templates", "GET"),
            ):  # fmt: skip
                answer = await client.request(method, target)
                assert answer.status_code == 500, target
                if method == "GET":
                    text = f"the stored object sha256:{digest_of(lost)} is missing; tell the operator"
                    assert error_of(answer) == text
        assert {entry["log_level"] for entry in logs} == {"error"}
        assert {entry["key"] for entry in logs} == {blob_key(digest_of(lost))}
        assert (await client.get("/charts/kept-0.1.0.tgz")).content == kept
        assert sorted(await list_index(client)) == ["kept-0.1.0.tgz", "lost-0.1.0.tgz"]
        await assert_works(client)
        # The same file again brings it back, where overwriting is asked for.
        assert (await client.post("/api/charts?force", content=lost)).status_code == 201
        assert (await client.get("/charts/lost-0.1.0.tgz")).content == lost


@pytest.mark.parametrize("files", [None, LARGE], ids=["small", "large"])
async def test_a_blob_that_became_shorter_is_never_served_as_whole(rooms: Rooms, files: Any) -> None:
    short = make_chart("short", files=files)
    async with rooms() as (client, house):
        await push(client, short, make_chart("kept"))
        path = path_of(house, short)
        path.write_bytes(path.read_bytes()[:-10])
        with structlog.testing.capture_logs() as logs:
            answer = await client.get("/charts/short-0.1.0.tgz")
        if files is None:
            assert answer.status_code == 500
            assert error_of(answer) == f"the stored object sha256:{digest_of(short)} is damaged; tell the operator"
        else:  # the head is out before the end is read: the connection ends early
            assert len(answer.content) < int(answer.headers["content-length"])
        assert [(entry["log_level"], entry["key"]) for entry in logs] == [("error", blob_key(digest_of(short)))]
        assert (await client.get("/charts/kept-0.1.0.tgz")).status_code == 200
        await assert_works(client)


async def test_verify_names_what_is_lost_and_what_is_damaged(rooms: Rooms) -> None:
    lost, damaged = make_chart("lost"), make_chart("damaged")
    async with rooms() as (client, house):
        await push(client, lost, to="/api/org/charts")
        await push(client, damaged, make_chart("kept"))
        path_of(house, lost).unlink()
        path_of(house, damaged).write_bytes(damaged[:-1] + b"?")
        command = [sys.executable, "-m", "app", "verify", "--storage", house.settings.storage]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert f"sha256:{digest_of(lost)} (org/lost-0.1.0.tgz) is missing" in said
    assert f"sha256:{digest_of(damaged)} (damaged-0.1.0.tgz) is damaged" in said
    assert digest_of(make_chart("kept")) not in said


# ---------------------------------------------------------------------------------------------- an S3 server


@pytest.fixture
def proxy(bucket: Bucket) -> Iterator[FaultyProxy]:
    with FaultyProxy(bucket.endpoint) as found:
        yield found


@pytest.fixture
def make_storage(bucket: Bucket, proxy: FaultyProxy) -> Iterator[Callable[..., S3Storage]]:
    """Make storages behind the proxy, impatient enough for tests."""
    made: list[S3Storage] = []

    def make(**options: Any) -> S3Storage:
        patience = {"endpoint": proxy.url, "connect_timeout": 1.0, "read_timeout": 0.3, "attempts": 1}
        made.append(bucket.storage(**{**patience, **options}))
        return made[-1]

    yield make
    for storage in made:
        storage.close()


@asynccontextmanager
async def bucket_house(folder: Path, storage: Storage, **flags: str) -> AsyncIterator[tuple[httpx.AsyncClient, House]]:
    folder.mkdir(exist_ok=True)
    url = f"sqlite:///{folder / 'chartroom.db'}"
    async with open_house(folder, storage=storage, database=url, **flags) as (client, house):
        yield client, house


FAULTS: dict[str, Fault] = {
    "refusing": refuse(503, "SlowDown"),
    "failing": refuse(500, "InternalError"),
    "too slow": delay(0.8),
    "hanging up": hang_up,
}


@pytest.mark.parametrize("title", FAULTS)
async def test_an_s3_server_that_fails_stores_nothing_by_half(
    tmp_path: Path, make_storage: Callable[..., S3Storage], proxy: FaultyProxy, title: str
) -> None:
    storage = make_storage()
    async with bucket_house(tmp_path / "house", storage, archive_cache_bytes="0") as (client, house):
        await push(client, make_chart("before"))
        keys, rows = await scan(storage), read_rows(house.settings.database_url())
        index = (await client.get("/index.yaml")).content
        proxy.always = FAULTS[title]
        for answer in (
            await client.post("/api/charts", content=make_chart("during")),
            await client.post("/api/charts", files={"chart": ("c", make_chart("during"))}),
            await client.get("/charts/before-0.1.0.tgz"),
            await client.get("/api/charts/before/0.1.0/values"),
        ):
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            # An upload whose segment could not be removed again may be stored; it is gone before the next one.
            assert error_of(answer).startswith(("storage does not answer; nothing was", "the change may be stored"))
        # What needs no storage goes on.
        assert (await client.get("/index.yaml")).content == index
        assert (await client.get("/api/charts/before/0.1.0")).status_code == 200
        assert read_rows(house.settings.database_url()) == rows
        proxy.always = None
        await asyncio.sleep(0.6)  # what was asked too late comes to its end
        assert (await client.get("/charts/before-0.1.0.tgz")).content == make_chart("before")
        await push(client, make_chart("during"))
        more = await scan(storage) - keys
        assert sorted("/blobs/" in key for key in more) == [False, True], "one segment, one blob"
        await assert_works(client)
        assert await replay_anew(storage, tmp_path / "anew.db") == read_rows(house.settings.database_url())


async def scan(storage: Storage) -> set[str]:
    return {stat.key async for stat in storage.scan() if not stat.key.endswith("lease.json")}


@pytest.mark.parametrize("size", [100, 300_000])
async def test_an_archive_that_s3_cuts_off_is_never_served_as_whole(
    tmp_path: Path, make_storage: Callable[..., S3Storage], proxy: FaultyProxy, size: int
) -> None:
    content = make_chart("cut", files=LARGE if size > 1000 else None)
    async with bucket_house(tmp_path / "house", make_storage(), archive_cache_bytes="0") as (client, _house):
        await push(client, content)
        proxy.faults.append(cut(size))
        answer = await client.get("/charts/cut-0.1.0.tgz")
        # Once the head is out, only the end of the connection can tell: the server leaves the body short.
        assert answer.status_code == 503 or len(answer.content) < int(answer.headers["content-length"])
        assert (await client.get("/charts/cut-0.1.0.tgz")).content == content


async def test_a_ledger_that_s3_refuses_leaves_nothing_of_the_change(
    tmp_path: Path, make_storage: Callable[..., S3Storage], proxy: FaultyProxy
) -> None:
    def refuse_ledger(exchange: Any) -> None:
        fault = refuse(503, "SlowDown") if "/ledger/" in exchange.path and exchange.command == "PUT" else None
        (fault or (lambda passed: passed.answer(*passed.forward())))(exchange)

    storage = make_storage(read_timeout=5.0)
    async with bucket_house(tmp_path / "house", storage) as (client, _house):
        await push(client, make_chart("before"))
        proxy.always = refuse_ledger
        answer = await client.post("/api/charts", content=make_chart("perhaps"))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert error_of(answer) == "storage does not answer; nothing was changed; try again"
        assert (await client.get("/charts/perhaps-0.1.0.tgz")).status_code == 404
        proxy.always = None
        await push(client, make_chart("perhaps"))
        assert (await client.get("/charts/perhaps-0.1.0.tgz")).content == make_chart("perhaps")
        await assert_works(client)
        assert len([key for key in await scan(storage) if "/ledger/" in key]) == 4


async def test_a_server_that_starts_before_its_s3_does_becomes_ready_by_itself(
    tmp_path: Path, make_storage: Callable[..., S3Storage], proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.services.opening, "_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(app.services.readiness, "WAIT_SECONDS", 0.2)
    async with bucket_house(tmp_path / "house", storage := make_storage()) as (client, _house):
        await push(client, make_chart())
    proxy.always = refuse(503, "SlowDown")
    settings = load_settings({"storage": str(tmp_path), "database": f"sqlite:///{tmp_path}/house/chartroom.db"}, {})
    house = build_house(settings, storage=make_again(storage, make_storage))
    transport = httpx.ASGITransport(app=create_app(settings, house), raise_app_exceptions=False)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://charts.test") as client:
        house.start()
        try:
            async with asyncio.timeout(10):  # a first try takes as long as its requests are tried again
                while "storage or database do not answer" not in (await client.get("/-/ready")).text:
                    await asyncio.sleep(0.05)
            ready = await client.get("/-/ready")
            assert (ready.status_code, ready.json()["writes"]) == (200, False)
            for answer in (
                await client.get("/-/ready?write"), await client.post("/api/charts", content=make_chart("x")),
            ):  # fmt: skip
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
                assert "the repository is not ready yet" in error_of(answer)
            # The catalogue is at hand and was whole: what it says may be read meanwhile.
            assert sorted(await list_index(client)) == ["mychart-0.1.0.tgz"]
            assert (await client.get("/health")).status_code == 200
            proxy.always = None
            await until_ready(client, "/-/ready?write")
            assert sorted(await list_index(client)) == ["mychart-0.1.0.tgz"]
            await assert_works(client)
        finally:
            await house.close()


def make_again(storage: S3Storage, make_storage: Callable[..., S3Storage]) -> S3Storage:
    """Answer another storage on the same objects: a house closes the one it had."""
    return make_storage(prefix=storage._base.strip("/"))


async def until_ready(client: httpx.AsyncClient, path: str, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while (await client.get(path)).status_code != 200:
        assert time.monotonic() < end, "it never became ready"
        await asyncio.sleep(0.02)


async def test_an_s3_server_that_is_gone_is_said_to_be(tmp_path: Path, make_storage: Callable[..., S3Storage]) -> None:
    nowhere = make_storage(endpoint=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(StorageUnavailable, match="cannot be reached or broke off"):
        await nowhere.put("k", b"")
    with pytest.raises(StorageUnavailable, match="cannot be reached or broke off"):
        await scan(nowhere)


async def test_stock_of_a_folder_is_the_same_after_reads(rooms: Rooms) -> None:
    """Reading leaves nothing behind, whatever is asked for."""
    async with rooms() as (client, house):
        await push(client, make_chart())
        before = await take_stock(client, Path(house.settings.storage))
        for path in (
            "/",
            "/index.yaml",
            "/n/index.yaml",
            "/charts/mychart-0.1.0.tgz",
            "/charts/n-1.tgz",
            "/api/charts",
        ):
            await client.get(path)
        assert await take_stock(client, Path(house.settings.storage)) == before
