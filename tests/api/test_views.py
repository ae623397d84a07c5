"""Slim views, and repositories that nobody filled: what they show, and that they cost nothing."""

from __future__ import annotations

from typing import Any

import httpx

from tests.api.conftest import Rooms
from tests.api.wire import ask, push
from tests.charts import make_chart


async def get_entries(client: httpx.AsyncClient, path: str = "/index.yaml") -> dict[str, Any]:
    """Answer the entries of an index."""
    response = await client.get(path)
    assert response.status_code == 200
    entries: dict[str, Any] = response.json()["entries"]
    return entries


async def test_a_slim_view_shows_the_newest_versions_of_each_chart(client: httpx.AsyncClient) -> None:
    for tenant in ("", "/org/team"):
        archives = [make_chart("many", f"0.{number}.0") for number in range(12)]
        await push(client, *archives, make_chart("few"), to=f"/api{tenant}/charts")
        entries = await get_entries(client, f"{tenant}/~latest-3/index.yaml")
        assert [entry["version"] for entry in entries["many"]] == ["0.11.0", "0.10.0", "0.9.0"]
        assert len(entries["few"]) == 1
        assert entries["few"][0]["urls"] == ["charts/few-0.1.0.tgz"]
        assert (await client.get(f"{tenant}/~latest-3/charts/many-0.11.0.tgz")).content == archives[11]
        assert (await client.get(f"{tenant}/~latest-3/charts/many-0.0.0.tgz")).content == archives[0]


async def test_the_api_of_a_slim_view_lists_the_newest_and_refuses_writes(client: httpx.AsyncClient) -> None:
    await push(client, *(make_chart(version=f"0.{number}.0") for number in range(5)))
    listed = (await client.get("/api/~latest-2/charts")).json()
    assert [entry["version"] for entry in listed["mychart"]] == ["0.4.0", "0.3.0"]
    assert (await client.get("/api/~latest-2/charts?limit=1")).json() == listed
    assert (await client.get("/api/~latest-2/charts/mychart")).json() == listed["mychart"]
    assert (await client.get("/api/~latest-2/charts/mychart/latest")).json() == listed["mychart"][0]
    assert (await client.get("/api/~latest-2/charts/mychart/0.1.0")).status_code == 404
    body = {"error": "~latest-2 is a view and read only; write to the repository itself"}
    for method, path in (("POST", "charts"), ("POST", "prov"), ("DELETE", "charts/mychart/0.4.0")):
        response = await client.request(method, f"/api/~latest-2/{path}", content=make_chart("new"))
        assert (response.status_code, response.json()) == (403, body)
    assert len((await client.get("/api/charts/mychart")).json()) == 5


async def test_a_slim_view_follows_every_change(client: httpx.AsyncClient) -> None:
    for number in range(4):
        await push(client, make_chart(version=f"0.{number}.0"))
        [entry] = (await get_entries(client, "/~latest-1/index.yaml"))["mychart"]
        assert entry["version"] == f"0.{number}.0"
    await client.delete("/api/charts/mychart/0.3.0")
    [entry] = (await get_entries(client, "/~latest-1/index.yaml"))["mychart"]
    assert entry["version"] == "0.2.0"


async def test_unknown_repositories_share_one_empty_index(client: httpx.AsyncClient) -> None:
    first, second = [await client.get(path) for path in ("/no/such/index.yaml", "/other/index.yaml")]
    assert first.status_code == 200
    assert first.json()["entries"] == {}
    assert (first.content, first.headers["etag"]) == (second.content, second.headers["etag"])


async def test_a_flood_of_unknown_repositories_leaves_nothing_behind(rooms: Rooms) -> None:
    async with rooms() as (client, house):
        await push(client, make_chart())
        for number in range(10_000):
            path = f"/flood-{number}/index.yaml" if number % 2 else f"/flood-{number}/charts/x-1.0.0.tgz"
            assert (await ask(client, "GET", path)).status == (200 if number % 2 else 404)
        await ask(client, "GET", "/" + "long/" * 100_000 + "index.yaml")
        front: Any = client._transport
        targets = front.app._targets
        assert len(targets) <= 8192
        assert max(map(len, targets)) <= 512
        assert len(house.parts.indexes._kept) <= 1
        assert len(house.parts.archives._names) <= 1
        assert set(house.revisions.known) == {""}
        text = (await client.get("/metrics")).text
        assert "flood" not in text
        assert await house.counts.count() == [("", 1, 1)]


async def test_ten_thousand_tenants_stay_within_the_memory_for_indexes(rooms: Rooms) -> None:
    async with rooms(index_cache_bytes="100000") as (client, house):
        for number in range(40):
            await push(client, make_chart(), to=f"/api/tenant-{number}/charts")
            assert len(await get_entries(client, f"/tenant-{number}/index.yaml")) == 1
        assert len(house.parts.indexes._kept) < 30
        assert house.parts.indexes._weight <= 100_000
        assert len(await get_entries(client, "/tenant-0/index.yaml")) == 1
