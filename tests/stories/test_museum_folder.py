"""Moving in where ChartMuseum lived: its files are taken in whole, followed afterwards, and never touched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

import migrations
from app.domain.times import parse_time
from app.main import create_app
from app.services import readiness
from app.settings import load_settings
from app.wiring import House, build_house
from storage import Storage
from storage.filesystem import FilesystemStorage
from storage.s3 import S3Storage
from tests.buckets import make_bucket
from tests.charts import make_chart
from tests.house import open_house
from tests.stories.store import FailingStorage, digest_of, list_index, read_index, read_object, upload

_PROVENANCE = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nname: %b\nversion: %b\n"
_INDEX = """apiVersion: v1
entries:
  old:
  - {name: old, version: 1.0.0, created: %s, digest: x, urls: [charts/old-1.0.0.tgz]}
  - {name: old, version: 2.0.0, created: %s, digest: x, urls: [charts/old-2.0.0.tgz]}
generated: "2024-01-01T00:00:00Z"
"""
_CACHED, _LISTED = "2020-01-02T03:04:05.123456789Z", "2019-05-06T07:08:09Z"

Files = dict[str, tuple[bytes, datetime]]


class Place:
    """A folder or a bucket, as ChartMuseum and we see it: files by key."""

    def __init__(self, make: Callable[[], Storage]) -> None:
        self.make = make
        self.storage = make()

    async def put(self, **files: bytes) -> None:
        for key, content in files.items():
            await self.storage.put(key, content)

    async def snapshot(self) -> Files:
        """Answer ChartMuseum's files as they are: bytes and times."""
        return {
            stat.key: (await read_object(self.storage, stat.key), stat.modified)
            async for stat in self.storage.scan()
            if not stat.key.startswith(".chartroom/")
        }


