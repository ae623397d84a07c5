"""Manifests, tags and links of OCI names, as rows and in the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.db import artifacts, held
from app.db.artifacts import Child, ManifestRow
from app.db.repositories import RepositoryRow
from app.db.transaction import Transaction
from app.domain.ledger import render_change


def put_manifest(
    transaction: Transaction, home: RepositoryRow, name: str, row: ManifestRow,
    children: Sequence[Child], contents: Mapping[str, bytes], *, are_stored: bool = False,
) -> None:  # fmt: skip
    """Store a manifest, its links to what it refers to, and the blobs of it that are kept in the database.

    `are_stored` says that those blobs (`contents`) have their rows already.
    """
    artifacts.put_manifest(transaction, home.id, name, row, children, contents={} if are_stored else contents)
    transaction.record(home, held.render_manifest_put(name, row, children, contents))


def put_tag(
    transaction: Transaction, home: RepositoryRow, name: str, tag: str, digest: str, *,
    is_new: bool = False, old: str | None = None,
) -> None:  # fmt: skip
    """Let a tag name a manifest from now on; see `app.db.artifacts.put_tag`."""
    artifacts.put_tag(transaction, home.id, name, tag, digest, updated=transaction.now, is_new=is_new, old=old)
    facts = {"name": name, "tag": tag, "digest": digest, "updated": transaction.now}
    transaction.record(home, render_change("put", "tag", **facts))


def put_link(transaction: Transaction, home: RepositoryRow, name: str, digest: str, size: int) -> None:
    """Let a name see a blob that storage has."""
    artifacts.put_link(transaction, home.id, name, digest, size)
    transaction.record(home, render_change("put", "blob", name=name, digest=digest, size=size))


def remove_tag(transaction: Transaction, home: RepositoryRow, name: str, tag: str) -> bool:
    """Remove a tag; return whether it was there."""
    found = artifacts.remove_tag(transaction, home.id, name, tag)
    if found:
        transaction.record(home, render_change("remove", "tag", name=name, tag=tag))
    return found


def remove_manifest(transaction: Transaction, home: RepositoryRow, name: str, digest: str) -> bool:
    """Remove a manifest, its tags and links; return whether it was there."""
    found = artifacts.remove_manifest(transaction, home.id, name, digest)
    if found:
        transaction.record(home, render_change("remove", "manifest", name=name, digest=digest))
    return found


def remove_link(transaction: Transaction, home: RepositoryRow, name: str, digest: str) -> bool:
    """Remove a name's own link to a blob; return whether it was there."""
    found = artifacts.remove_link(transaction, home.id, name, digest)
    if found:
        transaction.record(home, render_change("remove", "blob", name=name, digest=digest))
    return found
