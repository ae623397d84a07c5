"""The folders below one root: which paths stay inside it, and how names come and go durably.

Raises OSError as it comes (the backend translates) and StorageError for what leads out of the root. Blocking;
for threads, except `open_inside`.
"""

from __future__ import annotations

import errno
import os
import stat as modes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from storage.errors import StorageError
from storage.filesystem_errors import ABSENT
from storage.rules import TEMP, is_key

File = tuple[str, os.stat_result]
"""A key, and what the disk knows of its file."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_TRUSTED_SECONDS = 5.0
_REMEMBERED = 4096
_ATTEMPTS = 100


class Folders:
    """Opens, makes, fills and empties the folders below `root`, which is a real path."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.base = root.rstrip("/") + "/"
        self._inside: dict[str, float] = {}
        self._tree = threading.Lock()
        self._settled: set[str] = set()

    def open_inside(self, key: str, flags: int) -> int:
        """Open a file for reading. Refuses a link that leads out of the root, with StorageError.

        Where the opened file really lies costs 5 us to ask, half as much as all the rest of a small read. So
        it is asked once in 5 seconds for each folder; only a name that is itself a link is asked every time.
        """
        path = self.base + key
        folder = path.rpartition("/")[0]
        try:
            descriptor = os.open(path, flags | os.O_NOFOLLOW)
            if time.monotonic() < self._inside.get(folder, 0.0):
                return descriptor
            link = False
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            descriptor = os.open(path, flags)
            link = True
        self._refuse_outside(descriptor, path)
        if not link:
            self._note_inside(folder)
        return descriptor

    def is_inside(self, path: str) -> bool:
        """Tell whether a path ends inside the root, after all links."""
        return self._holds(os.path.realpath(path))

    def place(self, path: str, key: str) -> None:
        """Give the file at `path` the name `key`, durably, making folders as needed."""
        folder, _, name = (self.base + key).rpartition("/")
        for attempt in range(_ATTEMPTS):
            try:
                with self._opened(folder) as descriptor:
                    os.rename(path, name, dst_dir_fd=descriptor)
                    os.fsync(descriptor)
                    return
            except FileNotFoundError:
                # Somebody, perhaps another process, emptied and removed the folder meanwhile: make it again.
                if attempt == _ATTEMPTS - 1:
                    raise

    def create(self, path: str) -> int:
        """Create an empty file whose name is durable; return its descriptor, for reading and writing."""
        with self._opened(path.rpartition("/")[0]) as folder:
            descriptor = os.open(path, _CREATE, 0o666)
            os.fsync(folder)
        return descriptor

    def create_temporary(self) -> tuple[int, str]:
        """Create a file for an unfinished write; return its descriptor and its path."""
        path = f"{self.base}{TEMP}/{os.urandom(12).hex()}"
        try:
            return os.open(path, _CREATE, 0o666), path
        except FileNotFoundError:
            os.makedirs(self.base + TEMP, exist_ok=True)
            return os.open(path, _CREATE, 0o666), path

    def put_unsynced(self, key: str, content: bytes) -> None:
        """Write a file at one moment for readers; a power cut may take it, its name or its folder away."""
        descriptor, path = self.create_temporary()
        try:
            try:
                write_all(descriptor, content)
            finally:
                os.close(descriptor)
            self._rename_unsynced(path, key)
        except BaseException:
            with suppress(OSError):
                os.unlink(path)
            raise

    def _rename_unsynced(self, path: str, key: str) -> None:
        target = self.base + key
        for left in reversed(range(_ATTEMPTS)):
            try:
                self._trust(target.rpartition("/")[0])
                os.rename(path, target)
                return
            except FileNotFoundError:  # or another process emptied and removed the folder meanwhile
                if not left:
                    raise
                os.makedirs(target.rpartition("/")[0], exist_ok=True)

    def _trust(self, folder: str) -> None:
        """Check once in 5 seconds that a folder lies inside the root: asking costs as much as the rest of a write."""
        if time.monotonic() < self._inside.get(folder, 0.0):
            return
        descriptor = self._refuse_outside(os.open(folder, _FOLDER), folder)
        os.close(descriptor)
        self._note_inside(folder)

    def _note_inside(self, folder: str) -> None:
        if len(self._inside) >= _REMEMBERED:
            self._inside.clear()
        self._inside[folder] = time.monotonic() + _TRUSTED_SECONDS

    def sync(self, path: str) -> None:
        """Make a file or folder durable."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, key: str) -> None:
        """Take the name `key` away, durably, and the folders that it leaves empty."""
        folder, _, name = (self.base + key).rpartition("/")
        descriptor = os.open(folder or "/", _FOLDER)
        try:
            self._refuse_outside(descriptor, folder, close=False)
            os.unlink(name, dir_fd=descriptor)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._prune(folder)

    def prune(self, key: str) -> None:
        """Remove the folders that are empty now that `key` is gone."""
        self._prune((self.base + key).rpartition("/")[0])

    def walk(self, prefix: str) -> Iterator[File]:
        """Answer each file that has a key which starts with `prefix`, and what the disk knows of it."""
        folder = prefix.rpartition("/")[0]
        if folder and not (is_key(folder) and os.path.realpath(self.base + folder) == self.base + folder):
            return
        pending = [folder]
        while pending:
            folder = pending.pop()
            for entry in self._entries(folder):
                key = f"{folder}/{entry.name}" if folder else entry.name
                if not is_key(key):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if f"{key}/".startswith(prefix):
                        pending.append(key)
                elif key.startswith(prefix) and (info := self._info(entry)):
                    yield key, info

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.base + folder) as entries:
                return list(entries)
        except (FileNotFoundError, NotADirectoryError):
            return []  # gone meanwhile, or never there
        except PermissionError:
            if folder == "lost+found":  # ext4 keeps one at the top of each disk, for root alone
                return []
            raise

    def _info(self, entry: os.DirEntry[str]) -> os.stat_result | None:
        try:
            if entry.is_symlink() and not self.is_inside(entry.path):
                return None
            info = entry.stat()
        except OSError as error:
            if error.errno in {*ABSENT, errno.ELOOP}:  # gone meanwhile, or a link to nothing
                return None
            raise
        return info if modes.S_ISREG(info.st_mode) else None

    def _prune(self, folder: str) -> None:
        # Under the lock of `_make`, so that a settled folder that is there is always the one that was synced.
        with self._tree:
            while len(folder) > len(self.root):
                try:
                    os.rmdir(folder)
                except OSError:
                    return  # not empty, or gone; in no case worth failing a delete that has happened
                self._settled.discard(folder)
                folder = folder.rpartition("/")[0]

    @contextmanager
    def _opened(self, folder: str) -> Iterator[int]:
        descriptor = self._open_settled(folder)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _open_settled(self, folder: str) -> int:
        """Open a folder whose own name, and that of each folder above it, is known to be on the disk."""
        if folder in self._settled:
            try:
                return self._refuse_outside(os.open(folder, _FOLDER), folder)
            except FileNotFoundError:
                pass
        with self._tree:
            self._make(folder)
            return self._refuse_outside(os.open(folder or "/", _FOLDER), folder)

    def _make(self, folder: str) -> None:
        """Make a folder and those above it, and sync the parent of each, once in this process.

        Also of one that is already there: whoever made it may not have come to syncing yet.
        """
        if len(self._settled) >= _REMEMBERED:
            self._settled.clear()
        if not os.path.isdir(self.root):
            os.makedirs(self.root, exist_ok=True)
            _sync(os.path.dirname(self.root))
        path = self.root.rstrip("/")
        for segment in folder[len(self.base) :].split("/") if len(folder) > len(self.root) else []:
            parent, path = path or "/", f"{path}/{segment}"
            if path in self._settled and os.path.isdir(path):
                continue
            try:
                os.mkdir(path)
            except FileExistsError:
                # Raises FileNotFoundError if it has gone since, and `place` comes again.
                if not modes.S_ISDIR(os.stat(path).st_mode):
                    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None
            if not self.is_inside(path):
                raise _outside(path)
            _sync(parent)
            self._settled.add(path)

    def _holds(self, real: str) -> bool:
        return real == self.root or real.startswith(self.base)

    def _refuse_outside(self, descriptor: int, path: str, *, close: bool = True) -> int:
        try:
            real = os.readlink(f"/proc/self/fd/{descriptor}")  # what was opened, whatever happens to its name
        except OSError:
            real = os.path.realpath(path)  # no Linux, or no /proc
        if self._holds(real):
            return descriptor
        if close:
            os.close(descriptor)
        raise _outside(path)


def _outside(path: str) -> StorageError:
    return StorageError(f"{path!r} leads out of the storage folder: replace the link by a copy of its files")


def write_all(descriptor: int, content: bytes) -> None:
    """Write all bytes to an open file; a disk that is nearly full takes a part at a time."""
    written = os.write(descriptor, content)
    while written < len(content):
        written += os.write(descriptor, memoryview(content)[written:])


def _sync(folder: str) -> None:
    descriptor = os.open(folder, _FOLDER)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
