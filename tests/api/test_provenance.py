"""Provenance by itself: POST /api/R/prov."""

from __future__ import annotations

import httpx
import pytest

from tests.api.wire import push, sign
from tests.charts import make_chart

BEGIN = b"-----BEGIN PGP SIGNED MESSAGE-----\n"


async def test_provenance_may_come_before_its_chart_and_stays_when_that_comes(client: httpx.AsyncClient) -> None:
    await push(client, sign(), to="/api/prov")
    assert (await client.get("/charts/mychart-0.1.0.tgz.prov")).content == sign()
    await push(client, make_chart())
    assert (await client.get("/charts/mychart-0.1.0.tgz.prov")).content == sign()
    assert list((await client.get("/index.yaml")).json()["entries"]) == ["mychart"]


async def test_provenance_belongs_to_the_tenant_it_was_sent_to(client: httpx.AsyncClient) -> None:
    await push(client, sign(), to="/api/org/prov")
    assert (await client.get("/org/charts/mychart-0.1.0.tgz.prov")).content == sign()
    assert (await client.get("/charts/mychart-0.1.0.tgz.prov")).status_code == 404


async def test_name_and_version_are_the_first_lines_that_say_so_quotes_included(client: httpx.AsyncClient) -> None:
    body = BEGIN + b'\nname: "quoted"\nversion:*1.0.0\nname: second\nversion: 2.0.0\n'
    await push(client, body, to="/api/prov")
    assert (await client.get("/charts/%22quoted%22-1.0.0.tgz.prov")).content == body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not signed\nname: a\nversion: 1.0.0\n",
        b"\n" + sign(),
        BEGIN,
        BEGIN + b"\nname: a\n",
        BEGIN + b"\nversion: 1.0.0\n",
        BEGIN + b"\n name: a\n version: 1.0.0\n",
        BEGIN + b"\nname: \xff\nversion: 1.0.0\n",
    ],
)
async def test_what_is_no_provenance_file_is_500_here_and_400_in_a_form(client: httpx.AsyncClient, body: bytes) -> None:
    raw = await client.post("/api/prov", content=body)
    assert (raw.status_code, raw.text) == (500, '{"error":"invalid provenance file"}')
    formed = await client.post("/api/charts", files={"prov": ("x", body)})
    assert (formed.status_code, formed.text) == (400, '{"error":"invalid provenance file"}')


@pytest.mark.parametrize("name", ["../../x", "a/b", "a\\u0001"])
async def test_a_name_that_leads_elsewhere_is_improper(client: httpx.AsyncClient, name: str) -> None:
    response = await client.post("/api/prov", content=sign(name.encode().decode("unicode_escape")))
    assert response.status_code == 400
    assert response.json()["error"].endswith(" is improperly formatted")


async def test_a_form_is_not_parsed_here(client: httpx.AsyncClient) -> None:
    response = await client.post("/api/prov", files={"prov": ("x", sign())})
    assert (response.status_code, response.text) == (500, '{"error":"invalid provenance file"}')


@pytest.mark.parametrize("note", ["", "another"])
async def test_existing_provenance_is_a_conflict_unless_forced(client: httpx.AsyncClient, note: str) -> None:
    await push(client, sign(), to="/api/prov")
    response = await client.post("/api/prov", content=sign(note=note))
    assert (response.status_code, response.text) == (409, '{"error":"file already exists"}')
    await push(client, sign(note=note), to="/api/prov?force")
    assert (await client.get("/charts/mychart-0.1.0.tgz.prov")).content == sign(note=note)
