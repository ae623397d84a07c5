"""The storages that a command opens beside a server's, and whether two folders can be two of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.settings import Settings
from app.wiring import build_storage
from storage import Closeable, Storage


@contextmanager
def open_storage(settings: Settings) -> Iterator[Storage]:
    """Open the storage that the settings name, and close it at the end. Raises AppError INVALID."""
    storage = build_storage(settings)
    try:
        yield storage
    finally:
        if isinstance(storage, Closeable):
            storage.close()


def lie_in_each_other(one: Path, other: Path) -> bool:
    """Return whether two resolved folders are one, or one of them lies in the other."""
    return one.is_relative_to(other) or other.is_relative_to(one)
