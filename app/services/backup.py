"""A backup: a store's ledger and the blobs that its records need, copied while servers run.

What is in it: `.chartroom/ledger` and `.chartroom/blobs` of one state, and `.chartroom/backup.jsonl`, which names the
segments of that state. Keys that are neither segments nor blobs are not copied: unfinished uploads, leases and
databases mean nothing elsewhere. ChartMuseum's own files beside `.chartroom/` are not copied either: the bytes of all
that was taken in are blobs, and the ledger says which file brought them.

Whose it is: a store's identity is its oldest history. The first backup hashes the oldest name of the ledger and notes
it in the store, because a snapshot replaces that name later, and a reindex gives the catalogue another id. A copy that
was restored begins a history of its own, so a restore writes a new identity, and the state it began from. A backup may
be continued by the store whose identity it holds, or by one that was restored from the very state it holds; and only
if it has no segment that this store neither has nor replaced by a snapshot. So two stores that share a beginning never
write into one backup in turn.

What goes: segments that a snapshot of the new state replaces, and blobs that no record of the new state needs and that
the store itself has no more. They go when the new state is written and whole: the state before it can be restored
until then. A run that was killed leaves that state, and the next run goes on where it ended.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection
from functools import partial

from app.db import audit
from app.db.session import Database
from app.domain.ledger import blob_key
from app.errors import AppError, Kind
from app.services import tenure
from app.services.backup_state import (
    Identity,
    Lock,
    Manifest,
    read_identity,
    read_manifest,
    refuse_unfinished,
    write_identity,
    write_manifest,
)
from app.services.copying import PARALLEL, Copied, Copying, Notify
from app.services.ledger_listing import find_oldest, is_related, list_foreign, list_ledger
from app.services.parallel import for_each
from app.services.scans import scan_blobs
from storage import ObjectNotFound, Storage

_ELSEWHERE = "choose another target, or an empty one"


class Backup:
    """Writes and renews the backup of one store. `replica` is an empty catalogue, started."""

    def __init__(self, source: Storage, target: Storage, replica: Database) -> None:
        self._source = source
        self._target = target
        self._replica = replica

    async def run(self, *, full: bool, notify: Notify) -> Copied:
        """Bring the backup up to the store's state; with `full`, hash every file of it again.

        Raises AppError INVALID for a store without a ledger, CONFLICT where the target holds something else, FAULT
        for a torn ledger or half a restore, UNAVAILABLE while another command writes there; StorageError.
        """
        await refuse_unfinished(self._source)
        await refuse_server(self._target, "the target")
        names = await list_ledger(self._source)
        if not names:
            text = "this store has no ledger yet, so there is nothing to back up; is it the right --storage?"
            raise AppError(Kind.INVALID, text)
        identity = await self._identify(names)
        async with Lock(self._target) as lock:
            await self._claim(identity, names)
            copying = Copying(
                self._source, self._target, self._replica, list_names=partial(list_ledger, self._source),
                full=full, notify=notify,
            )  # fmt: skip
            try:
                result = await copying.run()
            finally:
                copying.close()
            await lock.check()
            await write_manifest(self._target, Manifest(identity.store, result.listing, time.time_ns()))
            if not result.wrong:
                await self._remove_garbage(result)
        return result

    async def _identify(self, names: Collection[str]) -> Identity:
        """Return the store's identity, noted in it if this is its first backup."""
        known = await read_identity(self._source)
        if known is not None:
            return known
        identity = Identity(hashlib.sha256(find_oldest(names).encode()).hexdigest()[:32])
        await write_identity(self._source, identity)
        return identity

    async def _claim(self, identity: Identity, names: Collection[str]) -> None:
        """Make the target this store's. Raises AppError CONFLICT if it is another's."""
        manifest, there = await read_manifest(self._target), await list_ledger(self._target)
        if manifest is not None:
            continued = manifest.store == identity.store
            restored = bool(manifest.finished) and manifest.state == identity.restored_from
            if not continued and not restored:
                text = f"the target holds the backup of another store ({manifest.store}, this one is {identity.store})"
                raise AppError(Kind.CONFLICT, f"{text}; {_ELSEWHERE}")
        elif there and not is_related(there, names):
            raise AppError(Kind.CONFLICT, f"the target holds another store's ledger; {_ELSEWHERE}")
        foreign = list_foreign(there, names)
        if foreign:
            foreign = list_foreign(there, await list_ledger(self._source))  # a snapshot may have come meanwhile
        if foreign:
            text = (
                f"the target has {len(foreign)} ledger segments that this store never had ({foreign[0]} for one):"
                " both began as one store and went on apart"
            )
            raise AppError(Kind.CONFLICT, f"{text}; {_ELSEWHERE}")
        if manifest is None or manifest.store != identity.store:
            listing, finished = (manifest.listing, manifest.finished) if manifest else ({}, 0)
            await write_manifest(self._target, Manifest(identity.store, listing, finished))

    async def _remove_garbage(self, result: Copied) -> None:
        there = await list_ledger(self._target)
        kept = {*result.listing, *list_foreign(there, result.listing)}  # of the latter there should be none
        old = [key for key in there if key not in kept]
        await for_each(PARALLEL, self._target.delete, old)
        result.removed_segments = len(old)
        async for page in scan_blobs(self._target):
            result.removed_blobs += await self._remove_unnamed([digest for digest, _ in page])

    async def _remove_unnamed(self, digests: list[str]) -> int:
        """Remove the blobs that no record needs and that the store has no more; return how many."""
        named = await self._replica.read_in_thread(partial(audit.find_named, digests=digests))
        gone: list[str] = []

        async def look(digest: str) -> None:
            try:
                await self._source.stat(blob_key(digest))
            except ObjectNotFound:
                await self._target.delete(blob_key(digest))
                gone.append(digest)

        await for_each(PARALLEL, look, sorted(set(digests) - named))
        return len(gone)


async def refuse_server(storage: Storage, what: str) -> None:
    """Raise AppError UNAVAILABLE while a server has the right to write to a storage. Raises StorageError."""
    holder = await tenure.find_holder(storage)
    if holder is not None:
        rest = holder.expires - time.time()
        text = f"a server writes to {what} ({tenure.KEY}): stop it first, or wait {rest:.0f} s if it was killed"
        raise AppError(Kind.UNAVAILABLE, text)
