"""Collection of garbage: what nothing refers to any more goes, after a grace period, and never anything else.

In order: upload sessions and blobs that were never used, manifests without a tag, then blobs. A blob is condemned
first, and goes when it is still condemned after the grace period. Its bytes are removed inside of the transaction that
removes its row, so that whoever wants it again comes before (and pardons it) or after (and writes it again).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

import structlog

from app.db import artifacts, garbage, repositories
from app.db.charts import BlobFacts
from app.db.session import Database
from app.db.transaction import Transaction
from app.domain.ledger import BLOBS, blob_key, parse_blob_key
from app.records import oci as records
from app.services.ledger import Ledger
from app.services.uploads import Uploads
from storage import Storage

_BATCH = 500
"""Rows that one question or transaction takes."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """How long garbage stays, in seconds: `grace` for what was used once, `unused` for what never was."""

    grace: float = 3600
    unused: float = 24 * 3600
    untagged: bool = False  # manifests that clients pushed go too when their last tag has


@dataclass(slots=True)
class Collected:
    """What a collection did, or with `dry_run` would do now. `freed` is in bytes."""

    sessions: int = 0
    links: int = 0  # blobs that came to a name, and that no manifest of it ever used
    manifests: int = 0
    condemned: int = 0
    blobs: int = 0
    freed: int = 0


class Collector:
    """Collects garbage."""

    def __init__(self, database: Database, storage: Storage, ledger: Ledger, uploads: Uploads, terms: Terms) -> None:
        self._database = database
        self._storage = storage
        self._ledger = ledger
        self._uploads = uploads
        self._terms = terms

    async def run(self, *, dry_run: bool = False) -> Collected:
        """Collect once. Raises StorageError, AppError UNAVAILABLE; what was done until then is done whole."""
        found = Collected()
        found.sessions = await self._uploads.sweep(self._terms.unused, dry_run=dry_run)
        found.links = await self._drop_idle_links(dry_run)
        found.manifests = await self._drop_untagged(dry_run)
        found.condemned = await self._condemn(dry_run)
        for blob in await self._database.read_in_thread(partial(garbage.list_due, before=_ago(self._terms.grace))):
            if dry_run or await self._remove(blob):
                found.blobs += 1
                found.freed += blob.size
        _log.info("garbage collected", dry_run=dry_run, manifests=found.manifests, blobs=found.blobs, bytes=found.freed)
        return found

    async def _drop_idle_links(self, dry_run: bool) -> int:
        idle = await self._database.read_in_thread(partial(garbage.list_idle_links, before=_ago(self._terms.unused)))
        for place in idle if not dry_run else ():
            await self._ledger.write(partial(_drop_link, place=place))
        return len(idle)

    async def _drop_untagged(self, dry_run: bool) -> int:
        question = partial(garbage.list_untagged, before=_ago(self._terms.grace), pushed=self._terms.untagged)
        found = await self._database.read_in_thread(question)
        for place in found if not dry_run else ():
            await self._ledger.write(partial(_drop_manifest, place=place))
        return len(found)

    async def _condemn(self, dry_run: bool) -> int:
        """Condemn what nothing links to, and what storage has and no row knows."""
        doomed = await self._database.read_in_thread(garbage.list_unreferenced)
        count = len(doomed)
        for at in range(0, len(doomed) if not dry_run else 0, _BATCH):
            await self._database.write(partial(garbage.condemn, digests=doomed[at : at + _BATCH]))
        async for orphans in self._find_orphans():
            count += len(orphans)
            if orphans and not dry_run:
                await self._database.write(partial(garbage.adopt, found=orphans))
        return count

    async def _find_orphans(self) -> AsyncIterator[list[BlobFacts]]:
        batch: dict[str, int] = {}
        async for stat in self._storage.scan(BLOBS):
            digest = parse_blob_key(stat.key)
            if digest is not None:
                batch[digest] = stat.size
            if len(batch) >= _BATCH:
                yield await self._keep_unknown(batch)
                batch = {}
        if batch:
            yield await self._keep_unknown(batch)

    async def _keep_unknown(self, batch: dict[str, int]) -> list[BlobFacts]:
        unknown = await self._database.read(partial(garbage.list_unknown, digests=list(batch)))
        return [BlobFacts(digest, batch[digest]) for digest in unknown]

    async def _remove(self, blob: BlobFacts) -> bool:
        loop, before = asyncio.get_running_loop(), _ago(self._terms.grace)

        def work(transaction: Transaction) -> bool:
            if not garbage.remove_if_due(transaction, blob.digest, before):
                return False
            # In the writer's thread, which holds the row: nobody can claim the blob between the two.
            asyncio.run_coroutine_threadsafe(self._storage.delete(blob_key(blob.digest)), loop).result()
            return True

        return (await self._database.write(work)).result


def _drop_link(transaction: Transaction, *, place: tuple[str, str, str]) -> None:
    repository, name, digest = place
    records.remove_link(transaction, repositories.get_or_create(transaction.connection, repository), name, digest)


def _drop_manifest(transaction: Transaction, *, place: tuple[str, str, str]) -> None:
    repository, name, digest = place
    home = repositories.get_or_create(transaction.connection, repository)
    if not artifacts.list_tags_of(transaction.connection, home.id, name, digest):
        records.remove_manifest(transaction, home, name, digest)


def _ago(seconds: float) -> int:
    return time.time_ns() - int(seconds * 1e9)
