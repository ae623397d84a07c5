"""Search: our own JSON, and what `helm search hub --endpoint` reads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.api.conftest import Rooms
from tests.api.wire import push
from tests.charts import make_chart


@pytest.fixture
async def stocked(rooms: Rooms) -> AsyncIterator[httpx.AsyncClient]:
    """Answer a client of a house with charts about databases."""
    async with rooms() as (client, _house):
        await push(
            client,
            make_chart("redis", "1.0.0", description="A store in memory", keywords=["cache", "Key-Value"]),
            make_chart("redis", "2.0.0-rc1", description="not stable yet"),
            make_chart("redis-cluster", description="Many of them"),
            make_chart("my-redis", description="Mine"),
            make_chart("aredis", description="Old", deprecated=True),
            make_chart("valkey", description="Like redis, and free", keywords=["cache"]),
            make_chart("dragonfly", description="Fast", keywords=["redis"]),
            make_chart("mysql", description="100% SQL_x", icon="https://x/i.png"),
        )  # fmt: skip
        await push(client, make_chart("redis", "3.0.0", description="Of the team"), to="/api/org/team/charts")
        yield client


def names(response: httpx.Response) -> list[str]:
    """Answer the charts found, with their repository."""
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    return ["/".join(filter(None, (item["repository"], item["name"]))) for item in response.json()["items"]]


async def test_the_best_comes_first_and_deprecated_charts_are_flagged_not_hidden(stocked: httpx.AsyncClient) -> None:
    response = await stocked.get("/api/search?q=redis")
    assert names(response) == [
        "redis", "org/team/redis", "redis-cluster", "my-redis", "aredis", "dragonfly", "valkey",
    ]  # fmt: skip
    assert response.json()["total"] == 7
    assert {item["name"]: item["deprecated"] for item in response.json()["items"]}["aredis"] is True


async def test_an_item_shows_the_newest_stable_version(stocked: httpx.AsyncClient) -> None:
    [item, *_] = (await stocked.get("/api/search?q=redis")).json()["items"]
    created = item.pop("created")
    assert item == {
        "repository": "", "name": "redis", "version": "1.0.0", "appVersion": "", "description": "A store in memory",
        "deprecated": False, "keywords": ["cache", "Key-Value"], "icon": "",
    }  # fmt: skip
    assert created.endswith("Z")


WORDS = [
    ("cache", ["redis", "valkey"]),
    ("CACHE", ["redis", "valkey"]),
    ("key-value", ["redis"]),
    ("store memory", ["redis"]),
    ("memory%20%20%20store", ["redis"]),
    ("cache+free", ["valkey"]),
    ("100%25", ["mysql"]),
    ("l_x", ["mysql"]),
    ("_", ["mysql"]),
    ("sql%00x", ["mysql"]),
    ("nothing-like-it", []),
    ("'; drop table charts; --", []),
    ("\\", []),
    ("é", []),
]


async def test_every_word_must_match_name_keywords_or_description(stocked: httpx.AsyncClient) -> None:
    for query, expected in WORDS:
        response = await stocked.get(f"/api/search?q={query}")
        assert (names(response), response.json()["total"]) == (expected, len(expected)), query


async def test_without_words_all_charts_come_by_name(stocked: httpx.AsyncClient) -> None:
    every = ["aredis", "dragonfly", "my-redis", "mysql", "redis", "org/team/redis", "redis-cluster", "valkey"]
    for query in ("", "?q=", "?q=%20"):
        assert names(await stocked.get(f"/api/search{query}")) == every


async def test_pages_of_results(stocked: httpx.AsyncClient) -> None:
    for words, total in (("", 8), ("redis", 7)):
        every = names(await stocked.get(f"/api/search?q={words}"))
        for query, part in (
            ("limit=2", slice(0, 2)), ("limit=2&offset=1", slice(1, 3)), ("offset=6", slice(6, None)),
            ("limit=0", slice(0, 0)), ("offset=99", slice(0, 0)), ("limit=999999", slice(0, None)),
        ):  # fmt: skip
            response = await stocked.get(f"/api/search?q={words}&{query}")
            assert (names(response), response.json()["total"]) == (every[part], total)


async def test_what_is_no_page_is_refused(client: httpx.AsyncClient) -> None:
    for name in ("limit", "offset"):
        for value in ("-1", "x", "", "1.5", "+1", "9999999999999999999"):
            response = await client.get(f"/api/search?{name}={value}")
            message = f"{name} must be a whole number of at least 0"
            assert (response.status_code, response.json()) == (400, {"error": message})


async def test_a_query_may_be_long_but_not_endless(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"/api/search?q={'a+' * 128}")).status_code == 200
    response = await client.get(f"/api/search?q={'a+' * 129}")
    assert response.status_code == 400
    assert response.json() == {"error": "q is longer than 256 characters; use fewer words"}


async def test_results_follow_every_change(client: httpx.AsyncClient) -> None:
    await push(client, make_chart("a", description="first"))
    assert names(await client.get("/api/search?q=first")) == ["a"]
    await push(client, make_chart("a", "0.2.0", description="second"))
    assert names(await client.get("/api/search?q=first")) == []
    await client.delete("/api/charts/a/0.2.0")
    assert names(await client.get("/api/search?q=first")) == ["a"]
    await client.delete("/api/charts/a/0.1.0")
    assert (await client.get("/api/search")).json() == {"total": 0, "items": []}


async def test_words_of_many_charts_are_loaded_in_pieces(rooms: Rooms) -> None:
    async with rooms() as (client, house):
        await push(client, *(make_chart(f"chart-{number:03}") for number in range(30)))
        house_search: Any = house.parts.search
        import app.db.search as statements

        kept, statements._CHUNK = statements._CHUNK, 7
        try:
            hits = await house_search.find("chart", may_read=None)
        finally:
            statements._CHUNK = kept
        assert [chart.name for chart in hits.charts] == [f"chart-{number:03}" for number in range(30)]


# -- the hub's shape


async def test_helm_search_hub_gets_monoculars_shape(rooms: Rooms) -> None:
    async with rooms(public_url="https://charts.test/", context_path="/ctx") as (client, _house):
        fields = {
            "description": "a <b>", "home": "https://x", "keywords": ["k"], "icon": "https://x/i.png",
            "maintainers": [{"name": "Bob", "email": "bob@x.y"}], "sources": ["https://x/s"], "appVersion": "1e5",
        }  # fmt: skip
        await push(client, make_chart(**fields), to="/ctx/api/org/charts")  # type: ignore[arg-type]
        [found] = (await client.get("/ctx/api/chartsvc/v1/charts/search?q=mychart")).json()["data"]
        newest = found["relationships"]["latestChartVersion"]["data"]
        assert newest.pop("created").endswith("Z")
        assert len(newest.pop("digest")) == 64
        repository = "https://charts.test/ctx/org"
        assert found == {
            "id": "org/mychart", "type": "chart",
            "artifactHub": {"packageUrl": "https://charts.test/ctx/?q=mychart"},
            "attributes": {
                "name": "mychart", "repo": {"name": "org", "url": repository}, "description": "a <b>",
                "home": "https://x", "keywords": ["k"], "icon": "https://x/i.png",
                "maintainers": [{"name": "Bob", "email": "bob@x.y"}], "sources": ["https://x/s"],
            },
            "links": {"self": "/v1/charts/org/mychart"},
            "relationships": {"latestChartVersion": {
                "data": {"version": "0.1.0", "app_version": "1e5", "urls": [f"{repository}/charts/mychart-0.1.0.tgz"]},
                "links": {"self": "/v1/charts/org/mychart/versions/0.1.0"},
            }},
        }  # fmt: skip


async def test_the_hub_answers_every_chart_for_no_words_and_an_empty_list_for_none(stocked: httpx.AsyncClient) -> None:
    path = "/api/chartsvc/v1/charts/search"
    for query in ("?q=", ""):
        assert len((await stocked.get(path + query)).json()["data"]) == 8
    assert (await stocked.get(f"{path}?q=nothing-like-it")).text == '{"data":[]}'
    [first, *_] = (await stocked.get(f"{path}?q=redis")).json()["data"]
    assert first["attributes"]["repo"] == {"name": "chartroom", "url": "http://charts.test"}


async def test_the_address_of_the_request_has_the_context_path(rooms: Rooms) -> None:
    async with rooms(context_path="/ctx") as (client, _house):
        await push(client, make_chart(), to="/ctx/api/charts")
        [found] = (await client.get("/ctx/api/chartsvc/v1/charts/search?q=")).json()["data"]
        assert found["attributes"]["repo"]["url"] == "http://charts.test/ctx"
