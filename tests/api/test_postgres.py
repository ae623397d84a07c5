"""The classic door on Postgres: what another database could answer differently."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.api.conftest import Rooms
from tests.api.wire import ask, push, sign
from tests.charts import make_chart


@pytest.fixture
async def client(rooms: Rooms, postgres_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Answer a client of a house whose catalogue is Postgres."""
    async with rooms(database=postgres_url) as (client, _house):
        yield client


async def test_names_are_sorted_bytewise_and_pages_follow(client: httpx.AsyncClient) -> None:
    await push(client, *(make_chart(name) for name in ("b", "A", "a-1", "a", "B", "ä")), make_chart("a", "0.2.0"))
    order = ["A", "B", "a", "a-1", "b", "ä"]
    assert list((await client.get("/api/charts")).json()) == order
    assert list((await client.get("/index.yaml")).json()["entries"]) == order
    assert list((await client.get("/api/charts?offset=2&limit=2")).json()) == ["a", "a-1"]
    assert (await client.get("/api/charts/a/latest")).json()["version"] == "0.2.0"
    assert [entry["version"] for entry in (await client.get("/~latest-1/index.yaml")).json()["entries"]["a"]] == [
        "0.2.0"
    ]


async def test_search_finds_words_and_escapes_patterns(client: httpx.AsyncClient) -> None:
    await push(
        client, make_chart("mysql", description="100% SQL_x", annotations={"nul": "a\x00b"}), make_chart("other")
    )
    await push(client, make_chart("mysql"), to="/api/org/charts")
    for query, expected in (
        ("mysql", ["mysql", "mysql"]),
        ("100%25", ["mysql"]),
        ("l_x", ["mysql"]),
        ("%00", None),
        ("\\", []),
    ):
        items = (await client.get(f"/api/search?q={query}")).json()["items"]
        assert [item["name"] for item in items] == (["mysql", "mysql", "other"] if expected is None else expected)
    assert "3 charts" in (await client.get("/")).text


async def test_characters_that_postgres_refuses_are_refused_before(client: httpx.AsyncClient) -> None:
    for method, target in (
        ("GET", "/charts/x%00.tgz"), ("GET", "/%00/index.yaml"), ("GET", "/api/charts/x%00"),
        ("GET", "/api/charts/x/%00"), ("DELETE", "/api/charts/x%00/1"), ("POST", "/api/%00/charts"),
    ):  # fmt: skip
        assert (await ask(client, method, target)).status == 400, target
    assert (await ask(client, "GET", "/api/charts/%FF%FE")).status == 404


async def test_uploads_conflicts_and_deletes_work_as_ever(client: httpx.AsyncClient) -> None:
    await push(client, make_chart())
    await push(client, sign(), to="/api/prov")
    assert (await client.post("/api/charts", content=make_chart())).status_code == 409
    await push(client, make_chart(description="new"), to="/api/charts?force")
    assert (await client.delete("/api/charts/mychart/0.1.0")).status_code == 200
    assert (await client.get("/index.yaml")).json()["entries"] == {}
