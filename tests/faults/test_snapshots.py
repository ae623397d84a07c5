"""Snapshots of the ledger: old segments go only once a snapshot was read back, and a replay from one loses nothing."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterable
from pathlib import Path

import httpx
import pytest
import structlog

from app.db.charts import VersionRow, put_version, render_version_put
from app.db.repositories import get_or_create
from app.db.transaction import Transaction
from app.domain.index import render_entry
from app.domain.ledger import ROOT, parse_segment_key
from app.domain.semver import sort_key
from app.domain.summary import summarize
from app.errors import AppError, Kind
from app.services.snapshots import Snapshots
from app.wiring import House
from storage.filesystem import FilesystemStorage
from tests.api.wire import push, sign
from tests.charts import make_chart
from tests.faults.harm import assert_works
from tests.house import open_house
from tests.stories.store import list_index, read_rows, replay_anew


class Forgetful(FilesystemStorage):
    """A folder that gives back other bytes than it was given, for keys that end as told."""

    spoils = ""

    async def open(self, key: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        chunks = await super().open(key, start, length)
        return _spoil(chunks) if self.spoils and key.endswith(self.spoils) else chunks

    async def put(self, key: str, content: bytes | AsyncIterable[bytes]) -> None:
        await super().put(key, content)


async def _spoil(chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async for chunk in chunks:
        yield chunk[:-1] + b"?"


def names_of(folder: Path) -> tuple[list[str], list[str]]:
    """Answer a store's segments and snapshots."""
    keys = [str(path.relative_to(folder)) for path in sorted((folder / ROOT).rglob("*.jsonl"))]
    named = {key: parse_segment_key(key) for key in keys}
    segments = [key for key, name in named.items() if name and not name.snapshot]
    return segments, [key for key in keys if key not in segments]


async def live(client: httpx.AsyncClient, first: int) -> None:
    """Upload, sign, overwrite and delete a little."""
    for number in range(first, first + 5):
        await push(client, make_chart("a", f"1.{number}.0", description=f"ß \u0085 {number}"))
    assert (await client.post("/api/prov", content=sign("a", f"1.{first}.0"))).status_code == 201
    assert (await client.post("/api/charts?force", content=make_chart("a", f"1.{first + 1}.0", home="x"))).is_success
    assert (await client.delete(f"/api/charts/a/1.{first + 2}.0")).is_success


async def test_a_snapshot_replaces_the_segments_before_it(tmp_path: Path) -> None:
    store = tmp_path / "store"
    async with open_house(store) as (client, house):
        await live(client, 0)
        await push(client, make_chart("few"), to="/api/org/charts")
        before, _ = names_of(store)
        assert await Snapshots(house.database, house.storage, segments=5).run() == 1
        segments, snapshots = names_of(store)
        assert len(snapshots) == 1
        assert segments == [key for key in before if "/%/" not in key], "few segments stay as they are"
        assert await Snapshots(house.database, house.storage, segments=5).run() == 0
        await live(client, 10)
        await assert_replays(house, tmp_path / "anew.db")
        # The next one replaces the snapshot, too.
        assert await Snapshots(house.database, house.storage, segments=5).run() == 1
        assert len(names_of(store)[1]) == 1
        assert names_of(store)[1] != snapshots
        await assert_replays(house, tmp_path / "again.db")
        await assert_works(client)


async def assert_replays(house: House, database: Path) -> None:
    """A database that starts empty gets the very rows from storage; blobs that were removed are in no snapshot."""
    fresh, ours = await replay_anew(house.storage, database), read_rows(house.settings.database_url())
    named = {row[3] for row in ours["chart_versions"]} | {row[2] for row in ours["provenances"]}
    assert {table: rows for table, rows in fresh.items() if table != "blobs"} == {
        table: rows for table, rows in ours.items() if table != "blobs"
    }
    assert {row[0] for row in ours["blobs"]} >= {row[0] for row in fresh["blobs"]}
    assert named


