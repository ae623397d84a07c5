"""Statements about upload sessions of the OCI door. They are not in the ledger: an unfinished upload may be lost."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, delete, insert, select, update

from app.db.tables import uploads
from app.db.transaction import Transaction


class Part(NamedTuple):
    """Bytes that came in one request: where in storage they lie, how many, their sha256 in hex."""

    key: str
    size: int
    sha256: str


class UploadRow(NamedTuple):
    """A session: for which OCI name, how many bytes have come, in which parts; when it was last used (ns)."""

    uuid: str
    repository: str
    name: str
    offset: int
    parts: tuple[Part, ...]
    touched: int


def create(transaction: Transaction, row: UploadRow) -> None:
    """Insert a session."""
    transaction.connection.execute(insert(uploads), {**row._asdict(), "parts": _render(row.parts)})


def find(connection: Connection, uuid: str) -> UploadRow | None:
    """Answer a session."""
    row = connection.execute(select(uploads).where(uploads.c.uuid == uuid)).one_or_none()
    return _read(row) if row else None


def advance(transaction: Transaction, new: UploadRow, *, old_offset: int) -> bool:
    """Move a session from an offset to what it is now; answer whether it still was at that offset."""
    mine = (uploads.c.uuid == new.uuid) & (uploads.c.offset == old_offset)
    values = {"offset": new.offset, "parts": _render(new.parts), "touched": transaction.now}
    return transaction.connection.execute(update(uploads).where(mine).values(values)).rowcount > 0


def remove(transaction: Transaction, uuid: str) -> None:
    """Remove a session."""
    transaction.connection.execute(delete(uploads).where(uploads.c.uuid == uuid))


def list_stale(connection: Connection, before: int) -> list[UploadRow]:
    """Answer the sessions that nobody used since `before` (ns)."""
    return [_read(row) for row in connection.execute(select(uploads).where(uploads.c.touched < before))]


def _render(parts: tuple[Part, ...]) -> bytes:
    return orjson.dumps([list(part) for part in parts])


def _read(row: Any) -> UploadRow:
    values = dict(row._mapping)
    values["parts"] = tuple(Part(*part) for part in orjson.loads(bytes(values["parts"])))
    return UploadRow(**values)
