"""Stores from before the OCI door: their charts become artifacts at the next start, the same as if uploaded today."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from tests.api.wire import push, sign
from tests.charts import make_chart
from tests.house import open_house
from tests.stories.shop import run_reindex, sha256
from tests.stories.test_verify import blob_of, execute

NAMES = ("mychart", "team/other")


async def read_manifests(client: httpx.AsyncClient) -> list[Any]:
    found = []
    for name in NAMES:
        tags = (await client.get(f"/v2/{name}/tags/list")).json().get("tags", [])
        found.append([(await client.get(f"/v2/{name}/manifests/{tag}")).content for tag in tags])
    return found


def make_old(folder: Path) -> None:
    """Take away what only the OCI door brings, from the rows and from the ledger's lines."""
    execute(folder, "DELETE FROM tags", "DELETE FROM manifests", "DELETE FROM links")


async def test_old_charts_become_artifacts_at_the_next_start(tmp_path: Path) -> None:
    async with open_house(tmp_path) as (client, _):
        await push(client, make_chart(), make_chart("mychart", "0.2.0+x"))
        await client.post("/api/prov", content=sign())
        await push(client, make_chart("other"), to="/api/team/charts")
        await push(client, make_chart("mychart"), to="/api/Classic/charts")
        before = await read_manifests(client)
        assert [len(manifests) for manifests in before] == [2, 1]
    make_old(tmp_path)
    async with open_house(tmp_path) as (client, house):
        assert await read_manifests(client) == before
        assert await house.upgrade.run() == 0
    await run_reindex(tmp_path)
    async with open_house(tmp_path) as (client, _):
        assert await read_manifests(client) == before


async def test_a_chart_whose_archive_is_lost_stays_as_it_is(tmp_path: Path) -> None:
    lost = make_chart("mychart", "0.2.0")
    async with open_house(tmp_path) as (client, _):
        await push(client, make_chart(), lost)
    make_old(tmp_path)
    blob_of(tmp_path, lost).unlink()
    async with open_house(tmp_path) as (client, _):
        assert (await client.get("/v2/mychart/tags/list")).json()["tags"] == ["0.1.0"]
        entries = (await client.get("/index.yaml")).json()["entries"]["mychart"]
        assert [entry["digest"] for entry in entries] == [sha256(lost), sha256(make_chart())]