async def test_a_snapshot_that_reads_back_other_bytes_removes_nothing(tmp_path: Path) -> None:
    store = tmp_path / "store"
    storage = Forgetful(store)
    async with open_house(store, storage=storage) as (client, house):
        await live(client, 0)
        before, _ = names_of(store)
        storage.spoils = ".snapshot.jsonl"
        with pytest.raises(AppError, match="gave back other bytes") as caught:
            await Snapshots(house.database, storage, segments=5).run()
        assert caught.value.kind is Kind.FAULT
        assert names_of(store)[0] == before
        storage.spoils = ""
        await assert_replays(house, tmp_path / "anew.db")
        await assert_works(client)


async def test_a_replay_passes_over_a_snapshot_that_was_damaged_while_it_was_written(tmp_path: Path) -> None:
    """The one before it and the segments since still lie there."""
    store = tmp_path / "store"
    async with open_house(store) as (client, house):
        await live(client, 0)
        await Snapshots(house.database, house.storage).write("")
        await live(client, 10)
        kept = {key: (store / key).read_bytes() for keys in names_of(store) for key in keys}
        newest = await Snapshots(house.database, house.storage).write("")
        for key, content in kept.items():
            (store / key).write_bytes(content)
        damage(store / newest)
        with structlog.testing.capture_logs() as logs:
            await assert_replays(house, tmp_path / "anew.db")
        assert [entry["log_level"] for entry in logs if "passed over" in entry["event"]] == ["error"]


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


async def test_a_store_whose_only_snapshot_is_damaged_is_not_served_by_half(tmp_path: Path) -> None:
    store = tmp_path / "store"
    async with open_house(store) as (client, house):
        await live(client, 0)
        key = await Snapshots(house.database, house.storage).write("")
        await live(client, 10)
    damage(store / key)
    for path in (store / ".chartroom").glob("chartroom.db*"):
        path.unlink()
    async with open_house(store) as (client, _house):
        answer = await client.get("/index.yaml")
        assert answer.status_code == 503
        assert key in answer.text
        assert "restore it" in answer.text


async def test_a_replay_from_a_snapshot_and_later_segments_gives_the_same_rows(tmp_path: Path) -> None:
    store = tmp_path / "store"
    async with open_house(store) as (client, house):
        await live(client, 0)
        await Snapshots(house.database, house.storage).write("")
        await live(client, 10)
        listed, rows = await list_index(client), read_rows(house.settings.database_url())
    for path in (store / ".chartroom").glob("chartroom.db*"):
        path.unlink()
    async with open_house(store) as (client, house):
        assert await list_index(client) == listed
        fresh = read_rows(house.settings.database_url())
        assert [fresh[table] for table in ("chart_versions", "provenances")] == [
            rows[table] for table in ("chart_versions", "provenances")
        ]
        await assert_works(client)


def make_row(number: int) -> VersionRow:
    config = b'{"name":"many%d","version":"1.%d.0","description":"%b"}' % (number % 50, number, b"x" * 2000)
    digest = f"{number:064x}"
    entry = render_entry(config, filename=f"many-1.{number}.0.tgz", created="2024-01-01T00:00:00Z", digest=digest)
    name, version = f"many{number % 50}", f"1.{number}.0"
    return VersionRow(name, version, sort_key(version), f"many-1.{number}.0.tgz", digest, 1, number, "upload", entry)


def put_many(transaction: Transaction, first: int, count: int) -> None:
    repository = get_or_create(transaction.connection, "many")
    for row in map(make_row, range(first, first + count)):
        put_version(transaction, repository.id, row, summarize(row.entry, row.sort_key))
        transaction.record(repository, render_version_put(row))


async def test_five_thousand_versions_pass_through_a_file_and_not_through_memory(tmp_path: Path) -> None:
    store = tmp_path / "store"
    async with open_house(store) as (_client, house):
        for first in range(0, 5000, 250):
            await house.ledger.write(lambda transaction, first=first: put_many(transaction, first, 250))
        tracemalloc.start()
        try:
            key = await Snapshots(house.database, house.storage).write("many")
            _, writing = tracemalloc.get_traced_memory()
            assert (store / key).stat().st_size > 10_000_000
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            fresh = await replay_anew(house.storage, tmp_path / "anew.db")
            del fresh
        finally:
            tracemalloc.stop()
        assert writing < 8_000_000
        assert before < 8_000_000
        assert names_of(store)[0] == []
