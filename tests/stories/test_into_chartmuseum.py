"""The way back: `chartroom export --into-chartmuseum` leaves a folder in which ChartMuseum shows what we show.

An independent reader opens every archive of the folder; ChartMuseum itself looks at it where the environment variable
CHARTMUSEUM names its program.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import uuid
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml

from app.domain.times import parse_time
from tests.buckets import make_bucket, make_client
from tests.charts import make_chart
from tests.house import open_house
from tests.live import find_free_port, serve
from tests.servers import running
from tests.stories.shop import make_provenance

Shown = dict[str, dict[str, Any]]


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    lines: list[str]
    errors: str

    def find(self, start: str) -> list[str]:
        """Return what the lines that begin so say behind it."""
        return [line.removeprefix(start) for line in self.lines if line.startswith(start)]


def export(store: Path | str, target: Path | str, *arguments: str, **environment: str) -> Ended:
    """Run the command as a person does."""
    command = [sys.executable, "-m", "app", "export", "--into-chartmuseum", str(target), "--storage", str(store)]
    done = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, env={**os.environ, **environment}, timeout=120
    )
    return Ended(done.returncode, done.stdout.splitlines(), done.stderr)


def put(folder: Path, key: str, content: bytes, *, time: int = 1_500_000_000_123_456_000) -> None:
    """Lay a file down as ChartMuseum does, with a time of its own (ns since 1970)."""
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, ns=(time, time))


def read_folder(folder: Path) -> dict[str, dict[str, tuple[str, str, str, int, bool]]]:
    """Read every archive of ChartMuseum's layout: repository -> file -> name, version, digest, time, has provenance."""
    found: dict[str, dict[str, tuple[str, str, str, int, bool]]] = {}
    for path in folder.rglob("*.tgz"):
        if ".chartroom" in path.relative_to(folder).parts or not path.is_file():
            continue
        content = path.read_bytes()
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            member = next(one for one in archive if one.name.count("/") == 1 and one.name.endswith("/Chart.yaml"))
            file = archive.extractfile(member)
            assert file is not None
            chart = yaml.safe_load(file.read())
        repository = str(path.parent.relative_to(folder)).removeprefix(".")
        facts = (chart["name"], chart["version"], hashlib.sha256(content).hexdigest(), path.stat().st_mtime_ns)
        found.setdefault(repository, {})[path.name] = (*facts, Path(f"{path}.prov").exists())
    return found


async def read_served(client: httpx.AsyncClient, *repositories: str) -> Any:
    """Return the same of what we serve."""
    found: dict[str, dict[str, tuple[str, str, str, int, bool]]] = {}
    for repository in repositories:
        base = f"/{repository}" if repository else ""
        entries = (await client.get(f"{base}/index.yaml")).json()["entries"]
        for entry in (one for versions in entries.values() for one in versions):
            url = f"{base}/{entry['urls'][0]}"
            signed = (await client.get(f"{url}.prov")).status_code == 200
            facts = (entry["name"], entry["version"], entry["digest"], parse_time(entry["created"]), signed)
            found.setdefault(repository, {})[url.rpartition("/")[2]] = facts
    return found


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return ChartMuseum's files as they are: bytes and time."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and ".chartroom" not in path.relative_to(folder).parts
    }


def lay_down(store: Path) -> None:
    """Leave what ChartMuseum leaves."""
    put(store, "kept-1.0.0.tgz", make_chart("kept", "1.0.0"), time=1_400_000_000_123_456_789)
    put(store, "gone-1.0.0.tgz", make_chart("gone", "1.0.0"))
    put(store, "gone-1.0.0.tgz.prov", make_provenance("gone", "1.0.0"))
    put(store, "changed-1.0.0.tgz", make_chart("changed", "1.0.0"))
    put(store, "org/team/deep-1.0.0.tgz", make_chart("deep", "1.0.0"))
    put(store, "charts/inner-1.0.0.tgz", make_chart("inner", "1.0.0"))
    put(store, "broken-1.0.0.tgz", b"no archive at all")
    put(store, "notes.txt", b"hands off")
    for folder in ("", "org/team/", "charts/"):
        put(store, f"{folder}index-cache.yaml", b"apiVersion: v1\nentries: {}\n")


