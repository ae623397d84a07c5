"""Routing: which path leads where, at every depth; what is absent, and in which order things are refused."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.api.conftest import Rooms
from tests.api.wire import ask, push
from tests.charts import make_chart

NOT_FOUND = b'{"error":"not found"}'

# depth, method, target, status, how the body begins
TABLE = [
    ("0", "HEAD", "/", 200, b""),
    ("0", "HEAD", "/health", 200, b""),
    ("0", "HEAD", "/info", 200, b""),
    ("0", "HEAD", "/charts/mychart-0.1.0.tgz", 200, b""),
    ("0", "HEAD", "/api/charts", 200, b""),
    ("0", "HEAD", "/metrics", 200, b""),
    ("0", "GET", "/index.yaml/", 404, NOT_FOUND),
    ("0", "GET", "//index.yaml", 200, b'{"apiVersion":"v1"'),
    ("0", "GET", "/api//charts", 200, b'{"mychart":[{'),
    ("0", "GET", "/api///charts//mychart", 200, b"[{"),
    ("0", "POST", "/api/charts/", 404, NOT_FOUND),
    ("0", "GET", "/charts", 404, NOT_FOUND),
    ("0", "GET", "/api", 404, NOT_FOUND),
    ("0", "GET", "/api/", 404, NOT_FOUND),
    ("0", "GET", "/api/charts/", 404, b'{"error":"chart not found"}'),
    ("0", "GET", "/api/charts/mychart/", 200, b'{"name":"mychart"'),
    ("0", "GET", "/api/charts/mychart/0.1.0/", 404, NOT_FOUND),
    ("0", "GET", "/api/charts/mychart/0.1.0/readme", 404, NOT_FOUND),
    ("0", "GET", "/charts/", 500, b'{"error":"unsupported file extension"}'),
    ("0", "GET", "/org/index.yaml", 404, NOT_FOUND),
    ("0", "GET", "/api/org/charts", 404, NOT_FOUND),
    ("0", "GET", "/apix/charts", 404, NOT_FOUND),
    ("0", "GET", "/favicon.ico", 404, NOT_FOUND),
    ("0", "GET", "/static/logo.png", 404, NOT_FOUND),
    ("0", "GET", "/artifacthub-repo.yml", 404, NOT_FOUND),
    ("0", "GET", "/api%2Fcharts%2Fmychart", 200, b"[{"),
    ("1", "GET", "/index.yaml", 404, NOT_FOUND),
    ("1", "GET", "/org1", 404, NOT_FOUND),
    ("1", "GET", "/org1/", 404, NOT_FOUND),
    ("1", "GET", "/info", 200, b'{"version":'),
    ("1", "GET", "/org1/info", 200, b'{"version":'),
    ("1", "GET", "/org1/health", 200, b'{"healthy":true}'),
    ("1", "GET", "/artifacthub-repo.yml", 404, NOT_FOUND),
    ("1", "GET", "/api/charts", 404, NOT_FOUND),
    ("1", "POST", "/api/charts", 404, NOT_FOUND),
    ("1", "GET", "/api/charts/foo", 404, NOT_FOUND),
    ("1", "GET", "/charts/x.tgz", 404, NOT_FOUND),
    ("1", "GET", "/org1/team1/index.yaml", 404, NOT_FOUND),
    ("1", "GET", "/org1/index.yaml", 200, b'{"apiVersion":"v1"'),
    ("1", "GET", "/org1%2Findex.yaml", 200, b'{"apiVersion":"v1"'),
    ("1", "GET", "/api/org1/charts", 200, b"{}"),
    ("1", "GET", "/org1/api/charts", 200, b"{}"),
    ("1", "GET", "/org1/api/charts/foo", 404, b'{"error":"chart not found"}'),
    ("1", "GET", "/org1/~latest-2/api/charts", 200, b"{}"),
    ("1", "POST", "/org1/api/charts", 400, b'{"error":"EOF"}'),
    ("1", "GET", "/api/index.yaml", 200, b'{"apiVersion":"v1"'),
    ("1", "GET", "/health/index.yaml", 200, b'{"apiVersion":"v1"'),
    ("1", "GET", "/apix/index.yaml", 200, b'{"apiVersion":"v1"'),
    ("1", "GET", "/charts/index.yaml", 200, b'{"apiVersion":"v1"'),
    ("1", "GET", "/charts/charts/x.tgz", 404, b'{"error":"object not found"}'),
    ("1", "GET", "/api/charts/x.tgz", 404, b'{"error":"object not found"}'),
    ("2", "GET", "/info", 200, b'{"version":'),
    ("2", "GET", "/org1", 404, NOT_FOUND),
    ("2", "GET", "/org1/repo1", 404, NOT_FOUND),
    ("2", "GET", "/org1/index.yaml", 404, NOT_FOUND),
    ("2", "GET", "/index.yaml", 404, NOT_FOUND),
    ("2", "GET", "/api/org1/charts", 404, NOT_FOUND),
    ("2", "GET", "/org1/repo1/index.yaml", 200, b'{"apiVersion":"v1"'),
    ("2", "GET", "/org1/repo1/api/charts", 200, b"{}"),
    ("2", "GET", "/api/org1/repo1/charts", 200, b"{}"),
    ("3", "GET", "/a/b/c/index.yaml", 200, b'{"apiVersion":"v1"'),
    ("3", "GET", "/api/a/b/c/charts", 200, b"{}"),
    ("3", "GET", "/a/b/index.yaml", 404, NOT_FOUND),
    ("3", "GET", "/a/b/c/d/index.yaml", 404, NOT_FOUND),
    ("", "GET", "/index.yaml", 200, b'{"apiVersion":"v1"'),
    ("", "GET", "/a/b/c/index.yaml", 200, b'{"apiVersion":"v1"'),
    ("", "GET", "/api/charts", 200, b'{"mychart":[{'),
    ("", "GET", "/api/o/r/charts", 200, b"{}"),
    ("", "GET", "/api/o/charts/foo/1.0.0/values", 404, b'{"error":"no chart name found"}'),
    ("", "POST", "/api/prov", 500, b'{"error":"invalid provenance file"}'),
    ("", "POST", "/api/o/prov", 500, b'{"error":"invalid provenance file"}'),
    ("", "GET", "/api/charts/charts", 200, b"{}"),
    ("", "GET", "/api/charts/foo/charts/bar", 404, b'{"error":"chart not found"}'),
    ("", "GET", "/info", 200, b'{"version":'),
    ("", "GET", "/org1", 404, NOT_FOUND),
    ("", "GET", "/org1/repo1", 404, NOT_FOUND),
    ("", "GET", "/favicon.ico", 404, NOT_FOUND),
    ("", "GET", "/org1/artifacthub-repo.yml", 404, NOT_FOUND),
    ("", "GET", "/org1/api/charts", 404, NOT_FOUND),
    ("", "GET", "/apix/charts", 404, NOT_FOUND),
    ("", "POST", "/apix/prov", 404, NOT_FOUND),
    ("", "GET", "/v2/index.yaml", 200, b'{"apiVersion":"v1"'),
]


@pytest.mark.parametrize("depth", ["0", "1", "2", "3", ""])
async def test_each_path_leads_where_the_contract_says(rooms: Rooms, depth: str) -> None:
    async with rooms(**({"depth": depth} if depth else {})) as (client, _house):
        if depth in ("", "0"):
            await push(client, make_chart())
        for row, method, target, status, begins in TABLE:
            if row == depth:
                reply = await ask(client, method, target)
                assert (reply.status, reply.body[: len(begins)]) == (status, begins), (method, target)


async def test_the_chart_of_a_tenant_called_charts_is_found_below_it(rooms: Rooms) -> None:
    async with rooms() as (client, _house):
        await push(client, make_chart("foo", "1.0.0"), to="/api/charts/charts")
        await push(client, make_chart("bar", "2.0.0"), to="/api/charts/foo/charts")
        assert list((await client.get("/api/charts/charts")).json()) == ["foo"]
        assert (await client.get("/api/charts/charts/foo")).json()[0]["version"] == "1.0.0"
        assert (await client.get("/api/charts/foo/charts/bar")).json()[0]["version"] == "2.0.0"
        assert (await client.get("/charts/charts/foo-1.0.0.tgz")).status_code == 200


async def test_a_wrong_method_is_not_found_like_an_unknown_path(rooms: Rooms) -> None:
    async with rooms(basic_auth_user="me", basic_auth_pass="secret") as (client, _house):
        for path in ("/index.yaml", "/", "/health", "/charts/mychart-0.1.0.tgz", "/nowhere"):
            for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "POST"):
                reply = await ask(client, method, path)
                assert (reply.status, reply.body) == (404, NOT_FOUND), (method, path)
                assert reply.headers["content-type"] == "application/json; charset=utf-8"
                assert "allow" not in reply.headers
                assert "www-authenticate" not in reply.headers


async def test_there_is_no_other_route_in_the_api(rooms: Rooms) -> None:
    async with rooms(basic_auth_user="me", basic_auth_pass="secret") as (client, _house):
        for method, path in (
            ("PUT", "/api/charts"), ("DELETE", "/api/charts"), ("DELETE", "/api/charts/mychart"), ("GET", "/api/prov"),
            ("OPTIONS", "/api/charts"), ("HEAD", "/api/prov"), ("POST", "/api/charts/mychart"), ("GET", "/api/tenants"),
        ):  # fmt: skip
            reply = await ask(client, method, path)
            assert (reply.status, reply.body) == (404, NOT_FOUND), (method, path)


NO_REPOSITORY = [
    ("/../index.yaml", 'repository path ".." has the segment "..": dots alone are no name'),
    ("/%2e%2e/index.yaml", 'repository path ".." has the segment "..": dots alone are no name'),
    ("/a/%2E%2E/charts/x.tgz", 'repository path "a/.." has the segment "..": dots alone are no name'),
    ("/..%2f..%2f/index.yaml", 'repository path "../.." has the segment "..": dots alone are no name'),
    ("/./index.yaml", 'repository path "." has the segment ".": dots alone are no name'),
    ("/api/../charts", 'repository path ".." has the segment "..": dots alone are no name'),
    ("/a%0Ab/index.yaml", r'repository path "a\nb" holds a control character: use printable characters only'),
    ("/a%C2%85/index.yaml", r'repository path "a\u0085" holds a control character: use printable characters only'),
    ("/a%00b/index.yaml", "the path holds a NUL character; no name does"),
    ("/charts/x%00.tgz", "the path holds a NUL character; no name does"),
    ("/api/charts/x%00", "the path holds a NUL character; no name does"),
    ("/api/charts/x/1%00", "the path holds a NUL character; no name does"),
    ("/%FF%FE/index.yaml", "the repository in the path is not UTF-8: percent-encode its UTF-8 bytes"),
    ("/api/%ED%A0%80/charts", "the repository in the path is not UTF-8: percent-encode its UTF-8 bytes"),
    ("/-/index.yaml", "paths below /-/ belong to the server: give the repository another name"),
    ("/" + "a" * 256 + "/index.yaml", f'repository path "{"a" * 100}..." has a segment over 255 bytes: shorten it'),
]  # fmt: skip


async def test_a_path_that_names_no_repository_is_refused_with_a_reason(client: httpx.AsyncClient) -> None:
    for target, message in NO_REPOSITORY:
        reply = await ask(client, "GET", target)
        assert (reply.status, json.loads(reply.body)) == (400, {"error": message}), target


@pytest.mark.parametrize("target", ["/api/../charts", "/api/a/%2e%2e/charts", "/api/%2e%2e/prov", "/api/-/charts"])
async def test_nothing_is_stored_for_a_path_that_names_no_repository(rooms: Rooms, target: str) -> None:
    async with rooms() as (client, house):
        reply = await ask(client, "POST", target, chunks=[make_chart()])
        assert reply.status == 400
        assert await house.counts.count() == []


@pytest.mark.parametrize("tenant", ["api", "health", "charts", "apix", "info", "static", "metrics", "v2", "~latest-0"])
async def test_a_tenant_may_have_the_name_of_a_route(rooms: Rooms, tenant: str) -> None:
    async with rooms(depth="1") as (client, _house):
        await push(client, make_chart(), to=f"/api/{tenant}/charts")
        index = (await client.get(f"/{tenant}/index.yaml")).json()
        assert list(index["entries"]) == ["mychart"]
        assert (await client.get(f"/{tenant}/charts/mychart-0.1.0.tgz")).status_code == 200
        assert (await client.delete(f"/api/{tenant}/charts/mychart/0.1.0")).text == '{"deleted":true}'


# -- the context path


BELOW = [
    *(("/x", 200), ("/x/", 200), ("/x/health", 200), ("/x/info", 200), ("/x/index.yaml", 200)),
    *(("//x//index.yaml", 200), ("/x/api/charts", 200), ("/x/org/index.yaml", 200), ("/metrics", 200)),
    *(("/x/-/ready", 200), ("/x/api/search", 200)),
    *(("/", 404), ("/health", 404), ("/index.yaml", 404), ("/api/charts", 404), ("/x/metrics", 404)),
    *(("/xfoo/index.yaml", 404), ("/xfoo", 404), ("/y/x/index.yaml", 404), ("/-/ready", 404)),
]


async def test_every_route_but_metrics_lies_below_the_context_path(rooms: Rooms) -> None:
    async with rooms(context_path="x/") as (client, _house):
        for target, status in BELOW:
            assert (await ask(client, "GET", target)).status == status, target


async def test_the_context_path_is_published_in_the_index(rooms: Rooms) -> None:
    async with rooms(context_path="/v1/helm") as (client, _house):
        assert (await client.get("/v1/helm/index.yaml")).json()["serverInfo"] == {"contextPath": "/v1/helm"}
        await push(client, make_chart(), to="/v1/helm/api/org/charts")
        assert (await client.get("/v1/helm/org/charts/mychart-0.1.0.tgz")).status_code == 200


async def test_a_tenant_may_stand_before_the_api_below_a_context_path(rooms: Rooms) -> None:
    async with rooms(context_path="/x", depth="1") as (client, _house):
        await push(client, make_chart(), to="/x/org/api/charts")
        assert list((await client.get("/x/api/org/charts")).json()) == ["mychart"]
