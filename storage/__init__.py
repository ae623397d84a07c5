"""Where bytes lie: one small protocol and its backends. This package knows nobody else."""

from storage.errors import ObjectNotFound, StorageError, StorageFull, StorageUnavailable
from storage.protocol import (
    CHUNK,
    Closeable,
    Composer,
    InlineReader,
    LocalFiles,
    Mover,
    ObjectStat,
    Presigner,
    Storage,
    Sweeper,
)

__all__ = [
    "CHUNK",
    "Closeable",
    "Composer",
    "InlineReader",
    "LocalFiles",
    "Mover",
    "ObjectNotFound",
    "ObjectStat",
    "Presigner",
    "Storage",
    "StorageError",
    "StorageFull",
    "StorageUnavailable",
    "Sweeper",
]
