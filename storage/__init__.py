"""Where bytes lie: one small protocol and its backends. This package knows nobody else."""

from storage.errors import ObjectNotFound, StorageDenied, StorageError, StorageFull, StorageUnavailable
from storage.protocol import (
    CHUNK,
    Closeable,
    Composer,
    FileOpener,
    InlineReader,
    LocalFiles,
    Mover,
    Objects,
    ObjectStat,
    OpenFile,
    Presigner,
    Recovered,
    Recoverer,
    Storage,
    Sweeper,
)

__all__ = [
    "CHUNK",
    "Closeable",
    "Composer",
    "FileOpener",
    "InlineReader",
    "LocalFiles",
    "Mover",
    "ObjectNotFound",
    "ObjectStat",
    "Objects",
    "OpenFile",
    "Presigner",
    "Recovered",
    "Recoverer",
    "Storage",
    "StorageDenied",
    "StorageError",
    "StorageFull",
    "StorageUnavailable",
    "Sweeper",
]
