"""The journal of a folder: objects that are written together become durable by one sync.

A batch (keys and bytes) is appended to a file and synced. Then each object is put into its place, where readers find
it, without a sync. Later one `syncfs` makes all places durable, and the journal goes. After a crash `recover` puts
into place what the journals hold. Keys in a journal name their content, so that putting an object into its place
again changes nothing.

A journal is batches, one behind the other: MAGIC, the length of the head (4 bytes) and of all objects (8 bytes, both
big-endian), the CRC-32 of head and objects (4 bytes), the head (JSON: `[[key, size, is a record], ...]`), the objects.
A batch that is cut off, or does not match its CRC, was not synced and never acknowledged. The process that writes a
journal holds a lock (flock) on it, so that no other process takes it for one that was left behind.

Its name begins with what names the machine's start. As long as the machine runs, what was acknowledged is in its place,
and a record that is not was never acknowledged, or was discarded: only after another start are records restored.

Blocking; for threads. Raises OSError as it comes, the backend translates.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import json
import os
import struct
import sys
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from storage.boot import read_boot_id
from storage.folders import Folders
from storage.protocol import Chooser, Objects, Recovered
from storage.rules import JOURNAL, is_key

MAGIC = b"CRj1"
_HEAD = struct.Struct(">4sIQI")

LARGEST = 16 * 1024 * 1024
"""Bytes of a journal from which on the other one is written, and what this one holds is synced in its places."""

OLDEST_SECONDS = 5.0
"""How long a journal is written before the same happens, in seconds."""

_MOST_KEYS = 64 * 1024 * 1024
"""Bytes of a batch's head, at most: a longer one is damage."""


_Object = tuple[str, bytes, bool]
"""A key, its bytes, and whether it is a record."""


def _name_boot() -> str:
    """Return how the names of this start's journals begin; "" where the system does not name it."""
    boot = read_boot_id()
    # The hash is of the line with its end, as in the names that older versions gave.
    return hashlib.sha256(f"{boot}\n".encode()).hexdigest()[:12] + "-" if boot else ""


_BOOT = _name_boot()


@dataclass(slots=True)
class _File:
    """A journal of this process. `placed` are the paths of its objects, kept only where `syncfs` is missing."""

    descriptor: int
    path: str
    size: int = 0
    placed: list[str] = field(default_factory=list)


class _Written(NamedTuple):
    """The newest batch: where it begins, and the keys of its records."""

    file: _File
    start: int
    keys: Sequence[str]


