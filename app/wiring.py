"""The only file that names concrete parts: from settings to a house that can be opened and closed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path

import structlog

from app.db import repositories
from app.db.session import Database
from app.errors import AppError, Kind
from app.jobs.schedule import Schedule
from app.metrics import Requests, WorkerCounts
from app.routes.deps import Parts, UploadForm
from app.routes.gate import BasicGate, BearerGate, Gate, read_public_key
from app.routes.observe import LogForm, Observer
from app.routes.paths import Paths
from app.routes.registry_gate import RegistryGate
from app.services.archives import Archives
from app.services.charts import Charts
from app.services.collect import Collector, Terms
from app.services.counts import Counts
from app.services.indexes import Indexes
from app.services.ledger import Ledger, list_followed
from app.services.ledger_check import LedgerCheck
from app.services.listing import Listing
from app.services.museum import MuseumFiles
from app.services.opening import Opening
from app.services.policy import Rules
from app.services.pushes import Pushes
from app.services.readiness import Readiness
from app.services.recovery import recover
from app.services.registry import Registry
from app.services.replay import Replay
from app.services.revisions import Revisions
from app.services.search import Search
from app.services.snapshots import Snapshots
from app.services.tenure import KEY, Tenure, Term
from app.services.upgrade import Upgrade
from app.services.uploads import Uploads
from app.settings import BucketPlace, Settings
from storage import Closeable, LocalFiles, Recoverer, Storage, StorageError, Sweeper

_log = structlog.get_logger(__name__)

PRESIGN_SECONDS = 300
_CLOSE_SECONDS = 2.0
"""How long a process that ends waits for storage: Kubernetes, and our own promise, end at 10 s."""

METRICS_FOLDER = "CHARTROOM_METRICS_FOLDER"
"""Environment name by which `serve` tells its workers where they leave their counts."""


@dataclass(slots=True)
class House:
    """All parts of one process, wired. `open` before use, `close` at the end."""

    settings: Settings
    storage: Storage
    database: Database
    ledger: Ledger
    revisions: Revisions
    charts: Charts
    counts: Counts
    parts: Parts
    observer: Observer
    workers: WorkerCounts
    opening: Opening
    schedule: Schedule
    collector: Collector
    upgrade: Upgrade
    check: LedgerCheck
    _opening: asyncio.Task[None] | None = field(default=None)

    def start(self) -> None:
        """Start the writer, and make the store ready in the background; /health answers meanwhile."""
        self.database.start()
        self._opening = asyncio.create_task(self._make_ready())

    async def open(self, seconds: float | None = None) -> None:
        """Start, and wait until the store is ready, or for so long."""
        self.start()
        assert self._opening is not None
        await asyncio.wait([self._opening], timeout=seconds)
        if self._opening.done():
            self._opening.result()

    async def _make_ready(self) -> None:
        await self.opening.run()
        self.schedule.start()
        with contextlib.suppress(StorageError, AppError):  # the next start tries again
            if self.parts.readiness.may_write_until:
                await self.upgrade.run()
        if isinstance(self.storage, Sweeper):
            with contextlib.suppress(StorageError):  # a disk or bucket that fails says so elsewhere
                await self.storage.sweep()

    async def close(self) -> None:
        """Finish what was taken, then let go of everything."""
        await self.schedule.stop()
        if self._opening is not None:
            self._opening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._opening
        with contextlib.suppress(TimeoutError):  # storage hangs: the lease ends by itself
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self.opening.close()
        self.charts.close()
        self.database.close()
        if isinstance(self.storage, Closeable):
            self.storage.close()
        self.workers.save()


def build_house(settings: Settings, *, storage: Storage | None = None) -> House:
    """Wire everything. Raises AppError INVALID for settings that cannot be."""
    store = storage or build_storage(settings)
    database = Database(settings.database_url(), store)
    ledger = Ledger(database, store)
    revisions = Revisions(database)
    readiness = Readiness(store)
    database.may_write = lambda: time.monotonic() <= readiness.may_write_until
    database.list_followed = partial(list_followed, store)
    charts = Charts(database, store, ledger, _rules(settings))
    base_url = f"{settings.chart_url}{settings.context_path}" if settings.chart_url else ""
    indexes = Indexes(
        database, revisions, base_url=base_url, context_path=settings.context_path, memory=settings.index_cache_bytes
    )
    archives = Archives(
        database, store, revisions, memory=settings.archive_cache_bytes,
        presign_seconds=PRESIGN_SECONDS if settings.s3_presign else 0,
    )  # fmt: skip
    gate, uploads = _gate(settings), Uploads(database, store, ledger)
    registry = Registry(database, ledger, charts.rules, archives)
    parts = Parts(
        Paths(settings.context_path, settings.fixed_depth), gate, readiness, charts, Listing(database),
        archives, indexes, Search(database), _upload_form(settings),
        registry,
        Pushes(registry, ledger, charts, helm_only=settings.oci_helm_only, limit=settings.max_upload_size),
        uploads,
        RegistryGate(gate, partial(database.read, repositories.get_token_key), public_url=settings.public_url),
    )  # fmt: skip
    requests = Requests()
    folder = os.environ.get(METRICS_FOLDER)
    form = LogForm(settings.log_json, settings.log_latency_integer, settings.log_health)
    observer = Observer(requests, form)
    workers = WorkerCounts(requests, Path(folder) if folder else None, settle=observer.flush)
    museum = MuseumFiles(database, store, charts, ledger, parallel=settings.index_limit or 8)
    holder = f"{os.getpid()}-{secrets.token_hex(4)}"
    term = Term.choose(settings.lease, bucket=not isinstance(store, LocalFiles))
    tenure = Tenure(database, store, holder=holder, term=term, place=_name_object(settings, store, KEY))
    replay = Replay(database, store, pause=indexes.settle, blobs_may_lack=not isinstance(store, Recoverer))
    check = LedgerCheck(database, store, ledger)
    opening = Opening(database, ledger, replay, museum, readiness, tenure, check, holder=holder)
    terms = Terms(settings.gc_grace, settings.upload_expiry, settings.gc_untagged)
    collector = Collector(database, store, ledger, uploads, terms, check.find_difference)
    schedule = Schedule(
        opening, Snapshots(database, store), workers, collector,
        rescan_seconds=settings.cache_interval, collect_seconds=settings.gc_interval,
    )  # fmt: skip
    return House(
        settings, store, database, ledger, revisions, charts, Counts(database), parts, observer,
        workers, opening, schedule, collector, Upgrade(database, store, ledger), check,
    )  # fmt: skip


def build_storage(settings: Settings) -> Storage:
    """Answer the backend that the settings name."""
    place = settings.storage_place()
    if isinstance(place, BucketPlace):
        from storage.s3 import S3Storage  # boto3 takes 0.5 s and 49 MB

        return S3Storage(
            place.bucket, prefix=place.prefix, endpoint=place.endpoint or None, region=place.region or None,
            path_style=place.path_style, sse=place.sse or None, verify=not place.insecure,
        )  # fmt: skip
    from storage.filesystem import FilesystemStorage

    if place.path.is_file():
        raise AppError(Kind.INVALID, f"{place.path} is a file, and a store is a folder")
    storage = FilesystemStorage(place.path)
    _recover(storage)
    return storage


def _recover(storage: Recoverer) -> None:
    """Finish what a crash left between a journal and the places of its objects, before anything is read."""
    try:
        recover(storage)
    except StorageError as error:
        _log.error("a journal that a crash left cannot be put into place: nothing is written before", error=str(error))


def _name_object(settings: Settings, storage: Storage, key: str) -> str:
    """Return where an object lies, as a person looks for it: a path, or an address in the bucket."""
    if isinstance(storage, LocalFiles):
        return str(storage.path(key))
    place = settings.storage_place()
    return f"s3://{place.bucket}/{place.prefix}/{key}".replace("//.", "/.") if isinstance(place, BucketPlace) else key


def product_version() -> str:
    """Answer the version of this package."""
    return version("chartroom")


def _rules(settings: Settings) -> Rules:
    return Rules(
        allow_overwrite=settings.allow_overwrite,
        allow_force=not settings.disable_force_overwrite,
        allow_delete=not settings.disable_delete,
        max_objects=settings.max_storage_objects,
        versions_per_chart=settings.per_chart_limit,
    )


def _upload_form(settings: Settings) -> UploadForm:
    return UploadForm(
        settings.chart_post_form_field_name,
        settings.prov_post_form_field_name,
        settings.max_upload_size,
        settings.read_timeout,
    )


def _gate(settings: Settings) -> Gate:
    if settings.bearer_auth:
        return BearerGate(
            settings.auth_anonymous_get, settings.auth_realm, settings.auth_service,
            read_public_key(Path(settings.auth_cert_path)), settings.auth_actions_search_path,
        )  # fmt: skip
    password = settings.basic_auth_pass.get_secret_value()
    if settings.basic_auth_user and password:
        return BasicGate(settings.auth_anonymous_get, settings.basic_auth_user, password)
    return Gate()
