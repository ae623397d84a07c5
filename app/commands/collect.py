"""`chartroom gc`: garbage collected once, and what went in words."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from app.commands.house import open_house
from app.commands.words import count
from app.errors import AppError, Kind
from app.services.collect import Collected
from app.settings import Settings
from app.wiring import House


async def collect(settings: Settings, write: Callable[[str], None], *, dry_run: bool, force: bool = False) -> int:
    """Collect garbage, or say what would go; answer the exit code. Raises AppError, StorageError.

    With `force` also in a store whose ledger cannot be read or seems to be missing, unknown blobs included.
    """
    async with open_house(settings, ready=not (dry_run or force), must_exist=True) as house:
        if dry_run or force:
            await house.opening.run()  # what is wrong with the ledger may stop it, and is overridden or said below
        if not dry_run:
            await _check_writer(house)
        found = await house.collector.run(dry_run=dry_run, force=force)
    for line in _render(found, settings, dry_run=dry_run):
        write(line)
    return 0


async def _check_writer(house: House) -> None:
    """Raise AppError UNAVAILABLE where another catalogue writes to the store: its uploads would look like garbage."""
    readiness = house.parts.readiness
    if time.monotonic() < readiness.may_write_until:
        return
    if not readiness.opened and await house.opening.may_take_lease():
        return
    text = "another server with its own database writes to this store; run `chartroom gc` with that one's --database"
    raise AppError(Kind.UNAVAILABLE, text)


def _render(found: Collected, settings: Settings, *, dry_run: bool) -> Iterator[str]:
    verb = "would go" if dry_run else "went"
    parts = [count(found.manifests, "manifest"), count(found.sessions, "unfinished upload")]
    parts.append(f"{count(found.links, 'link')} that nothing used")
    yield f"{count(found.blobs, 'blob')} of {found.freed} bytes, {', '.join(parts)} {verb}"
    if found.condemned:
        kept = f"{'would be' if dry_run else 'will be'} kept for another {settings.gc_grace:g} s (CHARTROOM_GC_GRACE)"
        yield f"{count(found.condemned, 'blob')} that nothing refers to {kept}"
    if found.unknown:
        yield (
            f"unknown: {count(found.unknown, 'blob')} of {found.unknown_bytes} bytes that no record ever named; each is"
            f" kept for {settings.upload_expiry:g} s after it was first seen (CHARTROOM_UPLOAD_EXPIRY)"
        )
    if found.stopped and dry_run:
        yield f"nothing would be collected: {found.stopped}"
