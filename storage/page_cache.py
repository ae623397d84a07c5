"""Reading what the kernel holds in memory anyway, without a thread."""

from __future__ import annotations

import errno
import os

NOWAIT: int = getattr(os, "RWF_NOWAIT", 0)
"""The flag that makes `preadv` fail where it would wait for a disk. Linux only; 0 elsewhere."""


_UNASKED = 64 * 1024
"""Bytes that are read at most where the file system cannot tell whether they are in memory."""


def is_resident(descriptor: int, offset: int, size: int) -> bool:
    """Tell whether the first and the last of `size` bytes are in the page cache; False where nobody can tell.

    Asking for all of them without waiting (preadv can) would cost a copy.
    """
    if not NOWAIT:
        return False
    try:
        for place in (offset, offset + size - 1) if size else ():
            os.preadv(descriptor, (bytearray(1),), place, NOWAIT)
    except OSError:  # not in the cache, or a file system that cannot tell; a broken disk tells the thread again
        return False
    return True


def read_resident(descriptor: int, offset: int, size: int) -> bytes:
    """Read bytes whose first and last are in the page cache: some or all of `size`; none where that would wait.

    The way to a thread and back costs as much as copying 256 KB. A file that is cached at both ends and not between
    them makes us wait for the disk once.
    """
    try:
        return os.pread(descriptor, size, offset) if is_resident(descriptor, offset, size) else b""
    except OSError:
        return b""


def read_at_hand(descriptor: int, size: int) -> bytes | None:
    """Read a whole file of `size` bytes if all of them are in the page cache, else answer None. Raises OSError."""
    if not NOWAIT and size > _UNASKED:
        return None
    content = bytearray(size)
    try:
        if os.preadv(descriptor, (content,), 0, NOWAIT) != size:
            return None
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        if size > _UNASKED or os.preadv(descriptor, (content,), 0) != size:
            return None
    return bytes(content)
