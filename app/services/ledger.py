"""The way of a change into the store: rows and ledger segments in one commit, durable before it is acknowledged."""

from __future__ import annotations

from collections.abc import Callable

from app.db import ledger
from app.db.session import Database, T
from app.db.transaction import Transaction
from app.domain.ledger import Header, read_header, repository_folder
from app.services.ledger_names import Folder, list_folders
from storage import ObjectNotFound, Objects, Storage, read_all


class Ledger:
    """Commits changes. The segments are written by the database's writer, before its commit (`app/db/session.py`)."""

    def __init__(self, database: Database, storage: Storage) -> None:
        self._database = database
        self._storage = storage

    async def write(self, work: Callable[[Transaction], T], *, blobs: Objects = ()) -> T:
        """Commit `work`, and `blobs` (key and bytes) with it if it changes something.

        Raises what `work` raises; StorageError, AppError where the change could not be stored.
        """
        return await self._database.write(work, blobs=blobs)

    async def flush(self) -> None:
        """Put the segments into storage that an older version had committed only. Raises StorageError."""
        rows = await self._database.read(ledger.list_waiting)
        for row in rows:
            await self._storage.put(row.key, row.content)
        if rows:
            last = rows[-1].id
            await self._database.write(lambda transaction: ledger.remove_stored(transaction.connection, last))


async def list_followed(storage: Storage, records: Objects) -> set[str]:
    """Return the keys of those segments (key and bytes) that another segment was written after. Raises StorageError."""
    return {key for key, content in records if await _is_followed(storage, _read_header(content))}


async def _is_followed(storage: Storage, header: Header) -> bool:
    folder = repository_folder(header.repository)
    chain = (await list_folders(storage, folder)).get(folder, Folder()).chain
    newer = next((key for revision, key in chain if revision > header.revision), None)
    if newer is None:
        return False
    try:
        return _read_header(await read_all(storage, newer)).parent == header.commit
    except ObjectNotFound:  # a snapshot took its place, and the place of what came before
        return False


def _read_header(content: bytes) -> Header:
    return read_header(content.partition(b"\n")[0])
