"""Statements that SQLAlchemy writes once for each kind of database and the driver runs: 8 us instead of 100.

For the few that every upload and every read needs. Values go to the driver as they are, and rows come back as its
tuples: columns of such statements are integers, text and bytes. Errors are the driver's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from sqlalchemy import Connection
from sqlalchemy.sql.elements import ClauseElement


class Cursor(Protocol):
    """What is used of a driver's cursor (PEP 249)."""

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""
        ...

    def fetchone(self) -> Any:
        """Answer the next row, or None."""
        ...

    def fetchall(self) -> Sequence[Any]:
        """Answer all rows that are left."""
        ...


class Statement:
    """A statement with named parameters (`bindparam`), or an insert with the given columns."""

    def __init__(self, clause: ClauseElement, columns: list[str] | None = None) -> None:
        self._clause = clause
        self._columns = columns
        self._compiled: dict[str, tuple[str, list[str] | None, dict[str, Any]]] = {}

    def run(self, connection: Connection, **values: Any) -> Cursor:
        """Run it inside the connection's transaction and answer the cursor."""
        text, positions, fixed = self._compiled.get(connection.dialect.name) or self._compile(connection)
        if fixed:
            values = {**fixed, **values}
        cursor = connection.connection.cursor()
        cursor.execute(text, [values[name] for name in positions] if positions is not None else values)
        return cursor

    def run_many(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        """Run it once for each row, in one call of the driver."""
        text, positions, fixed = self._compiled.get(connection.dialect.name) or self._compile(connection)
        every = [{**fixed, **row} for row in rows] if fixed else list(rows)
        given = [[row[name] for name in positions] for row in every] if positions is not None else every
        connection.connection.cursor().executemany(text, given)

    def _compile(self, connection: Connection) -> tuple[str, list[str] | None, dict[str, Any]]:
        compiled = self._clause.compile(dialect=connection.dialect, column_keys=self._columns)
        parameters = getattr(compiled, "params", {})
        fixed = {name: value for name, value in parameters.items() if value is not None}
        positions = list(compiled.positiontup or []) if compiled.positional else None  # type: ignore[attr-defined]
        entry = (str(compiled), positions, fixed)
        self._compiled[connection.dialect.name] = entry
        return entry
