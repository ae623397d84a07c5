"""Walks through a storage: the segments of its ledger, and its blobs. Keys that are neither are passed over."""

from __future__ import annotations

from collections.abc import AsyncIterator

from app.domain.ledger import BLOBS, ROOT, SegmentName, parse_blob_key, parse_segment_key
from storage import ObjectStat, Storage

_PAGE = 500


async def scan_ledger(storage: Storage, prefix: str = ROOT) -> AsyncIterator[tuple[ObjectStat, SegmentName]]:
    """Return each segment and snapshot with what its name says, in any order. Raises StorageError."""
    async for stat in storage.scan(prefix):
        name = parse_segment_key(stat.key)
        if name is not None:
            yield stat, name


async def scan_blobs(storage: Storage) -> AsyncIterator[list[tuple[str, ObjectStat]]]:
    """Return all blobs with their digests, in any order, in pages of at most 500. Raises StorageError."""
    page: list[tuple[str, ObjectStat]] = []
    async for stat in storage.scan(BLOBS):
        digest = parse_blob_key(stat.key)
        if digest is not None:
            page.append((digest, stat))
        if len(page) == _PAGE:
            yield page
            page = []
    if page:
        yield page
