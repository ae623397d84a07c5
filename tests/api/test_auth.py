"""One account or none: what needs it, what anonymous reading opens, and the exact words of a refusal."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tests.api.conftest import Rooms
from tests.api.wire import ask
from tests.charts import make_chart

ACCOUNT = {"basic_auth_user": "me", "basic_auth_pass": "se:cret"}
BASIC = 'Basic realm="ChartMuseum"'
DENIED = b'{"error":"unauthorized"}'


def basic(account: str, scheme: str = "Basic") -> dict[str, str]:
    """Answer the header for `user:password`."""
    return {"authorization": f"{scheme} {base64.b64encode(account.encode()).decode()}"}


PULLS = [
    *(
        ("GET", path)
        for path in ("/", "/index.yaml", "/charts/mychart-0.1.0.tgz", "/api/charts", "/api/charts/mychart")
    ),
    *(("HEAD", path) for path in ("/index.yaml", "/api/charts/mychart", "/api/charts/mychart/0.1.0", "/charts/a.tgz")),
    *(("GET", f"/api/charts/mychart/0.1.0{path}") for path in ("", "/templates", "/values")),
    *(("GET", path) for path in ("/api/search", "/api/chartsvc/v1/charts/search", "/charts/a.bad", "/static/x.css")),
    *(("GET", path) for path in ("/org/index.yaml", "/~latest-3/index.yaml", "/artifacthub-repo.yml")),
]
PUSHES = [
    ("POST", "/api/charts"),
    ("POST", "/api/prov"),
    ("DELETE", "/api/charts/mychart/0.1.0"),
    ("POST", "/api/o/prov"),
]


@pytest.mark.parametrize("anonymous", ["false", "true"])
async def test_each_route_wants_the_account_unless_reading_is_open(
    rooms: Rooms, tmp_path: Path, anonymous: str
) -> None:
    (tmp_path / "page").mkdir()
    flags = {"artifact_hub_repo_id": "id", "web_template_path": str(tmp_path / "page"), **ACCOUNT}
    async with rooms(auth_anonymous_get=anonymous, **flags) as (client, _house):
        for method, path in PULLS + PUSHES:
            reply = await ask(client, method, path)
            if anonymous == "true" and (method, path) in PULLS:
                assert reply.status != 401, path
            else:
                assert (reply.status, reply.headers["www-authenticate"]) == (401, BASIC), path
                assert reply.headers["content-type"] == "application/json; charset=utf-8"
                assert reply.body == DENIED or method == "HEAD"
                assert reply.headers["content-length"] == str(len(DENIED))
            assert (await ask(client, method, path, headers=basic("me:se:cret"))).status != 401, path


async def test_operators_routes_are_never_protected(rooms: Rooms) -> None:
    async with rooms(**ACCOUNT) as (client, _house):
        for path in ("/info", "/health", "/metrics", "/-/ready"):
            assert (await ask(client, "GET", path)).status == 200
            assert (await ask(client, "GET", path, headers=basic("wrong:one"))).status == 200


async def test_any_other_account_is_refused(rooms: Rooms) -> None:
    wrong = [basic(account) for account in ("me:wrong", "you:se:cret", "me:se:cret ", ":", "", "me", "ME:se:cret")]
    wrong += [{"authorization": value} for value in ("", "Basic", "Basic ", "Basic !!!", "Bearer x", "me:se:cret")]
    wrong += [basic("me:se:cret", "Bearer")]
    async with rooms(**ACCOUNT) as (client, _house):
        for headers in wrong:
            for path in ("/index.yaml", "/api/charts"):
                reply = await ask(client, "GET", path, headers=headers)
                assert (reply.status, reply.body, reply.headers["www-authenticate"]) == (401, DENIED, BASIC), headers


async def test_an_account_may_have_any_characters(rooms: Rooms) -> None:
    async with rooms(basic_auth_user="jürgen", basic_auth_pass="pä ss:wörd") as (client, _house):
        assert (await ask(client, "GET", "/index.yaml", headers=basic("jürgen:pä ss:wörd"))).status == 200


async def test_a_refused_upload_stores_nothing_and_its_body_is_not_judged(rooms: Rooms) -> None:
    async with rooms(**ACCOUNT) as (client, house):
        assert (await client.post("/api/charts", content=b"no archive")).status_code == 401
        assert (await client.post("/api/charts", content=make_chart())).status_code == 401
        assert await house.counts.count() == []
