"""One state of a store copied into another storage: for a backup, and for the way back.

The ledger's names are listed first, then it is replayed into an empty catalogue of its own, which tells the blobs that
its records need. Those are copied, then the listed segments: at no moment does the copy hold a record whose blob is not
there. What vanishes meanwhile (a snapshot replaced segments, a blob was collected because its record is gone) makes the
ledger be listed once more. Each file is read back from the copy. Memory holds the names of the ledger, a page of blobs
and one chunk of each file that is on its way.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import orjson

from app.db import audit, rebuild
from app.db.charts import BlobFacts
from app.db.rebuild import Totals
from app.db.session import Database
from app.domain.ledger import ROOT, blob_key
from app.domain.oci import render_digest
from app.errors import AppError, Kind
from app.services.checked import Lost, read_checked
from app.services.ledger_listing import ListedLedger, Listing, list_ledger, read_named
from app.services.parallel import for_each
from app.services.replay import Replay
from app.services.scans import scan_blobs
from storage import ObjectNotFound, Storage, StorageError, StorageUnavailable

PARALLEL = 16
"""Files on their way at one time."""

_PAGE = 500
_ROUNDS = 20  # listings of a ledger that changes: each brings the copy nearer, so a few are enough
_PAUSE_SECONDS = 0.1

Notify = Callable[[int, int], None]


@dataclass(slots=True)
class Copied:
    """What a copy came to. `wrong` names what the copy lacks, `renewed` what was damaged in it and is whole again."""

    totals: Totals = field(default_factory=lambda: Totals(0, 0, 0, 0))
    listing: Listing = field(default_factory=dict)
    blobs: int = 0
    bytes: int = 0
    segments: int = 0
    kept_blobs: int = 0
    kept_segments: int = 0
    removed_blobs: int = 0
    removed_segments: int = 0
    wrong: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)


class Sizes:
    """Sizes of blobs by digest, in a temporary file: a million of them take no memory."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("")  # https://www.sqlite.org/inmemorydb.html#temp_db
        self._database.execute("CREATE TABLE sizes (digest TEXT PRIMARY KEY, size INTEGER NOT NULL) WITHOUT ROWID")

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def replace(self, page: Iterable[tuple[str, int]]) -> None:
        """Add sizes, or change them."""
        self._database.executemany("INSERT OR REPLACE INTO sizes VALUES (?, ?)", page)

    def clear(self) -> None:
        """Forget all."""
        self._database.execute("DELETE FROM sizes")

    def find(self, digests: Sequence[str]) -> dict[str, int]:
        """Return the sizes of those that are known."""
        query = "SELECT digest, size FROM sizes WHERE digest IN (SELECT value FROM json_each(?))"
        return dict(self._database.execute(query, (orjson.dumps(digests).decode(),)))


