"""The outbox of versions before 0003: ledger segments that they had committed and not stored yet."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, delete, select

from app.db.tables import outbox


class OutboxRow(NamedTuple):
    """A segment on its way: the row, the storage key, the bytes."""

    id: int
    key: str
    content: bytes


def list_waiting(connection: Connection) -> list[OutboxRow]:
    """Return every waiting segment, oldest first."""
    query = select(outbox.c.id, outbox.c.key, outbox.c.content).order_by(outbox.c.id)
    return [OutboxRow(row.id, row.key, bytes(row.content)) for row in connection.execute(query)]


def remove_stored(connection: Connection, upto: int) -> None:
    """Remove the segments up to and including the row `upto`, which lie in storage."""
    connection.execute(delete(outbox).where(outbox.c.id <= upto))
