"""Repositories and revisions: which exist, and which commit changed them last."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, insert, select, update

from app.db.statement import Statement
from app.db.tables import catalogue, charts, repositories


class RepositoryRow(NamedTuple):
    """One repository: its row id, its path ("" is the root), its newest revision, when that was (ns), and its id.

    The id of a commit is random: 16 hex digits, "" for commits of versions that had none.
    """

    id: int
    path: str
    revision: int
    committed: int
    commit: str = ""


class CatalogueRow(NamedTuple):
    """The catalogue: its identity, the newest revision, and whether ChartMuseum's files were taken in once."""

    identity: str
    revision: int
    scanned: bool


_NEXT = Statement(select(catalogue.c.revision, catalogue.c.identity).with_for_update())
_MOVE = Statement(update(catalogue).values(revision=bindparam("newest")))
_TOUCH = Statement(
    update(repositories)
    .where(repositories.c.id == bindparam("repository"))
    .values(revision=bindparam("newest"), committed=bindparam("moment"), commit_id=bindparam("its_id"))
)
COLUMNS = tuple(repositories.c[name] for name in ("id", "path", "revision", "committed", "commit_id"))
"""Those of a RepositoryRow."""


_FIND = Statement(select(*COLUMNS).where(repositories.c.path == bindparam("wanted")))
_GET_CATALOGUE = Statement(select(catalogue.c.identity, catalogue.c.revision))
_LIST_SINCE = Statement(
    select(*COLUMNS).where(repositories.c.revision > bindparam("known")).order_by(repositories.c.revision)
)


def get_catalogue(connection: Connection) -> CatalogueRow:
    """Answer the catalogue's only row."""
    query = select(catalogue.c.identity, catalogue.c.revision, catalogue.c.scanned)
    return CatalogueRow(*connection.execute(query).one())


def create_catalogue(connection: Connection) -> None:
    """Give an empty database its row, with a new identity. Called by the first migration and by a rebuild."""
    values = {"id": 1, "identity": secrets.token_hex(8), "revision": 0, "scanned": False}
    values["token_key"] = secrets.token_bytes(32)
    connection.execute(insert(catalogue).values(values))


def get_token_key(connection: Connection) -> bytes:
    """Answer the 32 bytes with which tokens are signed."""
    return bytes(connection.execute(select(catalogue.c.token_key)).scalar_one())


def get_newest(connection: Connection) -> tuple[str, int]:
    """Answer the catalogue's identity and newest revision."""
    row = _GET_CATALOGUE.run(connection).fetchone()
    assert row is not None
    return row[0], row[1]


def next_revision(connection: Connection) -> tuple[int, str]:
    """Answer the revision that this transaction will have, and the catalogue's identity.

    On Postgres this locks the row, so that commits of all hosts take turns; SQLite's BEGIN IMMEDIATE has.
    """
    row = _NEXT.run(connection).fetchone()
    assert row is not None
    return row[0] + 1, row[1]


def move_revision(connection: Connection, revision: int) -> None:
    """Set the newest revision."""
    _MOVE.run(connection, newest=revision)


def raise_revision(connection: Connection, revision: int) -> None:
    """Set the newest revision to at least `revision`: a replay takes repositories one after the other."""
    connection.execute(update(catalogue).where(catalogue.c.revision < revision).values(revision=revision))


def mark_scanned(connection: Connection) -> None:
    """Note that ChartMuseum's files were taken in once, whole."""
    connection.execute(update(catalogue).values(scanned=True))


def touch(connection: Connection, repository_id: int, revision: int, committed: int, commit: str) -> None:
    """Set a repository's newest revision, its time (ns) and its random id."""
    _TOUCH.run(connection, repository=repository_id, newest=revision, moment=committed, its_id=commit)


def find(connection: Connection, path: str) -> RepositoryRow | None:
    """Answer the repository at `path`, if something was ever stored in it."""
    row = _FIND.run(connection, wanted=path).fetchone()
    return RepositoryRow(*row) if row else None


def get_or_create(connection: Connection, path: str) -> RepositoryRow:
    """Answer the repository at `path`; make its row if this is the first chart in it."""
    return find(connection, path) or create(connection, path)


def create(connection: Connection, path: str) -> RepositoryRow:
    """Make the row of a repository that has none."""
    result = connection.execute(insert(repositories).values(path=path, revision=0, committed=0))
    return RepositoryRow(result.inserted_primary_key[0], path, 0, 0)  # type: ignore[index]


def list_since(connection: Connection, revision: int) -> list[RepositoryRow]:
    """Answer the repositories that changed after `revision`."""
    return [RepositoryRow(*row) for row in _LIST_SINCE.run(connection, known=revision).fetchall()]


def list_marks(connection: Connection) -> dict[int, list[int]]:
    """Return, by repository id, the revisions that its charts carry: each must have a record in the ledger."""
    marks: dict[int, list[int]] = {}
    for repository_id, revision in connection.execute(select(charts.c.repository_id, charts.c.revision).distinct()):
        marks.setdefault(repository_id, []).append(revision)
    return marks
