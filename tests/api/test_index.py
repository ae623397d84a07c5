"""index.yaml: what is in it, in which form, and that it follows every change."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
import yaml

from tests.api.conftest import Rooms
from tests.api.wire import push
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
