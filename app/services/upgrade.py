"""Charts that came before there was an OCI door get their artifacts, once, in the background.

Their ledger lines say nothing of artifacts, so that a database that was made from such a ledger needs this too.
"""

from __future__ import annotations

from functools import partial

import structlog

from app.db import artifacts, audit, charts, repositories
from app.db.charts import VersionRow
from app.db.session import Database
from app.db.transaction import Transaction
from app.domain.artifact import explain_classic_only
from app.domain.ledger import blob_key
from app.domain.oci import tag_of
from app.errors import AppError
from app.services import faces
from app.services.ledger import Ledger
from app.services.parcels import Content, Parcel, Parcels
from storage import ObjectNotFound, Storage, read_all

_log = structlog.get_logger(__name__)


class Upgrade:
    """Gives charts that have none their manifests and tags."""

    def __init__(self, database: Database, storage: Storage, ledger: Ledger) -> None:
        self._database = database
        self._storage = storage
        self._ledger = ledger

    async def run(self) -> int:
        """Make what is missing; answer how many charts got it. Raises StorageError, AppError UNAVAILABLE."""
        missing = await self._database.read_in_thread(audit.list_untagged_versions)
        waiting = [(path, row) for path, row in missing if not explain_classic_only(path, row.name, row.version)]
        if not waiting:
            return 0
        parcels, made = Parcels(), 0
        try:
            for path, row in waiting:
                chart = await self._read(parcels, row)
                if chart is not None and await self._ledger.write(partial(_put, path=path, old=row, chart=chart)):
                    made += 1
        finally:
            parcels.close()
        _log.info("charts made ready for OCI clients", charts=made, unreadable=len(waiting) - made)
        return made

    async def _read(self, parcels: Parcels, row: VersionRow) -> Content | None:
        """Read a chart's archive; None if it is lost, or was taken in by rules that no longer hold."""
        try:
            content = await read_all(self._storage, blob_key(row.digest))
            chart, _ = await parcels.read(Parcel(content, filename=row.filename, created=row.created))
        except (ObjectNotFound, AppError):
            return None
        return chart


def _put(transaction: Transaction, *, path: str, old: VersionRow, chart: Content) -> bool:
    home = repositories.find(transaction.connection, path)
    now = home and charts.find_version(transaction.connection, home.id, old.name, old.version)
    if home is None or now is None or now.digest != old.digest or chart.row.digest != old.digest:
        return False
    if artifacts.find_tag(transaction.connection, home.id, old.name, tag_of(old.version)) is not None:
        return False
    signed = charts.find_provenance(transaction.connection, home.id, now.filename)
    artifact = chart.derive(signed)
    charts.keep_blobs(transaction.connection, [], {artifact.config_digest: artifact.config})
    faces.put_derived(transaction, home, now, artifact, signed, tagged="")
    return True
