"""What an operating system's error means for whoever asked: one of the tree in `storage/errors.py`."""

from __future__ import annotations

import errno
import os

from storage.errors import ObjectNotFound, StorageDenied, StorageError, StorageFull

ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG})
"""There is certainly no object: a path through a file or with an impossible name leads to none either."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_ONE_NAME = "an object and a folder cannot have one name"
_ADVICE = {
    errno.EACCES: "let user id {user} read and write there",
    errno.EPERM: "let user id {user} read and write there",
    errno.EROFS: "mount it writable",
    errno.EXDEV: "keep everything below the storage folder on one file system",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENOTDIR: _ONE_NAME,
    errno.EISDIR: _ONE_NAME,
    errno.ENAMETOOLONG: "use a shorter name",
}


def failure(error: OSError, action: str, key: str, root: str) -> StorageError:
    """Say what failed, why, and what to do. `action` is read, write, delete, move or list."""
    if action == "read" and error.errno in ABSENT:
        return ObjectNotFound(f"there is no object {key!r}")
    where = f"{key!r} under {root!r}"
    if error.errno in _FULL:
        return StorageFull(f"no space left to {action} {where}: free some, or raise the quota")
    advice = _ADVICE.get(error.errno or 0, "look at the disk and at the system's log")
    reason = f"{error.strerror}; {advice.format(user=os.geteuid())}"
    if error.errno in _DENIED and action in ("write", "delete", "move"):
        return StorageDenied(f"the storage folder {root.rstrip('/')} cannot be written: {reason} (to {action} {key!r})")
    return StorageError(f"cannot {action} {where}: {reason}")
