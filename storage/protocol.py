"""The contract every backend keeps; `tests/contract/test_storage.py` checks each sentence of it.

Keys are relative paths with `/` between segments (`.chartroom/blobs/sha256/ab/...`): no leading slash, no
empty, `.` or `..` segment, any other Unicode character but NUL, at most 900 bytes in UTF-8, and nothing in
`.chartroom/tmp`, which belongs to the backends. Other keys are refused with ValueError. A file system cannot
hold everything a bucket can: a segment of more than 255 bytes, or a key in a folder that is itself an object
(`a` and `a/b`), may be refused by `put` with StorageError; nobody may rely on having both.

All failures are of the tree in `storage/errors.py`. A method that is cancelled leaves the object whole, as
it was or as it was to be.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import FileIO
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

CHUNK = 256 * 1024
"""Bytes of one chunk that `open` yields, at most."""


@dataclass(frozen=True, slots=True)
class ObjectStat:
    """What storage knows of one object: its key, its size in bytes, when it was last written (UTC, aware)."""

    key: str
    size: int
    modified: datetime


class OpenFile(NamedTuple):
    """An object opened for reading, and its size in bytes. Whoever has it closes the file."""

    file: FileIO
    size: int


Objects = Sequence[tuple[str, bytes]]
"""Keys and bytes."""


class Storage(Protocol):
    """Seven methods. An object is there whole or not at all, for every reader, at every moment."""

    async def put(self, key: str, content: bytes | AsyncIterable[bytes]) -> None:
        """Write an object, durably: when this returns, the bytes and the name survive a power cut.

        An object already under `key` is replaced at one moment; of several writers at once, one wins whole.
        A stream may be of any length and is never held in memory. If `content` raises, its exception
        passes through and nothing of the write remains. Raises StorageFull, StorageUnavailable.
        """
        ...

    def write_batch(self, blobs: Objects, records: Objects) -> None:
        """Write several objects, durably, as `put` does; blocking, for a thread.

        Records name blobs. When this raises, some of both may be there until `discard` removes the records. Keys name
        their content: what lies under one already is the same. Raises StorageFull, StorageUnavailable.
        """
        ...

    def discard(self, keys: Sequence[str]) -> None:
        """Remove records of a batch that failed, or that a process left which ended before it went on; blocking.

        Durable, also where a crash follows. Raises StorageError: then they may still be there, or come back.
        """
        ...

    async def stat(self, key: str) -> ObjectStat:
        """Tell size and time of an object. Raises ObjectNotFound."""
        ...

    async def open(self, key: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """Answer the object's bytes from `start`, `length` of them or to the end, in chunks of at most CHUNK.

        A range that passes the end is cut there; one that begins at or after the end has no bytes. Negative
        numbers raise ValueError. Raises ObjectNotFound here, not at the first chunk. A reader keeps the
        object it opened, even if that is replaced or deleted meanwhile. A body that ends early raises
        StorageUnavailable instead of ending the iteration. Whoever does not read to the end calls `aclose()`.
        """
        ...

    async def delete(self, key: str) -> None:
        """Remove an object, durably. One that is not there is no error: the end is the same."""
        ...

    def scan(self, prefix: str = "") -> AsyncIterator[ObjectStat]:
        """Answer every object whose key starts with `prefix` (text, not a folder), in any order, once each.

        A prefix that no key can start with has no objects. Objects written or removed during the scan may or
        may not appear; unfinished writes never do, nor does anything whose name is not a key.
        """
        ...


@runtime_checkable
class InlineReader(Protocol):
    """A backend that can answer a small object without leaving the event loop."""

    def read_now(self, key: str, limit: int) -> bytes | None:
        """Answer the whole object if it is at most `limit` bytes and at hand without waiting, else None.

        Raises ObjectNotFound.
        """
        ...


@runtime_checkable
class FileOpener(Protocol):
    """A backend that can hand out an open file, for the kernel to send."""

    def open_now(self, key: str, limit: int) -> OpenFile | None:
        """Open the object if it is at most `limit` bytes and at hand without waiting, else None.

        The file stays the object that was opened, even if that is replaced or deleted. Raises ObjectNotFound.
        """
        ...


@runtime_checkable
class Presigner(Protocol):
    """A backend whose objects a client may fetch directly for a while."""

    def presign(self, key: str, seconds: int) -> str:
        """Answer an absolute URL under which GET works for `seconds`, without asking the backend."""
        ...


@runtime_checkable
class LocalFiles(Protocol):
    """A backend whose objects are plain files on this machine."""

    def path(self, key: str) -> Path:
        """Answer where the object lies (whether or not it is there)."""
        ...


@runtime_checkable
class Mover(Protocol):
    """A backend in which an object can get another key without its bytes being written again."""

    async def move(self, source: str, target: str) -> None:
        """Give the object under `source` the key `target`, durably; one that is there already is replaced.

        At every moment the bytes are under one of both keys at least. Raises ObjectNotFound, StorageFull.
        """
        ...


@runtime_checkable
class Composer(Protocol):
    """A backend that can make one object of several without their bytes leaving it."""

    async def compose(self, parts: Sequence[tuple[str, int]], key: str) -> None:
        """Write the bytes of all parts, in their order, under `key`, durably; an object that is there is replaced.

        A part is an object's key and its size in bytes; it stays. Raises ObjectNotFound when one is not there;
        StorageError when this backend cannot do it after all: then the bytes have to be read and put.
        """
        ...


@runtime_checkable
class Sweeper(Protocol):
    """A backend in which a crash leaves unfinished writes behind."""

    async def sweep(self, older_than_seconds: float = 86400) -> int:
        """Remove unfinished writes that nobody touched for so long; answer how many."""
        ...


Chooser = Callable[[Objects], Collection[str]]
"""Chooses records to restore, by key."""


class Recovered(NamedTuple):
    """What ended processes left unfinished: objects put into place, and the names of journals with damage inside."""

    objects: int
    damaged: tuple[str, ...]


@runtime_checkable
class Recoverer(Protocol):
    """A backend in which a power cut leaves batches that are durable and not yet in their places."""

    def recover(self, choose: Chooser) -> Recovered:
        """Put everything into its place; blocking, before anything is read. Other processes may be at work.

        `choose` gets the records (key and bytes) that a machine which was restarted has lost from their places, and
        returns the keys of those that are to be restored: others were discarded, or belong to another history.
        """
        ...


@runtime_checkable
class Closeable(Protocol):
    """A backend that holds threads or connections."""

    def close(self) -> None:
        """Let go of them."""
        ...
