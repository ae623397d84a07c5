"""Questions about charts: lists, versions by constraint, templates and values."""

from __future__ import annotations

import base64
import json

import httpx
import orjson
import pytest

from tests.api.conftest import Rooms
from tests.api.wire import ask, push
from tests.charts import make_chart

STORED = ["1.0.0+b2", "1.0.0+b1", "1.0.0-rc1", "0.10.0", "0.2.0", "0.1.0"]


async def test_the_list_holds_the_entries_of_the_index_in_order(client: httpx.AsyncClient) -> None:
    await push(client, make_chart("b", description="<&>"), make_chart("a"), make_chart("a", "0.2.0"))
    index = (await client.get("/index.yaml")).content
    response = await client.get("/api/charts")
    assert response.json() == orjson.loads(index)["entries"]
    assert b"\n" not in response.content
    assert b"\\u003c\\u0026\\u003e" in response.content
    assert (await client.get("/api/charts/a")).json() == response.json()["a"]
    assert (await client.get("/api/charts/a/0.1.0")).json() == response.json()["a"][1]


async def test_an_unknown_chart_is_not_found(client: httpx.AsyncClient) -> None:
    await push(client, make_chart())
    for path in ("/api/charts/nope", "/api/charts/nope%20x", "/api/org/charts/mychart", "/api/charts/MYCHART"):
        response = await client.get(path)
        assert (response.status_code, response.text) == (404, '{"error":"chart not found"}')


async def test_a_chart_without_versions_is_not_found(client: httpx.AsyncClient) -> None:
    await push(client, make_chart())
    await client.delete("/api/charts/mychart/0.1.0")
    assert (await client.get("/api/charts/mychart")).text == '{"error":"chart not found"}'
    assert (await client.get("/api/charts/mychart/latest")).text == '{"error":"no chart name found"}'
    assert (await client.get("/api/charts")).text == "{}"


async def test_a_version_is_found_as_helm_finds_it(client: httpx.AsyncClient) -> None:
    """The table of the contract, on one house: filling it takes longer than asking."""
    await push(client, *(make_chart(version=version) for version in reversed(STORED)), make_chart("p", "1.0.0-rc1"))
    rows = [
        *((asked, 200, "1.0.0+b2") for asked in ("latest", "*", "1", "1.0.0", ">=0.1.0", ">0.0.0-0", "", "x")),
        ("0.x", 200, "0.10.0"), ("^0.1", 200, "0.1.0"), ("~0.2", 200, "0.2.0"), ("v0.1.0", 200, "0.1.0"),
        ("1.0.0-rc1", 200, "1.0.0-rc1"), ("1.0.0+b1", 200, "1.0.0+b1"), ("1.0.0%2Bb1", 200, "1.0.0+b1"),
        (">0.1.0,<0.10.0", 200, "0.2.0"), ("<0.2 || 9", 200, "0.1.0"),
        ("9.9.9", 404, "no chart version found for mychart-9.9.9"), ("abc", 404, "improper constraint: abc"),
        ("<script>", 404, "improper constraint: <script>"),
    ]  # fmt: skip
    for asked, status, expected in rows:
        for method in ("GET", "HEAD"):
            reply = await ask(client, method, f"/api/charts/mychart/{asked.replace(' ', '%20')}")
            assert reply.status == status, asked
            assert reply.headers["content-type"] == "application/json; charset=utf-8"
            answer = orjson.loads(reply.body)
            assert answer.get("version", answer.get("error")) == expected, asked
    for asked, message in (("latest", "no chart version found for p-"), ("1", "no chart version found for p-1")):
        assert (await client.get(f"/api/charts/p/{asked}")).json() == {"error": message}
    assert (await client.get("/api/charts/p/1.0.0-rc1")).status_code == 200
    assert (await client.get("/api/charts/unknown/any")).json() == {"error": "no chart name found"}


@pytest.mark.parametrize(
    "path", ["mychart", "mychart/0.1.0", "mychart/latest", "mychart/0.1.0/templates", "mychart/0.1.0/values"]
)
async def test_head_answers_the_headers_of_get(client: httpx.AsyncClient, path: str) -> None:
    await push(client, make_chart())
    got, head = await client.get(f"/api/charts/{path}"), await client.head(f"/api/charts/{path}")
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-type", "content-length"):
        assert head.headers[name] == got.headers[name]
    assert (await client.head(f"/api/charts/x{path}")).status_code == 404


