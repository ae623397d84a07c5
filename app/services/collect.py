"""Collection of garbage: what nothing refers to any more goes, after a grace period, and never anything else.

In order: upload sessions and blobs that were never used, manifests without a tag, then blobs. Blobs that no record ever
named are only noted at first, and condemned when they were first seen long enough ago. If they are more than half of
all bytes, or the ledger holds records that were not replayed, nothing is collected. A blob is condemned first, and goes
when it is still condemned after the grace period. Its bytes are removed inside of the transaction that removes its row,
so that whoever wants it again comes before (and pardons it) or after (and writes it again).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial

import structlog

from app.db import artifacts, garbage, repositories
from app.db.charts import BlobFacts
from app.db.session import Database
from app.db.transaction import Transaction
from app.domain.ledger import ROOT, blob_key
from app.errors import AppError, Kind
from app.records import oci as records
from app.services.ledger import Ledger
from app.services.unknown import Survey, list_unknown, survey_blobs
from app.services.uploads import Uploads
from storage import Storage

_BATCH = 500
"""Rows that one question or transaction takes."""

_ROUNDS = 4
_ROUND_SECONDS = 0.5
_ADVICE = (
    "restore the missing part of the ledger from a backup and restart the server; or, if what no record names may go,"
    " run `chartroom gc --force`"
)

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
    unknown: int = 0  # blobs in storage that no record ever named, and their bytes
    unknown_bytes: int = 0
    stopped: str = ""  # why nothing is collected without `force`


class Collector:
    """Collects garbage."""

    def __init__(
        self, database: Database, storage: Storage, ledger: Ledger, uploads: Uploads, terms: Terms,
        find_difference: Callable[[], Awaitable[str]],
    ) -> None:  # fmt: skip
        self._database = database
        self._storage = storage
        self._ledger = ledger
        self._uploads = uploads
        self._terms = terms
        self._find_difference = find_difference

    async def run(self, *, dry_run: bool = False, force: bool = False) -> Collected:
        """Collect once; with `force` also where a collection stops, and unknown blobs before their time.

        Raises AppError FAULT where records seem to be missing, before anything was removed; StorageError, AppError
        UNAVAILABLE: what was done until then is done whole.
        """
        found = Collected()
        survey = await self._look_around(found, dry_run=dry_run, force=force)
        found.sessions = await self._uploads.sweep(self._terms.unused, dry_run=dry_run)
        found.links = await self._drop_idle_links(dry_run)
        found.manifests = await self._drop_untagged(dry_run)
        found.condemned = await self._condemn(dry_run)
        found.condemned += await self._adopt_unknown(survey, dry_run=dry_run, force=force)
        for blob in await self._database.read_in_thread(partial(garbage.list_due, before=_ago(self._terms.grace))):
            if dry_run or await self._remove(blob):
                found.blobs += 1
                found.freed += blob.size
        _log.info("garbage collected", dry_run=dry_run, manifests=found.manifests, blobs=found.blobs, bytes=found.freed)
        return found

    async def _look_around(self, found: Collected, *, dry_run: bool, force: bool) -> Survey:
        """Count what no record ever named, and stop where that means that records are missing."""
        why = await self._find_difference()
        survey = await survey_blobs(self._storage, self._database)
        if not why and survey.mostly_unknown:
            await self._wait_for_records(survey)
        if not dry_run:
            await self._note_unknown(survey)
        found.unknown, found.unknown_bytes = len(survey.unknown), survey.unknown_bytes
        if not why and survey.mostly_unknown:
            why = (
                f"{len(survey.unknown)} of {survey.blobs} blobs ({survey.unknown_bytes} of {survey.bytes} bytes) were"
                f" never named by a record: the ledger ({ROOT}) seems to be missing or too old"
            )
        if why:
            found.stopped = f"{why}; {_ADVICE}"
            if not (dry_run or force):
                raise AppError(Kind.FAULT, f"no garbage is collected: {found.stopped}")
        return survey

    async def _wait_for_records(self, survey: Survey) -> None:
        """Wait a moment for uploads whose blob is written and whose record comes; they count as known then."""
        for _ in range(_ROUNDS):
            if not survey.mostly_unknown:
                return
            await asyncio.sleep(_ROUND_SECONDS)
            for batch in _batches(list(survey.unknown)):
                unknown = set(await list_unknown(batch, [self._database]))
                for digest in batch:
                    if digest not in unknown:
                        del survey.unknown[digest]

    async def _note_unknown(self, survey: Survey) -> None:
        """Keep the notes of when each unknown blob was first seen in step with what is there."""
        noted = await self._database.read_in_thread(garbage.list_noted)
        for batch in _batches([digest for digest in noted if digest not in survey.unknown]):
            await self._database.write(partial(garbage.forget_unknown, digests=batch))
        for batch in _batches([digest for digest in survey.unknown if digest not in noted]):
            facts = [BlobFacts(digest, survey.unknown[digest]) for digest in batch]
            await self._database.write(partial(garbage.note_unknown, found=facts))

    async def _adopt_unknown(self, survey: Survey, *, dry_run: bool, force: bool) -> int:
        """Condemn the unknown blobs that were first seen long enough ago; answer how many."""
        before = _ago(self._terms.unused)
        noted = await self._database.read_in_thread(garbage.list_noted)
        due = [digest for digest in survey.unknown if digest in noted and (force or noted[digest] < before)]
        for batch in _batches(due) if not dry_run else ():
            facts = [BlobFacts(digest, survey.unknown[digest]) for digest in batch]
            await self._database.write(partial(garbage.adopt, found=facts))
        return len(due)

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
        """Condemn what nothing links to."""
        doomed = await self._database.read_in_thread(garbage.list_unreferenced)
        for batch in _batches(doomed) if not dry_run else ():
            await self._database.write(partial(garbage.condemn, digests=batch))
        return len(doomed)

    async def _remove(self, blob: BlobFacts) -> bool:
        loop, before = asyncio.get_running_loop(), _ago(self._terms.grace)

        def work(transaction: Transaction) -> bool:
            if not garbage.remove_if_due(transaction, blob.digest, before):
                return False
            # In the writer's thread, which holds the row: nobody can claim the blob between the two.
            asyncio.run_coroutine_threadsafe(self._storage.delete(blob_key(blob.digest)), loop).result()
            return True

        return await self._database.write(work)


def _drop_link(transaction: Transaction, *, place: tuple[str, str, str]) -> None:
    repository, name, digest = place
    records.remove_link(transaction, repositories.get_or_create(transaction.connection, repository), name, digest)


def _drop_manifest(transaction: Transaction, *, place: tuple[str, str, str]) -> None:
    repository, name, digest = place
    home = repositories.get_or_create(transaction.connection, repository)
    if not artifacts.list_tags_of(transaction.connection, home.id, name, digest):
        records.remove_manifest(transaction, home, name, digest)


def _batches(digests: list[str]) -> Iterator[list[str]]:
    for at in range(0, len(digests), _BATCH):
        yield digests[at : at + _BATCH]


def _ago(seconds: float) -> int:
    return time.time_ns() - int(seconds * 1e9)