class GatedStorage(FilesystemStorage):
    """A folder in which one archive cannot be read while the gate is closed."""

    gate: asyncio.Event
    gated = "zz-1.0.0.tgz"

    async def open(self, key: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        if key == self.gated:
            await self.gate.wait()
        return await super().open(key, start, length)


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "folder":
        found = Place(lambda: FilesystemStorage(tmp_path / "store"))
    else:
        endpoint = request.getfixturevalue("s3_endpoint")
        bucket, _environment = make_bucket(endpoint)
        account = {"access_key": "testing", "secret_key": "testing"}
        found = Place(lambda: S3Storage(bucket, prefix="museum", endpoint=endpoint, region="us-east-1", **account))
    yield found
    found.storage.close()  # type: ignore[attr-defined]


@asynccontextmanager
async def moved_in(place: Place, tmp_path: Path) -> AsyncIterator[tuple[httpx.AsyncClient, House]]:
    """Open a house on the place as it is; its database lies elsewhere, so that a bucket will do too."""
    database = f"sqlite:///{tmp_path / 'charts.db'}"
    async with open_house(tmp_path / "unused", storage=place.make(), database=database) as opened:
        yield opened


async def fill(place: Place) -> Files:
    """Leave what ChartMuseum leaves: archives, provenance, indexes, a tenant, and things that are no charts."""
    await place.put(
        **{
            "old-1.0.0.tgz": make_chart("old", "1.0.0"),
            "old-1.0.0.tgz.prov": _PROVENANCE % (b"old", b"1.0.0"),
            "old-2.0.0.tgz": make_chart("old", "2.0.0"),
            "plain-1.0.0.tgz": make_chart("plain", "1.0.0"),
            "org/team/web-1.0.0.tgz": make_chart("web", "1.0.0"),
            "index-cache.yaml": (_INDEX % (_CACHED, "nonsense")).replace("old-2.0.0.tgz", "other.tgz").encode(),
            "index.yaml": (_INDEX % ("2001-01-01T00:00:00Z", _LISTED)).encode(),
            "broken-1.0.0.tgz": b"no archive at all",
            "notes.txt": b"hands off",
        }
    )
    return await place.snapshot()


async def test_everything_is_taken_in_and_no_file_is_touched(place: Place, tmp_path: Path) -> None:
    files = await fill(place)
    async with moved_in(place, tmp_path) as (client, _house):
        listed = await read_index(client)
        assert sorted(listed) == ["old-1.0.0.tgz", "old-2.0.0.tgz", "plain-1.0.0.tgz"]
        assert listed["old-1.0.0.tgz"]["created"] == _CACHED  # index-cache.yaml comes first
        assert listed["old-2.0.0.tgz"]["created"] == _LISTED  # then index.yaml
        modified = files["plain-1.0.0.tgz"][1]  # then the file's own time
        assert parse_time(listed["plain-1.0.0.tgz"]["created"]) == parse_time(modified.isoformat())
        assert list(await list_index(client, "org/team")) == ["web-1.0.0.tgz"]
        for key in ("old-1.0.0.tgz", "old-1.0.0.tgz.prov"):
            assert (await client.get(f"/charts/{key}")).content == files[key][0]
        assert (await client.get("/charts/broken-1.0.0.tgz")).status_code == 404
        assert (await upload(client, make_chart("new"))).status_code == 201
        assert (await client.delete("/api/charts/plain/1.0.0")).status_code == 200
        assert (await upload(client, make_chart("old", "2.0.0", home="https://x.test"), query="?force")).is_success
    assert await place.snapshot() == files


async def test_a_rescan_follows_new_changed_and_vanished_files(place: Place, tmp_path: Path) -> None:
    await fill(place)
    async with moved_in(place, tmp_path) as (client, house):
        changed, signature = make_chart("old", "1.0.0", home="https://new.test"), _PROVENANCE % (b"old", b"2.0.0")
        await place.put(
            **{
                "old-1.0.0.tgz": changed, "fresh-1.0.0.tgz": make_chart("fresh", "1.0.0"),
                "old-2.0.0.tgz.prov": signature, "broken-1.0.0.tgz": make_chart("broken", "1.0.0"),
            }
        )  # fmt: skip
        for gone in ("plain-1.0.0.tgz", "org/team/web-1.0.0.tgz"):
            await place.storage.delete(gone)
        files = await place.snapshot()
        await house.opening.rescan()
        listed = await list_index(client)
        assert sorted(listed) == ["broken-1.0.0.tgz", "fresh-1.0.0.tgz", "old-1.0.0.tgz", "old-2.0.0.tgz"]
        assert listed["old-1.0.0.tgz"] == digest_of(changed)
        assert (await client.get("/charts/old-1.0.0.tgz.prov")).status_code == 404  # it signed other bytes
        assert (await client.get("/charts/old-2.0.0.tgz.prov")).content == signature
        assert await list_index(client, "org/team") == {}
        etag = (await client.get("/index.yaml")).headers["etag"]
        await house.opening.rescan()
        assert (await client.get("/index.yaml")).headers["etag"] == etag  # nothing changed, nothing was committed
        assert await place.snapshot() == files


async def test_what_was_removed_or_replaced_here_does_not_come_back(place: Place, tmp_path: Path) -> None:
    await fill(place)
    replaced = make_chart("old", "2.0.0", home="https://x.test")
    async with moved_in(place, tmp_path) as (client, house):
        assert (await client.delete("/api/charts/plain/1.0.0")).status_code == 200
        assert (await upload(client, replaced, query="?force")).status_code == 201
        await house.opening.rescan()
        assert sorted(await list_index(client)) == ["old-1.0.0.tgz", "old-2.0.0.tgz"]
    async with moved_in(place, tmp_path) as (client, house):
        await house.opening.rescan()
        listed = await list_index(client)
        assert sorted(listed) == ["old-1.0.0.tgz", "old-2.0.0.tgz"]
        await place.storage.delete("old-2.0.0.tgz")  # but this is not what the file brought any more
        await house.opening.rescan()
        assert await list_index(client) == listed
        assert listed["old-2.0.0.tgz"] == digest_of(replaced)


async def test_a_file_that_vanishes_takes_no_chart_away_that_was_uploaded(place: Place, tmp_path: Path) -> None:
    chart = make_chart("mine", "1.0.0")
    async with moved_in(place, tmp_path) as (client, house):
        assert (await upload(client, chart)).status_code == 201
        await place.put(**{"mine-1.0.0.tgz": chart})
        await house.opening.rescan()
        await place.storage.delete("mine-1.0.0.tgz")
        await house.opening.rescan()
        assert list(await list_index(client)) == ["mine-1.0.0.tgz"]


async def test_a_file_that_is_written_again_as_it_was_changes_nothing(tmp_path: Path) -> None:
    place = Place(lambda: FilesystemStorage(tmp_path / "store"))
    await fill(place)
    async with moved_in(place, tmp_path) as (client, house):
        before = await client.get("/index.yaml")
        assert (await client.delete("/api/org/team/charts/web/1.0.0")).status_code == 200
        for key in ("old-1.0.0.tgz", "plain-1.0.0.tgz", "org/team/web-1.0.0.tgz"):
            await place.put(**{key: await read_object(place.storage, key)})
        await house.opening.rescan()
        after = await client.get("/index.yaml")
        assert (after.content, after.headers["etag"]) == (before.content, before.headers["etag"])
        assert await list_index(client, "org/team") == {}
    place.storage.close()  # type: ignore[attr-defined]


@asynccontextmanager
async def starting(folder: Path, storage: Storage) -> AsyncIterator[tuple[httpx.AsyncClient, House]]:
    """Start a house and do not wait until it is ready."""
    settings = load_settings({"storage": str(folder)}, {})
    migrations.upgrade(settings.database_url())
    house = build_house(settings, storage=storage)
    app: Any = create_app(settings, house)
    house.start()
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://charts.test") as client:
            yield client, house
    finally:
        await house.close()


async def wait_until(reached: Callable[[], bool]) -> None:
    for _ in range(500):
        if reached():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


async def test_until_the_first_pass_has_ended_nobody_sees_half_an_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "WAIT_SECONDS", 0.3)  # then they are told to come again
    folder = tmp_path / "store"
    place = Place(lambda: FilesystemStorage(folder))
    files = await fill(place)
    await place.put(**{GatedStorage.gated: make_chart("zz", "1.0.0")})
    place.storage.close()  # type: ignore[attr-defined]
    storage = GatedStorage(folder)
    storage.gate = asyncio.Event()
    async with starting(folder, storage) as (client, house):
        await wait_until(lambda: "importing" in house.parts.readiness.reason)
        await asyncio.sleep(0.2)  # the other files are taken in meanwhile
        for path in ("/index.yaml", "/org/team/index.yaml", "/api/charts", "/-/ready", "/~latest-3/index.yaml"):
            answer = await client.get(path)
            assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (503, True), path
        assert (await upload(client, make_chart("new"))).status_code == 503
        assert (await client.delete("/api/charts/old/1.0.0")).status_code == 503
        assert (await client.get("/health")).status_code == 200
        for key in ("old-1.0.0.tgz", "old-1.0.0.tgz.prov"):
            assert (await client.get(f"/charts/{key}")).content == files[key][0]
        team = await client.get("/org/team/charts/web-1.0.0.tgz")
        assert (team.status_code, team.content) == (200, files["org/team/web-1.0.0.tgz"][0])
        # Where no old file lies, only the index can tell.
        assert (await client.get("/charts/absent-1.0.0.tgz")).status_code == 503
        monkeypatch.setattr(readiness, "WAIT_SECONDS", 10.0)
        waiting = [asyncio.ensure_future(client.get(path)) for path in ("/index.yaml", "/charts/absent-1.0.0.tgz")]
        waiting.append(asyncio.ensure_future(upload(client, make_chart("new"))))
        await asyncio.sleep(0.2)
        assert not any(answer.done() for answer in waiting)
        storage.gate.set()
        index, absent, new = await asyncio.gather(*waiting)
        assert (index.status_code, absent.status_code, new.status_code) == (200, 404, 201)
        assert all(name in index.text for name in ("old", "plain", "zz")), "whole"
        assert (await client.delete("/api/charts/new/0.1.0")).status_code == 200
        await wait_until(lambda: house.parts.readiness.ready)
        assert len(await list_index(client)) == 4


