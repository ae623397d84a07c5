"""Reindexing: the database made anew from storage brings back what was acknowledged, and nothing else."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import create_engine, text

from app.db import repositories
from app.errors import AppError
from app.services.museum import MuseumFiles
from app.services.tenure import KEY
from app.wiring import House
from tests.charts import make_chart
from tests.house import open_house
from tests.live import serve
from tests.postgres import driver_url
from tests.stories.shop import get_entries, make_provenance, run_import, run_reindex, run_verify, write_charts


async def fill(client: httpx.AsyncClient) -> None:
    """Publish, replace, remove: something of everything."""
    for version in ("0.1.0", "0.2.0", "0.3.0"):
        content = make_chart("mychart", version, description="<b> & \u0085")
        assert (await client.post("/api/charts", content=content)).status_code == 201
    await client.post("/api/prov", content=make_provenance("mychart", "0.1.0"))
    await client.post("/api/prov", content=make_provenance("mychart", "0.2.0"))
    await client.delete("/api/charts/mychart/0.2.0")
    replaced = make_chart("mychart", "0.3.0", description="replaced")
    assert (await client.post("/api/charts?force", content=replaced)).status_code == 201
    await client.post("/api/org/team/charts", content=make_chart("other", "1.0.0-rc.1"))


async def look(client: httpx.AsyncClient, house: House) -> dict[str, Any]:
    """Answer what clients see, and the catalogue's identity last."""
    catalogue = await house.database.read(repositories.get_catalogue)
    files: dict[str, Any] = {}
    for path in ("charts/mychart-0.1.0.tgz", "charts/mychart-0.1.0.tgz.prov", "charts/mychart-0.2.0.tgz"):
        response = await client.get(f"/{path}")
        files[path] = response.content if response.status_code == 200 else response.status_code
    search = (await client.get("/api/search?q=")).json()
    return {
        "root": await get_entries(client), "team": await get_entries(client, "org/team"), "files": files,
        "search": search, "revision": catalogue.revision, "identity": catalogue.identity,
    }  # fmt: skip


async def test_everything_acknowledged_comes_back_under_a_new_identity(tmp_path: Path) -> None:
    async with open_house(tmp_path) as (client, house):
        await fill(client)
        before = await look(client, house)
        etag = (await client.get("/index.yaml")).headers["etag"]
    said = await run_reindex(tmp_path)
    assert said.code == 0
    assert "2 repositories, 2 charts, 3 versions, 1 provenance files, from " in said.lines[0]
    async with open_house(tmp_path) as (client, house):
        after = await look(client, house)
        # The same commits: a copy that somebody kept is still true.
        assert (await client.get("/index.yaml", headers={"If-None-Match": etag})).status_code == 304
        assert (await client.post("/api/charts", content=make_chart("mychart", "0.4.0"))).status_code == 201
    assert after.pop("identity") != before.pop("identity")
    assert after == before
    assert (await run_verify(tmp_path)).code == 0


async def test_a_lost_or_broken_database_is_made_anew(tmp_path: Path) -> None:
    database = tmp_path / ".chartroom" / "chartroom.db"
    async with open_house(tmp_path) as (client, house):
        await fill(client)
        before = await look(client, house)
    for damage in ("lost", "broken"):
        if damage == "lost":
            database.unlink()
        else:
            database.write_bytes(b"this is no database" * 1000)
            database.with_name("chartroom.db-wal").write_bytes(b"a log of nothing")
        await run_reindex(tmp_path)
        async with open_house(tmp_path) as (client, house):
            assert {**await look(client, house), "identity": ""} == {**before, "identity": ""}
    assert sorted(path.name for path in database.parent.glob("*.db*")) == [
        "chartroom.db", "chartroom.db-pending", "chartroom.db.lock", "chartroom.db.opening"
    ]  # fmt: skip


