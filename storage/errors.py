"""What storage can answer besides bytes. Backends translate their own errors where they occur.

StorageError
+-- ObjectNotFound       there is no such key (and only that)
+-- StorageDenied        not permitted, or read-only; nothing of a write remains
+-- StorageFull          no space left; nothing of the write remains
+-- StorageUnavailable   refused, slow or cut off; trying again later may work
"""

from __future__ import annotations


class StorageError(Exception):
    """Storage failed in a way that is none of the named ones, for example a permission."""


class ObjectNotFound(StorageError):
    """There is no object under this key."""


class StorageDenied(StorageError):
    """Storage does not permit it: rights, or a read-only file system, which an operator must change."""


class StorageFull(StorageError):
    """There is no space left. Nothing of the failed write remains."""


class StorageUnavailable(StorageError):
    """Storage refused, timed out or cut the connection. The operation may be tried again."""
