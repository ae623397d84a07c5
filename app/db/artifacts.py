"""Statements about what OCI names hold: manifests, tags, and links to blobs.

An OCI name is a repository and its last segment, `name` here. It may see a blob that it has a link to: one of its own
(the blob was uploaded or mounted) or one of a manifest that refers to the blob.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal,
    null,
    select,
    update,
)
from sqlalchemy.dialects import postgresql

from app.db.charts import BlobFacts, keep_blobs
from app.db.statement import ManyRows, Statement
from app.db.tables import blobs, links, manifests, tags
from app.db.transaction import Transaction

BLOB, MANIFEST = "blob", "manifest"


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One manifest as stored. Digests in hex; `created` and `untagged` (None: it has a tag) in ns since 1970."""

    digest: str
    media_type: str
    artifact_type: str
    subject: str
    annotations: bytes
    content: bytes
    origin: str
    created: int
    untagged: int | None = None


class LinkedBlob(NamedTuple):
    """A blob that a name may see: digest in hex, size in bytes, and its bytes if they lie in the database."""

    digest: str
    size: int
    content: bytes | None


class Child(NamedTuple):
    """What a manifest refers to: a BLOB or a MANIFEST, by digest in hex."""

    digest: str
    kind: str


class Referrer(NamedTuple):
    """A manifest that refers to another one, without its bytes; `size` of those."""

    digest: str
    media_type: str
    artifact_type: str
    annotations: bytes
    size: int


def _mine(table: Any) -> Any:
    return and_(table.c.repository_id == bindparam("repository"), table.c.name == bindparam("its_name"))


ROW = tuple(manifests.c[name] for name in ManifestRow.__slots__)
_EXACT_MANIFEST = and_(_mine(manifests), manifests.c.digest == bindparam("wanted"))
_EXACT_TAG = and_(_mine(tags), tags.c.tag == bindparam("wanted"))
_EXACT_LINK = and_(_mine(links), links.c.digest == bindparam("wanted"))
_FIND_TAG = Statement(select(tags.c.digest).where(_EXACT_TAG))
_FIND_MANIFEST = Statement(select(*ROW).where(_EXACT_MANIFEST))
_FIND_TAGGED = Statement(
    select(*ROW)
    .join(
        tags,
        and_(
            tags.c.repository_id == manifests.c.repository_id,
            tags.c.name == manifests.c.name,
            tags.c.digest == manifests.c.digest,
        ),
    )
    .where(_EXACT_TAG)
)
_FIND_BLOB = Statement(
    select(blobs.c.digest, blobs.c.size, blobs.c.content).where(
        blobs.c.digest == bindparam("wanted"), exists().where(_EXACT_LINK, links.c.kind == literal(BLOB))
    )
)
_OWN_LINK = and_(_EXACT_LINK, links.c.manifest == literal(""))
_IS_REFERENCED = Statement(select(links.c.digest).where(_EXACT_LINK, links.c.manifest != literal("")).limit(1))
_FIND_TOUCHED = Statement(select(links.c.touched).where(_OWN_LINK))
_TOUCH_LINK = Statement(update(links).where(_OWN_LINK).values(touched=bindparam("moment")))
_DELETE_LINK = Statement(delete(links).where(_OWN_LINK))
_DELETE_TAG = Statement(delete(tags).where(_EXACT_TAG))
_DELETE_TAGS_OF = Statement(delete(tags).where(_mine(tags), tags.c.digest == bindparam("wanted")))
_DELETE_CHILDREN = Statement(delete(links).where(_mine(links), links.c.manifest == bindparam("wanted")))
_DELETE_MANIFEST = Statement(delete(manifests).where(_EXACT_MANIFEST))
_LIST_TAGS = Statement(
    select(tags.c.tag).where(_mine(tags), tags.c.tag > bindparam("after")).order_by(tags.c.tag).limit(bindparam("most"))
)
_NEW_MANIFEST = postgresql.insert(manifests)
_KEYS = ["repository_id", "name", "digest"]
_PUT_MANIFEST = Statement(
    _NEW_MANIFEST.on_conflict_do_update(
        index_elements=_KEYS,
        set_={column: _NEW_MANIFEST.excluded[column] for column in ManifestRow.__slots__ if column != "digest"},
    ),
    ["repository_id", "name", *ManifestRow.__slots__],
)
_PUT_LINKS = ManyRows(
    lambda rows: postgresql.insert(links).values(rows).on_conflict_do_nothing(index_elements=[*_KEYS, "manifest"]),
    [*_KEYS, "manifest", "kind", "touched"],
)
_NEW_TAG = postgresql.insert(tags)
_PUT_TAG = Statement(
    _NEW_TAG.on_conflict_do_update(
        index_elements=["repository_id", "name", "tag"],
        set_={"digest": _NEW_TAG.excluded.digest, "updated": _NEW_TAG.excluded.updated},
    ),
    ["repository_id", "name", "tag", "digest", "updated"],
)
_IS_TAGGED = exists().where(
    tags.c.repository_id == manifests.c.repository_id,
    tags.c.name == manifests.c.name,
    tags.c.digest == manifests.c.digest,
)
_NOTE_UNTAGGED = Statement(
    update(manifests)
    .where(_EXACT_MANIFEST)
    .values(untagged=case((_IS_TAGGED, null()), else_=func.coalesce(manifests.c.untagged, bindparam("moment"))))
)


