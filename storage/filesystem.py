"""Objects as plain files under one folder. Only this module touches a disk.

A write goes to `.chartroom/tmp/<random>`, is synced, renamed to its place, and the folder is synced: each
reader sees the old or the new bytes, whole. What is written as a batch is synced once, in a journal
(`storage/journal.py`). ChartMuseum may write its own files into the same folder in
place; they are read like any other.

A symbolic link below the root is followed as long as its end lies inside the root. `scan` shows links to
files and does not enter links to folders, which may run in circles.
"""

from __future__ import annotations

import errno
import io
import os
import stat as modes
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from aiofiles.threadpool import wrap

from storage.errors import ObjectNotFound, StorageUnavailable
from storage.filesystem_errors import ABSENT, failure
from storage.folders import File, Folders, write_all
from storage.journal import Journal
from storage.page_cache import is_resident, read_at_hand, read_resident
from storage.protocol import CHUNK, Chooser, Objects, ObjectStat, OpenFile, Recovered
from storage.rules import JOURNAL, TEMP, batches, check_key, check_range, clamp
from storage.threads import Threads

_BATCH = 1024 * 1024
"""Bytes written in one thread hop. A stream that is shorter is written whole in one."""

# O_NONBLOCK: opening a named pipe would wait for its writer. It changes nothing for files.
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


