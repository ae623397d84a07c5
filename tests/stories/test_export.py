"""Exporting: a static repository that any web server can host, brought up to date by a second run."""

from __future__ import annotations

import os
import time
from pathlib import Path

import httpx
import pytest

from app.domain.ledger import blob_key
from app.domain.times import parse_time
from app.errors import AppError
from app.services.exports import MANIFEST
from tests.charts import make_chart
from tests.house import open_house
from tests.servers import static_server
from tests.stories.shop import Said, entries_of, get_entries, make_provenance, run_export, run_import, sha256


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Answer every file but the manifest: its bytes and the inode that holds them."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_ino)
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST
    }


async def publish(client: httpx.AsyncClient, name: str, version: str, repository: str = "") -> bytes:
    content = make_chart(name, version)
    path = f"/api/{repository}/charts" if repository else "/api/charts"
    assert (await client.post(path, content=content)).status_code == 201
    return content


async def test_an_export_is_a_repository_on_any_web_server(tmp_path: Path) -> None:
    async with open_house(tmp_path / "store") as (client, _):
        first = await publish(client, "mychart", "0.1.0+b1")
        second = await publish(client, "other", "1.0.0", "org/team")
        await client.post("/api/prov", content=make_provenance("mychart", "0.1.0+b1"))
        served = await get_entries(client)
    said = await run_export(tmp_path / "store", tmp_path / "out")
    assert said == Said(0, ["2 repositories: 5 files written, 0 kept, 0 removed"])
    with static_server(tmp_path / "out") as url, httpx.Client() as web:
        index = web.get(f"{url}/index.yaml")
        assert entries_of(index.content) == served
        archive = httpx.URL(f"{url}/index.yaml").join(served["mychart-0.1.0+b1"]["urls"][0])
        assert web.get(archive).content == first
        assert web.get(f"{archive}.prov").content == make_provenance("mychart", "0.1.0+b1")
        assert web.get(f"{url}/org/team/charts/other-1.0.0.tgz").content == second
        assert list(entries_of(web.get(f"{url}/org/team/index.yaml").content)) == ["other-1.0.0"]
    assert not (tmp_path / "out" / ".chartroom").exists()


async def test_an_export_imported_again_is_the_same_repository(tmp_path: Path) -> None:
    async with open_house(tmp_path / "store") as (client, _):
        await publish(client, "mychart", "0.1.0")
        await publish(client, "mychart", "0.2.0", "charts")  # beside the root's own archives
        await publish(client, "mychart", "0.3.0", "charts/charts")
        before = [await get_entries(client, path) for path in ("", "charts", "charts/charts")]
    await run_export(tmp_path / "store", tmp_path / "out")
    await run_import(tmp_path / "second", tmp_path / "out")
    async with open_house(tmp_path / "second") as (client, _):
        assert [await get_entries(client, path) for path in ("", "charts", "charts/charts")] == before


