"""What the stories about followed files share: a place where files lie, a server on it, and waiting for its passes."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg

from storage import ObjectNotFound, Storage
from storage.filesystem import FilesystemStorage
from storage.s3 import S3Storage
from tests.charts import make_chart
from tests.house import open_house

INTERVAL = "20ms"
_SECONDS = 30.0


@dataclass
class Place:
    """A folder or a bucket, a database, and files by key as an operator lays and moves them."""

    make: Callable[[], Storage]
    database: str
    folder: Path | None = None
    flags: dict[str, str] = field(default_factory=dict)
    storage: Storage = field(init=False)
    passes: int = 0

    def __post_init__(self) -> None:
        self.storage = self.make()

    @property
    def address(self) -> str:
        """The storage as commands take it; `flags` are their further settings."""
        return str(self.folder) if self.folder is not None else self.flags["storage"]

    async def put(self, key: str, content: bytes) -> None:
        await self.storage.put(key, content)

    async def delete(self, *keys: str) -> None:
        for key in keys:
            await self.storage.delete(key)

    async def move(self, old: str, new: str) -> None:
        """Rename a file: at once in a folder, by a copy in a bucket."""
        if self.folder is not None:
            (self.folder / old).rename(self.folder / new)
            return
        await self.put(new, await self.read(old))
        await self.delete(old)

    async def read(self, key: str) -> bytes:
        return b"".join([chunk async for chunk in await self.storage.open(key)])

    async def lose_database(self) -> None:
        """Remove a SQLite file, or all that is in a database of a server."""
        if self.database.startswith("postgresql"):
            with psycopg.connect(self.database, autocommit=True) as connection:
                connection.execute("DROP SCHEMA public CASCADE")
                connection.execute("CREATE SCHEMA public")
            return
        path = Path(self.database.removeprefix("sqlite:///"))
        for ending in ("", "-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)


def folder_place(folder: Path, database: str) -> Place:
    return Place(lambda: FilesystemStorage(folder), database, folder, {"database": database})


def bucket_place(endpoint: str, bucket: str, database: str) -> Place:
    prefix = uuid.uuid4().hex
    account = {"access_key": "testing", "secret_key": "testing"}
    flags = {
        "storage": f"s3://{bucket}/{prefix}",
        "database": database,
        "storage_amazon_endpoint": endpoint,
        "storage_amazon_region": "us-east-1",
    }

    def make() -> Storage:
        return S3Storage(bucket, prefix=prefix, endpoint=endpoint, region="us-east-1", **account)

    return Place(make, database, flags=flags)


@asynccontextmanager
async def open_place(place: Place, *, interval: str = INTERVAL, **flags: str) -> AsyncIterator[httpx.AsyncClient]:
    """Serve a place that is looked at again and again."""
    storage, unused = place.make(), Path("/nonexistent")
    flags |= {"database": place.database, "cache_interval": interval}
    async with open_house(place.folder or unused, storage=storage, **flags) as (client, _house):
        yield client


async def wait_for_passes(client: httpx.AsyncClient, place: Place) -> None:
    """Wait until a pass has begun and ended since the call.

    A chart that is laid down is seen by some pass; one laid down after that is seen by a later pass, which began after
    the call; and when a third one is seen, that pass has ended.
    """
    for _ in range(3):
        place.passes += 1
        name = f"mark{place.passes}"
        await place.put(f"passes/{name}-1.0.0.tgz", make_chart(name, "1.0.0"))
        async with asyncio.timeout(_SECONDS):
            while not await find_versions(client, name, "passes"):
                await asyncio.sleep(0.01)


async def find_versions(client: httpx.AsyncClient, chart: str, repository: str = "") -> list[str]:
    """Return the versions of a chart that an index lists, in its order."""
    response = await client.get(f"/{repository}/index.yaml" if repository else "/index.yaml")
    assert response.status_code == 200, response.text
    return [entry["version"] for entry in response.json()["entries"].get(chart, [])]


async def exists(place: Place, key: str) -> bool:
    with contextlib.suppress(ObjectNotFound):
        await place.storage.stat(key)
        return True
    return False
