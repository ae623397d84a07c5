"""The modification time of files that we copy: when the version was created. ChartMuseum shows it as `created`."""

from __future__ import annotations

import asyncio
import os

from storage import LocalFiles, Storage, StorageError


async def set_time(storage: Storage, key: str, created: int) -> None:
    """Give a file this modification time (ns since 1970). A bucket keeps no times: there nothing is done.

    Raises StorageError when the disk refuses.
    """
    if isinstance(storage, LocalFiles):
        await asyncio.to_thread(_set_time, storage, key, created)


def has_time(storage: Storage, key: str, created: int) -> bool:
    """Return whether a file has this modification time (ns since 1970); True for what keeps none."""
    return not isinstance(storage, LocalFiles) or os.stat(storage.path(key)).st_mtime_ns == created


def _set_time(storage: LocalFiles, key: str, created: int) -> None:
    path = storage.path(key)
    try:
        if os.stat(path).st_mtime_ns != created:
            os.utime(path, ns=(created, created))
    except OSError as error:
        raise StorageError(f"the time of {key!r} cannot be set: {error.strerror}") from error
