"""index.yaml: what is in it, how it is encoded and revalidated, and what floods and odd charts do to it."""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
import yaml
import zstandard

from tests.api.conftest import Rooms
from tests.api.wire import Reply, ask, push
from tests.charts import make_chart

CHART_YAML = """\
apiVersion: v2
name: mychart
version: 1.0.0+b2
kubeVersion: '>=1.20.0-0'
description: 'A <b>Helm</b> & "chart": test'
type: application
keywords: [a, b]
home: https://x/home
sources: [https://x/source]
icon: https://x/icon.png
appVersion: 1.16.0
deprecated: true
unknown: dropped
maintainers:
  - {name: Bob, email: bob@x.y}
dependencies:
  - {name: common, version: 1.x.x, repository: https://x/y, tags: [t]}
annotations:
  z: |
    multi
    line
  artifacthub.io/license: MIT
"""


async def get_index(client: httpx.AsyncClient, path: str = "/index.yaml") -> dict[str, Any]:
    """Answer an index, loaded."""
    response = await client.get(path)
    assert response.status_code == 200
    loaded: dict[str, Any] = orjson.loads(response.content)
    return loaded


# -- the document


async def test_an_entry_holds_the_metadata_a_relative_url_the_digest_and_when_it_came(
    client: httpx.AsyncClient,
) -> None:
    archive = make_chart(files={"Chart.yaml": CHART_YAML})
    before = datetime.now(UTC)
    await push(client, archive)
    response = await client.get("/index.yaml")
    assert response.headers["content-type"] == "application/x-yaml"
    index = response.json()
    assert list(index) == ["apiVersion", "generated", "serverInfo", "entries"]
    assert (index["apiVersion"], index["serverInfo"]) == ("v1", {})
    [entry] = index["entries"]["mychart"]
    created = datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", entry.pop("created")))
    assert before - timedelta(seconds=1) < created < datetime.now(UTC) + timedelta(seconds=1)
    assert entry == {
        "name": "mychart", "home": "https://x/home", "sources": ["https://x/source"], "version": "1.0.0+b2",
        "description": 'A <b>Helm</b> & "chart": test', "keywords": ["a", "b"],
        "maintainers": [{"name": "Bob", "email": "bob@x.y"}], "icon": "https://x/icon.png", "apiVersion": "v2",
        "appVersion": "1.16.0", "deprecated": True,
        "annotations": {"artifacthub.io/license": "MIT", "z": "multi\nline\n"}, "kubeVersion": ">=1.20.0-0",
        "dependencies": [{"name": "common", "version": "1.x.x", "repository": "https://x/y", "tags": ["t"]}],
        "type": "application", "urls": ["charts/mychart-1.0.0+b2.tgz"],
        "digest": hashlib.sha256(archive).hexdigest(),
    }  # fmt: skip
    fields = "name home sources version description keywords maintainers icon apiVersion appVersion deprecated"
    fields += " annotations kubeVersion dependencies type urls digest"
    assert list(entry) == fields.split()


async def test_an_empty_repository_has_an_index_without_entries(client: httpx.AsyncClient) -> None:
    index = await get_index(client)
    assert (index["apiVersion"], index["entries"]) == ("v1", {})
    assert datetime.fromisoformat(index["generated"]).tzinfo is not None


async def test_generated_is_the_time_of_the_last_change_not_of_the_request(client: httpx.AsyncClient) -> None:
    await push(client, make_chart())
    first = (await client.get("/index.yaml")).content
    assert (await client.get("/index.yaml")).content == first
    await push(client, make_chart("other"))
    assert (await get_index(client))["generated"] > orjson.loads(first)["generated"]


async def test_versions_descend_and_charts_are_sorted(client: httpx.AsyncClient) -> None:
    versions = ["0.2.0", "1.0.0+b1", "0.10.0", "1.0.0-rc1", "1.0.0+b2", "0.1.0"]
    await push(client, make_chart("zeta"), *(make_chart("alpha", version) for version in versions), make_chart("Beta"))
    entries = (await get_index(client))["entries"]
    assert list(entries) == ["Beta", "alpha", "zeta"]
    assert [entry["version"] for entry in entries["alpha"]] == [
        "1.0.0+b2", "1.0.0+b1", "1.0.0-rc1", "0.10.0", "0.2.0", "0.1.0",
    ]  # fmt: skip


