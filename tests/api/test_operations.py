"""What operators ask: version, health, readiness, metrics, request ids."""

from __future__ import annotations

import asyncio
import time
import uuid
from importlib.metadata import version
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.services import readiness
from tests.api.conftest import Rooms
from tests.api.wire import ask, push
from tests.charts import make_chart


async def test_info_and_health_answer_json(client: httpx.AsyncClient) -> None:
    for path, body in (("/info", f'{{"version":"{version("chartroom")}"}}'), ("/health", '{"healthy":true}')):
        response = await client.get(path)
        assert (response.status_code, response.text) == (200, body)
        assert response.headers["content-type"] == "application/json; charset=utf-8"
        head = await client.head(path)
        assert (head.status_code, head.headers["content-length"], head.text) == (200, str(len(body)), "")


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests wait for the store for a moment only."""
    monkeypatch.setattr(readiness, "WAIT_SECONDS", 0.05)


@pytest.mark.usefixtures("short_waits")
async def test_while_the_store_is_not_ready_only_health_is_well(rooms: Rooms) -> None:
    async with rooms() as (client, house):
        house.parts.readiness.ready = house.parts.readiness.opened = False
        house.parts.readiness.reason = "taking in old files"
        text = '{"error":"the repository is not ready yet (taking in old files); try again"}'
        for method, path in (
            ("GET", "/index.yaml"), ("HEAD", "/index.yaml"), ("GET", "/api/charts"), ("POST", "/api/charts"),
            ("POST", "/api/prov"), ("DELETE", "/api/charts/a/1.0.0"), ("GET", "/-/ready"), ("GET", "/api/search"),
        ):  # fmt: skip
            response = await client.request(method, path)
            assert (response.status_code, response.headers["retry-after"]) == (503, "5")
            assert response.text == (text if method != "HEAD" else "")
        for path in ("/health", "/info", "/metrics", "/"):
            assert (await client.get(path)).status_code == 200
        assert "taking in old files" in (await client.get("/")).text


async def test_only_so_many_requests_wait_at_once(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "MAX_WAITING", 2)
    async with rooms() as (client, house):
        house.parts.readiness.ready = house.parts.readiness.opened = False
        waiting = [asyncio.ensure_future(client.get("/api/charts")) for _ in range(2)]
        await asyncio.sleep(0.1)
        assert (await client.get("/api/charts")).status_code == 503, "at once"
        assert not any(answer.done() for answer in waiting)
        house.parts.readiness.finish()
        assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200, 200]


@pytest.mark.usefixtures("short_waits")
async def test_archives_are_read_from_the_old_files_until_the_store_is_ready(rooms: Rooms) -> None:
    async with rooms() as (client, house):
        await house.storage.put("org/old-1.0.0.tgz", b"old bytes")
        house.parts.readiness.ready = house.parts.readiness.opened = False
        house.parts.readiness.first_import = False
        assert (await client.get("/org/charts/old-1.0.0.tgz")).status_code == 503, "it may have been deleted since"
        house.parts.readiness.first_import = True
        response = await client.get("/org/charts/old-1.0.0.tgz")
        assert (response.status_code, response.content) == (200, b"old bytes")
        assert response.headers["content-length"] == "9"
        assert (await client.get("/charts/old-1.0.0.tgz")).status_code == 503, "only the index can tell"


async def test_a_store_that_another_server_writes_is_read_only(rooms: Rooms) -> None:
    async with rooms() as (client, house):
        await push(client, make_chart())
        house.parts.readiness.may_write_until = 0
        for method, path in (("POST", "/api/charts"), ("POST", "/api/prov"), ("DELETE", "/api/charts/mychart/0.1.0")):
            response = await client.request(method, path, content=b"x")
            assert (response.status_code, response.headers["retry-after"]) == (503, "10")
            assert response.json()["error"]
        ready = await client.get("/-/ready")
        assert (ready.status_code, ready.json()["ready"], ready.json()["writes"]) == (200, True, False)
        asked = await client.get("/-/ready?write")
        assert (asked.status_code, asked.json()["error"]) == (503, ready.json()["reason"])
        house.parts.readiness.may_write_until = time.monotonic() + 60
        for path in ("/-/ready", "/-/ready?write"):
            assert (await client.get(path)).json() == {"ready": True, "writes": True}
        assert (await client.get("/api/charts/mychart")).status_code == 200


# -- request ids


async def test_every_answer_has_a_request_id(client: httpx.AsyncClient) -> None:
    for method, path in (
        ("GET", "/"), ("GET", "/index.yaml"), ("HEAD", "/index.yaml"), ("GET", "/metrics"), ("GET", "/nowhere"),
        ("GET", "/charts/none.tgz"), ("GET", "/charts/none.bad"), ("POST", "/api/charts"), ("PUT", "/health"),
        ("GET", "/api/charts"), ("DELETE", "/api/charts/a/1"), ("GET", "/../index.yaml"),
    ):  # fmt: skip
        first, second = [(await ask(client, method, path)).headers["x-request-id"] for _ in range(2)]
        assert first != second
        assert uuid.UUID(first).version == 4
        echoed = await ask(client, method, path, headers={"x-request-id": "my own <id> é"})
        assert echoed.headers["x-request-id"] == "my own <id> é", path


async def test_errors_304_and_ranges_have_it_too(rooms: Rooms) -> None:
    async with rooms(basic_auth_user="a", basic_auth_pass="b", auth_anonymous_get="true") as (client, _house):
        client.auth = httpx.BasicAuth("a", "b")
        await push(client, make_chart())
        for path, headers, status in (
            ("/index.yaml", {"if-none-match": "*"}, 304), ("/charts/mychart-0.1.0.tgz", {"if-none-match": "*"}, 304),
            ("/charts/mychart-0.1.0.tgz", {"range": "bytes=0-1"}, 206),
            ("/charts/mychart-0.1.0.tgz", {"range": "bytes=9999-"}, 416),
        ):  # fmt: skip
            reply = await ask(client, "GET", path, headers=headers)
            assert reply.status == status
            assert reply.headers["x-request-id"]
        assert (await ask(client, "POST", "/api/charts")).status == 401


# -- metrics


def read_samples(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Answer samples by name."""
    found: dict[str, list[Any]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


async def test_metrics_have_chartmuseums_names_and_labels(rooms: Rooms) -> None:
    async with rooms() as (client, house):
        await push(client, make_chart("a"), make_chart("a", "0.2.0"), make_chart("b"))
        await push(client, make_chart("c"), to="/api/org/charts")
        await client.get("/index.yaml?tok=secret")
        house.observer.flush()  # requests are counted a little later
        response = await client.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples = read_samples(response.text)
    charts = {labels["repo"]: value for labels, value in samples["chartmuseum_charts_served_total"]}
    versions = {labels["repo"]: value for labels, value in samples["chartmuseum_chart_versions_served_total"]}
    assert (charts, versions) == ({"": 2, "org": 1}, {"": 3, "org": 1})
    for labels, _value in samples["chartmuseum_requests_total"]:
        assert set(labels) == {"code", "method", "handler", "host", "url"}
    for labels, _value in samples["chartmuseum_request_duration_seconds_bucket"]:
        assert set(labels) == {"code", "method", "url", "le"}
    uploads = [value for labels, value in samples["chartmuseum_requests_total"] if labels["code"] == "201"]
    assert uploads == [4]
    for name in ("request", "response"):
        assert samples[f"chartmuseum_{name}_size_bytes_sum"][0][1] > 0
        assert samples[f"chartmuseum_{name}_size_bytes_count"][0][1] >= 5
    assert {"process_cpu_seconds_total", "python_info"} <= set(samples)
    for kind in (
        "chartmuseum_requests_total counter", "chartmuseum_request_duration_seconds histogram",
        "chartmuseum_request_size_bytes summary", "chartmuseum_response_size_bytes summary",
        "chartmuseum_charts_served_total gauge", "chartmuseum_chart_versions_served_total gauge",
    ):  # fmt: skip
        assert f"# TYPE {kind}\n" in response.text


async def test_no_path_name_or_query_of_a_request_becomes_a_label(rooms: Rooms) -> None:
    async with rooms() as (client, house):
        for number in range(20):
            for path in (
                "/t{}/index.yaml", "/charts/c{}.tgz", "/c{}", "/api/charts/c{}/1.{}", "/api/t{}/charts",
                "/../{}/index.yaml", "/index.yaml?q={}", "/charts/x{}.bad", "/t{}/charts/x{}.bad",
                "/api/charts/c{}/1.0.0/values",
            ):  # fmt: skip
                await ask(client, "GET", path.format(number, number))
        house.observer.flush()
        samples = read_samples((await client.get("/metrics")).text)
    urls = {labels["url"] for labels, _value in samples["chartmuseum_requests_total"]}
    assert urls == {
        "/:repo/index.yaml", "/:repo/charts/:filename", "/api/:repo/charts/:name/:version", "/api/:repo/charts",
        "/api/:repo/charts/:name/:version/values", "/charts/:filename", "other",
    }  # fmt: skip
    assert {labels["host"] for labels, _value in samples["chartmuseum_requests_total"]} == {""}
    assert {labels["handler"] for labels, _value in samples["chartmuseum_requests_total"]} == urls


async def test_metrics_can_be_switched_off(rooms: Rooms) -> None:
    async with rooms(enable_metrics="false") as (client, _house):
        assert (await ask(client, "GET", "/metrics")).status == 404
