"""What OCI names hold, as lines of the ledger: for a snapshot, a comparison, and to be read back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, select

from app.db import artifacts
from app.db.artifacts import Child, ManifestRow
from app.db.tables import blobs, links, manifests, tags
from app.domain.ledger import render_change

_PAGE = 1000


def render_manifest_put(name: str, row: ManifestRow, children: Iterable[Child], contents: Mapping[str, bytes]) -> bytes:
    """Answer the ledger line that puts a manifest, with its very bytes and those of blobs that lie in the database."""
    facts: dict[str, Any] = {
        "name": name, "digest": row.digest, "media_type": row.media_type, "artifact_type": row.artifact_type,
        "subject": row.subject, "annotations": row.annotations.decode(), "content": row.content.decode(),
        "origin": row.origin, "created": row.created, "children": [list(child) for child in children],
    }  # fmt: skip
    if contents:
        facts["contents"] = {digest: content.decode() for digest, content in contents.items()}
    return render_change("put", "manifest", **facts)


def read_manifest_put(change: Mapping[str, Any]) -> tuple[ManifestRow, list[Child], dict[str, bytes]]:
    """Read such a line back."""
    row = ManifestRow(
        change["digest"], change["media_type"], change["artifact_type"], change["subject"],
        change["annotations"].encode(), change["content"].encode(), change["origin"], change["created"],
        change["created"],
    )  # fmt: skip
    contents = {digest: content.encode() for digest, content in change.get("contents", {}).items()}
    return row, [Child(*child) for child in change["children"]], contents


class Held(NamedTuple):
    """One thing that a name holds (blob, manifest or tag) by digest or tag, and the ledger line that puts it."""

    kind: str
    name: str
    key: str
    line: bytes


def iterate_held(connection: Connection, repository_id: int) -> Iterator[Held]:
    """Answer everything that the names of a repository hold, in an order in which it can be put again."""
    yield from _iterate_links(connection, repository_id)
    yield from _iterate_manifests(connection, repository_id)
    yield from _iterate_tags(connection, repository_id)


def _iterate_manifests(connection: Connection, repository_id: int) -> Iterator[Held]:
    query = select(manifests.c.name, *artifacts.ROW).where(manifests.c.repository_id == repository_id)
    ordered = query.order_by(manifests.c.name, manifests.c.digest)
    for name, *values in connection.execution_options(yield_per=_PAGE).execute(ordered):
        row = artifacts.to_row(values)
        mine = and_(links.c.repository_id == repository_id, links.c.name == name, links.c.manifest == row.digest)
        found = select(links.c.digest, links.c.kind, blobs.c.content).outerjoin(blobs, blobs.c.digest == links.c.digest)
        rows = connection.execute(found.where(mine).order_by(links.c.kind, links.c.digest)).all()
        contents = {digest: bytes(content) for digest, _, content in rows if content is not None}
        children = [Child(digest, kind) for digest, kind, _ in rows]
        yield Held("manifest", name, row.digest, render_manifest_put(name, row, children, contents))


def _iterate_tags(connection: Connection, repository_id: int) -> Iterator[Held]:
    query = select(tags.c.name, tags.c.tag, tags.c.digest, tags.c.updated).where(tags.c.repository_id == repository_id)
    for row in connection.execution_options(yield_per=_PAGE).execute(query.order_by(tags.c.name, tags.c.tag)):
        line = render_change("put", "tag", name=row.name, tag=row.tag, digest=row.digest, updated=row.updated)
        yield Held("tag", row.name, row.tag, line)


def _iterate_links(connection: Connection, repository_id: int) -> Iterator[Held]:
    query = select(links.c.name, links.c.digest, blobs.c.size).join(blobs, blobs.c.digest == links.c.digest)
    mine = query.where(links.c.repository_id == repository_id, links.c.manifest == "")
    for row in connection.execution_options(yield_per=_PAGE).execute(mine.order_by(links.c.name, links.c.digest)):
        line = render_change("put", "blob", name=row.name, digest=row.digest, size=row.size)
        yield Held("blob", row.name, row.digest, line)