class FilesystemStorage:
    """Keeps the contract of Storage and of every power but Presigner and Composer under `root`, made when needed."""

    def __init__(self, root: Path) -> None:
        self._folders = Folders(os.path.realpath(root))
        self._base = self._folders.base
        self._threads = Threads(8, "storage")
        self._journal = Journal(self._folders)

    def close(self) -> None:
        """Let the threads go. The storage must not be used afterwards."""
        self._threads.close()
        self._journal.close()

    def write_batch(self, blobs: Objects, records: Objects) -> None:
        """Make objects durable by one sync; see `Storage`. Raises StorageFull and StorageError."""
        for key, _ in (*blobs, *records):
            check_key(key)
        with self._translated("write", records[0][0] if records else ""):
            self._journal.write(blobs, records)

    def discard(self, keys: Sequence[str]) -> None:
        """Remove records of a batch that failed, durably. Raises StorageError when they may still be there."""
        with self._translated("delete", ", ".join(keys)):
            self._journal.discard(keys)

    def recover(self, choose: Chooser) -> Recovered:
        """Put into place what journals of ended processes hold; see `Recoverer`. Raises StorageError."""
        with self._translated("recover", JOURNAL):
            return self._journal.recover(choose)

    def path(self, key: str) -> Path:
        """Answer where the object lies."""
        check_key(key)
        return Path(self._base + key)

    async def put(self, key: str, content: bytes | AsyncIterable[bytes]) -> None:
        """Write an object, durably and at one moment. Raises StorageFull and StorageError."""
        check_key(key)
        if isinstance(content, bytes):
            await self._threads.run(self._put_whole, key, content)
            return
        async with aclosing(batches(content, _BATCH)) as pieces:
            first = await anext(pieces)
            if len(first) < _BATCH:
                await self._threads.run(self._put_whole, key, first)
            else:
                await self._put_stream(key, first, pieces)

    async def stat(self, key: str) -> ObjectStat:
        """Tell size and time of an object. Raises ObjectNotFound."""
        return await self._threads.run(self._stat, key)

    async def open(self, key: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """Answer a range of an object in chunks. Raises ObjectNotFound."""
        check_range(start, length)
        chunks = self._chunks(key, start, length)
        await anext(chunks)  # runs to its first yield: failures come now, and its `finally` is armed
        return chunks

    async def delete(self, key: str) -> None:
        """Remove an object, durably, and the folders that it leaves empty."""
        check_key(key)
        with self._translated("delete", key):
            await self._threads.run(self._delete, key)

    async def move(self, source: str, target: str) -> None:
        """Rename an object, durably. Raises ObjectNotFound."""
        check_key(source)
        check_key(target)
        with self._translated("move", source):
            await self._threads.run(self._move, source, target)

    async def scan(self, prefix: str = "") -> AsyncIterator[ObjectStat]:
        """Answer the objects whose key starts with `prefix`, walking only the folders that can have them."""
        walk = self._folders.walk(prefix)
        while batch := await self._threads.run(self._next_files, walk, prefix):
            for key, info in batch:
                yield _describe(key, info)

    def read_now(self, key: str, limit: int) -> bytes | None:
        """Answer the object if it has at most `limit` bytes and all are in the page cache, else None.

        Raises ObjectNotFound. Opening by name each time costs 4 us and is always true: a kept descriptor
        would go on answering after the key was replaced or deleted.
        """
        descriptor, info = self._open(key)
        try:
            with self._translated("read", key):
                return read_at_hand(descriptor, info.st_size) if info.st_size <= limit else None
        finally:
            os.close(descriptor)

    def open_now(self, key: str, limit: int) -> OpenFile | None:
        """Open the object if it has at most `limit` bytes and they are in the page cache, else None.

        Raises ObjectNotFound.
        """
        descriptor, info = self._open(key)
        if info.st_size <= limit and is_resident(descriptor, 0, info.st_size):
            return OpenFile(io.FileIO(descriptor), info.st_size)
        os.close(descriptor)
        return None

    async def sweep(self, older_than_seconds: float = 24 * 3600) -> int:
        """Remove what broken-off writes left behind, by age in seconds. Answers how many files went."""
        return await self._threads.run(self._sweep, time.time() - older_than_seconds)

    # ------------------------------------------------------------------------------------------ reading

    def _open(self, key: str) -> tuple[int, os.stat_result]:
        """Open a regular file inside the root. Answers its descriptor and what the disk knows of it."""
        check_key(key)
        try:
            descriptor = self._folders.open_inside(key, _READ)
        except OSError as error:
            raise failure(error, "read", key, self._base) from error
        info = os.fstat(descriptor)
        if not modes.S_ISREG(info.st_mode):
            os.close(descriptor)
            raise ObjectNotFound(f"there is no object {key!r}")
        return descriptor, info

    def _stat(self, key: str) -> ObjectStat:
        descriptor, info = self._open(key)
        os.close(descriptor)
        return _describe(key, info)

    def _open_range(self, key: str, start: int, length: int | None) -> tuple[io.BufferedReader, bytes, int]:
        """Open a file and read the first chunk. Answers also how many bytes are left after it."""
        descriptor, info = self._open(key)
        begin, left = clamp(info.st_size, start, length)
        # Buffered, because its lock makes `close` wait for a read that a thread has not finished.
        file = os.fdopen(descriptor, "rb")
        try:
            file.seek(begin)
            first = file.read(min(CHUNK, left))
        except BaseException:
            file.close()
            raise
        return file, first, left - len(first)

    async def _chunks(self, key: str, start: int, length: int | None) -> AsyncGenerator[bytes, None]:
        file, chunk, left = await self._threads.run(
            self._open_range, key, start, length, undo=lambda opened: opened[0].close()
        )
        try:
            yield b""
            reader = wrap(file, executor=self._threads.executor)
            offset = file.tell() - len(chunk)
            while chunk:
                yield chunk
                offset += len(chunk)
                chunk = read_resident(file.fileno(), offset, min(CHUNK, left))
                if not chunk and left:
                    with self._translated("read", key):
                        file.seek(offset)
                        chunk = await reader.read(min(CHUNK, left))
                left -= len(chunk)
            if left:
                raise StorageUnavailable(f"{key!r} under {self._base} became shorter while it was read")
        finally:
            file.close()

    # ------------------------------------------------------------------------------------------ writing

    def _put_whole(self, key: str, content: bytes) -> None:
        # Plain calls of the system: Python's file object makes four more, and each gives up the interpreter's lock.
        with self._translated("write", key):
            descriptor, path = self._folders.create_temporary()
            try:
                try:
                    write_all(descriptor, content)
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
                self._folders.place(path, key)
            except BaseException:
                with suppress(OSError):
                    os.unlink(path)
                raise

    async def _put_stream(self, key: str, first: bytes, rest: AsyncIterable[bytes]) -> None:
        with self._translated("write", key):
            temporary = await self._threads.run(self._create_file, undo=_discard)
        try:
            writer = wrap(temporary.file, executor=self._threads.executor)
            with self._translated("write", key):
                await writer.write(first)
            async for piece in rest:  # outside of the translation: its errors are not ours
                with self._translated("write", key):
                    await writer.write(piece)
            with self._translated("write", key):
                await self._threads.run(self._commit, temporary, key)
        except BaseException:
            _discard(temporary)
            raise

    def _create_file(self) -> _Temporary:
        descriptor, path = self._folders.create_temporary()
        return _Temporary(os.fdopen(descriptor, "wb"), path)

    def _commit(self, temporary: _Temporary, key: str) -> None:
        temporary.file.flush()
        os.fsync(temporary.file.fileno())
        temporary.file.close()
        self._folders.place(temporary.path, key)

    def _move(self, source: str, target: str) -> None:
        descriptor, _ = self._open(source)  # it must be there, and inside
        os.close(descriptor)
        self._folders.place(self._base + source, target)
        self._folders.prune(source)

    def _delete(self, key: str) -> None:
        try:
            self._folders.remove(key)
        except OSError as error:
            if error.errno not in {*ABSENT, errno.EISDIR}:  # a folder is no object
                raise

    def _sweep(self, before: float) -> int:
        removed = 0
        with suppress(FileNotFoundError), os.scandir(self._base + TEMP) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # its write ended just now
                    if entry.stat(follow_symlinks=False).st_mtime < before:
                        os.unlink(entry.path)
                        removed += 1
        return removed

    def _next_files(self, walk: Iterator[File], prefix: str) -> list[File]:
        with self._translated("list", prefix):
            return list(islice(walk, 1000))

    @contextmanager
    def _translated(self, action: str, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise failure(error, action, key, self._base) from error


def _describe(key: str, info: os.stat_result) -> ObjectStat:
    return ObjectStat(key, info.st_size, datetime.fromtimestamp(info.st_mtime, UTC))


class _Temporary(NamedTuple):
    """A file of an unfinished write."""

    file: io.BufferedWriter
    path: str


def _discard(temporary: _Temporary) -> None:
    with suppress(OSError):
        temporary.file.close()
    with suppress(OSError):
        os.unlink(temporary.path)
