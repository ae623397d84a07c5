"""Statements about ChartMuseum's files: which were taken in, and what each brought."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select

from app.db.tables import museum_files


class MuseumFile(NamedTuple):
    """One object as it was taken in; `digest`, `name` and `version` are "" where it brought no chart version.

    `size` in bytes, `modified` in ns since 1970.
    """

    key: str
    size: int
    modified: int
    digest: str
    name: str
    version: str


_COLUMNS = tuple(museum_files.c[field] for field in MuseumFile._fields)


def list_files(connection: Connection) -> dict[str, MuseumFile]:
    """Answer every known file by its key."""
    return {row.key: MuseumFile(*row) for row in connection.execute(select(*_COLUMNS))}


def put_file(connection: Connection, file: MuseumFile) -> None:
    """Remember a file as it is now."""
    remove_file(connection, file.key)
    connection.execute(insert(museum_files), file._asdict())


def remove_file(connection: Connection, key: str) -> None:
    """Forget a file."""
    connection.execute(delete(museum_files).where(museum_files.c.key == key))
