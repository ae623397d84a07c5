"""What a backup and a store say of themselves: whose they are, which state they hold, who is writing there now.

In a store, `.chartroom/store.json` holds its identity, and in one that was restored also the state it began from. In a
backup, `.chartroom/backup.jsonl` holds the identity of its store and the names of the segments that make up its state.
It is replaced at one moment when a run has ended, so that a run that broke off leaves the state before it.
`.chartroom/restore.json` stands in a store while a restore into it has not ended: its ledger is not whole until then.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import orjson

from app.errors import AppError, Kind
from app.services.ledger_listing import Listing, hash_names
from storage import CHUNK, ObjectNotFound, ObjectStat, Storage, StorageError, read_all

IDENTITY = ".chartroom/store.json"
MANIFEST = ".chartroom/backup.jsonl"
UNFINISHED = ".chartroom/restore.json"
LOCK = ".chartroom/backup.lock"
LOCK_SECONDS = 15.0

_WITHOUT_MANIFEST = "without it the folders ledger and blobs are a backup of everything that lies there"
_SETTLE_SECONDS = 0.3  # two that find no lock at once both write; the one that wrote last reads itself back


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose ledger this is: 32 hex digits, and the state (`hash_names`) that it was restored from, if it was."""

    store: str
    restored_from: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds: the store's identity and the segments of its state. `finished` is in ns since 1970.

    It is 0 until the first run has ended; then there is no state to restore yet.
    """

    store: str
    listing: Listing
    finished: int = 0

    @property
    def state(self) -> str:
        """32 hex digits that stand for the state."""
        return hash_names(self.listing)


async def read_identity(storage: Storage) -> Identity | None:
    """Return the identity that lies in a store, None if none does. Raises AppError FAULT, StorageError."""
    facts = await _read_object(storage, IDENTITY)
    if facts is None:
        return None
    try:
        return Identity(str(facts["store"]), str(facts.get("restored_from", "")))
    except KeyError as error:
        raise AppError(Kind.FAULT, f"{IDENTITY} is damaged: it names no store; restore or remove it") from error


async def write_identity(storage: Storage, identity: Identity) -> None:
    """Note a store's identity. Raises StorageError."""
    facts = {"store": identity.store, "restored_from": identity.restored_from}
    await storage.put(IDENTITY, orjson.dumps(facts) + b"\n")


async def read_manifest(storage: Storage) -> Manifest | None:
    """Return a backup's manifest, None if there is none. Raises AppError FAULT for a damaged one, StorageError."""
    try:
        content = await read_all(storage, MANIFEST)
    except ObjectNotFound:
        return None
    try:
        head, *lines = map(orjson.loads, content.splitlines())
        modified = datetime.fromtimestamp(int(head["finished"]) / 1e9, UTC)
        listing = {key: ObjectStat(key, size, modified) for key, size in lines}
        manifest = Manifest(str(head["store"]), listing, int(head["finished"]))
    except (ValueError, KeyError, TypeError) as error:
        raise AppError(Kind.FAULT, f"{MANIFEST} is damaged: {error}; {_WITHOUT_MANIFEST}") from error
    if head.get("state") != manifest.state:
        raise AppError(Kind.FAULT, f"{MANIFEST} is damaged: its list is not the one it was; {_WITHOUT_MANIFEST}")
    return manifest


async def write_manifest(storage: Storage, manifest: Manifest) -> None:
    """Make a state the one that the backup holds. Raises StorageError."""
    await storage.put(MANIFEST, _render_manifest(manifest))


async def _render_manifest(manifest: Manifest) -> AsyncIterator[bytes]:
    head = {"backup": 1, "store": manifest.store, "state": manifest.state, "finished": manifest.finished}
    waiting = bytearray(orjson.dumps(head) + b"\n")
    for key, stat in sorted(manifest.listing.items()):
        waiting += orjson.dumps([key, stat.size]) + b"\n"
        if len(waiting) >= CHUNK:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting)


async def mark_unfinished(storage: Storage, state: str) -> None:
    """Note that a state is being restored. Raises StorageError."""
    await storage.put(UNFINISHED, orjson.dumps({"state": state, "started": time.time_ns()}) + b"\n")


async def find_unfinished(storage: Storage) -> str | None:
    """Return the state whose restore into this store has not ended, None if there is none. Raises StorageError."""
    facts = await _read_object(storage, UNFINISHED)
    return None if facts is None else str(facts.get("state", ""))


async def refuse_unfinished(storage: Storage) -> None:
    """Raise AppError FAULT for a store into which a restore has not ended. Raises StorageError."""
    if await find_unfinished(storage) is not None:
        text = (
            f"a restore into this storage has not ended ({UNFINISHED} lies there): run `chartroom restore` again with"
            " the same source, then start"
        )
        raise AppError(Kind.FAULT, text)


class Lock:
    """The right to write to a backup or a restored store, for one command at a time; held while the block runs.

    It is an object with an end, renewed in time: one whose command was killed is waited for, at most LOCK_SECONDS.
    Entering raises AppError UNAVAILABLE while another command goes on writing there, and StorageError.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._holder = secrets.token_hex(8)
        self._renewal: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Lock:
        rest = await find_lock(self._storage)
        if rest:
            await asyncio.sleep(rest + 0.1)
        if rest and await find_lock(self._storage):
            raise AppError(Kind.UNAVAILABLE, f"another backup or restore is writing there ({LOCK}); let it end first")
        await self._write()
        await asyncio.sleep(_SETTLE_SECONDS)
        await self.check()
        self._renewal = asyncio.create_task(self._renew())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
        with contextlib.suppress(StorageError, AppError):  # it ends by itself
            await self.check()
            await self._storage.delete(LOCK)

    async def check(self) -> None:
        """Raise AppError UNAVAILABLE when another command has taken the lock meanwhile."""
        facts = await _read_object(self._storage, LOCK)
        if facts is None or facts.get("holder") != self._holder:
            raise AppError(Kind.UNAVAILABLE, f"another backup or restore has begun to write there ({LOCK}); run again")

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(LOCK_SECONDS / 3)
            with contextlib.suppress(StorageError, AppError):  # what comes next fails by itself, or finds out
                await self.check()
                await self._write()

    async def _write(self) -> None:
        facts = {"holder": self._holder, "expires": time.time() + LOCK_SECONDS}
        await self._storage.put(LOCK, orjson.dumps(facts) + b"\n")


async def find_lock(storage: Storage) -> float:
    """Return for how many seconds a lock still holds, 0 if none does. Raises StorageError.

    One that ends later than two times LOCK_SECONDS from now is invalid and holds nothing.
    """
    facts = await _read_object(storage, LOCK)
    try:
        rest = float(facts["expires"]) - time.time() if facts is not None else 0.0
    except (KeyError, TypeError, ValueError):
        return 0.0
    return min(rest, LOCK_SECONDS) if 0 < rest <= 2 * LOCK_SECONDS else 0.0


async def _read_object(storage: Storage, key: str) -> dict[str, Any] | None:
    """Return a small JSON object, None if it is not there, an empty one if it cannot be read."""
    try:
        found = orjson.loads(await read_all(storage, key))
    except ObjectNotFound:
        return None
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
