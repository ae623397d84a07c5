"""The SQLite file before it is used: whether it is damaged, and what an operator does then."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import make_url

from app.domain.ledger import ROOT
from app.errors import AppError, Kind
from storage import Storage

_MAGIC = b"SQLite format 3\x00"
_WAIT_SECONDS = 5.0

_BLANK = ("it is empty", "it holds no catalogue")


async def refuse_damaged(url: str, build_storage: Callable[[], Storage], *, limit: int | None = None) -> None:
    """Raise AppError FAULT, which names the file and the way out, if the database at `url` is a damaged SQLite file.

    A file of more than `limit` bytes is not read through. One without our tables is damaged only if storage has a
    ledger: a first start that was killed leaves one, too.
    """
    path = find_file(url)
    why = await asyncio.to_thread(find_damage, path, limit=limit) if path else ""
    if path is None or not why or (why in _BLANK and not await _has_ledger(build_storage())):
        return
    raise AppError(Kind.FAULT, describe_damage(path, why))


def find_file(url: str) -> Path | None:
    """Return the file of a SQLite database, whether it is there or not; None for Postgres."""
    parsed = make_url(url)
    return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None


def describe_damage(path: Path, why: str) -> str:
    """Return the one line that an operator needs."""
    return (
        f"the database {path} is damaged ({why}); stop every server that uses it and run `chartroom reindex`, which"
        " makes it anew from storage"
    )


def find_damage(path: Path, *, limit: int | None = None) -> str:
    """Return what is wrong with a SQLite file, "" if nothing is, if it is missing, or if another process locks it.

    Raises AppError INVALID where this user may not read or write it, or its folder is a file.
    Reading 34 MB takes 25 ms; a file of more than `limit` bytes is only looked at from outside.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except FileNotFoundError:
        return ""
    except NotADirectoryError as error:
        raise AppError(
            Kind.INVALID, f"the database cannot be in {path.parent}: a part of this path is a file"
        ) from error
    except PermissionError as error:
        raise AppError(Kind.INVALID, f"the database {path} cannot be read: let this user read and write it") from error
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    if not size:
        return _BLANK[0]
    if magic != _MAGIC:
        return "it is no SQLite database"
    return _look_inside(path, whole=limit is None or size <= limit)


def _look_inside(path: Path, *, whole: bool) -> str:
    try:
        connection = sqlite3.connect(path, timeout=_WAIT_SECONDS)
        try:
            # The log of another database, left beside the file, shows that one's tables.
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'catalogue'").fetchone():
                return _BLANK[1]
            found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0]) if whole else "ok"
        finally:
            connection.close()
    except sqlite3.Error as error:
        if "readonly" in str(error):
            text = f"the database {path} cannot be written: let user id {os.geteuid()} write to it and to its folder"
            raise AppError(Kind.INVALID, text) from error
        return "" if "locked" in str(error) or "unable to open" in str(error) else str(error)
    return "" if found == "ok" else found.replace("\n", " ").strip()


async def _has_ledger(storage: Storage) -> bool:
    async for _ in storage.scan(ROOT):
        return True
    return False
