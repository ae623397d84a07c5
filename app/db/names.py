"""Statements about OCI names: which there are, and which of them may see a blob."""

from __future__ import annotations

from sqlalchemy import Connection, literal, select, union

from app.db.artifacts import BLOB
from app.db.tables import links, manifests, repositories, tags


def list_names(connection: Connection) -> list[tuple[str, str]]:
    """Answer every name that has a manifest or a tag: repository path and last segment."""
    held = union(*(select(table.c.repository_id, table.c.name) for table in (manifests, tags))).subquery()
    query = select(repositories.c.path, held.c.name).join(repositories, repositories.c.id == held.c.repository_id)
    return [(path, name) for path, name in connection.execute(query)]


def has_name(connection: Connection, repository_id: int, name: str) -> bool:
    """Answer whether anything was stored under a name."""
    for table in (manifests, links):
        query = select(literal(1)).where(table.c.repository_id == repository_id, table.c.name == name).limit(1)
        if connection.scalar(query):
            return True
    return False


def list_homes(connection: Connection, digest: str) -> list[tuple[str, str]]:
    """Answer the names that may see a blob: repository path and last segment."""
    query = (
        select(repositories.c.path, links.c.name)
        .join(repositories, repositories.c.id == links.c.repository_id)
        .where(links.c.digest == digest, links.c.kind == BLOB)
    )
    return list(dict.fromkeys((path, name) for path, name in connection.execute(query)))
