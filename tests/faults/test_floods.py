"""Floods of unknown tenants and archives, of ever new headers and paths: they cost bounded memory and no labels."""

from __future__ import annotations

import asyncio
import gc
import os
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from app.routes.negotiation import choose_encoding
from app.wiring import House
from tests.api.conftest import Rooms
from tests.api.wire import ask, push
from tests.charts import make_chart
from tests.faults.harm import Stock, assert_works, take_stock

FLOOD = 10_000
BOUND = 12_000_000
"""Bytes that a flood may leave behind: what caches are allowed to keep of it (8192 paths, most of all)."""


@pytest.fixture
async def quiet_house(rooms: Rooms) -> AsyncIterator[tuple[httpx.AsyncClient, House]]:
    """A house with one chart, whose request lines go nowhere."""
    with Path(os.devnull).open("wb") as nowhere:
        async with rooms() as (client, house):
            house.observer.stream = nowhere
            await push(client, make_chart())
            yield client, house


async def measure_flood(send: Callable[[int], Awaitable[object]], size: int = FLOOD) -> int:
    """Send a little, then the flood, and answer how many bytes more are held than after the little."""
    for number in range(300):
        await send(-1 - number)
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(size):
            await send(number)
        await asyncio.sleep(0.1)  # requests are counted together, a few times a second
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return after - before


async def labels_of(client: httpx.AsyncClient) -> set[str]:
    """Answer the names and labels of all metrics that are ours, without their values."""
    lines = (await client.get("/metrics")).text.splitlines()
    return {line.rpartition(" ")[0] for line in lines if line.startswith("chartmuseum_")}


async def stock_of(client: httpx.AsyncClient, house: House) -> Stock:
    return await take_stock(client, Path(house.settings.storage))


async def test_unknown_tenants_leave_no_row_no_label_and_little_memory(
    quiet_house: tuple[httpx.AsyncClient, House],
) -> None:
    client, house = quiet_house
    await ask(client, "GET", "/unknown/index.yaml")
    await ask(client, "GET", "/api/unknown/charts")
    await labels_of(client)
    before, labels = await stock_of(client, house), await labels_of(client)
    targets = ("/t{}/index.yaml", "/a/b{}/~latest-3/index.yaml", "/t{}/charts/x-1.tgz", "/api/t{}/charts")

    async def send(number: int) -> None:
        target = targets[number % 10 % 3] if number % 10 else targets[3]
        reply = await ask(client, "GET", target.format(number))
        assert reply.status in (200, 404)

    assert await measure_flood(send) < BOUND
    assert await stock_of(client, house) == before
    more = {label for label in await labels_of(client) - labels if "_bucket" not in label}
    assert not any("/t1" in label or "/a/b" in label for label in more)
    assert len(more) < 20
    await assert_works(client)


async def test_unknown_archives_leave_little_memory(quiet_house: tuple[httpx.AsyncClient, House]) -> None:
    client, house = quiet_house
    before = await stock_of(client, house)

    async def send(number: int) -> None:
        ending = ".prov" if number % 2 else ""
        reply = await ask(client, "GET", f"/charts/{'x' * 200}-{number}.tgz{ending}")
        assert reply.status == 404

    assert await measure_flood(send) < BOUND
    assert await stock_of(client, house) == before
    assert not any("xxx" in label for label in await labels_of(client))
    await assert_works(client)


async def test_ever_new_headers_and_queries_leave_little_memory(quiet_house: tuple[httpx.AsyncClient, House]) -> None:
    client, house = quiet_house
    before = await stock_of(client, house)

    async def send(number: int) -> None:
        headers = {
            "x-request-id": f"{number}" * 40, "accept-encoding": f"x{number};q=0.5, gzip;q=0.{number % 10}",
            "if-none-match": f'"{number}"', "range": f"bytes={abs(number)}-", "user-agent": f"agent {number}",
            "host": f"host{number}.test", "authorization": f"Bearer {number}",
        }  # fmt: skip
        target = ("/index.yaml", "/charts/mychart-0.1.0.tgz")[number % 2]
        reply = await ask(client, "GET", f"{target}?{number}", headers=headers)
        assert reply.status in (200, 206, 416)
        assert reply.headers["x-request-id"] == headers["x-request-id"]

    assert await measure_flood(send) < BOUND
    assert await stock_of(client, house) == before
    assert not any("host" in label.replace('host=""', "") for label in await labels_of(client))


async def test_odd_methods_and_paths_make_no_labels_without_end(quiet_house: tuple[httpx.AsyncClient, House]) -> None:
    client, _house = quiet_house

    async def send(number: int) -> None:
        method = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND")[number % 7]
        await ask(client, method, f"/odd{number}/path{number}", chunks=[b"x" * 100])

    assert await measure_flood(send, 2000) < BOUND / 5
    assert len([label for label in await labels_of(client) if label.startswith("chartmuseum_requests_total")]) < 20


async def test_refused_uploads_to_ever_new_tenants_leave_nothing(quiet_house: tuple[httpx.AsyncClient, House]) -> None:
    client, house = quiet_house
    before = await stock_of(client, house)

    async def send(number: int) -> None:
        reply = await ask(client, "POST", f"/api/tenant{number}/charts", chunks=[b"no archive %d" % number])
        assert reply.status == 400

    assert await measure_flood(send, 1500) < BOUND / 5
    assert await stock_of(client, house) == before


def test_long_headers_are_not_remembered() -> None:
    """A cache of what headers mean holds few of them, and none that is long."""
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(2000):
            choose_encoding(b"x" * 10_000 + b"%d" % number)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1_000_000
