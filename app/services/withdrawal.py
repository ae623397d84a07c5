"""How a chart version goes, inside of a transaction: its row, its provenance, its tag, and the ledger's lines."""

from __future__ import annotations

from app.db import charts as rows
from app.db import repositories
from app.db.transaction import Transaction
from app.records import charts as records
from app.services import faces


def withdraw_in(
    transaction: Transaction, repository: str, name: str, version: str, *,
    keep_manifest: bool = False, reason: str = "",
) -> bool:  # fmt: skip
    """Remove a version, its provenance and its tag; return whether it was there.

    Its manifest goes too if nothing else needs it and `keep_manifest` does not say otherwise. `reason` tells in the
    ledger why it went: "" that a client removed it, "limit" for PER_CHART_LIMIT, "file" that no file has it any more.
    """
    connection = transaction.connection
    home = repositories.find(connection, repository)
    row = home and rows.find_version(connection, home.id, name, version)
    if home is None or row is None:
        return False
    records.remove_version(transaction, home, name, version, reason=reason)
    records.remove_provenance(transaction, home, row.filename)
    faces.drop(transaction, home, name, version, keep_manifest=keep_manifest)
    return True
