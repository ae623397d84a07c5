"""A store that a test can harm from outside, in a folder or a bucket, and the command line on it.

Nothing here knows the server's code: objects are read, written and removed as an operator's tools do it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson

from tests.buckets import make_bucket, make_client
from tests.charts import make_chart
from tests.live import LiveServer, serve

LEDGER = ".chartroom/ledger/"
BLOBS = ".chartroom/blobs/"
AT_ONCE = {"CHARTROOM_GC_GRACE": "0s", "CHARTROOM_UPLOAD_EXPIRY": "0s", "CHARTROOM_GC_INTERVAL": "0s"}
"""Garbage has no time to wait; only the command collects it."""


class Place:
    """One store and its database."""

    def __init__(self, folder: Path, environment: dict[str, str], database: str = "") -> None:
        self.folder = folder
        self.environment = environment
        self.database = database

    @property
    def arguments(self) -> list[str]:
        """The flags that name store and database."""
        return ["--storage", self.storage, *(["--database", self.database] if self.database else [])]

    @property
    def storage(self) -> str:
        return str(self.folder)

    def serve(self, wait_for: str = "/-/ready", **environment: str) -> AbstractContextManager[LiveServer]:
        return serve(self.folder, *self.arguments, wait_for=wait_for, **{**self.environment, **environment})

    def run(self, command: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `chartroom COMMAND` on the store as a process of its own."""
        line = [sys.executable, "-m", "app", command, *arguments, *self.arguments]
        mine = {**os.environ, **self.environment, **environment}
        return subprocess.run(line, capture_output=True, text=True, timeout=60, env=mine, check=False)

    def take(self, prefix: str) -> dict[str, bytes]:
        """Return the objects below a prefix, by key; journals of batches are no objects."""
        below = (self.folder / prefix).rglob("*")
        found = [path for path in below if path.is_file() and path.parent.name != "journal"]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in sorted(found)}

    def put(self, objects: dict[str, bytes]) -> None:
        """Write objects; as `cp -a` does, with the times of a year ago."""
        for key, content in objects.items():
            path = self.folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            os.utime(path, (path.stat().st_mtime - 365 * 86400,) * 2)

    def drop(self, prefix: str) -> None:
        """Remove every object below a prefix."""
        for key in self.take(prefix):
            self.remove(key)

    def remove(self, key: str) -> None:
        """Remove one object."""
        (self.folder / key).unlink()

    def lose_database(self) -> None:
        if self.database:
            folder, name = Path(self.database.removeprefix("sqlite:///")).parent, "charts.db"
        else:
            folder, name = self.folder / ".chartroom", "chartroom.db"
        for path in folder.glob(f"{name}*"):
            path.unlink()

    @property
    def database_file(self) -> Path:
        return self.folder / ".chartroom" / "chartroom.db"


class BucketPlace(Place):
    """A store in a bucket."""

    def __init__(self, folder: Path, endpoint: str, database: str) -> None:
        self.bucket, environment = make_bucket(endpoint)
        super().__init__(folder, environment, database)
        self.client = make_client(endpoint)

    @property
    def storage(self) -> str:
        return f"s3://{self.bucket}/charts"

    def take(self, prefix: str) -> dict[str, bytes]:
        listed = self.client.list_objects_v2(Bucket=self.bucket, Prefix=f"charts/{prefix}").get("Contents", [])
        keys = [item["Key"] for item in listed]
        bodies = {key: self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys}
        return {key.removeprefix("charts/"): content for key, content in bodies.items()}

    def put(self, objects: dict[str, bytes]) -> None:
        for key, content in objects.items():
            self.client.put_object(Bucket=self.bucket, Key=f"charts/{key}", Body=content)

    def remove(self, key: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=f"charts/{key}")


@contextmanager
def bucket_place(folder: Path, endpoint: str, database: str = "") -> Iterator[BucketPlace]:
    """Make a bucket with a store; its database is a SQLite file beside it, or what `database` names."""
    folder.mkdir(parents=True, exist_ok=True)
    place = BucketPlace(folder, endpoint, database or f"sqlite:///{folder / 'charts.db'}")
    try:
        yield place
    finally:
        place.client.close()


def upload(server: LiveServer, name: str, *versions: str, repository: str = "", size: int = 0) -> None:
    """Upload charts of these versions; with `size`, of at least so many bytes that do not compress."""
    path = f"/api/{repository}/charts" if repository else "/api/charts"
    for version in versions or ("0.1.0",):
        files: dict[str, bytes | str | None] = {"noise": os.urandom(size).hex()} if size else {}
        answer = httpx.post(f"{server.url}{path}", content=make_chart(name, version, files=files), timeout=30)
        assert answer.status_code == 201, answer.text


def entries(server: LiveServer, repository: str = "") -> dict[str, Any]:
    """Return what clients see of a repository: the index's entries, by file name, each with its archive's bytes."""
    base = f"{server.url}/{repository}".rstrip("/")
    listed = orjson.loads(httpx.get(f"{base}/index.yaml").raise_for_status().content)["entries"]
    found: dict[str, Any] = {}
    for versions in listed.values():
        for entry in versions:
            found[entry["urls"][0]] = {**entry, "bytes": httpx.get(f"{base}/{entry['urls'][0]}").content}
    return found


def make_backup(folder: Path, *names: str) -> dict[str, bytes]:
    """Return a backup of another store: the ledger and the blobs of these charts."""
    store = folder / f"backup-{uuid.uuid4().hex[:8]}"
    with serve(store) as server:
        for name in names or ("one", "two", "three"):
            upload(server, name)
    place = Place(store, {})
    backup = {**place.take(LEDGER), **place.take(BLOBS)}
    shutil.rmtree(store)
    return backup


def until(reached: Callable[[], bool], seconds: float = 20) -> float:
    """Wait until it is so; return how many seconds that took."""
    began = time.monotonic()
    while not reached():
        assert time.monotonic() < began + seconds, "it did not happen"
        time.sleep(0.05)
    return time.monotonic() - began
