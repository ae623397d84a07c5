"""A store that was copied or restored goes on by itself: its ETags are never those of the other history."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.charts import make_chart
from tests.house import open_house
from tests.live import serve
from tests.postgres import PostgresServer

VIEWS = ("/index.yaml", "/index.yaml?format=yaml", "/~latest-1/index.yaml", "/team/index.yaml")
ENCODINGS = ("identity", "gzip", "zstd")


async def push(client: httpx.AsyncClient, version: str) -> None:
    for repository in ("", "/team"):
        answer = await client.post(f"/api{repository}/charts", content=make_chart("web", version))
        assert answer.status_code == 201, answer.text


async def read_tags(client: httpx.AsyncClient) -> dict[tuple[str, str], str]:
    """Return the ETag of each view in each encoding."""
    tags = {}
    for path in VIEWS:
        for encoding in ENCODINGS:
            answer = await client.get(path, headers={"accept-encoding": encoding})
            assert answer.status_code == 200
            tags[path, encoding] = answer.headers["etag"]
    return tags


def copy_folder(store: Path, copy: Path) -> None:
    shutil.copytree(store, copy)


def copy_without_database(store: Path, copy: Path) -> None:
    shutil.copytree(store, copy, ignore=shutil.ignore_patterns("chartroom.db*"))


def dump_database(store: Path, copy: Path) -> None:
    copy_without_database(store, copy)
    with (
        sqlite3.connect(store / ".chartroom" / "chartroom.db") as old,
        sqlite3.connect(copy / ".chartroom" / "chartroom.db") as new,
    ):
        new.executescript("\n".join(old.iterdump()))
    old.close()
    new.close()


@pytest.mark.parametrize("take", [copy_folder, copy_without_database, dump_database])
async def test_two_histories_share_no_etag(tmp_path: Path, take: Callable[[Path, Path], None]) -> None:
    store, copy = tmp_path / "store", tmp_path / "copy"
    async with open_house(store) as (client, _house):
        await push(client, "1.0.0")
        before = await read_tags(client)
    take(store, copy)
    async with open_house(store) as (client, _house):
        assert await read_tags(client) == before, "the same after a restart"
        await push(client, "2.0.0")
        original = await read_tags(client)
    async with open_house(copy) as (client, _house):
        assert await read_tags(client) == before, "the same content"
        await push(client, "3.0.0")
        restored = await read_tags(client)
        for path in VIEWS:  # a client of the original, which keeps what it fetched there
            answer = await client.get(path, headers={"if-none-match": original[path, "identity"]})
            assert (answer.status_code, "3.0.0" in answer.text) == (200, True)
    every = [*before.values(), *original.values(), *restored.values()]
    assert len(set(every)) == len(every) == 3 * len(VIEWS) * len(ENCODINGS)


async def test_two_histories_on_postgres_share_no_etag(tmp_path: Path, postgres: PostgresServer) -> None:
    store, copy = tmp_path / "store", tmp_path / "copy"
    first, second = postgres.create(), postgres.create()
    try:
        async with open_house(store, database=postgres.url(first)) as (client, _house):
            await push(client, "1.0.0")
        shutil.copytree(store, copy)
        dumped = subprocess.run(["pg_dump", "--no-owner", postgres.url(first)], capture_output=True, check=True)
        subprocess.run(["psql", "--quiet", postgres.url(second)], input=dumped.stdout, capture_output=True, check=True)
        async with open_house(store, database=postgres.url(first)) as (client, _house):
            await push(client, "2.0.0")
            original = await read_tags(client)
        async with open_house(copy, database=postgres.url(second)) as (client, _house):
            await push(client, "3.0.0")
            restored = await read_tags(client)
    finally:
        postgres.drop(first)
        postgres.drop(second)
    assert not set(original.values()) & set(restored.values())


def test_all_workers_give_the_same_etag(tmp_path: Path) -> None:
    with serve(tmp_path / "store", "--workers", "2") as server:
        for version in ("1.0.0", "2.0.0", "3.0.0"):
            assert httpx.post(f"{server.url}/api/charts", content=make_chart("web", version)).status_code == 201
            # Each connection goes to a worker of the kernel's choice.
            tags = {httpx.get(f"{server.url}/index.yaml").headers["etag"] for _ in range(30)}
            assert len(tags) == 1
