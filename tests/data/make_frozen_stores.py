"""How the frozen stores beside this file were made: `python -m tests.data.make_frozen_stores CHECKOUT`.

CHECKOUT is a checkout of the commit in the folder's name, with an environment in `.venv`; only its own code writes to
the stores. The files are made once and kept: a store of another day is another input. PostgreSQL's `pg_dump` is needed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.buckets import open_client
from tests.charts import make_chart
from tests.live import LiveServer, find_free_port, wait_until_up
from tests.needs import find_postgres
from tests.postgres import postgres_server
from tests.servers import moto_server
from tests.stories import everything
from tests.stories.everything import WEB, Known

COMMIT = "27bfc88"
FOLDER = Path(__file__).parent / f"store-{COMMIT}"
BUCKET = "charts"
WHEN = 1_600_000_000
"""Seconds since 1970: the time of ChartMuseum's files."""

# The server writes a snapshot after a thousand segments; here its own code is told to write one now.
_SNAPSHOT = f"""
import asyncio
from app.commands.house import open_house
from app.settings import load_settings
from app.services.snapshots import Snapshots

async def main():
    async with open_house(load_settings({{}})) as house:
        await Snapshots(house.database, house.storage, segments=2).write({WEB!r})

asyncio.run(main())
"""


class Old:
    """The old code on one store, which its environment names."""

    def __init__(self, checkout: Path, folder: Path, **environment: str) -> None:
        self._checkout = checkout
        self._folder = folder
        self._environment = {**os.environ, "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
        self._environment |= environment

    def run(self, *words: str) -> str:
        """Run the old Python."""
        command = [str(self._checkout / ".venv" / "bin" / "python"), *words]
        done = subprocess.run(
            command, cwd=self._checkout, env=self._environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{words}: {done.stdout}{done.stderr}")
        return done.stdout

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Run the old server and return its address."""
        port = find_free_port()
        log = self._folder / f"{port}.log"
        command = [str(self._checkout / ".venv" / "bin" / "python"), "-m", "app", "serve", "--port", str(port)]
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command, cwd=self._checkout, env=self._environment, stdout=stream, stderr=stream, start_new_session=True
            )
        server = LiveServer(f"http://127.0.0.1:{port}", process, log)
        try:
            wait_until_up(server, "/-/ready")
            yield server.url
        finally:
            server.stop()


def write_legacy(put: Callable[[str, bytes], object]) -> None:
    """Lay down ChartMuseum's files."""
    for key, content in everything.list_legacy_files().items():
        put(key, content)


def write_file(folder: Path, key: str, content: bytes) -> None:
    """Write a file with a time of whole seconds, which every archive keeps."""
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (WHEN, WHEN))


def live(old: Old) -> tuple[Known, dict[str, Any], dict[str, Any]]:
    """Fill a store; return where to look, what is seen there, and what its export holds."""
    with old.serve() as url:
        known = everything.delete_legacy(url, everything.fill(url))
    old.run("-c", _SNAPSHOT)
    with old.serve() as url:
        answer = httpx.post(f"{url}/api/{WEB}/charts", content=make_chart("other", "1.1.0"))
        assert answer.status_code == 201, answer.text
        seen = everything.read(url, known)
    with tempfile.TemporaryDirectory() as folder:
        old.run("-m", "app", "export", folder)
        exported = everything.list_export(Path(folder))
    return known, seen, exported


def save(name: str, known: Known, seen: dict[str, Any], exported: dict[str, Any]) -> None:
    """Write down what the old server showed."""
    facts = {"known": known._asdict(), "seen": seen, "exported": exported}
    (FOLDER / f"{name}.json").write_text(json.dumps(facts, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def pack(path: Path, folder: Path) -> None:
    """Archive a folder without its owners."""

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        info.mtime = int(info.mtime)
        return info

    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        for one in sorted(folder.rglob("*")):
            if one.is_file() and "tmp" not in one.parts[len(folder.parts) :] and not one.name.endswith(".lock"):
                archive.add(one, str(one.relative_to(folder)), filter=plain)


def make_sqlite(checkout: Path, folder: Path) -> None:
    """Make the store in a folder with its SQLite file, and the one whose last commit storage lacks."""
    store = folder / "store"
    write_legacy(lambda key, content: write_file(store, key, content))
    old = Old(checkout, folder, CHARTROOM_STORAGE=str(store))
    facts = live(old)
    save("sqlite", *facts)
    pack(FOLDER / "sqlite.tar.gz", store)
    blocked = store / ".chartroom" / "ledger" / "late"
    blocked.write_text("no segment can be written below a file")
    with old.serve() as url:
        answer = httpx.post(f"{url}/api/late/charts", content=make_chart("late", "1.0.0"), timeout=30)
        assert (answer.status_code, "may be stored" in answer.text) == (503, True), answer.text
    blocked.unlink()
    pack(FOLDER / "outbox.tar.gz", store)


def make_postgres(checkout: Path, folder: Path) -> None:
    """Make the store in a folder whose catalogue is a Postgres database."""
    store = folder / "store"
    write_legacy(lambda key, content: write_file(store, key, content))
    with postgres_server() as server:
        url = server.url(server.create(empty=True))
        facts = live(Old(checkout, folder, CHARTROOM_STORAGE=str(store), CHARTROOM_DATABASE=url))
        command = [find_postgres("pg_dump"), "--no-owner", "--no-privileges", "--inserts", url]
        dump = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = (line for line in dump.splitlines() if line and not line.startswith(("--", "\\")))
    (FOLDER / "postgres.sql").write_text("\n".join(lines) + "\n")
    save("postgres", *facts)
    pack(FOLDER / "postgres.tar.gz", store)


def make_bucket(checkout: Path, folder: Path) -> None:
    """Make the store in a bucket, with its SQLite file beside the objects."""
    database = folder / "local" / "chartroom.db"
    database.parent.mkdir()
    with moto_server() as endpoint, open_client(endpoint) as client:
        client.create_bucket(Bucket=BUCKET)
        write_legacy(lambda key, content: client.put_object(Bucket=BUCKET, Key=f"shop/{key}", Body=content))
        old = Old(
            checkout, folder, CHARTROOM_STORAGE=f"s3://{BUCKET}/shop", CHARTROOM_DATABASE=f"sqlite:///{database}",
            CHARTROOM_STORAGE_AMAZON_ENDPOINT=endpoint,
        )  # fmt: skip
        facts = live(old)
        objects = folder / "objects"
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            for item in page["Contents"]:
                body = client.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read()
                write_file(objects / "objects", item["Key"], body)
    (objects / "chartroom.db").write_bytes(database.read_bytes())
    save("bucket", *facts)
    pack(FOLDER / "bucket.tar.gz", objects)


def main() -> None:
    """Make all of them."""
    checkout = Path(sys.argv[1]).resolve()
    FOLDER.mkdir(exist_ok=True)
    for make in (make_sqlite, make_postgres, make_bucket):
        with tempfile.TemporaryDirectory() as folder:
            make(checkout, Path(folder))


if __name__ == "__main__":
    main()
