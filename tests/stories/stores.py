"""Stores of every kind for tests: a folder or a bucket, SQLite or Postgres, served and commanded as people do it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import uuid
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.buckets import open_client
from tests.charts import make_chart
from tests.live import LiveServer, serve

ROOT = Path(__file__).parent.parent.parent


class Said(NamedTuple):
    """A command's exit code and all that it printed."""

    code: int
    text: str


@dataclass
class Store:
    """One store: what its commands are told, and the folder of what is local to it."""

    folder: Path
    storage: str
    database: str
    environment: dict[str, str] = field(default_factory=dict)

    def serve(self, *arguments: str, **more: str) -> AbstractContextManager[LiveServer]:
        """Run a server on it; `wait_for` and environment as `tests.live.serve` takes them."""
        places = ("--storage", self.storage, "--database", self.database)
        return serve(self.folder, *places, *arguments, **{**self.environment, **more})  # type: ignore[arg-type]

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command on it."""
        places = ["--storage", self.storage]
        if words[0] != "backup":
            places += ["--database", self.database]
        return subprocess.Popen(
            [sys.executable, "-m", "app", *words, *places], cwd=ROOT, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, env={**os.environ, **self.environment, **environment},
        )  # fmt: skip

    def run(self, *words: str, **environment: str) -> Said:
        """Run a command on it to its end."""
        with self.start(*words, **environment) as process:
            text, _ = process.communicate(timeout=120)
        return Said(process.returncode, text)

    def command(self, *words: str, **environment: str) -> str:
        """Run a command that must succeed, and return what it printed."""
        said = self.run(*words, **environment)
        assert said.code == 0, said.text
        return said.text


class Stores:
    """Makes stores and places for backups, each new."""

    def __init__(self, request: pytest.FixtureRequest, folder: Path) -> None:
        self._request = request
        self._folder = folder
        self._numbers = count()
        self._databases: list[str] = []

    def make(self, kind: str) -> Store:
        """Return an empty store: sqlite, postgres, or bucket (with SQLite)."""
        folder = self._folder / f"store{next(self._numbers)}"
        folder.mkdir()
        data, database = str(folder / "data"), f"sqlite:///{folder / 'data' / '.chartroom' / 'chartroom.db'}"
        if kind == "postgres":
            return Store(folder, data, self.make_database(), self._environment())
        if kind == "bucket":
            return Store(folder, self.make_place("bucket"), f"sqlite:///{folder / 'chartroom.db'}", self._environment())
        return Store(folder, data, database, self._environment())

    def make_place(self, kind: str) -> str:
        """Return an empty place for a backup: a folder, or a prefix of a bucket."""
        name = f"place{next(self._numbers)}-{uuid.uuid4().hex[:8]}"
        if kind != "bucket":
            return str(self._folder / name)
        with open_client(self._request.getfixturevalue("s3_endpoint")) as client:
            client.create_bucket(Bucket=name)
        return f"s3://{name}/charts"

    def make_database(self) -> str:
        """Return the URL of a Postgres database without tables."""
        server = self._request.getfixturevalue("postgres")
        self._databases.append(server.create(empty=True))
        return str(server.url(self._databases[-1]))

    def close(self) -> None:
        """Drop the databases."""
        for name in self._databases:
            self._request.getfixturevalue("postgres").drop(name)

    def _environment(self) -> dict[str, str]:
        found = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
        if "s3_endpoint" in self._request.fixturenames:
            found["CHARTROOM_STORAGE_AMAZON_ENDPOINT"] = self._request.getfixturevalue("s3_endpoint")
        return found


class Uploading:
    """Eight clients that upload until the block ends; `acknowledged` has the file names, in order."""

    def __init__(self, url: str, clients: int = 8) -> None:
        self._url = url
        self._numbers = count()
        self._stopped = threading.Event()
        self.acknowledged: list[str] = []
        self.refused: list[str] = []
        self._threads = [threading.Thread(target=self._upload) for _ in range(clients)]

    def __enter__(self) -> Uploading:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        assert self.refused == []

    def _upload(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._stopped.wait(0.02):  # or there are thousands before a slow machine has made three backups
                number = next(self._numbers)
                name, version = f"chart{number % 10}", f"1.{number}.0"
                path = "/api/team/charts" if number % 3 == 0 else "/api/charts"
                answer = client.post(path, content=make_chart(name, version))
                if answer.status_code == 201:
                    self.acknowledged.append(f"{name}-{version}.tgz")
                else:
                    self.refused.append(answer.text)


def list_files(url: str, repository: str = "") -> set[str]:
    """Return the file names that an index lists, each read and compared with its digest."""
    base = f"/{repository}" if repository else ""
    names = set()
    with httpx.Client(base_url=url, timeout=30) as client:
        entries = client.get(f"{base}/index.yaml").raise_for_status().json()["entries"]
        for entry in (entry for versions in entries.values() for entry in versions):
            archive = client.get(f"{base}/{entry['urls'][0]}").raise_for_status()
            assert hashlib.sha256(archive.content).hexdigest() == entry["digest"]
            names.add(entry["urls"][0].rpartition("/")[2])
    return names
