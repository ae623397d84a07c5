"""The store against itself: every blob that rows name is hashed again, the rows are compared with the ledger.

What can be mended is mended only when asked. Blobs that no row names are not wrong: a removed chart leaves them, and a
publish that is under way writes its blob first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from app.db import audit
from app.db.audit import Use
from app.db.charts import BlobFacts
from app.db.session import Database
from app.domain.ledger import ROOT, blob_key
from app.domain.oci import render_digest
from app.errors import AppError, Kind
from app.services.checked import Damaged, Lost, Missing, read_checked
from app.services.ledger_names import describe_gaps, find_gaps, list_folders
from app.services.parallel import for_each
from app.services.reconcile import Findings, Reconcile
from app.services.scans import scan_blobs
from app.services.unknown import survey_blobs
from storage import LocalFiles, Storage, StorageError, StorageUnavailable, Sweeper

OLD_SECONDS = 24 * 3600.0
"""Age from which on an unfinished write is a leftover: no upload takes a day."""

_PARALLEL = 8

Notify = Callable[[int, int], None]


@dataclass(slots=True)
class Report:
    """What was looked at, and what was found."""

    repositories: int = 0
    blobs: int = 0
    bytes: int = 0
    unreferenced: int = 0
    unreferenced_bytes: int = 0
    findings: Findings = field(default_factory=Findings)

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong (any more)."""
        return not self.findings.open


