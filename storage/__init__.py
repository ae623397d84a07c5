"""Where bytes lie: one small protocol and its backends. This package knows nobody else."""

from storage.boot import read_boot_id
from storage.errors import ObjectNotFound, StorageDenied, StorageError, StorageFull, StorageUnavailable
from storage.protocol import (
    CHUNK,
    Chooser,
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
from storage.reading import read_all

__all__ = [
    "CHUNK",
    "Chooser",
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
    "read_all",
    "read_boot_id",
]
