"""A smoke of the benchmark: each measurement runs tiny and answers findings; how fast anything is does not matter."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import Table, select

from app.db import tables
from app.db.session import Database
from app.domain.archive import read_chart
from app.domain.ledger import ROOT
from tests.load import catalogue, report
from tests.load.__main__ import ROWS
from tests.load.bench import Bench
from tests.load.catalogue import Given
from tests.load.findings import MISSED, OK, SKIPPED, at_least, at_most
from tests.load.generated import make_archive, render_config
from tests.load.scale import TINY
from tests.load.servers import run_ours
from tests.load.uploading import upload_all

pytestmark = pytest.mark.load

_NOT_COMPARED = {
    "id",
    "identity",
    "scanned",
    "committed",
    "commit_id",
    "commit",
    "parent",
    "token_key",
    "updated",
    "touched",
}
"""Row ids and times of commits are free; a filled store counts as scanned before its first start."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"), TINY)


@pytest.mark.parametrize("name", list(ROWS))
def test_each_row_can_be_measured(bench: Bench, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHARTROOM_TEST_INCUBATOR", raising=False)
    if name == "upload":
        pytest.importorskip("aiosqlite", reason="pip install aiosqlite greenlet")
    findings = list(ROWS[name](bench))
    assert findings
    for found in findings:
        assert found.mark in (OK, MISSED, SKIPPED)
        assert found.measured
    if "REQUIRE" in os.environ:
        assert not [found.work for found in findings if found.mark == SKIPPED]
    correct = [found for found in findings if "stale" in found.work or "imported" in found.target]
    assert all(found.mark == OK for found in correct), correct  # these are no speeds


def test_a_filled_store_has_the_rows_that_uploads_leave(tmp_path: Path) -> None:
    archives = [make_archive(number % 2, f"1.{number}.0", size=6000) for number in range(5)]
    with run_ours(tmp_path / "uploaded") as server:
        for archive in archives:
            upload_all(server.url, [archive], clients=1)
    uploaded = _dump(tmp_path / "uploaded")
    rows = sorted(uploaded["chart_versions"], key=lambda row: row["created"])
    given = [
        Given(row["name"], row["version"], read_chart(archive).metadata.render_config(), row["digest"], row["size"],
              row["created"])
        for row, archive in zip(rows, archives, strict=True)
    ]  # fmt: skip
    catalogue.fill(tmp_path / "filled", given)
    assert _dump(tmp_path / "filled") == uploaded
    assert _read_ledger(tmp_path / "filled") == _read_ledger(tmp_path / "uploaded")


def _dump(folder: Path) -> dict[str, list[dict[str, Any]]]:
    database = Database(catalogue.database_url(folder))
    compared: tuple[Table, ...] = (
        tables.catalogue, tables.repositories, tables.charts, tables.chart_versions, tables.blobs, tables.provenances,
        tables.manifests, tables.tags, tables.links,
    )  # fmt: skip
    try:
        with database.engine.connect() as connection:
            return {
                table.name: sorted(
                    [
                        {name: value for name, value in row.items() if name not in _free_in(table.name)}
                        for row in connection.execute(select(table)).mappings()
                    ],
                    key=repr,
                )
                for table in compared
            }
    finally:
        database.close()


def _free_in(kind: str | None) -> set[str]:
    """Answer what need not be equal in rows or lines of a kind: a manifest is made when the commit is."""
    return _NOT_COMPARED | ({"created"} if kind in ("manifest", "manifests") else set())


def _read_ledger(folder: Path) -> list[list[dict[str, Any]]]:
    """Answer every segment's lines, oldest first, without what is the catalogue's own."""

    def segments() -> Iterator[list[dict[str, Any]]]:
        for path in sorted((folder / ROOT).rglob("*.jsonl")):
            yield [
                {name: value for name, value in line.items() if name not in {"catalogue", *_free_in(line.get("kind"))}}
                for line in map(orjson.loads, path.read_bytes().splitlines())
            ]

    return list(segments())


def test_a_filled_version_has_the_metadata_that_its_archive_would_have() -> None:
    archive = make_archive(7, "1.2.3", size=20_000)
    assert read_chart(archive).metadata.render_config() == render_config(7, "1.2.3")
    assert 15_000 < len(archive) < 25_000


def test_a_missed_target_is_reported_as_missed() -> None:
    findings = [at_least("slow work", 4, 3.9, detail="1/s against 2/s"), at_most("large work", 10, 9.5, "MB")]
    text = report.render_file(findings, seconds=61)
    assert "1 targets met, 1 missed" in text
    assert "MISSED" in text
    assert "3.90 x" in text
