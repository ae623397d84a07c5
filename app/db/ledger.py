"""The outbox: ledger segments that are committed but not yet known to lie in storage."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, insert, select

from app.db.statement import Statement
from app.db.tables import outbox


class OutboxRow(NamedTuple):
    """A segment on its way: the row, the storage key, the bytes."""

    id: int
    key: str
    content: bytes


_ADD = Statement(insert(outbox).returning(outbox.c.id), ["key", "content"])
_LIST_AFTER = Statement(
    select(outbox.c.id, outbox.c.key, outbox.c.content).where(outbox.c.id > bindparam("known")).order_by(outbox.c.id)
)
_REMOVE = Statement(delete(outbox).where(outbox.c.id <= bindparam("upto")))


def add(connection: Connection, key: str, content: bytes) -> int:
    """Add a segment and answer its row id, which grows with every commit of any process."""
    row = _ADD.run(connection, key=key, content=content).fetchone()
    assert row is not None
    return int(row[0])


def list_after(connection: Connection, row_id: int) -> list[OutboxRow]:
    """Answer every waiting segment after `row_id`, oldest first."""
    return [OutboxRow(*row) for row in _LIST_AFTER.run(connection, known=row_id).fetchall()]


def remove_flushed(connection: Connection, upto: int) -> None:
    """Remove the segments up to and including `upto`, which lie in storage."""
    _REMOVE.run(connection, upto=upto)
