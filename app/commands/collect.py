"""`chartroom gc`: garbage collected once, and what went in words."""

from __future__ import annotations

from collections.abc import Callable

from app.commands.house import open_house
from app.settings import Settings


async def collect(settings: Settings, write: Callable[[str], None], *, dry_run: bool) -> int:
    """Collect garbage, or say what would go; answer the exit code. Raises AppError, StorageError."""
    async with open_house(settings) as house:
        found = await house.collector.run(dry_run=dry_run)
    verb = "would go" if dry_run else "went"
    write(f"{found.blobs} blobs of {found.freed} bytes, {found.manifests} manifests, {found.sessions} uploads {verb}")
    if found.condemned:
        kept = f"{settings.gc_grace:g} s (CHARTROOM_GC_GRACE)"
        write(
            f"{found.condemned} blobs that nothing refers to {'would be' if dry_run else 'are'} kept for another {kept}"
        )
    return 0