class Journal:
    """Writes batches below one root, into two files by turns. A thread of its own syncs what they hold in its place."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._folder = folders.base + JOURNAL
        self._lock = threading.Condition(threading.RLock())
        self._current: _File | None = None
        self._full: list[_File] = []
        self._spare: list[_File] = []
        self._newest: _Written | None = None
        self._thread: threading.Thread | None = None
        self._is_closing = False

    def write(self, blobs: Objects, records: Objects) -> None:
        """Make objects durable and put them into their places. If it raises, `discard` removes the records."""
        objects = [*blobs, *records]
        content = _render(blobs, records)
        with self._lock:
            file = self._take_file()
            self._newest = _Written(file, file.size, [key for key, _ in records])
            try:
                self._append(file, content)
            except OSError as error:
                if error.errno != errno.ENOSPC or not self._make_room(file):
                    raise
                self._newest = _Written(file, file.size, self._newest.keys)
                self._append(file, content)
            for key, piece in objects:
                self._place(file, key, piece)
            is_first = self._newest.start == 0
            if file.size >= LARGEST:
                self._full.append(file)
                self._current = None
            if is_first or self._full:  # else the thread that settles waits already: waking it would cost each commit
                self._lock.notify()

    def discard(self, keys: Sequence[str]) -> None:
        """Remove records of a batch that failed, whichever process wrote it. Raises OSError: they may be there."""
        with self._lock:
            newest, self._newest = self._newest, None
            if newest is not None and set(keys) & set(newest.keys):
                self._shorten(newest)
            for key in keys:  # in another process's journal they are passed over: they are not in their places
                with suppress(FileNotFoundError, NotADirectoryError):
                    self._folders.remove(key)

    def _shorten(self, newest: _Written) -> None:
        file = newest.file
        if file.size == 0 and newest.start:
            return  # it was settled and emptied meanwhile
        try:
            os.ftruncate(file.descriptor, newest.start)
            sync_data(file.descriptor)
            file.size = newest.start
        except OSError:
            if file is self._current:  # its end is unknown: the next batch goes to the other one
                self._full.append(file)
                self._current = None
            raise

    def close(self) -> None:
        """Sync everything in its place and remove the journals."""
        with self._lock:
            self._is_closing = True
            self._lock.notify()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def recover(self, choose: Chooser) -> Recovered:
        """Put into place what journals of ended processes hold, sync it, and remove them.

        Of the records of an earlier start of the machine that are not in their places, those that `choose` returns.
        """
        left = [file for name in self._list_left() if (file := _open_left(f"{self._folder}/{name}")) is not None]
        try:
            recovered = self._put_into_place(left, choose)
            if left:
                self._sync_places(left)
        except BaseException:
            for file in left:  # or the next try would find them locked, and take them for those of a living process
                os.close(file.descriptor)
            raise
        self._remove(left)
        return recovered

    def _put_into_place(self, left: list[_File], choose: Chooser) -> Recovered:
        missing: dict[str, tuple[_File, bytes]] = {}
        objects, damaged = 0, []
        for file in left:
            name = os.path.basename(file.path)
            for batch in _read(file.descriptor):
                if batch is None:
                    damaged.append(name)
                for key, content, is_record in batch or ():
                    if is_record and is_key(key) and not os.path.lexists(self._folders.base + key):
                        if not (_BOOT and name.startswith(_BOOT)):
                            missing[key] = (file, content)
                        continue
                    objects += self._restore(file, key, content)
        for key in choose([(key, content) for key, (_, content) in missing.items()]) if missing else ():
            objects += self._restore(missing[key][0], key, missing[key][1])
        return Recovered(objects, tuple(damaged))

    # ------------------------------------------------------------------------------------------ writing

    def _take_file(self) -> _File:
        if self._current is None:
            self._current = self._spare.pop() if self._spare else self._create()
        if self._thread is None:
            self._is_closing = False
            self._thread = threading.Thread(target=self._settle_forever, name="journal", daemon=True)
            self._thread.start()
        return self._current

    def _create(self) -> _File:
        """Make a journal whose name is durable and that other processes leave alone."""
        while True:
            path = f"{self._folder}/{_BOOT or 'unknown-'}{os.urandom(12).hex()}"
            descriptor = self._folders.create(path)
            with suppress(OSError):  # a file system without locks: the store's lease keeps others out
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:
                return _File(descriptor, path)
            os.close(descriptor)  # another process took it for one that was left behind

    def _append(self, file: _File, content: bytes) -> None:
        view, at = memoryview(content), 0
        while at < len(content):
            at += os.pwrite(file.descriptor, view[at:], file.size + at)
        sync_data(file.descriptor)
        if not os.fstat(file.descriptor).st_nlink:
            self._current = None
            raise FileNotFoundError(errno.ENOENT, "the journal was removed while it was written", file.path)
        file.size += len(content)

    def _make_room(self, file: _File) -> bool:
        """Empty the journals now: what they hold lies in its place too. Return whether that was of any use."""
        if not file.size and not self._full:
            return False
        os.ftruncate(file.descriptor, file.size)
        self._sync_places([file, *self._full])
        for one in (file, *self._full):
            os.ftruncate(one.descriptor, 0)
            one.size = 0
            one.placed.clear()
        self._spare += self._full
        self._full = []
        return True

    def _place(self, file: _File, key: str, content: bytes) -> None:
        self._folders.put_unsynced(key, content)
        if not _HAS_SYNCFS:
            file.placed.append(self._folders.base + key)

    # ------------------------------------------------------------------------------------------ settling

    def _settle_forever(self) -> None:
        pause = 0.0
        while True:
            with self._lock:
                self._await_work(pause)
                files, self._full = self._full, []
                if self._current is not None and self._current.size and (self._is_closing or not files):
                    files.append(self._current)
                    self._current = None
                is_last = self._is_closing
            try:
                if files:
                    self._sync_places(files)
                pause = 0.0
            except OSError:  # the disk fails: what they hold stays in them, for later or for the next start
                pause = OLDEST_SECONDS
            with self._lock:
                self._recycle(files, is_settled=not pause)
                if is_last:
                    self._end(is_settled=not pause)
                    return

    def _await_work(self, pause: float) -> None:
        """Wait until a journal is full, or the current one is old; with `pause`, for so long."""
        if pause:
            self._lock.wait_for(lambda: self._is_closing, timeout=pause)
            return
        self._lock.wait_for(lambda: self._has_work() or (self._current is not None and self._current.size > 0))
        self._lock.wait_for(self._has_work, timeout=OLDEST_SECONDS)

    def _has_work(self) -> bool:
        return bool(self._full) or self._is_closing

    def _recycle(self, files: list[_File], *, is_settled: bool) -> None:
        for file in files:
            if is_settled:
                with suppress(OSError):
                    os.ftruncate(file.descriptor, 0)
                    file.size = 0
                    file.placed.clear()
                    self._spare.append(file)
                    continue
            self._full.append(file)

    def _end(self, *, is_settled: bool) -> None:
        files = [*self._spare, *([self._current] if self._current else [])]
        self._spare, self._current = [], None
        if is_settled:
            self._remove(files)

    def _sync_places(self, files: list[_File]) -> None:
        if _HAS_SYNCFS:
            sync_file_system(files[0].descriptor)
            return
        paths = [path for file in files for path in file.placed]
        for path in [*paths, *{path.rpartition("/")[0] for path in paths}]:
            with suppress(FileNotFoundError):
                self._folders.sync(path)

    def _remove(self, files: list[_File]) -> None:
        for file in files:
            with suppress(OSError):
                os.unlink(file.path)
            os.close(file.descriptor)

    # ------------------------------------------------------------------------------------------ recovery

    def _list_left(self) -> list[str]:
        try:
            return sorted(os.listdir(self._folder))
        except FileNotFoundError:
            return []

    def _restore(self, file: _File, key: str, content: bytes) -> int:
        if not is_key(key) or self._is_there(key, content):
            return 0
        self._place(file, key, content)
        return 1

    def _is_there(self, key: str, content: bytes) -> bool:
        try:
            with open(self._folders.base + key, "rb") as found:
                return found.read(len(content) + 1) == content
        except (FileNotFoundError, NotADirectoryError):
            return False


def _render(blobs: Objects, records: Objects) -> bytes:
    facts = [[key, len(content), 0] for key, content in blobs] + [[key, len(content), 1] for key, content in records]
    head = json.dumps(facts).encode()
    body = b"".join([content for _, content in (*blobs, *records)])
    return b"".join((_HEAD.pack(MAGIC, len(head), len(body), zlib.crc32(body, zlib.crc32(head))), head, body))


def _open_left(path: str) -> _File | None:
    """Open and lock a journal; None if a living process has it, or it is gone."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except (FileNotFoundError, IsADirectoryError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:  # no locks here: the caller holds the store's lease
        pass
    return _File(descriptor, path)


