"""How a chart version goes, inside of a transaction: its row, its provenance, its tag, and the ledger's lines."""

from __future__ import annotations

from app.db import charts as rows
from app.db import repositories
from app.db.repositories import RepositoryRow
from app.db.transaction import Transaction
from app.domain.ledger import render_change
from app.services import faces


def withdraw_in(
    transaction: Transaction, repository: str, name: str, version: str, *,
    only_digest: str | None = None, keep_manifest: bool = False,
) -> bool:  # fmt: skip
    """Remove a version, its provenance and its tag; answer whether it was there.

    Its manifest goes too if nothing else needs it and `keep_manifest` does not say otherwise.
    """
    connection = transaction.connection
    home = repositories.find(connection, repository)
    row = home and rows.find_version(connection, home.id, name, version)
    if home is None or row is None or only_digest not in (None, row.digest):
        return False
    rows.remove_version(transaction, home.id, name, version)
    transaction.record(home, render_change("remove", "version", chart=name, version=version))
    drop_signature(transaction, home, row.filename)
    faces.drop(transaction, home, name, version, keep_manifest=keep_manifest)
    return True


def drop_signature(transaction: Transaction, repository: RepositoryRow, filename: str) -> None:
    """Remove the provenance of the archive called `filename`, if there is one."""
    if rows.remove_provenance(transaction, repository.id, filename):
        transaction.record(repository, render_change("remove", "provenance", filename=filename))
