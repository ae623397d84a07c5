"""The outbox: ledger segments that are committed but not yet known to lie in storage."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select

from app.db.tables import outbox


class OutboxRow(NamedTuple):
    """A segment on its way: the row, the storage key, the bytes."""

    id: int
    key: str
    content: bytes


def add(connection: Connection, key: str, content: bytes) -> int:
    """Add a segment and answer its row id, which grows with every commit of any process."""
    result = connection.execute(insert(outbox).values(key=key, content=content))
    row_id: int = result.inserted_primary_key[0]  # type: ignore[index]
    return row_id


def list_after(connection: Connection, row_id: int) -> list[OutboxRow]:
    """Answer every waiting segment after `row_id`, oldest first."""
    query = select(outbox.c.id, outbox.c.key, outbox.c.content).where(outbox.c.id > row_id).order_by(outbox.c.id)
    return [OutboxRow(*row) for row in connection.execute(query)]


def remove_flushed(connection: Connection, upto: int) -> None:
    """Remove the segments up to and including `upto`, which lie in storage."""
    connection.execute(delete(outbox).where(outbox.c.id <= upto))
