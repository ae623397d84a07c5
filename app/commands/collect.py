"""`chartroom gc`: garbage collected once, and what went in words."""

from __future__ import annotations

from collections.abc import Callable

from app.commands.house import open_house
from app.commands.words import count
from app.settings import Settings


async def collect(settings: Settings, write: Callable[[str], None], *, dry_run: bool) -> int:
    """Collect garbage, or say what would go; answer the exit code. Raises AppError, StorageError."""
    async with open_house(settings) as house:
        found = await house.collector.run(dry_run=dry_run)
    verb = "would go" if dry_run else "went"
    parts = [count(found.manifests, "manifest"), count(found.sessions, "unfinished upload")]
    parts.append(f"{count(found.links, 'link')} that nothing used")
    write(f"{count(found.blobs, 'blob')} of {found.freed} bytes, {', '.join(parts)} {verb}")
    if found.condemned:
        kept = f"{'would be' if dry_run else 'will be'} kept for another {settings.gc_grace:g} s (CHARTROOM_GC_GRACE)"
        write(f"{count(found.condemned, 'blob')} that nothing refers to {kept}")
    return 0
