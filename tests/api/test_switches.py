"""Settings that switch routes off or add to answers."""

from __future__ import annotations

import httpx

from tests.api.conftest import Rooms
from tests.api.wire import ask, push
from tests.charts import make_chart

NOT_FOUND = b'{"error":"not found"}'


async def test_without_the_api_nothing_is_below_it(rooms: Rooms) -> None:
    async with rooms(disable_api="true", basic_auth_user="a", basic_auth_pass="b") as (client, _house):
        for method, path in (
            ("GET", "/api/charts"), ("HEAD", "/api/charts"), ("POST", "/api/charts"), ("POST", "/api/prov"),
            ("GET", "/api/charts/mychart"), ("GET", "/api/charts/mychart/0.1.0"), ("GET", "/api/charts/a/1/templates"),
            ("DELETE", "/api/charts/mychart/0.1.0"), ("GET", "/api/search"), ("POST", "/api/org/charts"),
            ("GET", "/api/chartsvc/v1/charts/search"), ("GET", "/api/charts/"), ("GET", "/api/charts/x.bad"),
        ):  # fmt: skip
            reply = await ask(client, method, path)
            assert (reply.status, reply.body) == (404, NOT_FOUND), (method, path)


async def test_without_the_api_the_repository_still_serves(rooms: Rooms) -> None:
    async with rooms(disable_api="true") as (client, _house):
        for path in ("/", "/index.yaml", "/api/index.yaml", "/info", "/health", "/metrics"):
            assert (await client.get(path)).status_code == 200
        assert (await client.get("/charts/x.tgz")).text == '{"error":"object not found"}'
        page = (await client.get("/")).text
        assert "helm repo add" in page
        assert "curl" not in page


async def test_a_tenant_before_the_api_is_switched_off_with_it(rooms: Rooms) -> None:
    async with rooms(disable_api="true", depth="1") as (client, _house):
        assert (await ask(client, "POST", "/org/api/charts")).status == 404


# -- CORS


async def test_the_cors_header_is_on_what_an_admitted_caller_gets_from_the_api(rooms: Rooms) -> None:
    async with rooms(cors_allow_origin="https://ui.test", basic_auth_user="a", basic_auth_pass="b") as (client, _house):
        client.auth = httpx.BasicAuth("a", "b")
        await push(client, make_chart())
        for method, path, status in (
            ("GET", "/api/charts", 200), ("HEAD", "/api/charts", 200), ("GET", "/api/charts/mychart/0.1.0/values", 200),
            ("GET", "/api/charts/nope", 404), ("GET", "/api/charts?limit=0", 400), ("POST", "/api/charts", 400),
            ("DELETE", "/api/charts/mychart/9.9.9", 404), ("POST", "/api/~latest-1/charts", 200),
        ):  # fmt: skip
            response = await client.request(method, path)
            assert response.headers.get("access-control-allow-origin") == "https://ui.test", path
            assert response.status_code == status or path.startswith("/api/~")
        for path in (
            "/index.yaml",
            "/",
            "/info",
            "/health",
            "/charts/mychart-0.1.0.tgz",
            "/api/nowhere",
            "/api/../charts",
        ):
            assert "access-control-allow-origin" not in (await ask(client, "GET", path)).headers
        refused = await ask(client, "GET", "/api/charts")
        assert refused.status == 401
        assert "access-control-allow-origin" not in refused.headers
        preflight = await ask(client, "OPTIONS", "/api/charts")
        assert (preflight.status, preflight.body) == (404, NOT_FOUND)


async def test_the_cors_header_is_there_below_a_context_path_too(rooms: Rooms) -> None:
    async with rooms(cors_allow_origin="*", context_path="/x", depth="1") as (client, _house):
        for path in ("/x/api/org/charts", "/x/org/api/charts"):
            assert (await client.get(path)).headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-origin" not in (await client.get("/x/api/charts")).headers  # a wrong depth


async def test_without_the_setting_there_is_no_cors_header(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/charts", headers={"origin": "https://ui.test"})
    assert "access-control-allow-origin" not in response.headers


# -- Artifact Hub


async def test_artifact_hubs_identifier_is_served_for_the_root(rooms: Rooms) -> None:
    async with rooms(artifact_hub_repo_id="1234-5678") as (client, _house):
        for method in ("GET", "HEAD"):
            response = await client.request(method, "/artifacthub-repo.yml")
            assert (response.status_code, response.headers["content-type"]) == (200, "application/x-yaml")
            assert response.text == ("repositoryID: 1234-5678\n" if method == "GET" else "")
        other = await client.get("/org/artifacthub-repo.yml")
        assert (other.status_code, other.text) == (404, '{"error":"Artifact Hub repository ID not found"}')


async def test_artifact_hubs_identifiers_are_served_by_tenant(rooms: Rooms) -> None:
    async with rooms(artifact_hub_repo_id="org/a=one,org/b=two", depth="2") as (client, _house):
        assert (await client.get("/org/a/artifacthub-repo.yml")).text == "repositoryID: one\n"
        assert (await client.get("/org/b/artifacthub-repo.yml")).text == "repositoryID: two\n"
        assert (await client.get("/org/c/artifacthub-repo.yml")).status_code == 404
        assert (await ask(client, "GET", "/artifacthub-repo.yml")).body == NOT_FOUND
