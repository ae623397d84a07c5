"""Limits are a policy of clients' uploads: what lies in the operator's own store, or is imported, is shown whole."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import httpx
import orjson
import pytest

from tests.api.wire import push, sign
from tests.charts import make_chart
from tests.house import open_house
from tests.stories.followed import Place, find_versions, open_place, wait_for_passes

VERSIONS = [f"{number}.0.0" for number in range(6, 0, -1)]
LIMITS = [{"max_storage_objects": "4"}, {"per_chart_limit": "3"}]
_STORE = Path(__file__).parent / "stores" / "cut-by-limits.tar.xz"


@pytest.fixture(params=LIMITS, ids=lambda limit: next(iter(limit)))
def limit(request: pytest.FixtureRequest) -> dict[str, str]:
    return dict(request.param)


async def lay_all(place: Place, folder: str = "") -> None:
    for version in reversed(VERSIONS):
        await place.put(f"{folder}app-{version}.tgz", make_chart("app", version))
        await place.put(f"{folder}app-{version}.tgz.prov", sign("app", version))


async def count_signed(client: httpx.AsyncClient, repository: str = "") -> int:
    prefix = f"/{repository}" if repository else ""
    answers = [await client.get(f"{prefix}/charts/app-{version}.tgz.prov") for version in VERSIONS]
    return sum(answer.status_code == 200 for answer in answers)


async def test_all_that_lies_in_the_store_is_shown(place: Place, limit: dict[str, str]) -> None:
    await lay_all(place)
    async with open_place(place, **limit) as client:
        assert await find_versions(client, "app") == VERSIONS
        assert await count_signed(client) == 6
        await lay_all(place, "team/")
        await wait_for_passes(client, place)
        assert await find_versions(client, "app", "team") == VERSIONS
        assert await count_signed(client, "team") == 6


def test_an_import_is_shown_whole(tmp_path: Path, limit: dict[str, str]) -> None:
    source, store = tmp_path / "source", tmp_path / "store"
    source.mkdir()
    for version in VERSIONS:
        (source / f"app-{version}.tgz").write_bytes(make_chart("app", version))
        (source / f"app-{version}.tgz.prov").write_bytes(sign("app", version))
    environment = {f"CHARTROOM_{name.upper()}": value for name, value in limit.items()}
    said = run("import", str(source), "--storage", str(store), **environment)
    assert "6 created, 0 unchanged, 0 refused, 6 provenance files" in said
    index = run("--gen-index", "--storage=local", f"--storage-local-rootdir={store}", **environment)
    assert [entry["version"] for entry in orjson.loads(index)["entries"]["app"]] == VERSIONS


def run(*arguments: str, **environment: str) -> str:
    command = [sys.executable, "-m", "app", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**environ(), **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout


def environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("CHARTROOM_")}


async def test_uploads_are_refused_while_the_files_alone_are_more_than_the_limit(place: Place) -> None:
    await lay_all(place)
    async with open_place(place, max_storage_objects="4") as client:
        files = {"chart": ("x", make_chart("app", "7.0.0"))}
        for response in (
            await client.post("/api/charts", content=make_chart("app", "7.0.0")),
            await client.post("/api/charts", files=files),
        ):
            assert (response.status_code, response.json()["error"]) == (507, "repo has reached storage limit")
        await push(client, make_chart("app", "6.0.0", description="again"), to="/api/charts?force")
        assert await find_versions(client, "app") == VERSIONS


async def test_an_upload_removes_one_version_and_says_so(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    await lay_all(place)
    async with open_place(place, per_chart_limit="3") as client:
        for number, gone in ((7, "1.0.0"), (8, "2.0.0")):
            capfd.readouterr()
            await push(client, make_chart("app", f"{number}.0.0"))
            said = "".join(capfd.readouterr())
            line = next(line for line in said.splitlines() if "version removed" in line)
            for word in ("chart=app", f"removed={gone}", f"added={number}.0.0", "PER_CHART_LIMIT=3", "repository="):
                assert word in line
            assert (await client.get(f"/charts/app-{gone}.tgz")).status_code == 404
            assert (await client.get(f"/charts/app-{gone}.tgz.prov")).status_code == 404
        expected = ["8.0.0", "7.0.0", "6.0.0", "5.0.0", "4.0.0", "3.0.0"]
        assert await find_versions(client, "app") == expected
        await wait_for_passes(client, place)  # the policy's word stands, though the files lie there
        assert await find_versions(client, "app") == expected
    async with open_place(place) as client:
        await wait_for_passes(client, place)
        assert await find_versions(client, "app") == expected


async def test_an_old_patch_release_does_not_push_out_the_newest_stable_version(tmp_path: Path) -> None:
    async with open_house(tmp_path, per_chart_limit="2") as (client, _):
        for version in ("2.0.0", "1.0.0", "1.0.1", "1.0.2", "3.0.0-rc.1"):
            await push(client, make_chart("app", version))
        assert await find_versions(client, "app") == ["3.0.0-rc.1", "2.0.0"]


# -- a store that an older version cut, of which every byte is as that version left it


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    store = tmp_path / "store"
    with tarfile.open(_STORE) as archive:
        archive.extractall(store, filter="data")
    return store


@pytest.mark.parametrize("database", ["kept", "lost", "reindexed", "lost, then reindexed"])
async def test_a_store_that_an_older_version_cut_is_whole_again(cut: Path, database: str) -> None:
    if database.startswith("lost"):
        (cut / ".chartroom" / "chartroom.db").unlink()
    if database.endswith("reindexed"):
        run("reindex", "--storage", str(cut))
    for _ in range(2):
        async with open_house(cut, cache_interval="0") as (client, _house):
            assert await find_versions(client, "app", "full") == VERSIONS  # four objects were the limit
            assert (await client.get("/full/charts/app-1.0.0.tgz.prov")).status_code == 200
            assert await find_versions(client, "app", "many") == VERSIONS[1:]  # three were; a client deleted 6.0.0
            assert await find_versions(client, "app", "Classic") == VERSIONS  # the same, where OCI has no names
            assert await find_versions(client, "app", "gone") == []  # a client deleted it
            assert await find_versions(client, "app", "limited") == ["4.0.0", "3.0.0", "2.0.0"]  # uploads pushed it out
            for chart in ("app", "same"):
                assert await find_versions(client, chart, "refused") == []  # uploaded, and deleted by a client
            (entry,) = (await client.get("/two/index.yaml")).json()["entries"]["app"]
            assert (entry["urls"], entry["description"]) == (["charts/app-1.0.0.tgz"], "canonical")
