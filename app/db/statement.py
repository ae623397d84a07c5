"""Statements that SQLAlchemy writes once for each kind of database and the driver runs: 8 us instead of 100.

For the few that every upload and every read needs. Values go to the driver as they are, and rows come back as its
tuples: columns of such statements are integers, text and bytes. Errors are the driver's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sqlalchemy import Connection, bindparam
from sqlalchemy.sql.elements import ClauseElement

_MOST_ROWS = 50
"""Rows of one statement: SQLite takes 32,766 values at once, and few lengths are worth a statement of their own."""


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


class ManyRows:
    """An insert of several rows by one statement, which `build` makes for that many rows of these columns."""

    def __init__(self, build: Callable[[list[dict[str, Any]]], ClauseElement], columns: Sequence[str]) -> None:
        self._build = build
        self._columns = columns
        self._statements: dict[int, Statement] = {}

    def run(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        """Run it inside the connection's transaction; without rows, do nothing."""
        for at in range(0, len(rows), _MOST_ROWS):
            page = rows[at : at + _MOST_ROWS]
            statement = self._statements.get(len(page)) or self._make(len(page))
            statement.run(connection, **{f"{name}_{at}": row[name] for at, row in enumerate(page) for name in row})

    def _make(self, count: int) -> Statement:
        rows: list[dict[str, Any]]
        rows = [{name: bindparam(f"{name}_{at}") for name in self._columns} for at in range(count)]
        statement = self._statements[count] = Statement(self._build(rows))
        return statement


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

    def _compile(self, connection: Connection) -> tuple[str, list[str] | None, dict[str, Any]]:
        compiled = self._clause.compile(dialect=connection.dialect, column_keys=self._columns)
        parameters = getattr(compiled, "params", {})
        fixed = {name: value for name, value in parameters.items() if value is not None}
        positions = list(compiled.positiontup or []) if compiled.positional else None  # type: ignore[attr-defined]
        entry = (str(compiled), positions, fixed)
        self._compiled[connection.dialect.name] = entry
        return entry
