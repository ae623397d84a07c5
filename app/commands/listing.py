"""ChartMuseum's `--gen-index`: print the root's index and end."""

from __future__ import annotations

import sys

from app.commands.house import open_house
from app.services.indexes import View
from app.services.museum import MuseumFiles
from app.settings import Settings


async def print_index(settings: Settings) -> None:
    """Take in the files that lie there and write the root's index to stdout. Raises AppError, StorageError."""
    async with open_house(settings) as house:
        await MuseumFiles(
            house.database, house.storage, house.charts, house.ledger
        ).scan()  # whoever else scanned just now
        found = await house.parts.indexes.get("", View(not settings.json_index))
        for piece in found.get("").body.pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
