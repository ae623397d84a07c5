"""Fills a store with many versions in seconds: the rows and ledger segments that as many uploads would have left.

A smoke test holds the rows against those of real uploads. Blobs are not written: what is pulled is uploaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Table, insert

import migrations
from app.db import repositories, tables
from app.db.artifacts import BLOB, Child, ManifestRow
from app.db.held import render_manifest_put
from app.db.session import Database
from app.domain import times
from app.domain.artifact import HELM_CONFIG, File, derive
from app.domain.index import render_entry
from app.domain.ledger import Header, render_change, render_entry_change, render_segment, repository_folder, segment_key
from app.domain.metadata import Dependency, Maintainer, Metadata
from app.domain.names import archive_name
from app.domain.oci import MANIFEST_TYPE, tag_of
from app.domain.semver import sort_key
from app.domain.summary import summarize
from app.settings import load_settings
from tests.load.generated import MODIFIED, name_chart, render_config

_BATCH = 5000
_PER_CHART = 10
_FIRST = 1_600_000_000 * 1_000_000_000
_STEP = 601_000_000_007  # ns between two uploads


@dataclass(frozen=True, slots=True)
class Given:
    """One version that is to be listed: what a publish learns from its archive, and when it was (ns since 1970)."""

    name: str
    version: str
    config: bytes
    digest: str
    size: int
    created: int


def make_versions(count: int) -> Iterator[Given]:
    """Answer `count` versions, ten of each chart, in the order of time: one of every chart, then the next of every."""
    charts = max(1, count // _PER_CHART)
    for number in range(count):
        chart, minor = number % charts, number // charts
        version = f"1.{minor}.{chart % 7}"
        digest = hashlib.sha256(b"%d" % number).hexdigest()
        config = render_config(chart, version)
        yield Given(name_chart(chart), version, config, digest, 20_000 + number % 997, _FIRST + number * _STEP)


def database_url(folder: Path) -> str:
    """Answer where `chartroom serve --storage FOLDER` keeps its database."""
    return load_settings({"storage": str(folder)}, {}).database_url()


def fill(folder: Path, versions: Iterable[Given], *, together: int = 1) -> None:
    """Fill an empty store with versions, in the root repository; `together` of them share a commit.

    One each is what uploads one after the other leave, and the most work for a start, which lists all segments.
    """
    folder.mkdir(parents=True, exist_ok=True)
    url = database_url(folder)
    migrations.upgrade(url)
    (folder / repository_folder("")).mkdir(parents=True)
    database = Database(url)
    try:
        with database.engine.execution_options(writes=True).connect() as connection, connection.begin():
            repositories.mark_scanned(connection)
            first = next(given := iter(versions), None)
            if first is not None:
                _Filler(folder, connection, together).run(chain([first], given))
    finally:
        database.close()


class _Filler:
    def __init__(self, folder: Path, connection: Connection, together: int) -> None:
        self._folder = folder
        self._together = together
        self._connection = connection
        self._identity = repositories.get_catalogue(connection).identity
        self._repository = repositories.get_or_create(connection, "").id
        self._charts: dict[str, dict[str, Any]] = {}
        self._revision, self._id = 0, ""
        kept = (tables.blobs, tables.manifests, tables.links, tables.tags)
        self._artifacts: dict[Table, list[dict[str, Any]]] = {table: [] for table in kept}

    def run(self, versions: Iterator[Given]) -> None:
        committed = 0
        while batch := list(islice(versions, _BATCH // self._together * self._together)):
            rows = []
            for at in range(0, len(batch), self._together):
                committed = batch[min(at + self._together, len(batch)) - 1].created
                rows += self._commit(batch[at : at + self._together], committed)
            blobs = [{"digest": row["digest"], "size": row["size"], "content": None} for row in rows]
            self._connection.execute(insert(tables.chart_versions), rows)
            self._connection.execute(insert(tables.blobs), blobs)
            for table, waiting in self._artifacts.items():
                self._connection.execute(insert(table), waiting)
                waiting.clear()
        self._connection.execute(insert(tables.charts), list(self._charts.values()))
        repositories.touch(self._connection, self._repository, self._revision, committed, self._id)
        repositories.move_revision(self._connection, self._revision)

    def _commit(self, group: list[Given], committed: int) -> list[dict[str, Any]]:
        self._revision += 1
        lines: list[bytes] = []
        rows = [self._add(given, lines, committed) for given in group]
        parent, self._id = self._id, f"{self._revision:016x}"
        content = render_segment(
            Header("", self._revision, self._revision - 1, self._identity, committed, self._id, parent), lines
        )
        (self._folder / segment_key("", self._revision, self._identity, content)).write_bytes(content)
        return rows

    def _add(self, given: Given, lines: list[bytes], committed: int) -> dict[str, Any]:
        filename, order = archive_name(given.name, given.version), sort_key(given.version)
        entry = render_entry(
            given.config, filename=filename, created=times.render_time(given.created), digest=given.digest
        )
        facts = {
            "version": given.version, "filename": filename, "digest": given.digest, "size": given.size,
            "created": given.created, "origin": "upload",
        }  # fmt: skip
        self._note_chart(given.name, entry, order)
        lines.append(render_entry_change({"chart": given.name, **facts}, entry))
        self._add_artifact(given, lines, committed)
        key = {"repository_id": self._repository, "name": given.name, "sort_key": order, "entry": entry}
        return {**key, **facts}

    def _add_artifact(self, given: Given, lines: list[bytes], committed: int) -> None:
        artifact = derive(_read_metadata(given.config), MODIFIED, File(given.digest, given.size), None)
        row = ManifestRow(
            artifact.digest,
            MANIFEST_TYPE,
            HELM_CONFIG,
            "",
            artifact.annotations,
            artifact.manifest,
            "derived",
            committed,
        )
        children = [Child(artifact.config_digest, BLOB), Child(given.digest, BLOB)]
        tag, place = tag_of(given.version), {"repository_id": self._repository, "name": given.name}
        config = {"digest": artifact.config_digest, "size": len(artifact.config), "content": artifact.config}
        self._artifacts[tables.blobs].append(config)
        columns = {column: getattr(row, column) for column in ManifestRow.__slots__}
        self._artifacts[tables.manifests].append({**place, **columns})
        self._artifacts[tables.links] += [
            {**place, "digest": child.digest, "manifest": row.digest, "kind": child.kind, "touched": committed}
            for child in children
        ]
        self._artifacts[tables.tags].append({**place, "tag": tag, "digest": row.digest, "updated": committed})
        lines.append(render_manifest_put(given.name, row, children, {artifact.config_digest: artifact.config}))
        lines.append(render_change("put", "tag", name=given.name, tag=tag, digest=row.digest, updated=committed))

    def _note_chart(self, name: str, entry: bytes, order: bytes) -> None:
        summary = summarize(entry, order)
        row = self._charts.setdefault(name, {"repository_id": self._repository, "name": name, "versions": 0})
        row["versions"] += 1
        row["revision"] = self._revision
        if row["versions"] == 1 or summary.rank >= row["rank"]:
            row |= {slot: getattr(summary, slot) for slot in type(summary).__slots__}


def _read_metadata(config: bytes) -> Metadata:
    """Read a config that `render_config` wrote."""
    facts = orjson.loads(config)
    names = {"apiVersion": "api_version", "appVersion": "app_version", "kubeVersion": "kube_version"}
    values = {
        names.get(name, name): tuple(value) if isinstance(value, list) else value for name, value in facts.items()
    }
    values["maintainers"] = tuple(Maintainer(**one) for one in facts.get("maintainers", ()))
    values["dependencies"] = tuple(Dependency(**one) for one in facts.get("dependencies", ()))
    return Metadata(**values)