def _read(descriptor: int) -> Iterator[list[_Object] | None]:
    """Return every whole batch, and None for each stretch of damage that has a whole batch behind it."""
    at, end = 0, os.fstat(descriptor).st_size
    while at < end:
        found = _read_batch(descriptor, at, end)
        if found is not None:
            yield found[0]
            at = found[1]
            continue
        later = _find_next(descriptor, at + 1, end)
        if later is None:
            return  # the last batch was cut off: it was never acknowledged
        yield None
        at = later


def _read_batch(descriptor: int, at: int, end: int) -> tuple[list[_Object], int] | None:
    """Return the batch at an offset and where the next one begins; None if there is no whole one."""
    fixed = os.pread(descriptor, _HEAD.size, at)
    if len(fixed) < _HEAD.size:
        return None
    magic, head_size, body_size, checksum = _HEAD.unpack(fixed)
    start = at + _HEAD.size
    if magic != MAGIC or head_size > _MOST_KEYS or start + head_size + body_size > end:
        return None
    head, body = os.pread(descriptor, head_size, start), _read_all(descriptor, start + head_size, body_size)
    if zlib.crc32(body, zlib.crc32(head)) != checksum:
        return None
    try:
        facts = [(str(key), int(size), bool(is_record)) for key, size, is_record in json.loads(head)]
    except (ValueError, TypeError):
        return None
    objects, offset = [], 0
    for key, size, is_record in facts:
        objects.append((key, body[offset : offset + size], is_record))
        offset += size
    return objects, start + head_size + body_size


def _read_all(descriptor: int, start: int, size: int) -> bytes:
    """Return bytes of a file: one call of the system reads 2 GiB at most."""
    pieces = []
    while size and (piece := os.pread(descriptor, size, start)):
        pieces.append(piece)
        start, size = start + len(piece), size - len(piece)
    return b"".join(pieces)


def _find_next(descriptor: int, at: int, end: int) -> int | None:
    """Return where the next whole batch begins."""
    step = 1024 * 1024
    while at < end:
        window = os.pread(descriptor, step + len(MAGIC), at)
        found = window.find(MAGIC)
        while found >= 0:
            if _read_batch(descriptor, at + found, end) is not None:
                return at + found
            found = window.find(MAGIC, found + 1)
        at += step
    return None


def sync_data(descriptor: int) -> None:
    """Make a file's bytes and size durable."""
    getattr(os, "fdatasync", os.fsync)(descriptor)


_HAS_SYNCFS = sys.platform == "linux"


def sync_file_system(descriptor: int) -> None:
    """Make everything durable that was written to the file system of an open file (Linux: syncfs(2))."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.syncfs(descriptor):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
