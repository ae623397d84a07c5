"""DELETE /api/R/charts/<name>/<version>."""

from __future__ import annotations

import httpx
import pytest

from tests.api.conftest import Rooms
from tests.api.wire import ask, push, sign
from tests.charts import make_chart


async def test_a_version_goes_with_its_provenance_and_the_others_stay(client: httpx.AsyncClient) -> None:
    await push(client, make_chart(), make_chart(version="0.2.0+b1"))
    await push(client, sign(version="0.2.0+b1"), to="/api/prov")
    response = await client.delete("/api/charts/mychart/0.2.0+b1")
    assert (response.status_code, response.text) == (200, '{"deleted":true}')
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert (await client.get("/charts/mychart-0.2.0+b1.tgz")).status_code == 404
    assert (await client.get("/charts/mychart-0.2.0+b1.tgz.prov")).status_code == 404
    assert [entry["version"] for entry in (await client.get("/api/charts/mychart")).json()] == ["0.1.0"]


async def test_a_deleted_version_may_come_again(client: httpx.AsyncClient) -> None:
    await push(client, make_chart())
    await client.delete("/api/charts/mychart/0.1.0")
    await push(client, again := make_chart(description="again"))
    assert (await client.get("/charts/mychart-0.1.0.tgz")).content == again
    assert (await client.get("/index.yaml")).json()["entries"]["mychart"][0]["description"] == "again"


@pytest.mark.parametrize("version", ["latest", "*", "0.x", "^0.1", "v0.1.0", "0.1", "9.9.9", "0.1.0%20"])
async def test_the_version_is_literal_and_what_is_missing_is_not_found(client: httpx.AsyncClient, version: str) -> None:
    await push(client, make_chart())
    reply = await ask(client, "DELETE", f"/api/charts/mychart/{version}")
    shown = version.replace("%20", " ")
    text = f"chart mychart has no version {shown} here; nothing was deleted"
    assert (reply.status, reply.body.decode()) == (404, f'{{"error":"{text}"}}')
    assert len((await client.get("/api/charts/mychart")).json()) == 1


async def test_deleting_twice_is_not_found_the_second_time(client: httpx.AsyncClient) -> None:
    await push(client, make_chart(), to="/api/org/charts")
    assert (await client.delete("/api/charts/mychart/0.1.0")).status_code == 404  # it is another repository's
    assert (await client.delete("/api/org/charts/mychart/0.1.0")).status_code == 200
    assert (await client.delete("/api/org/charts/mychart/0.1.0")).status_code == 404


async def test_a_chart_called_charts_can_be_deleted(client: httpx.AsyncClient) -> None:
    await push(client, make_chart("charts"))
    assert (await client.delete("/api/charts/charts/0.1.0")).status_code == 200


async def test_deleting_can_be_switched_off(rooms: Rooms) -> None:
    async with rooms(disable_delete="true") as (client, _house):
        await push(client, make_chart())
        for version in ("0.1.0", "9.9.9"):
            response = await client.delete(f"/api/charts/mychart/{version}")
            assert (response.status_code, response.text) == (404, '{"error":"not found"}')
        assert (await client.get("/charts/mychart-0.1.0.tgz")).status_code == 200
