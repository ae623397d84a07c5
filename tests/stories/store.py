"""What the stories about the store share: uploads, what an index lists, the rows of a catalogue, a ledger's chain."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import orjson
from sqlalchemy import create_engine, select

import migrations
from app.db import tables
from app.db.session import Database
from app.domain.ledger import ROOT, Segment, parse_segment_key, read_segment
from app.services.replay import Replay
from storage import Objects, Storage, StorageUnavailable
from storage.filesystem import FilesystemStorage
from tests.charts import make_chart

Rows = dict[str, list[tuple[Any, ...]]]

_REPLAYED = (
    tables.repositories,
    tables.charts,
    tables.chart_versions,
    tables.provenances,
    tables.blobs,
    tables.manifests,
    tables.tags,
    tables.links,
)


class FailingStorage(FilesystemStorage):
    """A folder that takes no batches (blobs and ledger segments of a commit) while `failing`.

    With `keeps` it has taken them all the same when it says so, and removes nothing, as a bucket may that is cut off.
    """

    failing = False
    keeps = False

    def write_batch(self, blobs: Objects, records: Objects) -> None:
        if self.keeps:
            super().write_batch(blobs, records)
        if self.failing:
            raise StorageUnavailable("refused")
        if not self.keeps:
            super().write_batch(blobs, records)

    def discard(self, keys: Sequence[str]) -> None:
        if self.keeps and self.failing:
            raise StorageUnavailable("refused")
        super().discard(keys)


def make_numbered(number: int, **chart_yaml: object) -> bytes:
    """Answer one of many charts: ten names, each with its own versions."""
    return make_chart(f"chart{number % 10}", f"1.{number}.0", description=f"number {number}", **chart_yaml)


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def upload(client: httpx.AsyncClient, content: bytes, repository: str = "", query: str = "") -> httpx.Response:
    """Post an archive as it is."""
    path = f"/api/{repository}/charts" if repository else "/api/charts"
    return await client.post(f"{path}{query}", content=content)


async def list_index(client: httpx.AsyncClient, repository: str = "") -> dict[str, str]:
    """Answer what the index lists: file name to digest."""
    return {name: entry["digest"] for name, entry in (await read_index(client, repository)).items()}


async def read_index(client: httpx.AsyncClient, repository: str = "") -> dict[str, Any]:
    """Answer the entries of the index by file name."""
    response = await client.get(f"/{repository}/index.yaml" if repository else "/index.yaml")
    assert response.status_code == 200, response.text
    entries = orjson.loads(response.content)["entries"]
    return {entry["urls"][0].rpartition("/")[2]: entry for versions in entries.values() for entry in versions}


def read_rows(url: str) -> Rows:
    """Answer every row that a replay must bring back, by table, whatever the numbers of the rows."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            names = {row.id: row.path for row in connection.execute(select(tables.repositories))}
            found: Rows = {}
            for table in _REPLAYED:
                rows = [dict(row) for row in connection.execute(select(table)).mappings()]
                for row in rows:
                    for column in ("id", "touched", "untagged"):  # of this database alone
                        row.pop(column, None)
                    if "repository_id" in row:
                        row["repository_id"] = names[row["repository_id"]]
                found[table.name] = sorted(tuple(row.values()) for row in rows)
            return found
    finally:
        engine.dispose()


async def replay_anew(storage: Storage, path: Path) -> Rows:
    """Replay the ledger into an empty database and answer its rows."""
    url = f"sqlite:///{path}"
    migrations.upgrade(url)
    database = Database(url)
    database.start()
    try:
        await Replay(database, storage).run()
    finally:
        database.close()
    return read_rows(url)


async def read_chain(storage: Storage) -> dict[str, list[Segment]]:
    """Answer the segments of each repository in the order of their names, having checked that they are a chain."""
    chains: dict[str, list[Segment]] = {}
    for key in sorted([stat.key async for stat in storage.scan(ROOT)]):
        name = parse_segment_key(key)
        assert name is not None, key
        if not name.snapshot:
            segment = read_segment(name, await read_object(storage, key))
            chains.setdefault(segment.header.repository, []).append(segment)
    for chain in chains.values():
        headers = [segment.header for segment in chain]
        assert (headers[0].previous, headers[0].parent) == (0, "")
        assert len({header.commit for header in headers}) == len(headers)
        for before, after in pairwise(headers):
            assert (after.previous, after.parent) == (before.revision, before.commit)
            assert after.committed > before.committed
    return chains


async def read_object(storage: Storage, key: str) -> bytes:
    return b"".join([chunk async for chunk in await storage.open(key)])