class Copying:
    """Copies what `list_names` finds from `source` to `target`. `replica` is an empty catalogue, started.

    With `full`, blobs that the target has already are hashed again, and copied again where they are damaged.
    """

    def __init__(
        self,
        source: Storage,
        target: Storage,
        replica: Database,
        *,
        list_names: Callable[[], Awaitable[Listing]],
        full: bool,
        notify: Notify,
    ) -> None:
        self._source = source
        self._target = target
        self._replica = replica
        self._list_names = list_names
        self._full = full
        self._notify = notify
        self._there = Sizes()
        self._lost: dict[str, str] = {}
        self._whole: set[str] = set()  # damaged blobs that were copied again need no second look
        self._result = Copied()

    def close(self) -> None:
        """Let go of temporary files."""
        self._there.close()

    async def run(self) -> Copied:
        """Copy and check. Raises AppError FAULT for a torn ledger, StorageError."""
        await self._list_there()
        for rest in reversed(range(_ROUNDS)):
            try:
                if await self._run_once():
                    break
            except (ObjectNotFound, AppError) as error:
                # A listing is not made at one moment: a gap in it may be filled at the next look.
                if not rest or (isinstance(error, AppError) and error.kind is not Kind.FAULT):
                    raise
            await asyncio.sleep(_PAUSE_SECONDS)
        await self._check_blobs()
        self._result.totals = await self._replica.read_in_thread(rebuild.count_all)
        return self._result

    async def _run_once(self) -> bool:
        """Copy one listing of the ledger; return whether it was all there."""
        before = self._lost
        listing = await self._list_names()
        await Replay(self._replica, ListedLedger(self._source, ROOT, listing)).run()
        self._lost = {}
        await self._copy_blobs()
        if self._lost and self._lost != before:
            return False  # their records may be gone meanwhile
        await self._copy_segments(listing)
        self._result.listing = listing
        return True

    async def _list_there(self) -> None:
        self._there.clear()
        async for page in scan_blobs(self._target):
            self._there.replace((digest, stat.size) for digest, stat in page)

    async def _iterate_wanted(self) -> AsyncIterator[list[BlobFacts]]:
        last = ""
        question = audit.list_blobs_after
        while page := await self._replica.read_in_thread(partial(question, digest=last, limit=_PAGE)):
            yield page
            last = page[-1].digest

    # ------------------------------------------------------------------------------------------ blobs

    async def _copy_blobs(self) -> None:
        done = 0
        self._result.kept_blobs = 0
        async for page in self._iterate_wanted():
            there = self._there.find([blob.digest for blob in page])
            await for_each(PARALLEL, partial(self._bring, there=there), page)
            done += len(page)
            self._notify(done, 0)

    async def _bring(self, blob: BlobFacts, *, there: Mapping[str, int]) -> None:
        """Make sure that the copy has a blob; `there` has the sizes of those that lie in it."""
        size = there.get(blob.digest)
        if size == blob.size and await self._is_trusted(blob):
            self._result.kept_blobs += 1
            return
        key = blob_key(blob.digest)
        try:
            await self._target.put(key, self._read(blob))
        except Lost as error:
            self._lost[blob.digest] = f"{error} in the source"
            return
        if (fault := await find_fault(read_checked(self._target, key, blob.digest))) is not None:
            await self._target.delete(key)  # or the next run would trust its size
            self._lost[blob.digest] = f"{fault} in the copy as soon as it was written"
            return
        self._there.replace([(blob.digest, blob.size)])
        self._whole.add(blob.digest)
        self._result.blobs += 1
        self._result.bytes += blob.size
        if size is not None:
            self._result.renewed.append(await self._describe(blob.digest))

    async def _is_trusted(self, blob: BlobFacts) -> bool:
        if not self._full or blob.digest in self._whole:
            return True
        if await find_fault(read_checked(self._target, blob_key(blob.digest), blob.digest)) is not None:
            return False
        self._whole.add(blob.digest)
        return True

    async def _read(self, blob: BlobFacts) -> AsyncIterator[bytes]:
        """Return a blob's bytes from the source. Raises Lost, StorageUnavailable."""
        try:
            async for chunk in read_checked(self._source, blob_key(blob.digest), blob.digest):
                yield chunk
        except StorageUnavailable:
            raise
        except StorageError as error:
            raise Lost(f"unreadable ({error})") from error

    async def _check_blobs(self) -> None:
        """Name every record of the copied ledger whose blob is not there with its size."""
        await self._list_there()
        async for page in self._iterate_wanted():
            there = self._there.find([blob.digest for blob in page])
            for blob in page:
                size = there.get(blob.digest)
                if size != blob.size or blob.digest in self._lost:
                    found = "missing in the copy" if size is None else f"{size} bytes long in the copy, not {blob.size}"
                    reason = self._lost.get(blob.digest, found)
                    self._result.wrong.append(f"{await self._describe(blob.digest)} is {reason}")

    async def _describe(self, digest: str) -> str:
        uses = await self._replica.read(lambda connection: audit.list_uses(connection, digest))
        names = ", ".join("/".join(filter(None, use)) for use in uses[:3]) + (", ..." if len(uses) > 3 else "")
        return f"blob {render_digest(digest)} ({names})"

    # ------------------------------------------------------------------------------------------ segments

    async def _copy_segments(self, listing: Listing) -> None:
        """Copy the segments that are not there, and read all of them back."""
        there = await list_ledger(self._target)
        self._result.kept_segments = 0

        async def bring(key: str) -> None:
            found = there.get(key)
            if found is not None and await find_fault(read_named(self._target, key)) is None:
                self._result.kept_segments += 1
                return
            await self._target.put(key, read_named(self._source, key))
            if (fault := await find_fault(read_named(self._target, key))) is not None:
                raise AppError(Kind.UNAVAILABLE, f"{key} is {fault} in the copy as soon as it was written")
            self._result.segments += 1
            if found is not None:
                self._result.renewed.append(f"ledger segment {key}")

        await for_each(PARALLEL, bring, sorted(listing))


async def find_fault(chunks: AsyncIterator[bytes]) -> str | None:
    """Read to the end; return what is wrong with the bytes, None if nothing is. Raises StorageUnavailable."""
    try:
        async for _ in chunks:
            pass
    except StorageUnavailable:
        raise
    except (Lost, StorageError) as error:
        return str(error)
    return None
