"""The head of SQLite's WAL index (the file `-shm`), in shared memory: it changes with every commit of any process.

Linux forgets every lock that a process holds on a file as soon as the process closes any descriptor of that file
(https://www.sqlite.org/howtocorrupt.html, section 2.2), and SQLite's locks lie on this file. So a descriptor of ours is
shared by everybody in the process who reads the same file, and closed when the last of them has closed its database.
"""

from __future__ import annotations

import mmap
import os
import threading

HEADER = 48
"""Bytes: version, counter of changes, frames, salts, checksums (https://www.sqlite.org/walformat.html, section 2.1)."""

_FileId = tuple[int, int]


class _Open:
    """A file that is open in this process, its memory, and how many readers it has."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.memory = mmap.mmap(descriptor, HEADER, access=mmap.ACCESS_READ)
        self.readers = 0

    def close(self) -> None:
        self.memory.close()
        os.close(self.descriptor)


_open_files: dict[_FileId, _Open] = {}
_lock = threading.Lock()


class WalIndex:
    """A reader of one database's WAL index, which must exist. Raises OSError or ValueError where it cannot be mapped.

    Some connection of this process to the database must stay open until after the last `read`, and all must be closed
    before `close`.
    """

    def __init__(self, database: str) -> None:
        path = f"{database}-shm"
        with _lock:
            info = os.stat(path)
            self._file = (info.st_dev, info.st_ino)
            if info.st_size < HEADER:
                raise ValueError(f"{path} is no WAL index")
            if self._file not in _open_files:
                _open_files[self._file] = _Open(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            shared = _open_files[self._file]
            shared.readers += 1
            self._memory = shared.memory

    def read(self) -> bytes:
        """Answer the header as it is."""
        return self._memory[:HEADER]

    def close(self) -> None:
        """Let go of the file."""
        with _lock:
            shared = _open_files[self._file]
            shared.readers -= 1
            if not shared.readers:
                del _open_files[self._file]
                shared.close()