async def test_a_first_pass_that_broke_off_is_finished_by_the_next_start(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    place = Place(lambda: FilesystemStorage(folder))
    await fill(place)
    await place.put(**{GatedStorage.gated: make_chart("zz", "1.0.0")})
    storage = GatedStorage(folder)
    storage.gate = asyncio.Event()
    async with starting(folder, storage) as (_client, house):
        await wait_until(lambda: "importing" in house.parts.readiness.reason)
        await asyncio.sleep(0.2)
    async with open_house(folder) as (client, house):
        expected = ["old-1.0.0.tgz", "old-2.0.0.tgz", "plain-1.0.0.tgz", "zz-1.0.0.tgz"]
        assert sorted(await list_index(client)) == expected
        await place.storage.delete("plain-1.0.0.tgz")  # taken in by the pass that broke off: it is known all the same
        await house.opening.rescan()
        assert sorted(await list_index(client)) == [name for name in expected if name != "plain-1.0.0.tgz"]
    place.storage.close()  # type: ignore[attr-defined]


async def test_a_store_that_fails_meanwhile_is_no_fault_of_the_files(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    storage = FailingStorage(folder)
    storage.failing = True
    await storage.put("plain-1.0.0.tgz", make_chart("plain", "1.0.0"))
    async with starting(folder, storage) as (client, house):
        await wait_until(lambda: "do not answer" in house.parts.readiness.reason)
        storage.failing = False
        await wait_until(lambda: house.parts.readiness.ready)
        assert list(await list_index(client)) == ["plain-1.0.0.tgz"]
        await storage.delete("plain-1.0.0.tgz")
        await house.opening.rescan()
        assert await list_index(client) == {}