async def test_a_commit_that_storage_had_not_recorded_yet_is_kept(tmp_path: Path) -> None:
    async with open_house(tmp_path) as (client, _):
        await fill(client)
        before = await get_entries(client)
    ledger = tmp_path / ".chartroom" / "ledger"
    newest = max((ledger / "%25").glob("*.jsonl") if (ledger / "%25").exists() else (ledger / "%").glob("*.jsonl"))
    with sqlite3.connect(tmp_path / ".chartroom" / "chartroom.db") as connection:
        key = str(newest.relative_to(tmp_path))
        connection.execute("DELETE FROM outbox")
        connection.execute("INSERT INTO outbox (key, content) VALUES (?, ?)", (key, newest.read_bytes()))
    connection.close()
    newest.unlink()
    await run_reindex(tmp_path)
    async with open_house(tmp_path) as (client, _):
        assert await get_entries(client) == before


async def test_a_torn_ledger_is_named_and_the_old_database_stays(tmp_path: Path) -> None:
    async with open_house(tmp_path) as (client, house):
        await fill(client)
        before = await look(client, house)
    segments = sorted((tmp_path / ".chartroom" / "ledger" / "%").glob("*.jsonl"))
    segments[1].unlink()
    with pytest.raises(AppError, match="the root repository has a gap"):
        await run_reindex(tmp_path)
    async with open_house(tmp_path) as (client, house):
        assert await look(client, house) == before


async def test_it_refuses_while_a_server_has_the_database_open(tmp_path: Path) -> None:
    async with open_house(tmp_path) as (client, _):
        await fill(client)
        with pytest.raises(AppError, match="in use by another process"):
            await run_reindex(tmp_path)
    await run_reindex(tmp_path)


def test_it_refuses_while_a_server_runs(tmp_path: Path) -> None:
    with serve(tmp_path / "store") as server:
        assert httpx.post(f"{server.url}/api/charts", content=make_chart()).status_code == 201
        with pytest.raises(AppError, match="in use by another process"):
            asyncio.run(run_reindex(tmp_path / "store"))
        assert httpx.post(f"{server.url}/api/charts", content=make_chart("mychart", "0.2.0")).status_code == 201


@pytest.mark.parametrize("damage", ["whole", "lost"])
async def test_charts_of_chartmuseums_files_that_were_removed_stay_removed(tmp_path: Path, damage: str) -> None:
    """Its files lie there still: a rescan must know that they were taken in, also when only the ledger can tell."""
    written = write_charts(tmp_path, "0.1.0", "0.2.0", "0.3.0")
    (tmp_path / "mychart-0.1.0.tgz.prov").write_bytes(make_provenance("mychart", "0.1.0"))
    async with open_house(tmp_path) as (client, _):
        await client.delete("/api/charts/mychart/0.1.0")
    if damage == "lost":
        (tmp_path / ".chartroom" / "chartroom.db").unlink()
    await run_reindex(tmp_path)
    (tmp_path / "mychart-0.3.0.tgz").write_bytes(make_chart("mychart", "0.3.0", description="changed meanwhile"))
    write_charts(tmp_path, "0.4.0")
    async with open_house(tmp_path) as (client, house):
        museum = MuseumFiles(house.database, house.storage, house.charts, house.ledger)
        await museum.scan()
        entries = await get_entries(client)
        assert sorted(entries) == ["mychart-0.2.0", "mychart-0.3.0", "mychart-0.4.0"]
        assert entries["mychart-0.3.0"]["description"] == "changed meanwhile"
        assert (await client.get("/charts/mychart-0.2.0.tgz")).content == written["mychart-0.2.0.tgz"]
        assert (await client.get("/charts/mychart-0.1.0.tgz.prov")).status_code == 404
        (tmp_path / "mychart-0.2.0.tgz").unlink()
        await museum.scan()
        assert "mychart-0.2.0" not in await get_entries(client)


