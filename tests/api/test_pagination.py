"""Pages of /api/charts: charts by name, and what is no page."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.api.conftest import Rooms
from tests.api.wire import ask, push
from tests.charts import make_chart

NAMES = ["Beta", "alpha", "alpha-2", "gamma", "zeta"]  # bytewise
OFFSET = "offset is not a valid non-negative integer"
LIMIT = "limit is not a valid positive integer"


@pytest.fixture
async def stocked(rooms: Rooms) -> AsyncIterator[httpx.AsyncClient]:
    """Answer a client of a house with five charts, one in two versions."""
    async with rooms() as (client, _house):
        await push(client, *(make_chart(name) for name in reversed(NAMES)), make_chart("alpha", "0.2.0"))
        yield client


async def test_pages_go_over_names_and_hold_all_versions(stocked: httpx.AsyncClient) -> None:
    """One house for all rows: filling it takes longer than asking."""
    rows = [
        ("", NAMES), ("?limit=2", NAMES[:2]), ("?offset=1&limit=2", NAMES[1:3]), ("?offset=4&limit=2", NAMES[4:]),
        ("?offset=5&limit=1", []), ("?offset=99&limit=1", []), ("?limit=99", NAMES), ("?limit=5", NAMES),
        ("?offset=2", NAMES[2:]), ("?offset=99", []), ("?offset=0", NAMES), ("?offset=%2B1&limit=%2B1", NAMES[1:2]),
        ("?offset=-0&limit=01", NAMES[:1]), ("?limit=1&limit=2", NAMES[:1]), ("?limit=999999999999999999", NAMES),
    ]  # fmt: skip
    for query, expected in rows:
        reply = await stocked.get(f"/api/charts{query}")
        assert (reply.status_code, list(reply.json())) == (200, expected), query
        if "alpha" in expected:
            assert [entry["version"] for entry in reply.json()["alpha"]] == ["0.2.0", "0.1.0"]


NO_PAGE = [
    *(("offset=-1", OFFSET), ("offset=", OFFSET), ("offset=x", OFFSET), ("offset=1.5", OFFSET), ("offset", OFFSET)),
    *(("offset=+1", OFFSET), ("offset=0x1", OFFSET), ("offset=%201", OFFSET), ("offset=٣", OFFSET)),
    *(("limit=0", LIMIT), ("limit=-1", LIMIT), ("limit=", LIMIT), ("limit=ten", LIMIT), ("limit", LIMIT)),
    *(("offset=x&limit=x", OFFSET), ("limit=x&offset=x", OFFSET), ("offset=1&limit=0", LIMIT)),
    *(("limit=99999999999999999999999", LIMIT), ("offset=99999999999999999999999", OFFSET)),
]


async def test_what_is_no_page_is_refused_offset_first(client: httpx.AsyncClient) -> None:
    for query, message in NO_PAGE:
        response = await client.get(f"/api/charts?{query}")
        assert (response.status_code, response.text) == (400, f'{{"error":"{message}"}}'), query


async def test_an_empty_repository_has_no_charts(client: httpx.AsyncClient) -> None:
    for path in ("/api/charts", "/api/charts?limit=3", "/api/charts?offset=1", "/api/no/such/charts"):
        reply = await ask(client, "GET", path)
        assert (reply.status, reply.body) == (200, b"{}")
        assert reply.headers["content-type"] == "application/json; charset=utf-8"


async def test_deleted_charts_are_on_no_page(stocked: httpx.AsyncClient) -> None:
    await stocked.delete("/api/charts/alpha-2/0.1.0")
    assert list((await stocked.get("/api/charts?offset=1&limit=2")).json()) == ["alpha", "gamma"]