async def test_a_second_run_writes_what_changed_and_removes_only_what_it_wrote(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with open_house(tmp_path / "store") as (client, _):
        await publish(client, "mychart", "0.1.0")
        await publish(client, "mychart", "0.2.0")
        await publish(client, "other", "1.0.0", "org")
        await run_export(tmp_path / "store", out)
        (out / "charts" / "mine.tgz").write_bytes(b"a person's")
        before = snapshot(out)
        assert (await run_export(tmp_path / "store", out)).lines == [
            "2 repositories: 0 files written, 5 kept, 0 removed"
        ]
        assert snapshot(out) == before
        assert (await client.delete("/api/charts/mychart/0.1.0")).status_code == 200
        changed = make_chart("mychart", "0.2.0", description="changed")
        assert (await client.post("/api/charts?force", content=changed)).status_code == 201
        await publish(client, "mychart", "0.3.0")
        said = await run_export(tmp_path / "store", out)
    assert said.lines == ["2 repositories: 3 files written, 2 kept, 1 removed"]
    after = snapshot(out)
    assert sorted(after) == [
        "charts/mine.tgz", "charts/mychart-0.2.0.tgz", "charts/mychart-0.3.0.tgz", "index.yaml",
        "org/charts/other-1.0.0.tgz", "org/index.yaml",
    ]  # fmt: skip
    assert after["charts/mychart-0.2.0.tgz"][0] == changed
    assert after["org/index.yaml"] == before["org/index.yaml"]


async def test_a_file_that_somebody_removed_is_written_again(tmp_path: Path) -> None:
    async with open_house(tmp_path / "store") as (client, _):
        content = await publish(client, "mychart", "0.1.0")
    await run_export(tmp_path / "store", tmp_path / "out")
    (tmp_path / "out" / "charts" / "mychart-0.1.0.tgz").unlink()
    said = await run_export(tmp_path / "store", tmp_path / "out")
    assert said.lines == ["1 repositories: 1 files written, 1 kept, 0 removed"]
    assert (tmp_path / "out" / "charts" / "mychart-0.1.0.tgz").read_bytes() == content


async def test_one_repository_is_exported_with_those_below_it(tmp_path: Path) -> None:
    async with open_house(tmp_path / "store") as (client, _):
        for repository in ("", "org", "org/team", "org-x"):
            await publish(client, "mychart", "0.1.0", repository)
    await run_export(tmp_path / "store", tmp_path / "out", "/org")
    assert sorted(snapshot(tmp_path / "out")) == [
        "charts/mychart-0.1.0.tgz", "index.yaml", "team/charts/mychart-0.1.0.tgz", "team/index.yaml",
    ]  # fmt: skip


async def test_an_empty_store_is_an_empty_repository(tmp_path: Path) -> None:
    async with open_house(tmp_path / "store"):
        pass
    said = await run_export(tmp_path / "store", tmp_path / "out")
    assert said == Said(0, ["1 repositories: 1 files written, 0 kept, 0 removed"])
    assert entries_of((tmp_path / "out" / "index.yaml").read_bytes()) == {}


async def test_somebody_elses_repository_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "index.yaml").write_bytes(b"mine")
    async with open_house(tmp_path / "store"):
        pass
    with pytest.raises(AppError, match="choose another folder"):
        await run_export(tmp_path / "store", tmp_path / "out")
    assert (tmp_path / "out" / "index.yaml").read_bytes() == b"mine"


async def test_a_folder_inside_the_storage_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path / "store", tmp_path / "store" / "static"):
        with pytest.raises(AppError, match="inside the storage folder"):
            await run_export(tmp_path / "store", folder)


async def test_bytes_that_storage_lost_are_named_and_never_written_damaged(tmp_path: Path) -> None:
    async with open_house(tmp_path / "store") as (client, _):
        damaged = await publish(client, "mychart", "0.1.0")
        missing = await publish(client, "mychart", "0.2.0")
        await publish(client, "mychart", "0.3.0")
    (tmp_path / "store" / blob_key(sha256(damaged))).write_bytes(b"other bytes")
    (tmp_path / "store" / blob_key(sha256(missing))).unlink()
    said = await run_export(tmp_path / "store", tmp_path / "out")
    assert said.code == 4
    assert said.lines[0] == "1 repositories: 2 files written, 0 kept, 0 removed"
    assert "damaged" in said.find("not copied: charts/mychart-0.1.0.tgz")
    assert "missing" in said.find("not copied: charts/mychart-0.2.0.tgz")
    assert sorted(snapshot(tmp_path / "out")) == ["charts/mychart-0.3.0.tgz", "index.yaml"]


