"""Parcels: what is to be published, and what is read out of it before anything is stored.

Whether it may be published is decided in `charts.py`; the rules of an archive are in `app/domain`.
"""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from app.db.artifacts import Child, ManifestRow
from app.db.charts import BlobFacts, VersionRow
from app.domain import names, times
from app.domain.archive import Chart, read_chart
from app.domain.artifact import Artifact, File, derive
from app.domain.index import render_entry
from app.domain.inflate import Allowance
from app.domain.provenance import read_provenance
from app.domain.semver import sort_key
from app.domain.summary import Summary, summarize
from app.errors import AppError

_SMALL = 32 * 1024
"""Archives up to this many bytes are read on the event loop: about 1 ms, where a thread and back costs 0.2 more."""

_SMALL_INFLATED, _SMALL_YAML = 1024 * 1024, 64 * 1024
"""And at most this much of them, in bytes: 32 KiB of gzip can hold 30 MB, and YAML takes up to 1 us a byte."""


class Pushed(NamedTuple):
    """A manifest as a client pushed it, under which OCI name (its last segment) and tags.

    `children` is all that it refers to, `needed` the blobs that the name must have.
    """

    name: str
    row: ManifestRow
    children: tuple[Child, ...]
    needed: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is to be published: an archive, a provenance file, or both.

    `filename` and `created` (ns since 1970) are given by those who bring charts from elsewhere; an upload is named
    by its Chart.yaml and created now. `pushed` is the manifest by which both came in at the OCI door; then their bytes
    are in storage already.
    """

    archive: bytes | None = None
    provenance: bytes | None = None
    filename: str | None = None
    created: int | None = None
    origin: str = "upload"
    pushed: Pushed | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """What an archive is: its row, what search shows of it, and how it looks as an OCI artifact with a provenance."""

    row: VersionRow
    summary: Summary
    derive: Callable[[BlobFacts | None], Artifact]

    @property
    def blob(self) -> BlobFacts:
        """Its bytes' facts."""
        return BlobFacts(self.row.digest, self.row.size)


class Signature(NamedTuple):
    """Which archive a provenance file is for, by file name, and its bytes' facts."""

    filename: str
    blob: BlobFacts


Contents = tuple[Content | None, Signature | None]
"""What a parcel's two files are, where it has them."""


class Parcels:
    """Reads parcels, large ones in threads."""

    def __init__(self) -> None:
        self._readers: Executor = ThreadPoolExecutor(max_workers=2, thread_name_prefix="archive")
        self._small = _SMALL

    def use_processes(self) -> None:
        """Read every archive in another process from now on: worth its start where thousands come one after another."""
        self._readers.shutdown()
        workers = max(1, (os.cpu_count() or 1) - 1)
        # Spawned: a fork would copy our threads' locks as they are at that moment.
        self._readers = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))
        self._small = -1

    def close(self) -> None:
        """Let the threads or processes go."""
        self._readers.shutdown()

    async def read(self, parcel: Parcel) -> Contents:
        """Read and judge what a parcel holds. Raises AppError INVALID."""
        content = await self._read_archive(parcel) if parcel.archive is not None else None
        return content, _read_signature(parcel)

    async def _read_archive(self, parcel: Parcel) -> Content:
        assert parcel.archive is not None
        if len(parcel.archive) <= self._small:
            allowance = Allowance(everything=_SMALL_INFLATED, yaml=_SMALL_YAML)
            try:
                return _read_archive(parcel, allowance)
            except AppError:
                if allowance.everything >= 0 and allowance.yaml >= 0:
                    raise
        return await asyncio.get_running_loop().run_in_executor(self._readers, _read_archive, parcel, Allowance())


def _read_archive(parcel: Parcel, allowance: Allowance) -> Content:
    assert parcel.archive is not None
    chart, digest = read_chart(parcel.archive, allowance), hashlib.sha256(parcel.archive).hexdigest()
    metadata = chart.metadata
    filename = names.archive_name(metadata.name, metadata.version)
    if parcel.filename is not None:
        filename = names.check_filename(parcel.filename)
    created = time.time_ns() if parcel.created is None else parcel.created
    entry = render_entry(metadata.render_config(), filename=filename, created=times.render_time(created), digest=digest)
    order = sort_key(metadata.version)
    row = VersionRow(
        metadata.name, metadata.version, order, filename, digest, len(parcel.archive), created, parcel.origin, entry
    )
    face = partial(_derive, chart, BlobFacts(digest, len(parcel.archive)))
    return Content(row, summarize(entry, order), face)


def _derive(chart: Chart, archive: BlobFacts, provenance: BlobFacts | None) -> Artifact:
    return derive(chart.metadata, chart.modified, File(*archive), File(*provenance) if provenance else None)


def _read_signature(parcel: Parcel) -> Signature | None:
    if parcel.provenance is None:
        return None
    name, version = read_provenance(parcel.provenance)
    filename = names.check_filename(f"{name}-{version}.tgz.prov").removesuffix(".prov")
    if parcel.filename is not None:
        filename = parcel.filename
    return Signature(filename, BlobFacts(hashlib.sha256(parcel.provenance).hexdigest(), len(parcel.provenance)))