async def test_each_version_is_one_line(client: httpx.AsyncClient) -> None:
    await push(client, make_chart(), make_chart(version="0.2.0"), make_chart("other"))
    lines = (await client.get("/index.yaml")).content.splitlines()
    assert sum(line.startswith(b'{"name":') for line in lines) == 3


@pytest.mark.parametrize("path", ["/index.yaml", "/index.yaml?format=yaml"])
async def test_the_index_is_the_same_for_a_json_parser_and_for_a_yaml_parser(
    client: httpx.AsyncClient, path: str
) -> None:
    await push(client, make_chart(files={"Chart.yaml": CHART_YAML}), make_chart("n", "0.1.0", appVersion="7e10"))
    as_json = await get_index(client)
    as_yaml = yaml.load((await client.get(path)).content, yaml.CSafeLoader)
    assert as_yaml == as_json


@pytest.mark.parametrize(
    ("json_index", "query", "is_json"),
    [
        *(("true", "", True), ("true", "?format=yaml", False), ("true", "?format=json", True)),
        *(("false", "", False), ("false", "?format=json", True), ("true", "?a=b&format=yaml", False)),
        *(("true", "?format=xml", True), ("true", "?tok=1", True)),
    ],
)
async def test_block_yaml_comes_by_setting_or_by_query(
    rooms: Rooms, json_index: str, query: str, is_json: bool
) -> None:
    async with rooms(json_index=json_index) as (client, _house):
        await push(client, make_chart())
        response = await client.get(f"/index.yaml{query}")
    assert response.headers["content-type"] == "application/x-yaml"
    assert response.content.startswith(b'{"apiVersion"' if is_json else b"apiVersion: v1\n")
    assert b'"created": "' in response.content or is_json or b'created: "' in response.content


@pytest.mark.parametrize("tenant", ["", "org/repo"])
async def test_chart_url_makes_urls_absolute(rooms: Rooms, tenant: str) -> None:
    below = f"/{tenant}" if tenant else ""
    async with rooms(chart_url="https://cdn.test/base/", context_path="/ctx") as (client, _house):
        await push(client, make_chart(), to=f"/ctx/api{below}/charts")
        url = f"https://cdn.test/base/ctx{below}/charts/mychart-0.1.0.tgz"
        for query in ("", "?format=yaml"):
            index = yaml.safe_load((await client.get(f"/ctx{below}/index.yaml{query}")).content)
            assert index["entries"]["mychart"][0]["urls"] == [url]
        for path in ("charts", "charts/mychart", "charts/mychart/0.1.0"):
            assert f'"urls":["{url}"]' in (await client.get(f"/ctx/api{below}/{path}")).text


# -- read your writes


async def test_a_read_after_the_answer_sees_the_change(client: httpx.AsyncClient) -> None:
    for number in range(5):
        await push(client, make_chart(version=f"0.1.{number}"))
        versions = [entry["version"] for entry in (await get_index(client))["entries"]["mychart"]]
        assert versions[0] == f"0.1.{number}"
        assert len(versions) == number + 1
    for number in range(5):
        await client.delete(f"/api/charts/mychart/0.1.{number}")
        entries = (await get_index(client))["entries"]
        assert len(entries.get("mychart", [])) == 4 - number
    assert entries == {}


async def test_an_overwrite_changes_the_digest_and_the_archive_together(client: httpx.AsyncClient) -> None:
    await push(client, make_chart())
    await push(client, archive := make_chart(description="new"), to="/api/charts?force")
    [entry] = (await get_index(client))["entries"]["mychart"]
    assert entry["digest"] == hashlib.sha256(archive).hexdigest()
    assert (await client.get("/charts/mychart-0.1.0.tgz")).content == archive


async def test_a_stored_object_that_vanished_does_not_spoil_the_index(rooms: Rooms) -> None:
    async with rooms() as (client, house):
        await push(client, archive := make_chart(), make_chart("other"))
        digest = hashlib.sha256(archive).hexdigest()
        await house.storage.delete(f".chartroom/blobs/sha256/{digest[:2]}/{digest}")
        assert set((await get_index(client))["entries"]) == {"mychart", "other"}


# -- HEAD, ETag, encodings


async def test_head_answers_the_headers_of_get(client: httpx.AsyncClient) -> None:
    await push(client, make_chart())
    for headers in ({}, {"accept-encoding": "gzip"}, {"accept-encoding": "zstd"}):
        got = await ask(client, "GET", "/index.yaml", headers=headers)
        head = await ask(client, "HEAD", "/index.yaml", headers=headers)
        assert head.body == b""
        assert int(head.headers["content-length"]) == len(got.body)
        assert _without_id(head) == _without_id(got)


