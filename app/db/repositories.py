"""Repositories and revisions: which exist, and which commit changed them last."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from sqlalchemy import Connection, insert, select, update

from app.db.tables import catalogue, repositories


class RepositoryRow(NamedTuple):
    """One repository: its row id, its path ("" is the root), its newest revision and when that was (ns)."""

    id: int
    path: str
    revision: int
    committed: int


class CatalogueRow(NamedTuple):
    """The catalogue: its identity, the newest revision, and whether ChartMuseum's files were taken in once."""

    identity: str
    revision: int
    scanned: bool


_REPOSITORY = (repositories.c.id, repositories.c.path, repositories.c.revision, repositories.c.committed)


def get_catalogue(connection: Connection) -> CatalogueRow:
    """Answer the catalogue's only row."""
    query = select(catalogue.c.identity, catalogue.c.revision, catalogue.c.scanned)
    return CatalogueRow(*connection.execute(query).one())


def create_catalogue(connection: Connection) -> None:
    """Give an empty database its row, with a new identity. Called by the first migration and by a rebuild."""
    values = {"id": 1, "identity": secrets.token_hex(8), "revision": 0, "scanned": False}
    connection.execute(insert(catalogue).values(values))


def next_revision(connection: Connection) -> int:
    """Answer the revision that this transaction will have.

    On Postgres this locks the row, so that commits of all hosts take turns; SQLite's BEGIN IMMEDIATE has.
    """
    query = select(catalogue.c.revision).with_for_update()
    return int(connection.execute(query).scalar_one()) + 1


def move_revision(connection: Connection, revision: int) -> str:
    """Set the newest revision and answer the catalogue's identity."""
    connection.execute(update(catalogue).values(revision=revision))
    return str(connection.execute(select(catalogue.c.identity)).scalar_one())


def raise_revision(connection: Connection, revision: int) -> None:
    """Set the newest revision to at least `revision`: a replay takes repositories one after the other."""
    connection.execute(update(catalogue).where(catalogue.c.revision < revision).values(revision=revision))


def mark_scanned(connection: Connection) -> None:
    """Note that ChartMuseum's files were taken in once, whole."""
    connection.execute(update(catalogue).values(scanned=True))


def touch(connection: Connection, repository_id: int, revision: int, committed: int) -> int:
    """Set a repository's newest revision and time; answer the revision it had."""
    row = repositories.c.id == repository_id
    previous = connection.execute(select(repositories.c.revision).where(row)).scalar_one()
    connection.execute(update(repositories).where(row).values(revision=revision, committed=committed))
    return int(previous)


def find(connection: Connection, path: str) -> RepositoryRow | None:
    """Answer the repository at `path`, if something was ever stored in it."""
    row = connection.execute(select(*_REPOSITORY).where(repositories.c.path == path)).one_or_none()
    return RepositoryRow(*row) if row else None


def get_or_create(connection: Connection, path: str) -> RepositoryRow:
    """Answer the repository at `path`; make its row if this is the first chart in it."""
    found = find(connection, path)
    if found is not None:
        return found
    result = connection.execute(insert(repositories).values(path=path, revision=0, committed=0))
    return RepositoryRow(result.inserted_primary_key[0], path, 0, 0)  # type: ignore[index]


def list_since(connection: Connection, revision: int) -> list[RepositoryRow]:
    """Answer the repositories that changed after `revision`."""
    query = select(*_REPOSITORY).where(repositories.c.revision > revision).order_by(repositories.c.revision)
    return [RepositoryRow(*row) for row in connection.execute(query)]