class Verify:
    """Checks one store."""

    def __init__(self, database: Database, storage: Storage, reconcile: Reconcile, replica: Database) -> None:
        self._database = database
        self._storage = storage
        self._reconcile = reconcile
        self._replica = replica  # into which `reconcile` replays the ledger

    async def run(self, *, repair: bool, may_commit: bool = True, notify: Notify) -> Report:
        """Check everything; with `repair`, mend what can be: rows only if this catalogue may write.

        Raises StorageError, AppError when storage or the database do not answer.
        """
        report = Report()
        with _named("ledger and rows", report.findings):
            report.repositories = await self._reconcile.run(report.findings, repair=repair and may_commit)
        with _named("blobs", report.findings):
            await self._check_blobs(report, repair=repair, notify=notify)
        with _named("unknown blobs", report.findings):
            unknown = await self._name_unknown(report.findings)
            await self._count_unreferenced(report, unknown)
        with _named("leftovers", report.findings):
            await self._check_leftovers(report.findings, repair=repair)
        return report

    async def _check_blobs(self, report: Report, *, repair: bool, notify: Notify) -> None:
        async def check(blob: BlobFacts) -> None:
            await self._check_blob(blob, report, repair=repair)
            notify(report.blobs, 0)

        last = ""
        while page := await self._database.read_in_thread(partial(audit.list_blobs_after, digest=last)):
            await for_each(_PARALLEL, check, page)
            last = page[-1].digest

    async def _check_blob(self, blob: BlobFacts, report: Report, *, repair: bool) -> None:
        report.blobs += 1
        report.bytes += blob.size
        reason = await self._find_fault(blob)
        if reason is None:
            return
        uses = await self._database.read(lambda connection: audit.list_uses(connection, blob.digest))
        if not uses:
            return  # it was removed meanwhile
        what = f"blob {render_digest(blob.digest)} ({_name(uses)}) is {reason}"
        if repair and (source := await self._mend_blob(blob, uses)):
            report.findings.mended.append(f"{what}: copied from {source}")
        else:
            remedy = "upload the same file again with `?force`, or bring it back with `chartroom restore`"
            report.findings.open.append(f"{what}; {remedy}")

    async def _find_fault(self, blob: BlobFacts) -> str | None:
        try:
            async for _ in read_checked(self._storage, blob_key(blob.digest), blob.digest):
                pass
        except (Missing, Damaged) as error:
            return str(error)
        except StorageUnavailable:
            raise
        except StorageError as error:
            return f"unreadable: {error}"
        return None

    async def _mend_blob(self, blob: BlobFacts, uses: list[Use]) -> str | None:
        """Copy the blob from ChartMuseum's own file, if that has its bytes; answer the file."""
        for use in uses:
            key = "/".join(filter(None, use))
            try:
                await self._storage.put(blob_key(blob.digest), read_checked(self._storage, key, blob.digest))
            except (Lost, ValueError):
                continue
            return key
        return None

    async def _name_unknown(self, findings: Findings) -> Collection[str]:
        """Name the blobs of which neither rows nor ledger ever heard; return their digests.

        Where they are most of all bytes, and no crash has left them, it is records that are missing.
        """
        survey = await survey_blobs(self._storage, self._database, self._replica)
        number = f"{len(survey.unknown)} blobs of {survey.unknown_bytes} bytes"
        if survey.mostly_unknown and not survey.is_broken_off:
            findings.open.append(
                f"no record names {number}, of {survey.blobs} blobs of {survey.bytes} bytes: the ledger ({ROOT}) seems"
                " to be missing or too old; restore it from a backup, or run `chartroom gc --force` if they may be lost"
            )
        elif survey.unknown:
            findings.notes.append(f"{number} were never named by a record (uploads that broke off leave them)")
        findings.notes += [
            f"newer than the last record: {line}; if its upload was acknowledged, its record is lost"
            for line in survey.describe_newer()
        ]
        await self._name_gaps(findings)
        return survey.unknown

    async def _name_gaps(self, findings: Findings) -> None:
        """Say what the names of the ledger cannot tell: whose records were in the revisions that are not there."""
        gaps = find_gaps(await list_folders(self._storage))
        if gaps:
            findings.notes.append(
                f"no segment has revision {describe_gaps(gaps)}: records are missing, perhaps of a repository whose"
                f" whole folder is; restore what was in {ROOT}"
            )

    async def _count_unreferenced(self, report: Report, unknown: Collection[str]) -> None:
        async for page in scan_blobs(self._storage):
            await self._count_page({digest: stat.size for digest, stat in page if digest not in unknown}, report)
        if report.unreferenced:
            report.findings.notes.append(
                f"{report.unreferenced} blobs of {report.unreferenced_bytes} bytes belong to no chart (removed charts "
                "and broken-off uploads leave them)"
            )

    async def _count_page(self, page: dict[str, int], report: Report) -> None:
        digests = list(page)
        named = await self._database.read_in_thread(lambda connection: audit.find_named(connection, digests))
        for digest in page.keys() - named:
            report.unreferenced += 1
            report.unreferenced_bytes += page[digest]

    async def _check_leftovers(self, findings: Findings, *, repair: bool) -> None:
        if repair and isinstance(self._storage, Sweeper):
            removed = await self._storage.sweep(OLD_SECONDS)
            if removed:
                findings.mended.append(f"{removed} leftovers of unfinished writes older than a day: removed")
        elif isinstance(self._storage, LocalFiles):
            number = await asyncio.to_thread(_count_leftovers, self._storage)
            if number:
                text = f"{number} leftovers of unfinished writes are older than a day; --repair removes them"
                findings.open.append(text)


@contextmanager
def _named(what: str, findings: Findings) -> Iterator[None]:
    """Make a finding of whatever damage ends one part of the check, so that the others are done; let "later" pass."""
    try:
        yield
    except StorageUnavailable:
        raise
    except AppError as error:
        if error.kind is not Kind.FAULT:
            raise
        findings.open.append(f"{what} could not be checked: {error}")
    except Exception as error:  # damage has no bounds: a row or a line may hold anything
        findings.open.append(f"{what} could not be checked: {type(error).__name__}: {error}")


def _count_leftovers(storage: LocalFiles) -> int:
    folder = storage.path(".chartroom/blobs").with_name("tmp")
    before = time.time() - OLD_SECONDS
    return sum(path.stat().st_mtime < before for path in folder.glob("*")) if folder.is_dir() else 0


def _name(uses: list[Use]) -> str:
    more = f" and {len(uses) - 1} more" if len(uses) > 1 else ""
    return "/".join(filter(None, uses[0])) + more