def _without_id(reply: Reply) -> dict[str, str]:
    return {name: value for name, value in reply.headers.items() if name != "x-request-id"}


@pytest.mark.parametrize(
    ("make_value", "status"),
    [
        (lambda etag: etag, 304),
        (lambda etag: f"W/{etag}", 304),
        (lambda etag: f'"other", {etag}', 304),
        (lambda etag: f'"other",{etag} , "more"', 304),
        (lambda etag: "*", 304),
        (lambda etag: etag.strip('"'), 200),
        (lambda etag: '"other"', 200),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_if_none_match_answers_304_for_the_current_etag(
    client: httpx.AsyncClient, make_value: Callable[[str], str], status: int, method: str
) -> None:
    await push(client, make_chart())
    etag = (await ask(client, "GET", "/index.yaml")).headers["etag"]
    reply = await ask(client, method, "/index.yaml", headers={"if-none-match": make_value(etag)})
    assert reply.status == status
    assert (reply.headers["etag"], reply.headers["cache-control"]) == (etag, "no-cache")
    if status == 304:
        assert reply.body == b""
        assert "content-type" not in reply.headers
        assert reply.headers["vary"] == "accept-encoding"


async def test_the_etag_differs_by_content_encoding_format_view_and_repository(client: httpx.AsyncClient) -> None:
    await push(client, make_chart())
    await push(client, make_chart(), to="/api/org/charts")
    asked = [("/index.yaml", coding) for coding in ("identity", "gzip", "zstd")]
    asked += [(path, "identity") for path in ("/index.yaml?format=yaml", "/~latest-1/index.yaml", "/org/index.yaml")]
    asked += [("/unknown/index.yaml", "identity")]
    etags = [(await ask(client, "GET", path, headers={"accept-encoding": c})).headers["etag"] for path, c in asked]
    assert len(set(etags)) == len(asked)
    await push(client, make_chart("other"))
    assert (await ask(client, "GET", "/index.yaml")).headers["etag"] not in etags
    assert (await ask(client, "GET", "/org/index.yaml")).headers["etag"] in etags
    assert all(re.fullmatch('"[^"]+"', etag) for etag in etags)


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        (None, None),
        *(("", None), ("identity", None), ("br", None), ("gzip", "gzip"), ("zstd", "zstd"), ("GZIP", "gzip")),
        *(("gzip, deflate, br", "gzip"), ("gzip, deflate, br, zstd", "zstd"), ("gzip;q=1.0, zstd;q=0.5", "gzip")),
        *(("gzip;q=0", None), ("gzip;q=0.0, *", "zstd"), ("*;q=0", None), ("identity;q=1, gzip;q=0.5", None)),
        *(("gzip;q=0.5, identity;q=0.5", "gzip"), ("gzip; q=0.2", "gzip"), ("gzip;q=x", None), ("gzip;q=nan", None)),
        *(("deflate,gzip;q=1.0,*;q=0.5", "gzip"), ("," * 500 + "gzip", "gzip")),
    ],
)
async def test_a_body_is_compressed_as_accept_encoding_asks(
    client: httpx.AsyncClient, accepted: str | None, encoding: str | None
) -> None:
    await push(client, *(make_chart(version=f"0.1.{number}") for number in range(3)))
    plain = await ask(client, "GET", "/index.yaml")
    reply = await ask(client, "GET", "/index.yaml", headers=None if accepted is None else {"accept-encoding": accepted})
    assert reply.headers.get("content-encoding") == encoding
    assert reply.headers["vary"] == "accept-encoding"
    assert int(reply.headers["content-length"]) == len(reply.body)
    assert _decode(reply.body, encoding) == plain.body


def _decode(body: bytes, encoding: str | None) -> bytes:
    if encoding == "gzip":
        return zlib.decompress(body, wbits=31)
    if encoding == "zstd":
        with zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=True) as reader:
            return reader.read()
    return body


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_a_changed_index_decompresses_too(client: httpx.AsyncClient, encoding: str) -> None:
    for number in range(30):
        await push(client, make_chart(f"chart{number * 7 % 30}", f"0.1.{number}"))
        for path in ("/index.yaml", "/~latest-2/index.yaml", "/index.yaml?format=yaml"):
            plain = await ask(client, "GET", path)
            reply = await ask(client, "GET", path, headers={"accept-encoding": encoding})
            assert _decode(reply.body, encoding) == plain.body


