"""Chart versions and provenance files, as rows and in the ledger."""

from __future__ import annotations

from collections.abc import Mapping

from app.db import charts
from app.db.charts import BlobFacts, VersionRow, render_version_put
from app.db.repositories import RepositoryRow
from app.db.transaction import Transaction
from app.domain.ledger import render_change
from app.domain.summary import Summary


def put_version(
    transaction: Transaction, repository: RepositoryRow, row: VersionRow, shown: Summary, *,
    replaces: bool | None = None, contents: Mapping[str, bytes] | None = None,
) -> None:  # fmt: skip
    """Store a version, or replace the one with its name and version; see `app.db.charts.put_version`."""
    charts.put_version(transaction, repository.id, row, shown, replaces=replaces, contents=contents)
    transaction.record(repository, render_version_put(row))


def remove_version(
    transaction: Transaction, repository: RepositoryRow, name: str, version: str, *, reason: str = ""
) -> None:
    """Remove a version; `reason` tells in the ledger why it went, "" that a client removed it."""
    charts.remove_version(transaction, repository.id, name, version)
    facts = {"chart": name, "version": version} | ({"reason": reason} if reason else {})
    transaction.record(repository, render_change("remove", "version", **facts))


def put_provenance(transaction: Transaction, repository: RepositoryRow, filename: str, blob: BlobFacts) -> None:
    """Store the provenance file of the archive called `filename`, created now; one that is there is replaced."""
    charts.put_provenance(transaction, repository.id, filename, blob)
    facts = {"filename": filename, "digest": blob.digest, "size": blob.size, "created": transaction.now}
    transaction.record(repository, render_change("put", "provenance", **facts))


def remove_provenance(transaction: Transaction, repository: RepositoryRow, filename: str) -> bool:
    """Remove the provenance file of the archive called `filename`; return whether there was one."""
    found = charts.remove_provenance(transaction, repository.id, filename)
    if found:
        transaction.record(repository, render_change("remove", "provenance", filename=filename))
    return found