async def test_a_file_that_changed_while_the_database_was_lost_replaces_what_it_brought(tmp_path: Path) -> None:
    write_charts(tmp_path, "0.1.0")
    async with open_house(tmp_path):
        pass
    (tmp_path / ".chartroom" / "chartroom.db").unlink()
    (tmp_path / "mychart-0.1.0.tgz").write_bytes(make_chart(description="changed"))
    await run_reindex(tmp_path)
    async with open_house(tmp_path) as (client, _):
        assert (await get_entries(client))["mychart-0.1.0"]["description"] == "changed"


async def test_on_postgres_it_is_one_transaction_beside_a_running_house(tmp_path: Path, postgres_url: str) -> None:
    async with open_house(tmp_path, database=postgres_url) as (client, house):
        await fill(client)
        before = await look(client, house)
        engine = create_engine(driver_url(postgres_url))
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM chart_versions WHERE version = '0.1.0'"))
        engine.dispose()
        said = await run_reindex(tmp_path, database=postgres_url)
        assert "3 versions" in said.lines[0]
        after = await look(client, house)
        assert after.pop("identity") != before.pop("identity")
        assert after == before
        assert (await client.post("/api/charts", content=make_chart("mychart", "0.4.0"))).status_code == 201
        assert "mychart-0.4.0" in await get_entries(client)
    assert (await run_verify(tmp_path, database=postgres_url)).lines[-1] == "clean"


async def test_on_postgres_a_torn_ledger_changes_nothing(tmp_path: Path, postgres_url: str) -> None:
    async with open_house(tmp_path, database=postgres_url) as (client, house):
        await fill(client)
        before = await look(client, house)
        sorted((tmp_path / ".chartroom" / "ledger" / "%").glob("*.jsonl"))[1].unlink()
        with pytest.raises(AppError, match="gap"):
            await run_reindex(tmp_path, database=postgres_url)
        assert await look(client, house) == before


async def test_times_of_an_import_survive(tmp_path: Path) -> None:
    write_charts(tmp_path / "old", "0.1.0")
    (tmp_path / "old" / "index.yaml").write_bytes(
        b'{"entries":{"mychart":[{"urls":["mychart-0.1.0.tgz"],"created":"2017-04-28T00:18:30.071110236Z"}]}}'
    )
    await run_import(tmp_path / "store", tmp_path / "old")
    await run_reindex(tmp_path / "store")
    shutil.rmtree(tmp_path / "old")
    async with open_house(tmp_path / "store") as (client, _):
        assert (await get_entries(client))["mychart-0.1.0"]["created"] == "2017-04-28T00:18:30.071110236Z"


async def test_after_a_crash_the_new_catalogue_may_write_at_once(tmp_path: Path) -> None:
    """The lease in storage is the old catalogue's, and would keep everybody else from writing until it ends."""
    async with open_house(tmp_path) as (client, _):
        await fill(client)
        lease = (tmp_path / KEY).read_bytes()
    (tmp_path / KEY).write_bytes(lease)  # as a killed server leaves it
    await run_reindex(tmp_path)
    async with open_house(tmp_path) as (client, _):
        assert (await client.post("/api/charts", content=make_chart("mychart", "0.4.0"))).status_code == 201


async def test_commits_that_another_catalogue_has_overtaken_are_not_written_into_its_ledger(tmp_path: Path) -> None:
    async with open_house(tmp_path) as (client, _):
        await fill(client)
    lease = orjson.dumps({"catalogue": "another", "expires": time.time() + 60})
    (tmp_path / KEY).write_bytes(lease)
    with sqlite3.connect(tmp_path / ".chartroom" / "chartroom.db") as connection:
        connection.execute("INSERT INTO outbox (key, content) VALUES ('.chartroom/ledger/%/fork', 'x')")
    connection.close()
    await run_reindex(tmp_path)
    assert not (tmp_path / ".chartroom" / "ledger" / "%" / "fork").exists()
    assert (tmp_path / KEY).read_bytes() == lease
