"""Verifying: what is wrong with a store is named, and mended when asked, where it can be."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import httpx
import pytest
from sqlalchemy import create_engine, text

from app.domain.ledger import blob_key
from tests.charts import make_chart
from tests.house import open_house
from tests.postgres import driver_url
from tests.stories.shop import Said, get_entries, make_provenance, run_reindex, run_verify, sha256, write_charts

CLEAN = 0
WRONG = 4


async def publish(client: httpx.AsyncClient, *versions: str) -> None:
    for version in versions:
        content = make_chart("mychart", version, description="<b> & more")
        assert (await client.post("/api/charts", content=content)).status_code == 201


def execute(folder: Path, *statements: str) -> None:
    connection = sqlite3.connect(folder / ".chartroom" / "chartroom.db")
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def blob_of(folder: Path, content: bytes) -> Path:
    return folder / blob_key(sha256(content))


async def test_a_store_that_was_used_is_clean(tmp_path: Path) -> None:
    async with open_house(tmp_path) as (client, _):
        await publish(client, "0.1.0", "0.2.0")
        await client.post("/api/prov", content=make_provenance("mychart", "0.1.0"))
        await client.delete("/api/charts/mychart/0.2.0")
        await client.post("/api/org/charts", content=make_chart("other", "1.0.0"))
    said = await run_verify(tmp_path)
    assert said.code == CLEAN
    assert said.lines[0].startswith("2 repositories, 3 blobs of ")
    assert "1 blobs of" in said.find("note: ")  # of the chart that was removed
    assert said.lines[-1] == "clean"


async def test_an_empty_store_is_clean(tmp_path: Path) -> None:
    async with open_house(tmp_path):
        pass
    assert await run_verify(tmp_path) == Said(0, ["0 repositories, 0 blobs of 0 bytes checked", "clean"])


async def test_it_runs_beside_a_house_that_publishes(tmp_path: Path) -> None:
    async with open_house(tmp_path) as (client, _):
        await publish(client, "0.1.0")
        assert (await run_verify(tmp_path)).code == CLEAN
        await publish(client, "0.2.0")
        assert (await run_verify(tmp_path, repair=True)).code == CLEAN
        await publish(client, "0.3.0")
        assert len(await get_entries(client)) == 3


@pytest.mark.parametrize("damage", ["missing", "damaged"])
async def test_a_blob_is_mended_from_chartmuseums_own_file(tmp_path: Path, damage: str) -> None:
    written = write_charts(tmp_path / "org", "0.1.0")
    (tmp_path / "org" / "mychart-0.1.0.tgz.prov").write_bytes(make_provenance("mychart", "0.1.0"))
    async with open_house(tmp_path):
        pass
    contents = [*written.values(), make_provenance("mychart", "0.1.0")]
    for blob in (blob_of(tmp_path, content) for content in contents):
        blob.unlink() if damage == "missing" else blob.write_bytes(b"rot")
    said = await run_verify(tmp_path)
    assert said.code == WRONG
    assert damage in said.find("(org/mychart-0.1.0.tgz)")
    assert damage in said.find("(org/mychart-0.1.0.tgz.prov)")
    assert said.lines[-1] == "2 things are wrong"
    said = await run_verify(tmp_path, repair=True)
    assert said.code == CLEAN
    assert said.find("copied from org/mychart-0.1.0.tgz.prov").startswith("mended: ")
    assert [blob_of(tmp_path, content).read_bytes() for content in contents] == contents
    assert (await run_verify(tmp_path)).code == CLEAN


async def test_a_blob_that_nothing_else_holds_is_named_as_lost(tmp_path: Path) -> None:
    content = make_chart()
    async with open_house(tmp_path) as (client, _):
        await client.post("/api/charts", content=content)
        await client.post("/api/org/charts", content=content)
    blob_of(tmp_path, content).unlink()
    (tmp_path / "mychart-0.1.0.tgz").write_bytes(b"a file of this name with other bytes")
    for repair in (False, True):
        said = await run_verify(tmp_path, repair=repair)
        assert said.code == WRONG
        assert "(mychart-0.1.0.tgz and 1 more) is missing; upload the same file again" in said.find("wrong: ")


STATEMENTS = {
    "DELETE FROM chart_versions WHERE version = '0.1.0'": "version mychart 0.1.0 is in the ledger and not in the rows",
    "UPDATE chart_versions SET version = '0.9.0' WHERE version = '0.1.0'": "0.9.0 is in the rows and not in the ledger",
    "UPDATE chart_versions SET created = 1 WHERE version = '0.1.0'": "version mychart 0.1.0 differs",
    "UPDATE chart_versions SET entry = X'7B7D' WHERE version = '0.1.0'": "version mychart 0.1.0 differs",
    "DELETE FROM provenances": "provenance of mychart-0.1.0.tgz is in the ledger and not in the rows",
    "UPDATE provenances SET filename = 'x-1.tgz'": "provenance of x-1.tgz is in the rows and not in the ledger",
    "UPDATE charts SET versions = 7": "what lists show of chart mychart differs",
    "DELETE FROM charts": "what lists show of chart mychart is in the ledger and not in the rows",
    "INSERT INTO charts SELECT repository_id, 'ghost', revision, 1, rank, version, app_version, description, "
    "deprecated, words FROM charts": "what lists show of chart ghost is in the rows and not in the ledger",
}


@pytest.mark.parametrize("statement", STATEMENTS)
async def test_rows_that_differ_from_the_ledger_are_named_and_mended(tmp_path: Path, statement: str) -> None:
    async with open_house(tmp_path) as (client, _):
        await publish(client, "0.1.0", "0.2.0")
        await client.post("/api/prov", content=make_provenance("mychart", "0.1.0"))
        before = await get_entries(client), (await client.get("/api/search?q=")).json()
    execute(tmp_path, statement)
    said = await run_verify(tmp_path)
    assert said.code == WRONG
    assert said.find(STATEMENTS[statement]).startswith("wrong: the root repository: ")
    async with open_house(tmp_path) as (client, _):  # one that has the wrong index in memory sees the right one after
        await client.get("/index.yaml")
        said = await run_verify(tmp_path, repair=True)
        assert said.code == CLEAN, said
        assert said.find(STATEMENTS[statement]).startswith("mended: the root repository: ")
        assert (await get_entries(client), (await client.get("/api/search?q=")).json()) == before
        assert (await client.get("/charts/mychart-0.1.0.tgz.prov")).status_code == 200
        await publish(client, "0.3.0")
    assert (await run_verify(tmp_path)).lines[-1] == "clean"
    await run_reindex(tmp_path)
    assert (await run_verify(tmp_path)).lines[-1] == "clean"


async def test_rows_behind_the_ledger_catch_up_when_repaired(tmp_path: Path) -> None:
    database = tmp_path / ".chartroom" / "chartroom.db"
    async with open_house(tmp_path) as (client, _):
        await publish(client, "0.1.0")
    backup = database.read_bytes()
    async with open_house(tmp_path) as (client, _):
        await publish(client, "0.2.0")
    database.write_bytes(backup)
    said = await run_verify(tmp_path)
    assert said.code == WRONG
    assert "rows are at revision 1, its ledger at 2" in said.find("wrong: ")
    assert (await run_verify(tmp_path, repair=True)).code == CLEAN
    async with open_house(tmp_path) as (client, _):
        assert len(await get_entries(client)) == 2


async def test_a_torn_ledger_is_named_and_other_repositories_are_compared_still(tmp_path: Path) -> None:
    async with open_house(tmp_path) as (client, _):
        await publish(client, "0.1.0", "0.2.0", "0.3.0")
        for repository in ("org/a", "org/b"):
            for version in ("1.0.0", "2.0.0"):
                await client.post(f"/api/{repository}/charts", content=make_chart("other", version))
    segments = sorted((tmp_path / ".chartroom" / "ledger" / "%").glob("*.jsonl"))
    segments[1].unlink()
    damaged = sorted((tmp_path / ".chartroom" / "ledger" / "org%2Fa").glob("*.jsonl"))[0]
    damaged.write_bytes(damaged.read_bytes().replace(b"other", b"OTHER"))
    execute(tmp_path, "DELETE FROM chart_versions WHERE version = '2.0.0' AND repository_id = 3")
    for repair in (False, True):
        said = await run_verify(tmp_path, repair=repair)
        assert said.code == (CLEAN if repair else WRONG)
        if repair:  # the database still knows what the segments said
            assert "revision 2 is missing" in said.find("mended: the ledger of the root repository")
            assert "is damaged" in said.find("mended: the ledger of repository org/a")
        else:
            assert "gap" in said.find("wrong: ledger of the root repository")
            assert "is damaged" in said.find("wrong: ledger of repository org/a")
        assert said.find("repository org/b: version other 2.0.0").startswith("mended" if repair else "wrong")
    assert (await run_verify(tmp_path)).lines[-1] == "clean"


async def test_segments_missing_at_the_end_are_named(tmp_path: Path) -> None:
    async with open_house(tmp_path) as (client, _):
        await publish(client, "0.1.0", "0.2.0")
    execute(tmp_path, "DELETE FROM outbox")
    sorted((tmp_path / ".chartroom" / "ledger" / "%").glob("*.jsonl"))[-1].unlink()
    said = await run_verify(tmp_path)
    assert said.code == WRONG
    assert "rows are at revision 2, its ledger ends at 1; run `chartroom verify --repair`" in said.find(
        "wrong: the root repository"
    )
    said = await run_verify(tmp_path, repair=True)
    assert said.code == CLEAN
    assert "it ends at revision 1, the database is at 2" in said.find("mended: the ledger of the root repository")


async def test_leftovers_of_unfinished_writes_count_after_a_day(tmp_path: Path) -> None:
    async with open_house(tmp_path) as (client, _):
        await publish(client, "0.1.0")
    folder = tmp_path / ".chartroom" / "tmp"
    folder.mkdir(exist_ok=True)
    (folder / "fresh").write_bytes(b"half")
    assert (await run_verify(tmp_path)).code == CLEAN
    (folder / "old").write_bytes(b"half")
    yesterday = time.time() - 25 * 3600
    os.utime(folder / "old", (yesterday, yesterday))
    said = await run_verify(tmp_path)
    assert said.code == WRONG
    assert said.find("1 leftovers").startswith("wrong: ")
    said = await run_verify(tmp_path, repair=True)
    assert said.code == CLEAN
    assert said.find("1 leftovers").startswith("mended: ")
    assert [path.name for path in folder.iterdir()] == ["fresh"]


async def test_rows_on_postgres_are_compared_and_mended_too(tmp_path: Path, postgres_url: str) -> None:
    async with open_house(tmp_path, database=postgres_url) as (client, _):
        for name in ("b", "B", "a_b", "a-b", "é"):  # in an order that its locale would not keep
            content = make_chart(name, "0.1.0")
            assert (await client.post("/api/charts", content=content)).status_code == 201
        await client.post("/api/prov", content=make_provenance("b", "0.1.0"))
        assert (await run_verify(tmp_path, database=postgres_url)).lines[-1] == "clean"
        engine = create_engine(driver_url(postgres_url))
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM chart_versions WHERE name = 'a_b'"))
        engine.dispose()
        assert (await run_verify(tmp_path, database=postgres_url)).code == WRONG
        assert (await run_verify(tmp_path, database=postgres_url, repair=True)).code == CLEAN
        assert len(await get_entries(client)) == 5


HARM = {
    "DELETE FROM tags": "tag 0.1.0 of mychart is in the ledger and not in the rows",
    "DELETE FROM manifests": "of mychart is in the ledger and not in the rows",
    "UPDATE manifests SET content = x'7b7d'": "of mychart differs between rows and ledger",
    "UPDATE tags SET digest = 'x'": "tag 0.1.0 of mychart differs between rows and ledger",
    "DELETE FROM links WHERE manifest = ''": "of pushed is in the ledger and not in the rows",
    "INSERT INTO tags SELECT repository_id, name, 'stray', digest, updated FROM tags":
        "tag stray of mychart is in the rows and not in the ledger",
}  # fmt: skip


@pytest.mark.parametrize("harm", HARM)
async def test_what_oci_names_hold_is_compared_and_mended(tmp_path: Path, harm: str) -> None:
    blob = b"a blob that was pushed alone"
    async with open_house(tmp_path) as (client, _):
        await publish(client, "0.1.0")
        address = "/v2/pushed/blobs/uploads/"
        assert (await client.post(f"{address}?digest=sha256:{sha256(blob)}", content=blob)).status_code == 201
        before = (await client.get("/v2/mychart/manifests/0.1.0")).content
    execute(tmp_path, harm)
    said = await run_verify(tmp_path)
    assert said.code == WRONG
    assert said.find(HARM[harm])
    assert (await run_verify(tmp_path, repair=True)).code == CLEAN
    assert (await run_verify(tmp_path)).code == CLEAN
    async with open_house(tmp_path) as (client, _):
        assert (await client.get("/v2/mychart/manifests/0.1.0")).content == before
        assert (await client.get("/v2/mychart/tags/list")).json()["tags"] == ["0.1.0"]
        assert (await client.get(f"/v2/pushed/blobs/sha256:{sha256(blob)}")).content == blob


async def test_a_pushed_blob_is_hashed_again(tmp_path: Path) -> None:
    blob = b"a blob that no chart uses"
    async with open_house(tmp_path) as (client, _):
        address = f"/v2/pushed/blobs/uploads/?digest=sha256:{sha256(blob)}"
        assert (await client.post(address, content=blob)).status_code == 201
    blob_of(tmp_path, blob).write_bytes(b"other bytes")
    said = await run_verify(tmp_path)
    assert said.code == WRONG
    assert f"blob sha256:{sha256(blob)} (pushed) is damaged" in said.find("damaged")
