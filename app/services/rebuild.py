"""The catalogue made anew from storage: every acknowledged chart comes back, nothing that was removed or replaced.

What was known of followed files is kept where the old database has it; else the ledger tells (`history.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from app.db import ledger, rebuild, repositories
from app.db.rebuild import Totals
from app.db.repositories import RepositoryRow
from app.db.session import Database
from app.domain.names import label
from app.errors import AppError, Kind
from app.services import tenure
from app.services.replay import Replay
from app.services.set_aside import SetAside
from app.services.unknown import survey_blobs
from storage import Recoverer, Storage


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild came to."""

    segments: int
    totals: Totals
    aside: list[str]  # which records no database can hold, one line each
    unrecorded: list[str]  # blobs that are newer than the last record, in words


async def flush_outbox(connection: Connection, storage: Storage) -> None:
    """Put the segments that a catalogue committed, and storage may lack, where they belong. Raises StorageError.

    Not if another catalogue has the store: they would fork its ledger, and none of them was acknowledged.
    """
    holder = await tenure.find_holder(storage)
    if holder is not None and holder.catalogue != repositories.get_catalogue(connection).identity:
        return
    for row in ledger.list_waiting(connection):
        await storage.put(row.key, row.content)


async def hand_over(storage: Storage, old: str, new: str) -> None:
    """Let the new catalogue write at once where the old one might: else it waits until that lease has ended."""
    holder = await tenure.find_holder(storage)
    if holder is not None and holder.catalogue == old:
        await storage.put(tenure.KEY, replace(holder, catalogue=new).render())


async def fill(database: Database, storage: Storage) -> Rebuilt:
    """Replay the whole ledger into an empty catalogue. Raises AppError FAULT for a torn ledger, StorageError."""
    aside = SetAside()
    replay = Replay(database, storage, blobs_may_lack=not isinstance(storage, Recoverer), aside=aside)
    replayed = await replay.run()
    survey = await survey_blobs(storage, database)
    totals = await database.read(rebuild.count_all)
    return Rebuilt(replayed.segments, totals, aside.describe(), survey.describe_newer())


async def refuse_loss(database: Database, before: Sequence[RepositoryRow]) -> None:
    """Raise AppError CONFLICT if the old database knew commits that the ledger, and so the new one, lacks.

    Where another database wrote to the ledger after the last of these commits, the ledger is followed.
    """
    rows = await database.read(lambda connection: repositories.list_since(connection, 0))
    after = {row.path: row for row in rows}
    for old in before:
        new = after.get(old.path)
        if new is None or (new.revision < old.revision and new.committed <= old.committed):
            raise AppError(
                Kind.CONFLICT,
                f"the ledger of {label(old.path)} ends at revision {new.revision if new else 0}, the database is at"
                f" {old.revision}; nothing was changed: run `chartroom verify --repair`, which writes the ledger again"
                " from the database, or move the database file away to do without what only it knows",
            )