# ---------------------------------------------------------------------------------------------- questions


def find_tag(connection: Connection, repository_id: int, name: str, tag: str) -> str | None:
    """Answer the digest that a tag names."""
    row = _FIND_TAG.run(connection, repository=repository_id, its_name=name, wanted=tag).fetchone()
    return str(row[0]) if row else None


def find_manifest(connection: Connection, repository_id: int, name: str, digest: str) -> ManifestRow | None:
    """Answer a manifest by its digest."""
    row = _FIND_MANIFEST.run(connection, repository=repository_id, its_name=name, wanted=digest).fetchone()
    return to_row(row) if row else None


def find_tagged(connection: Connection, repository_id: int, name: str, tag: str) -> ManifestRow | None:
    """Answer the manifest that a tag names."""
    row = _FIND_TAGGED.run(connection, repository=repository_id, its_name=name, wanted=tag).fetchone()
    return to_row(row) if row else None


def find_blob(connection: Connection, repository_id: int, name: str, digest: str) -> LinkedBlob | None:
    """Answer a blob, if the name may see it."""
    row = _FIND_BLOB.run(connection, repository=repository_id, its_name=name, wanted=digest).fetchone()
    return LinkedBlob(row[0], row[1], None if row[2] is None else bytes(row[2])) if row else None


def list_tags(connection: Connection, repository_id: int, name: str, *, after: str, limit: int) -> list[str]:
    """Answer the tags after `after`, which need not exist, in the order of their characters' codes."""
    values = {"repository": repository_id, "its_name": name, "after": after, "most": limit}
    return [row[0] for row in _LIST_TAGS.run(connection, **values).fetchall()]


def list_tags_of(connection: Connection, repository_id: int, name: str, digest: str) -> list[str]:
    """Answer the tags that name a manifest."""
    mine = and_(tags.c.repository_id == repository_id, tags.c.name == name, tags.c.digest == digest)
    return list(connection.scalars(select(tags.c.tag).where(mine).order_by(tags.c.tag)))


def list_referrers(connection: Connection, repository_id: int, name: str, subject: str) -> list[Referrer]:
    """Answer the manifests that refer to this one, oldest first."""
    columns = (manifests.c.digest, manifests.c.media_type, manifests.c.artifact_type, manifests.c.annotations)
    query = select(*columns, func.length(manifests.c.content), manifests.c.created).where(
        manifests.c.repository_id == repository_id, manifests.c.name == name, manifests.c.subject == subject
    )
    rows = sorted(connection.execute(query), key=lambda row: (row.created, row.digest))
    return [Referrer(row[0], row[1], row[2], bytes(row[3]), row[4]) for row in rows]


def is_referenced(connection: Connection, repository_id: int, name: str, digest: str) -> bool:
    """Answer whether a manifest of this name refers to a blob or manifest."""
    return _IS_REFERENCED.run(connection, repository=repository_id, its_name=name, wanted=digest).fetchone() is not None


def find_touched(connection: Connection, repository_id: int, name: str, digest: str) -> int | None:
    """Answer when a blob that no manifest need refer to was last wanted (ns); None if it has no link of its own."""
    row = _FIND_TOUCHED.run(connection, repository=repository_id, its_name=name, wanted=digest).fetchone()
    return int(row[0]) if row else None