async def change(client: httpx.AsyncClient) -> None:
    """Delete, replace and add charts here."""
    assert (await client.delete("/api/charts/gone/1.0.0")).status_code == 200
    changed = make_chart("changed", "1.0.0", home="https://new.test")
    assert (await client.post("/api/charts?force", content=changed)).status_code == 201
    for path, content in (
        ("/api/charts", make_chart("new", "1.0.0+b.1")),
        ("/api/prov", make_provenance("new", "1.0.0+b.1")),
        ("/api/org/charts", make_chart("fresh", "2.0.0")),
    ):
        assert (await client.post(path, content=content)).status_code == 201


PLACES = ("", "org", "org/team", "charts")


async def test_the_followed_folder_becomes_what_is_served(catalogue_url: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    lay_down(store)
    async with open_house(store, database=catalogue_url) as (client, _house):
        await change(client)
        served = await read_served(client, *PLACES)
    before = snapshot(store)
    planned = export(store, store, "--dry-run", "--database", catalogue_url)
    assert snapshot(store) == before
    assert planned.code == 0, planned.errors
    done = export(store, store, "--database", catalogue_url)
    assert done.code == 0, done.errors
    assert done.lines[0] == "3 files to add, 1 to replace, 2 to remove, 3 are there already"
    assert done.find("add: ") == ["new-1.0.0+b.1.tgz", "new-1.0.0+b.1.tgz.prov", "org/fresh-2.0.0.tgz"]
    assert done.find("replace: ") == ["changed-1.0.0.tgz"]
    assert done.find("remove: ") == ["gone-1.0.0.tgz", "gone-1.0.0.tgz.prov"]
    assert done.find("drop: ") == ["index-cache.yaml"]
    assert done.find("not removed, it is not from here: ") == ["broken-1.0.0.tgz"]
    assert done.lines[-1] == "3 files added, 1 replaced, 2 removed"
    assert planned.lines == done.lines[:-1]
    (store / "broken-1.0.0.tgz").rename(tmp_path / "broken")
    assert read_folder(store) == served
    (tmp_path / "broken").rename(store / "broken-1.0.0.tgz")
    after = snapshot(store)
    for key in ("notes.txt", "broken-1.0.0.tgz", "org/team/deep-1.0.0.tgz", "charts/index-cache.yaml"):
        assert after[key] == before[key]
    # `created` has microseconds, and ChartMuseum shows the file's own time.
    assert after["kept-1.0.0.tgz"] == (before["kept-1.0.0.tgz"][0], 1_400_000_000_123_457_000)
    assert "1 files get the time of their version" in done.lines


async def test_after_it_a_running_and_a_restarted_server_see_no_change(catalogue_url: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    lay_down(store)
    place = ("--database", catalogue_url)
    with serve(store, *place) as server:
        async with httpx.AsyncClient(base_url=server.url) as client:
            await change(client)
    with serve(store, *place) as server:
        async with httpx.AsyncClient(base_url=server.url) as client:
            served, etag = await read_served(client, *PLACES), await etags(client)
            done = export(store, store, *place)  # beside the running server
            assert done.code == 0, done.errors
            assert await etags(client) == etag
    async with open_house(store, database=catalogue_url) as (client, house):
        ledger = len(list((store / ".chartroom" / "ledger").rglob("*.jsonl")))
        again = export(store, store, *place)
        assert again.lines[0] == "0 files to add, 0 to replace, 0 to remove, 7 are there already"
        for _ in range(2):
            await house.opening.rescan()
        assert await read_served(client, *PLACES) == served
        assert await etags(client) == etag
        assert len(list((store / ".chartroom" / "ledger").rglob("*.jsonl"))) == ledger
        # What lay there before stays followed; what came in here stays, whatever becomes of its file.
        (store / "kept-1.0.0.tgz").unlink()
        (store / "org" / "fresh-2.0.0.tgz").unlink()
        await house.opening.rescan()
        assert "kept" not in (await client.get("/index.yaml")).json()["entries"]
        assert "fresh" in (await client.get("/org/index.yaml")).json()["entries"]


async def etags(client: httpx.AsyncClient) -> list[str]:
    return [(await client.get(f"{place}/index.yaml".lstrip("/"))).headers["etag"] for place in PLACES]


async def test_another_folder_is_filled_followed_and_its_own_files_stay(tmp_path: Path) -> None:
    store, other = tmp_path / "store", tmp_path / "other"
    lay_down(store)
    async with open_house(store) as (client, _house):
        served = await read_served(client, *PLACES)
    first = export(store, other)
    assert (first.code, first.lines[-1]) == (0, "6 files added, 0 replaced, 0 removed"), first.errors
    assert read_folder(other) == served
    assert not (other / ".chartroom").exists()
    put(other, "theirs-1.0.0.tgz", make_chart("theirs", "1.0.0"))
    put(other, "new-1.0.0+b.1.tgz", make_chart("new", "1.0.0+b.1", home="https://theirs.test"))
    put(other, "index-cache.yaml", b"stale")
    put(other, "charts/index-cache.yaml", b"right still")
    theirs = snapshot(other)
    async with open_house(store) as (client, _house):
        await change(client)
        served = await read_served(client, *PLACES)
    second = export(store, other)
    assert second.code == 4
    assert second.find("not removed, it is not from here: ") == ["theirs-1.0.0.tgz"]
    assert second.find("not replaced, its bytes are not from here: ") == ["new-1.0.0+b.1.tgz"]
    assert second.lines[-1] == "2 files added, 1 replaced, 2 removed"
    after = snapshot(other)
    for key in ("theirs-1.0.0.tgz", "new-1.0.0+b.1.tgz", "charts/index-cache.yaml"):
        assert after[key] == theirs[key]
    assert "index-cache.yaml" not in after
    (other / "theirs-1.0.0.tgz").unlink()
    (other / "new-1.0.0+b.1.tgz").unlink()
    third = export(store, other)
    assert (third.code, third.lines[-1]) == (0, "1 files added, 0 replaced, 0 removed")
    assert read_folder(other) == served


async def test_one_repository_goes_to_the_top_of_another_folder_and_to_its_own_place_here(tmp_path: Path) -> None:
    store, other = tmp_path / "store", tmp_path / "other"
    lay_down(store)
    async with open_house(store) as (client, _house):
        await change(client)
        served = await read_served(client, *PLACES)
    assert export(store, other, "--repo", "org").code == 0
    assert read_folder(other) == {"": served["org"], "team": served["org/team"]}
    done = export(store, store, "--repo", "org")
    assert done.find("add: ") == ["org/fresh-2.0.0.tgz"]
    assert done.find("remove: ") == []
    assert (store / "gone-1.0.0.tgz").exists(), "it lies outside of what was asked for"


async def test_what_cannot_be_is_said_and_the_rest_is_done(tmp_path: Path) -> None:
    store, other = tmp_path / "store", tmp_path / "other"
    put(store, "index.yaml/odd-1.0.0.tgz", make_chart("odd", "1.0.0"))
    put(store, "org/good-1.0.0.tgz", make_chart("good", "1.0.0"))
    put(store, "lost-1.0.0.tgz", make_chart("lost", "1.0.0"))
    async with open_house(store):
        pass
    digest = hashlib.sha256(make_chart("lost", "1.0.0")).hexdigest()
    (store / ".chartroom" / "blobs" / "sha256" / digest[:2] / digest).unlink()
    done = export(store, other)
    assert done.code == 4
    assert done.find("skipped repository: index.yaml: ") != []
    assert done.find("not copied: ") == ["lost-1.0.0.tgz: missing"]
    assert list(read_folder(other)) == ["org"]


async def test_the_plan_is_bounded(tmp_path: Path) -> None:
    store = tmp_path / "store"
    for number in range(30):
        put(store, f"many-1.0.{number}.tgz", make_chart("many", f"1.0.{number}"))
    done = export(store, tmp_path / "other", "--dry-run")
    assert done.lines[0] == "30 files to add, 0 to replace, 0 to remove, 0 are there already"
    assert len(done.lines) == 22
    assert done.lines[-1] == "add: and 10 more"
    assert not list((tmp_path / "other").glob("*")) if (tmp_path / "other").exists() else True


@pytest.mark.parametrize(
    ("target", "message"),
    [("store/inside", "lie in each other"), (".", "lie in each other"), ("static", "static copy"), ("gs://x", "gs://")],
)
async def test_targets_that_cannot_be_are_errors_of_one_line(tmp_path: Path, target: str, message: str) -> None:
    store = tmp_path / "top" / "store"
    put(store, "kept-1.0.0.tgz", make_chart("kept", "1.0.0"))
    command = [sys.executable, "-m", "app", "export", str(tmp_path / "top" / "static"), "--storage", str(store)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    before = snapshot(tmp_path / "top")
    place = target if "://" in target else str(tmp_path / "top" / target)
    refused = export(store, place)
    assert refused.code == 2
    assert message in refused.errors
    assert "Traceback" not in refused.errors
    assert snapshot(tmp_path / "top") == before


def test_exactly_one_target_is_named(tmp_path: Path) -> None:
    for arguments in ([], [str(tmp_path / "a"), "--into-chartmuseum", str(tmp_path / "b")], ["a", "--dry-run"]):
        command = [sys.executable, "-m", "app", "export", *arguments, "--storage", str(tmp_path / "store")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2, arguments
        assert "Traceback" not in done.stderr


async def test_a_run_that_broke_off_is_finished_by_the_next(tmp_path: Path) -> None:
    """A file in the way of one repository: the rest is done, and when it is gone the next run does what was left."""
    store, other = tmp_path / "store", tmp_path / "other"
    lay_down(store)
    async with open_house(store) as (client, _house):
        served = await read_served(client, *PLACES)
    other.mkdir()
    (other / "charts").write_text("a person's")
    first = export(store, other)
    assert first.code == 4
    assert "one name" in first.find("not copied: charts/inner-1.0.0.tgz: ")[0]
    (other / "charts").unlink()
    (other / "kept-1.0.0.tgz").unlink()
    second = export(store, other)
    assert (second.code, second.lines[-1]) == (0, "2 files added, 0 replaced, 0 removed")
    assert read_folder(other) == served


async def test_a_followed_bucket_becomes_what_is_served(s3_endpoint: str, tmp_path: Path) -> None:
    prefix, url = uuid.uuid4().hex, f"sqlite:///{tmp_path / 'charts.db'}"
    charts, bucket = make_bucket(s3_endpoint)
    bucket["CHARTROOM_STORAGE_AMAZON_REGION"] = "us-east-1"
    place = ("--storage", f"s3://{charts}/{prefix}", "--database", url)
    s3 = make_client(s3_endpoint)
    for name in ("kept", "gone", "changed"):
        s3.put_object(Bucket=charts, Key=f"{prefix}/{name}-1.0.0.tgz", Body=make_chart(name, "1.0.0"))
    s3.put_object(Bucket=charts, Key=f"{prefix}/index-cache.yaml", Body=b"stale")
    with serve(tmp_path / "unused", *place, **bucket) as server:
        async with httpx.AsyncClient(base_url=server.url) as client:
            await change(client)
            etag = await etags(client)
    done = export(f"s3://{charts}/{prefix}", f"s3://{charts}/{prefix}/", "--database", url, **bucket)
    assert (done.code, done.lines[-1]) == (0, "3 files added, 1 replaced, 1 removed"), done.errors
    assert any("a bucket keeps no times" in line for line in done.lines)
    keys = [item["Key"].removeprefix(f"{prefix}/") for item in s3.list_objects_v2(Bucket=charts)["Contents"]]
    assert sorted(key for key in keys if not key.startswith(".chartroom/") and prefix not in key) == [
        "changed-1.0.0.tgz", "kept-1.0.0.tgz", "new-1.0.0+b.1.tgz", "new-1.0.0+b.1.tgz.prov", "org/fresh-2.0.0.tgz"
    ]  # fmt: skip
    s3.close()
    again = export(f"s3://{charts}/{prefix}", f"s3://{charts}/{prefix}", "--database", url, **bucket)
    assert again.lines[0] == "0 files to add, 0 to replace, 0 to remove, 5 are there already"
    with serve(tmp_path / "unused", *place, **bucket, CHARTROOM_CACHE_INTERVAL="1s") as server:
        async with httpx.AsyncClient(base_url=server.url) as client:
            assert await etags(client) == etag


async def test_chartmuseum_shows_what_we_show(tmp_path: Path) -> None:
    """With CHARTMUSEUM its own program reads the folder; without, what its sources say it reads: each archive's name,
    version and digest, and the file's time as `created`.
    """
    store = tmp_path / "store"
    lay_down(store)
    (store / "broken-1.0.0.tgz").unlink()
    async with open_house(store) as (client, _house):
        await change(client)
        served = await read_served(client, *PLACES)
    assert export(store, store).code == 0
    assert read_folder(store) == served
    program = os.environ.get("CHARTMUSEUM")
    if not program:
        return
    port = find_free_port()
    flags = ["--storage=local", f"--storage-local-rootdir={store}", f"--port={port}", "--depth-dynamic"]
    with running([program, *flags], port, environment={"HOME": str(tmp_path)}):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            for repository, files in served.items():
                base = f"/{repository}" if repository else ""
                entries = yaml.safe_load((await client.get(f"{base}/index.yaml")).text)["entries"]
                shown = {
                    one["urls"][0].rpartition("/")[2]: (
                        one["name"], one["version"], one["digest"], parse_time(one["created"]),
                        (await client.get(f"{base}/{one['urls'][0]}.prov")).status_code == 200,
                    )
                    for versions in entries.values() for one in versions
                }  # fmt: skip
                assert shown == files, repository
