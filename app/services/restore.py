"""The way back: the state that a backup holds, copied into an empty storage.

The state is read and replayed before anything is written: a backup with a torn ledger changes nothing. Then come a mark
that says "not whole yet", blobs, segments, and the store's new identity; the mark goes last. While it lies there no
server, replay or backup takes the storage for a store. A restore that was killed goes on when it is run again.

A storage with a ledger of its own is never written to, with one exception: where it is the same state, files that are
lost or damaged come back. Where the store has all that the backup has, and more, nothing is done.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from enum import Enum

from app.db.session import Database
from app.domain.ledger import ROOT
from app.errors import AppError, Kind
from app.services.backup import refuse_server
from app.services.backup_state import (
    UNFINISHED,
    Identity,
    Lock,
    Manifest,
    find_lock,
    find_unfinished,
    mark_unfinished,
    read_manifest,
    write_identity,
)
from app.services.copying import Copied, Copying, Notify
from app.services.ledger_listing import ListedLedger, Listing, is_related, list_foreign, list_ledger
from app.services.replay import Replay
from storage import Storage


class Course(Enum):
    """What a restore would do to the storage."""

    FILL = "fill an empty storage"
    GO_ON = "go on with a restore that broke off"
    RENEW = "bring back lost files of the same state"
    NOTHING = "nothing: the store has all of it"


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done, the backup's state, and how many segments the store has beside it."""

    course: Course
    listing: Listing
    more: int = 0


class Restore:
    """Restores a backup. `replica` is an empty catalogue, started."""

    def __init__(self, source: Storage, target: Storage, replica: Database) -> None:
        self._source = source
        self._target = target
        self._replica = replica

    async def plan(self) -> Plan:
        """Read both sides and decide; nothing is written.

        Raises AppError INVALID where no backup lies, CONFLICT where the storage holds something else, FAULT for a torn
        ledger, UNAVAILABLE while a server or another command writes to one of both; StorageError.
        """
        if await find_lock(self._source):
            raise AppError(Kind.UNAVAILABLE, "a backup is being written to the source; let it end first")
        await refuse_server(self._target, "the storage")
        listing = await self._read_state()
        plan = await self._choose(listing)
        await Replay(self._replica, ListedLedger(self._source, ROOT, listing)).run()
        return plan

    async def run(self, plan: Plan, *, notify: Notify) -> Copied:
        """Copy and check. Raises AppError UNAVAILABLE while another command writes there, StorageError."""
        manifest = Manifest("", plan.listing)
        async with Lock(self._target) as lock:
            if plan.course is not Course.RENEW:
                await mark_unfinished(self._target, manifest.state)

            async def list_names() -> Listing:
                return plan.listing

            copying = Copying(
                self._source, self._target, self._replica, list_names=list_names, full=True, notify=notify
            )
            try:
                result = await copying.run()
            finally:
                copying.close()
            await lock.check()
            if plan.course is not Course.RENEW:
                await write_identity(self._target, Identity(secrets.token_hex(16), restored_from=manifest.state))
                await self._target.delete(UNFINISHED)
        return result

    async def _read_state(self) -> Listing:
        """Return the segments of the backup's state; a copy without a manifest is all that lies there."""
        manifest = await read_manifest(self._source)
        if manifest is not None and not manifest.finished:
            raise AppError(
                Kind.INVALID, "the first backup to the source has not ended; there is nothing to restore yet"
            )
        listing = manifest.listing if manifest is not None else await list_ledger(self._source)
        if not listing:
            raise AppError(Kind.INVALID, "no backup lies in the source: name the folder or prefix that was the target")
        return listing

    async def _choose(self, listing: Listing) -> Plan:
        there = await list_ledger(self._target)
        unfinished = await find_unfinished(self._target)
        if unfinished is not None:
            if unfinished == Manifest("", listing).state and all(key in listing for key in there):
                return Plan(Course.GO_ON, listing)
            text = f"a restore of another state has not ended in this storage ({UNFINISHED} lies there)"
            raise AppError(Kind.CONFLICT, f"{text}; restore into an empty one")
        if not there:
            return Plan(Course.FILL, listing)
        if set(there) == set(listing):
            return Plan(Course.RENEW, listing)
        if is_related(listing, there) and not list_foreign(listing, there):
            return Plan(Course.NOTHING, listing, more=len(there.keys() - listing.keys()))
        text = f"the storage holds a store with a ledger of its own ({len(there)} segments) that is not this backup's"
        raise AppError(Kind.CONFLICT, f"{text}: restore into an empty storage")
