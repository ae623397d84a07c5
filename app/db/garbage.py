"""Statements about garbage: blobs that nothing links to, from the first mark to the last row.

Every question about 100,000 blobs is asked in a read; what changes rows takes few at a time and looks again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import Connection, and_, bindparam, delete, exists, not_, or_, select, update
from sqlalchemy.dialects import postgresql

from app.db.artifacts import MANIFEST
from app.db.charts import BlobFacts
from app.db.statement import Statement
from app.db.tables import blobs, chart_versions, links, manifests, provenances, repositories, tags, unknown_blobs
from app.db.transaction import Transaction

_UNREFERENCED = and_(
    *(not_(exists().where(table.c.digest == blobs.c.digest)) for table in (links, chart_versions, provenances))
)


_IS_CONDEMNED = Statement(
    select(blobs.c.digest).where(blobs.c.digest == bindparam("wanted"), blobs.c.condemned.is_not(None))
)


def list_condemned(connection: Connection, digests: Iterable[str]) -> list[str]:
    """Answer which of these few blobs are condemned.

    Whoever is about to write their bytes pardons them first. One that is not condemned now stays for the grace period
    at least, and the link that is made meanwhile keeps it then.
    """
    return [digest for digest in digests if _IS_CONDEMNED.run(connection, wanted=digest).fetchone()]


def pardon(transaction: Transaction, digests: Collection[str]) -> None:
    """Clear the marks of these blobs."""
    transaction.connection.execute(update(blobs).where(blobs.c.digest.in_(digests)).values(condemned=None))


def list_unreferenced(connection: Connection) -> list[str]:
    """Answer the blobs that nothing links to and that are not condemned yet."""
    return list(connection.scalars(select(blobs.c.digest).where(blobs.c.condemned.is_(None), _UNREFERENCED)))


def condemn(transaction: Transaction, digests: Collection[str]) -> int:
    """Condemn those of these blobs that still nothing links to, from now on; answer how many."""
    doomed = and_(blobs.c.digest.in_(digests), blobs.c.condemned.is_(None), _UNREFERENCED)
    return transaction.connection.execute(update(blobs).where(doomed).values(condemned=transaction.now)).rowcount


def list_unknown(connection: Connection, digests: Sequence[str]) -> list[str]:
    """Return which of these few blobs, which storage has, no record of this catalogue ever named."""
    known = set(connection.scalars(select(blobs.c.digest).where(blobs.c.digest.in_(digests))))
    return [digest for digest in digests if digest not in known]


def note_unknown(transaction: Transaction, found: Collection[BlobFacts]) -> None:
    """Note that storage has these blobs and no record named them; what was noted before keeps its first time."""
    rows = [{"digest": digest, "size": size, "first_seen": transaction.now} for digest, size in found]
    statement = postgresql.insert(unknown_blobs).on_conflict_do_nothing(index_elements=["digest"])
    transaction.connection.execute(statement, rows)


def list_noted(connection: Connection) -> dict[str, int]:
    """Return the noted blobs: digest to when this catalogue first saw it (ns since 1970)."""
    query = select(unknown_blobs.c.digest, unknown_blobs.c.first_seen)
    return {row.digest: row.first_seen for row in connection.execute(query)}


def forget_unknown(transaction: Transaction, digests: Collection[str]) -> None:
    """Remove the notes of these few blobs: they are gone from storage, or a record names them now."""
    transaction.connection.execute(delete(unknown_blobs).where(unknown_blobs.c.digest.in_(digests)))


def adopt(transaction: Transaction, found: Collection[BlobFacts]) -> None:
    """Give unknown blobs a row that is condemned from now on, so that they go as all garbage goes."""
    rows = [{"digest": digest, "size": size, "condemned": transaction.now} for digest, size in found]
    statement = postgresql.insert(blobs).on_conflict_do_nothing(index_elements=["digest"])
    transaction.connection.execute(statement, rows)
    forget_unknown(transaction, [digest for digest, _ in found])


def list_due(connection: Connection, before: int) -> list[BlobFacts]:
    """Answer the blobs that were condemned before a moment (ns since 1970)."""
    query = select(blobs.c.digest, blobs.c.size).where(blobs.c.condemned < before)
    return [BlobFacts(*row) for row in connection.execute(query)]


def remove_if_due(transaction: Transaction, digest: str, before: int) -> bool:
    """Remove a blob's row if it was condemned before a moment and nothing links to it; answer whether it went.

    One that something links to again loses its mark.
    """
    due = and_(blobs.c.digest == digest, blobs.c.condemned < before)
    gone = transaction.connection.execute(delete(blobs).where(due, _UNREFERENCED)).rowcount
    if not gone:
        transaction.connection.execute(update(blobs).where(due).values(condemned=None))
    return bool(gone)


def list_idle_links(connection: Connection, before: int) -> list[tuple[str, str, str]]:
    """Answer the links of blobs that came on their own before a moment: repository, name, digest."""
    query = (
        select(repositories.c.path, links.c.name, links.c.digest)
        .join(repositories, repositories.c.id == links.c.repository_id)
        .where(links.c.manifest == "", links.c.touched < before)
    )
    return [(path, name, digest) for path, name, digest in connection.execute(query)]


def list_untagged(connection: Connection, before: int, *, pushed: bool) -> list[tuple[str, str, str]]:
    """Answer the manifests that lost their last tag before a moment: repository, name, digest.

    Those that another manifest names, as its child or its subject, are left out, and so are those whose own subject is
    there; those that clients pushed are only answered with `pushed`.
    """
    mine, others, subjects = manifests, manifests.alias(), manifests.alias()
    same = and_(links.c.repository_id == mine.c.repository_id, links.c.name == mine.c.name)
    subject = and_(others.c.repository_id == mine.c.repository_id, others.c.name == mine.c.name)
    its_own = and_(subjects.c.repository_id == mine.c.repository_id, subjects.c.name == mine.c.name)
    query = (
        select(repositories.c.path, mine.c.name, mine.c.digest)
        .join(repositories, repositories.c.id == mine.c.repository_id)
        .where(
            mine.c.untagged < before,
            not_(exists().where(same, links.c.digest == mine.c.digest, links.c.kind == MANIFEST)),
            not_(exists().where(subject, others.c.subject == mine.c.digest)),
            or_(mine.c.subject == "", not_(exists().where(its_own, subjects.c.digest == mine.c.subject))),
            not_(
                exists().where(
                    tags.c.repository_id == mine.c.repository_id,
                    tags.c.name == mine.c.name,
                    tags.c.digest == mine.c.digest,
                )
            ),
        )
    )
    if not pushed:
        query = query.where(mine.c.origin == "derived")
    return [(path, name, digest) for path, name, digest in connection.execute(query)]
