"""Garbage collection: what nothing refers to goes after its time, and nothing else, whoever pushes meanwhile."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from app.domain.ledger import blob_key
from app.domain.oci import MANIFEST_TYPE
from app.wiring import House
from storage import ObjectNotFound, Storage
from storage.filesystem import FilesystemStorage
from storage.s3 import S3Storage
from tests.api.wire import push, sign
from tests.buckets import make_bucket
from tests.charts import make_chart
from tests.house import open_house
from tests.oci.client import chart_manifest, descriptor, digest_of, image

SECONDS = 30
_PUSHERS = 6
FLAGS = {"gc_grace": "0s", "gc_interval": "0s", "upload_expiry": "0s"}


def has_bytes(folder: Path, content: bytes) -> bool:
    return (folder / blob_key(digest_of(content).removeprefix("sha256:"))).exists()


async def push_blob(client: httpx.AsyncClient, name: str, content: bytes) -> None:
    address = f"/v2/{name}/blobs/uploads/"
    assert (await client.post(address, params={"digest": digest_of(content)}, content=content)).status_code == 201


async def collect_twice(house: House) -> None:
    """Condemn, and collect what was condemned."""
    for _ in range(2):
        await house.collector.run()
        await asyncio.sleep(0.01)


@pytest.fixture(params=["folder and SQLite", "bucket and Postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Storage, dict[str, str]]]:
    """Answer a storage, and the settings of a database to go with it."""
    if request.param == "folder and SQLite":
        yield FilesystemStorage(tmp_path), {}
        return
    endpoint = request.getfixturevalue("s3_endpoint")
    bucket, _environment = make_bucket(endpoint)
    keys = {"access_key": "testing", "secret_key": "testing"}
    storage = S3Storage(bucket, prefix="charts", endpoint=endpoint, region="us-east-1", **keys)
    yield storage, {"database": request.getfixturevalue("postgres_url")}


async def has_object(storage: Storage, content: bytes) -> bool:
    try:
        await storage.stat(blob_key(digest_of(content).removeprefix("sha256:")))
    except ObjectNotFound:
        return False
    return True


async def test_deleted_charts_go_and_living_ones_stay(tmp_path: Path, place: tuple[Storage, dict[str, str]]) -> None:
    gone, kept, provenance = make_chart("gone"), make_chart("kept"), sign("kept")
    storage, database = place
    async with open_house(tmp_path, storage=storage, **database, **FLAGS) as (client, house):
        await push(client, gone, kept)
        await client.post("/api/prov", content=provenance)
        await client.delete("/api/charts/gone/0.1.0")
        await collect_twice(house)
        assert [await has_object(storage, content) for content in (gone, kept, provenance)] == [False, True, True]
        manifest = await client.get("/v2/kept/manifests/0.1.0")
        assert len(manifest.json()["layers"]) == 2
        for one in (manifest.json()["config"], *manifest.json()["layers"]):
            assert (await client.get(f"/v2/kept/blobs/{one['digest']}")).status_code == 200
        await push(client, gone)
        assert (await client.get("/charts/gone-0.1.0.tgz")).content == gone


async def test_a_dry_run_only_says_what_would_go(tmp_path: Path) -> None:
    content = make_chart("gone")
    async with open_house(tmp_path, **{**FLAGS, "gc_grace": "0.2s"}) as (client, house):
        await push(client, content)
        await client.delete("/api/charts/gone/0.1.0")
        for _ in range(2):
            found = await house.collector.run(dry_run=True)
            assert (found.condemned, found.blobs) == (2, 0)  # the archive and its config
        await house.collector.run()
        await asyncio.sleep(0.3)
        found = await house.collector.run(dry_run=True)
        assert (found.blobs, found.freed > len(content)) == (2, True)
        assert has_bytes(tmp_path, content)


async def test_a_dry_run_counts_uploads_and_blobs_that_nobody_used(tmp_path: Path) -> None:
    async with open_house(tmp_path, **FLAGS) as (client, house):
        location = (await client.post("/v2/a/blobs/uploads/")).headers["location"]
        await client.patch(location, content=b"half")
        await push_blob(client, "a", b"never used")
        for dry_run in (True, True, False):
            found = await house.collector.run(dry_run=dry_run)
            assert (found.sessions, found.links) == (1, 1)
        found = await house.collector.run(dry_run=True)
        assert (found.sessions, found.links) == (0, 0)


async def test_the_grace_period_is_kept(tmp_path: Path) -> None:
    content = make_chart("gone")
    async with open_house(tmp_path, **{**FLAGS, "gc_grace": "1h"}) as (client, house):
        await push(client, content)
        await client.delete("/api/charts/gone/0.1.0")
        await collect_twice(house)
        assert has_bytes(tmp_path, content)


async def test_replaced_manifests_go_and_pushed_ones_stay_unless_told(tmp_path: Path) -> None:
    for untagged in ("false", "true"):
        folder = tmp_path / untagged
        async with open_house(folder, **FLAGS, gc_untagged=untagged) as (client, house):
            await push(client, make_chart())
            old = (await client.get("/v2/mychart/manifests/0.1.0")).headers["docker-content-digest"]
            await client.post("/api/prov", content=sign())
            await push_blob(client, "mychart", b"{}")
            for note in range(2):
                kind = {"content-type": "application/vnd.oci.image.manifest.v1+json"}
                content = image(b"{}", note=note)
                assert (await client.put("/v2/mychart/manifests/x", content=content, headers=kind)).status_code == 201
            await collect_twice(house)
            assert (await client.get(f"/v2/mychart/manifests/{old}")).status_code == 404
            pushed = (await client.get(f"/v2/mychart/manifests/{digest_of(image(b'{}', note=0))}")).status_code
            assert pushed == (404 if untagged == "true" else 200)
            assert (await client.get("/v2/mychart/manifests/x")).content == image(b"{}", note=1)


async def test_what_refers_to_a_manifest_goes_after_it_and_not_before(tmp_path: Path) -> None:
    kind = {"content-type": "application/vnd.oci.image.manifest.v1+json"}
    async with open_house(tmp_path, **FLAGS, gc_untagged="true") as (client, house):
        await push_blob(client, "mychart", b"{}")
        subject = image(b"{}", note="subject")
        signature = image(b"{}", subject=descriptor(subject, MANIFEST_TYPE))
        for reference, content in (("x", subject), (digest_of(signature), signature)):
            put = await client.put(f"/v2/mychart/manifests/{reference}", content=content, headers=kind)
            assert put.status_code == 201
        address = f"/v2/mychart/manifests/{digest_of(signature)}"
        await collect_twice(house)
        assert (await client.get(address)).status_code == 200
        assert (await client.delete(f"/v2/mychart/manifests/{digest_of(subject)}")).status_code == 202
        await collect_twice(house)
        assert (await client.get(address)).status_code == 404


async def test_unfinished_uploads_unused_blobs_and_strays_in_storage_go(tmp_path: Path) -> None:
    async with open_house(tmp_path, **FLAGS) as (client, house):
        location = (await client.post("/v2/a/blobs/uploads/")).headers["location"]
        await client.patch(location, content=b"half")
        await push_blob(client, "a", b"never used")
        stray = tmp_path / blob_key(digest_of(b"stray").removeprefix("sha256:"))
        stray.parent.mkdir(parents=True, exist_ok=True)
        stray.write_bytes(b"stray")
        await collect_twice(house)
        await collect_twice(house)
        assert (await client.get(location)).status_code == 404
        assert not list((tmp_path / ".chartroom" / "uploads").rglob("*-*-*-*-*/*"))
        assert not has_bytes(tmp_path, b"never used")
        assert not stray.exists()


async def test_what_is_condemned_and_pushed_again_stays(tmp_path: Path) -> None:
    content = make_chart()
    async with open_house(tmp_path, **FLAGS) as (client, house):
        for _ in range(5):
            await push(client, content)
            await client.delete("/api/charts/mychart/0.1.0")
            await house.collector.run()  # condemned now
            await push(client, content)
            await collect_twice(house)
            assert (await client.get("/charts/mychart-0.1.0.tgz")).content == content
            await client.delete("/api/charts/mychart/0.1.0")


class Pusher:
    """Pushes, overwrites and deletes charts of its own name by both doors, and knows what must be there."""

    def __init__(self, client: httpx.AsyncClient, number: int) -> None:
        self.client = client
        self.name = f"chart{number}"
        self.random = random.Random(number)
        self.there: dict[str, bytes] = {}
        self.pushes = 0

    async def run(self, is_over: Callable[[], bool]) -> None:
        while not is_over():
            version = f"1.{self.random.randrange(5)}.0"
            # Few contents, so that the same bytes go and come again.
            content = make_chart(self.name, version, description=str(self.random.randrange(3)))
            step = self.random.choice([self.upload, self.push, self.delete])
            await step(version, content)
            await asyncio.sleep(self.random.random() / 50)

    async def upload(self, version: str, content: bytes) -> None:
        response = await self.client.post("/api/charts?force", content=content)
        assert response.status_code == 201, response.text
        self.note(version, content)

    async def push(self, version: str, content: bytes) -> None:
        for blob in (b"{}", content):
            if (await self.client.head(f"/v2/{self.name}/blobs/{digest_of(blob)}")).status_code == 404:
                await push_blob(self.client, self.name, blob)
            await asyncio.sleep(self.random.random() / 50)
        response = await self.client.put(
            f"/v2/{self.name}/manifests/{version}", content=chart_manifest(b"{}", content),
            headers={"content-type": "application/vnd.oci.image.manifest.v1+json"},
        )  # fmt: skip
        if response.status_code == 404:  # it was told that a blob is there, and that is over now: it pushes again
            assert "MANIFEST_BLOB_UNKNOWN" in response.text
            return
        assert response.status_code == 201, response.text
        self.note(version, content)

    async def delete(self, version: str, _content: bytes) -> None:
        response = await self.client.delete(f"/api/charts/{self.name}/{version}")
        assert (response.status_code == 200) == (version in self.there)
        self.there.pop(version, None)

    def note(self, version: str, content: bytes) -> None:
        self.there[version] = content
        self.pushes += 1

    async def check(self) -> None:
        for version, content in self.there.items():
            assert (await self.client.get(f"/charts/{self.name}-{version}.tgz")).content == content
            manifest = (await self.client.get(f"/v2/{self.name}/manifests/{version}")).json()
            for one in (manifest["config"], *manifest["layers"]):
                blob = await self.client.get(f"/v2/{self.name}/blobs/{one['digest']}")
                assert digest_of(blob.content) == one["digest"]


@pytest.mark.timeout(150)
async def test_pushing_and_collecting_at_the_same_time_loses_nothing(
    tmp_path: Path, place: tuple[Storage, dict[str, str]]
) -> None:
    storage, database = place
    flags = {**FLAGS, **database, "gc_grace": "0.3s", "upload_expiry": "1s", "allow_overwrite": "true"}
    end = time.monotonic() + SECONDS
    collected = 0
    async with open_house(tmp_path, storage=storage, **flags) as (client, house):

        async def collect() -> None:
            nonlocal collected
            while time.monotonic() < end:
                collected += (await house.collector.run()).blobs
                await asyncio.sleep(0.02)

        pushers = [Pusher(client, number) for number in range(_PUSHERS)]
        await asyncio.gather(collect(), *(pusher.run(lambda: time.monotonic() > end) for pusher in pushers))
        for pusher in pushers:
            await pusher.check()
    assert sum(pusher.pushes for pusher in pushers) > (500 if not database else 100)
    assert collected > (50 if not database else 5)
