"""How a writer makes sure that the blobs it is about to store stay; how garbage goes is in `collect.py`."""

from __future__ import annotations

from functools import partial

from sqlalchemy import Connection

from app.db import garbage
from app.db.session import Database


async def claim(database: Database, *digests: str) -> None:
    """Clear the marks of blobs that were condemned. Call it before writing their bytes.

    A blob that was not condemned when this is called stays for the grace period at least; the link that is made
    meanwhile keeps it then.
    """

    def ask(connection: Connection) -> bool:
        return any(garbage.is_condemned(connection, digest) for digest in digests)

    if await database.read(ask):
        await database.write(partial(garbage.pardon, digests=digests))