async def test_templates_are_base64_and_values_are_parsed(client: httpx.AsyncClient) -> None:
    files = {
        "values.yaml": "# a comment\nb: 1\na: {x: [yes, 1.0, ~]}\n",
        "templates/pod.yaml": "kind: Pod\n",
        "templates/sub/NOTES.txt": b"\xff\x00",
        "README.md": "x",
    }
    await push(client, make_chart(files=files))
    response = await client.get("/api/charts/mychart/latest/templates")
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.json() == {
        "templates": [
            {"name": "templates/pod.yaml", "data": base64.b64encode(b"kind: Pod\n").decode()},
            {"name": "templates/sub/NOTES.txt", "data": base64.b64encode(b"\xff\x00").decode()},
        ],
        "values": {"a": {"x": [True, 1, None]}, "b": 1},
    }


async def test_a_chart_without_templates_and_values_has_null_for_them(client: httpx.AsyncClient) -> None:
    await push(client, make_chart(files={"values.yaml": None, "templates/pod.yaml": None}))
    assert (await client.get("/api/charts/mychart/0.1.0/templates")).text == '{"templates":null,"values":null}'
    response = await client.get("/api/charts/mychart/0.1.0/values")
    assert (response.status_code, response.text) == (404, '{"error":"values.yaml not found"}')


async def test_values_come_as_they_are_without_a_byte_order_mark(client: httpx.AsyncClient) -> None:
    await push(client, make_chart(files={"values.yaml": b"\xef\xbb\xbf# keep \xc3\xa9\na: 1\n"}))
    response = await client.get("/api/charts/mychart/0.1.0/values")
    assert response.headers["content-type"] == "application/yaml"
    assert response.content == b"# keep \xc3\xa9\na: 1\n"


@pytest.mark.parametrize("kind", ["templates", "values"])
async def test_templates_and_values_of_what_is_not_there(client: httpx.AsyncClient, kind: str) -> None:
    await push(client, make_chart())
    for version, message in (
        ("9.9.9", "no chart version found for mychart-9.9.9"),
        ("abc", "improper constraint: abc"),
    ):
        response = await client.get(f"/api/charts/mychart/{version}/{kind}")
        assert (response.status_code, response.json()) == (404, {"error": message})
    response = await client.get(f"/api/charts/other/0.1.0/{kind}")
    assert (response.status_code, response.json()) == (404, {"error": "no chart name found"})


async def test_templates_and_values_work_with_a_chart_url(rooms: Rooms) -> None:
    async with rooms(chart_url="https://cdn.test/x") as (client, _house):
        await push(client, make_chart(), to="/api/org/charts")
        assert (await client.get("/api/org/charts/mychart/0.1.0/values")).text == "replicas: 1\n"
        assert (await client.get("/api/org/charts/mychart/0.1.0/templates")).json()["values"] == {"replicas": 1}


async def test_a_stored_archive_that_was_damaged_is_our_fault(rooms: Rooms) -> None:
    async with rooms(archive_cache_bytes="0") as (client, house):
        await push(client, make_chart())
        digest = (await client.get("/api/charts/mychart/0.1.0")).json()["digest"]
        await house.storage.put(f".chartroom/blobs/sha256/{digest[:2]}/{digest}", b"no gzip at all")
        for kind in ("values", "templates"):
            response = await client.get(f"/api/charts/mychart/0.1.0/{kind}")
            assert response.status_code == 500
            assert response.json()["error"].endswith("is damaged; tell the operator")


async def test_what_go_reads_in_chart_yaml_is_what_counts(client: httpx.AsyncClient) -> None:
    """`version: 1.10` is 1.1 to Helm, and `appVersion: 1e5` is 100000."""
    chart_yaml = "name: mychart\nversion: 1.10\nappVersion: 1e5\nkeywords: [yes, 010, ~]\n"
    await push(client, make_chart(files={"Chart.yaml": chart_yaml}))
    entry = (await client.get("/api/charts/mychart/latest")).json()
    assert (entry["version"], entry["appVersion"], entry["apiVersion"]) == ("1.1", "100000", "v1")
    assert entry["keywords"] == ["true", "8", ""]
    assert entry["urls"] == ["charts/mychart-1.1.tgz"]
    assert json.dumps(entry)
