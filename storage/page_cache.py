"""Reading what the kernel holds in memory anyway, without a thread."""

from __future__ import annotations

import os

NOWAIT: int = getattr(os, "RWF_NOWAIT", 0)
"""The flag that makes `preadv` fail where it would wait for a disk. Linux only; 0 elsewhere."""


def read_resident(descriptor: int, offset: int, size: int) -> bytes:
    """Read bytes whose first and last are in the page cache: some or all of `size`; none where that would wait.

    The way to a thread and back costs as much as copying 256 KB. Asking for all of them without waiting (preadv can)
    costs a second copy; a file that is cached at both ends and not between them makes us wait for the disk once.
    """
    try:
        for place in (offset, offset + size - 1) if NOWAIT and size else ():
            os.preadv(descriptor, (bytearray(1),), place, NOWAIT)
        return os.pread(descriptor, size, offset) if NOWAIT else b""
    except OSError:  # not in the cache, or a file system that cannot tell; a broken disk tells the thread again
        return b""