async def test_shared_caches_must_ask_again_and_private_ones_alone_may_keep_what_needs_credentials(
    rooms: Rooms,
) -> None:
    account = {"basic_auth_user": "me", "basic_auth_pass": "secret"}
    for flags, expected in (
        ({}, "no-cache"),
        (account, "private, no-cache"),
        ({**account, "auth_anonymous_get": "1"}, "no-cache"),
    ):
        async with rooms(**flags) as (client, _house):
            response = await client.get("/index.yaml", auth=("me", "secret"))
        assert response.headers["cache-control"] == expected


# -- slim views


async def test_a_slim_view_shows_the_newest_versions_of_each_chart(client: httpx.AsyncClient) -> None:
    for tenant in ("", "/org/team"):
        archives = [make_chart("many", f"0.{number}.0") for number in range(12)]
        await push(client, *archives, make_chart("few"), to=f"/api{tenant}/charts")
        entries = (await get_index(client, f"{tenant}/~latest-3/index.yaml"))["entries"]
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
        [entry] = (await get_index(client, "/~latest-1/index.yaml"))["entries"]["mychart"]
        assert entry["version"] == f"0.{number}.0"
    await client.delete("/api/charts/mychart/0.3.0")
    [entry] = (await get_index(client, "/~latest-1/index.yaml"))["entries"]["mychart"]
    assert entry["version"] == "0.2.0"


# -- unknown tenants


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
            assert len((await get_index(client, f"/tenant-{number}/index.yaml"))["entries"]) == 1
        assert len(house.parts.indexes._kept) < 30
        assert house.parts.indexes._weight <= 100_000
        assert len((await get_index(client, "/tenant-0/index.yaml"))["entries"]) == 1


# -- odd characters

ODD = {
    "next line": "a\u0085b", "delete": "a\u007fb", "not a character": "a\ufffeb", "the other": "a\uffffb",
    "emoji": "a\U0001f600b", "NUL": "a\x00b", "line separator": "a\u2028\u2029b", "byte order mark": "\ufeffab",
    "controls": "a\x01\x1b\x1fb", "line breaks": "a\r\nb\n", "quotes": "\"'\\", "html": "<b>&amp;", "colon": "a: b # c",
    "percent": "%TAG", "last plane": "\U0010ffff", "bidi": "\u202eabc", "empty": "", "space": "  ",
}  # fmt: skip


@pytest.mark.parametrize("path", ["/index.yaml", "/index.yaml?format=yaml", "/~latest-1/index.yaml"])
async def test_charts_full_of_odd_characters_do_not_spoil_the_index(client: httpx.AsyncClient, path: str) -> None:
    for number, text in enumerate(ODD.values()):
        # YAML has an escape for every character; Helm cleans descriptions and leaves annotations as they are.
        odd = '"' + "".join(f"\\U{ord(character):08x}" for character in text) + '"'
        fields = f"apiVersion: v2\nname: odd{number:02}\nversion: 0.1.0\ndescription: {odd}\nkeywords: [{odd}]\n"
        chart_yaml = f"{fields}annotations:\n  {odd}: {odd}\n  k: {odd}\n"
        await push(client, make_chart(files={"Chart.yaml": chart_yaml}))
    body = (await client.get(path)).content
    loaded = yaml.load(body, yaml.CSafeLoader)
    assert yaml.load(body, yaml.SafeLoader) == loaded
    if "yaml?" not in path:
        assert json.loads(body) == loaded
    annotations = [entries[0]["annotations"] for entries in loaded["entries"].values()]
    assert annotations == [{text: text, "k": text} for text in ODD.values()]


async def test_odd_characters_in_names_of_charts_are_served_and_found(client: httpx.AsyncClient) -> None:
    for name in ("ünï", "a b", "100%", "q?#x", "emoji\U0001f600", "it's", 'quo"te', "y", "null", "1e5"):
        chart_yaml = f"apiVersion: v2\nname: {json.dumps(name, ensure_ascii=False)}\nversion: 0.1.0\n"
        archive = make_chart("top", files={"Chart.yaml": chart_yaml})
        await push(client, archive)
        body = (await client.get("/index.yaml")).content
        loaded = yaml.load(body, yaml.CSafeLoader)
        [entry] = loaded["entries"][name]
        assert entry["name"] == name
        assert (await client.get(f"/{entry['urls'][0]}")).content == archive