async def test_a_repository_with_the_name_of_a_file_is_skipped_and_all_others_are_exported(tmp_path: Path) -> None:
    """ChartMuseum's folder may have a tenant called index.yaml: it is served, and stops nobody's export."""
    for tenant in ("index.yaml", "org/index.yaml/x", "charts", "charts/mychart-0.1.0.tgz", "org", "zz"):
        (tmp_path / "store" / tenant).mkdir(parents=True, exist_ok=True)
        name = "other" if tenant == "charts" else "mychart"
        (tmp_path / "store" / tenant / f"{name}-0.1.0.tgz").write_bytes(make_chart(name, "0.1.0"))
    async with open_house(tmp_path / "store") as (client, _):
        assert list(await get_entries(client, "index.yaml")) == ["mychart-0.1.0"]
    said = await run_export(tmp_path / "store", tmp_path / "out")
    assert said.code == 4
    assert said.lines[0] == "4 repositories: 7 files written, 0 kept, 0 removed"
    for tenant in ("index.yaml", "org/index.yaml/x", "charts/mychart-0.1.0.tgz"):
        assert "the name of a file beside repositories" in said.find(f"skipped repository: {tenant}:")
    assert sorted(snapshot(tmp_path / "out")) == [
        "charts/charts/other-0.1.0.tgz", "charts/index.yaml", "index.yaml", "org/charts/mychart-0.1.0.tgz",
        "org/index.yaml", "zz/charts/mychart-0.1.0.tgz", "zz/index.yaml",
    ]  # fmt: skip


async def test_a_file_of_others_in_the_way_of_one_repository_stops_no_other(tmp_path: Path) -> None:
    async with open_house(tmp_path / "store") as (client, _):
        await publish(client, "mychart", "0.1.0", "org")
        await publish(client, "mychart", "0.1.0", "zz")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "org").write_text("a person's")
    said = await run_export(tmp_path / "store", tmp_path / "out")
    assert said.code == 4
    assert "an object and a folder cannot have one name" in said.find("not copied: org/index.yaml")
    assert sorted(snapshot(tmp_path / "out")) == ["index.yaml", "org", "zz/charts/mychart-0.1.0.tgz", "zz/index.yaml"]


@pytest.mark.parametrize(
    "name", ["index.yaml", "a/index.yaml", "index-cache.yaml/x", "x.tgz", "a/x.tgz.prov", ".chartroom-export.jsonl"]
)
async def test_nothing_is_published_in_a_repository_with_the_name_of_a_file(tmp_path: Path, name: str) -> None:
    config = b"{}"
    async with open_house(tmp_path / "store") as (client, _):
        for path, body in (("charts", make_chart()), ("prov", make_provenance("mychart", "0.1.0"))):
            refused = await client.post(f"/api/{name}/{path}", content=body)
            assert refused.status_code == 400
            assert "choose another name" in refused.json()["error"]
        if not name.startswith("."):  # which no OCI name does
            for method, path in (("POST", "blobs/uploads/"), ("PUT", "manifests/v1")):
                refused = await client.request(method, f"/v2/{name}/mychart/{path}", content=config)
                assert refused.status_code == 400
                assert refused.json()["errors"][0]["code"] == "NAME_INVALID"
                assert "choose another name" in refused.json()["errors"][0]["message"]
        for tenant in ("charts", "a/charts", "index", "index.yaml.d"):
            assert (await client.post(f"/api/{tenant}/charts", content=make_chart())).status_code == 201


async def test_files_have_the_time_of_their_version(tmp_path: Path) -> None:
    store, out = tmp_path / "store", tmp_path / "out"
    store.mkdir()
    moment = 1_500_000_000_123_456_000
    (store / "mychart-0.1.0.tgz").write_bytes(make_chart())
    os.utime(store / "mychart-0.1.0.tgz", ns=(moment, moment))
    async with open_house(store) as (client, _):
        assert (await client.post("/api/prov", content=make_provenance("mychart", "0.1.0"))).status_code == 201
        await publish(client, "mychart", "0.2.0")
        listed = await get_entries(client)
    before = time.time_ns()
    for _ in range(2):  # and again, when nothing is written
        await run_export(store, out)
        for version in ("0.1.0", "0.2.0"):
            created = parse_time(listed[f"mychart-{version}"]["created"])
            path = out / "charts" / f"mychart-{version}.tgz"
            assert path.stat().st_mtime_ns == created
            os.utime(path)
        signed = (out / "charts" / "mychart-0.1.0.tgz.prov").stat().st_mtime_ns
        assert parse_time(listed["mychart-0.1.0"]["created"]) == moment < signed < before