# ---------------------------------------------------------------------------------------------- changes


def put_manifest(
    transaction: Transaction, repository_id: int, name: str, row: ManifestRow,
    children: Sequence[Child], *, contents: Mapping[str, bytes],
) -> None:  # fmt: skip
    """Store a manifest and its links to what it refers to. `contents` are blobs whose bytes lie in the database."""
    connection = transaction.connection
    keep_blobs(connection, [], contents)
    columns = {column: getattr(row, column) for column in ManifestRow.__slots__}
    _PUT_MANIFEST.run(connection, repository_id=repository_id, name=name, **columns)
    shared = {"repository_id": repository_id, "name": name, "manifest": row.digest, "touched": row.created}
    _PUT_LINKS.run(connection, [{**shared, "digest": one.digest, "kind": one.kind} for one in dict.fromkeys(children)])


def put_tag(
    transaction: Transaction, repository_id: int, name: str, tag: str, digest: str, *,
    updated: int, is_new: bool = False, old: str | None = None,
) -> None:  # fmt: skip
    """Let a tag name a manifest; `updated` in ns. One that it named before is noted as untagged.

    `is_new` says that the manifest was put just now, as one that has a tag; `old` which one the tag named
    until now ("": none; None: not known).
    """
    connection = transaction.connection
    if old is None:
        old = find_tag(connection, repository_id, name, tag)
    _PUT_TAG.run(connection, repository_id=repository_id, name=name, tag=tag, digest=digest, updated=updated)
    for one in {digest, old or digest} - ({digest} if is_new else set()):
        _NOTE_UNTAGGED.run(connection, repository=repository_id, its_name=name, wanted=one, moment=updated)


def remove_tag(transaction: Transaction, repository_id: int, name: str, tag: str) -> bool:
    """Remove a tag; answer whether it was there. The manifest stays."""
    connection = transaction.connection
    digest = find_tag(connection, repository_id, name, tag)
    if digest is None:
        return False
    _DELETE_TAG.run(connection, repository=repository_id, its_name=name, wanted=tag)
    _NOTE_UNTAGGED.run(connection, repository=repository_id, its_name=name, wanted=digest, moment=transaction.now)
    return True


def remove_manifest(transaction: Transaction, repository_id: int, name: str, digest: str) -> bool:
    """Remove a manifest, its tags and its links; answer whether it was there."""
    connection, place = transaction.connection, {"repository": repository_id, "its_name": name, "wanted": digest}
    for statement in (_DELETE_TAGS_OF, _DELETE_CHILDREN):
        statement.run(connection, **place)
    return _DELETE_MANIFEST.run(connection, **place).rowcount > 0


def put_link(transaction: Transaction, repository_id: int, name: str, digest: str, size: int) -> None:
    """Let a name see a blob that storage has."""
    keep_blobs(transaction.connection, [BlobFacts(digest, size)])
    place = {"repository_id": repository_id, "name": name, "digest": digest}
    _PUT_LINKS.run(transaction.connection, [{**place, "manifest": "", "kind": BLOB, "touched": transaction.now}])


def touch_link(transaction: Transaction, repository_id: int, name: str, digest: str) -> None:
    """Note that somebody wants a blob that no manifest refers to yet."""
    place = {"repository": repository_id, "its_name": name, "wanted": digest}
    _TOUCH_LINK.run(transaction.connection, **place, moment=transaction.now)


def remove_link(transaction: Transaction, repository_id: int, name: str, digest: str) -> bool:
    """Remove a name's own link to a blob; answer whether it was there."""
    place = {"repository": repository_id, "its_name": name, "wanted": digest}
    return _DELETE_LINK.run(transaction.connection, **place).rowcount > 0


def clear(connection: Connection, repository_id: int) -> None:
    """Remove everything that the names of a repository hold."""
    for table in (tags, links, manifests):
        connection.execute(delete(table).where(table.c.repository_id == repository_id))


def to_row(row: Any) -> ManifestRow:
    """Answer what the columns of `ROW` say."""
    digest, media_type, artifact_type, subject, annotations, content, *rest = row
    return ManifestRow(digest, media_type, artifact_type, subject, bytes(annotations), bytes(content), *rest)
