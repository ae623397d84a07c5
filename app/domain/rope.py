"""A rope: the body of an index in pieces, so that one changed chart costs one small piece.

Charts are kept in buckets, in the order of their names. Each bucket has its bytes as they are, and, once
somebody asked, as a deflate segment and as a zstd frame. A gzip body is the segments one after the other (each ends
on a byte, after a full flush) with one header and one checksum combined from theirs; a zstd body is its frames
one after the other (RFC 8878, section 3). So nothing is ever compressed for a request, and nothing is joined.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import zstandard
from isal import isal_zlib

TARGET = 128 * 1024
"""Bytes a bucket is filled to: 73 MB of index are 560 buckets, and a change renders about 180 versions again."""

_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_DEFLATE_END = b"\x03\x00"  # a last, empty block
_GZIP_LEVEL = 1
_ZSTD_LEVEL = 3

Charts = Iterable[tuple[str, Sequence[bytes]]]
"""Charts in the order of their names, each with its entries, newest first."""


@dataclass(slots=True)
class Piece:
    """Some bytes of the body, and their compressed forms once made."""

    raw: bytes
    _deflated: tuple[bytes, int] | None = None
    _zstd: bytes | None = None

    @property
    def deflated(self) -> tuple[bytes, int]:
        """The bytes as a deflate segment that ends in a full flush, and the crc32 of the bytes."""
        if self._deflated is None:
            packer = isal_zlib.compressobj(_GZIP_LEVEL, isal_zlib.DEFLATED, -15)
            segment = packer.compress(self.raw) + packer.flush(isal_zlib.Z_FULL_FLUSH)
            self._deflated = (segment, isal_zlib.crc32(self.raw))
        return self._deflated

    @property
    def zstd(self) -> bytes:
        """The bytes as one zstd frame."""
        if self._zstd is None:
            self._zstd = zstandard.ZstdCompressor(_ZSTD_LEVEL).compress(self.raw)
        return self._zstd

    @property
    def weight(self) -> int:
        """Bytes of memory it holds."""
        return len(self.raw) + len(self._deflated[0] if self._deflated else b"") + len(self._zstd or b"")


@dataclass(slots=True)
class Bucket:
    """The charts from `first` up to the next bucket's first, rendered."""

    first: str
    piece: Piece


@dataclass(frozen=True, slots=True)
class Body:
    """A whole body as pieces that are never joined; `length` in bytes is that of all."""

    pieces: Sequence[bytes]
    length: int

    def joined_if_small(self) -> Body:
        """Answer the same body in one piece if that costs little: it is sent in one go then."""
        if self.length > TARGET or len(self.pieces) == 1:
            return self
        return Body([b"".join(self.pieces)], self.length)


@dataclass(slots=True)
class Rope:
    """All charts of one index. `render` turns a name and its entries into bytes; `separator` stands between."""

    render: Callable[[str, Sequence[bytes]], bytes]
    separator: bytes
    buckets: list[Bucket] = field(default_factory=list)

    def fill(self, charts: Charts) -> None:
        """Build every bucket anew."""
        self.buckets = self._pack(charts, leads=True)

    def span(self, name: str) -> tuple[str, str | None]:
        """Answer which names share the bucket of `name`: from the first, up to but not including the second.

        The first bucket starts at the empty name, the last has no end.
        """
        at = self._find(name)
        start = self.buckets[at].first if at > 0 else ""
        return start, self.buckets[at + 1].first if at + 1 < len(self.buckets) else None

    def replace(self, start: str, charts: Charts) -> None:
        """Render the bucket that begins at `start` again from all the charts in its span; it may split or vanish."""
        at = self._find(start)
        fresh = self._pack(charts, leads=at == 0)
        self.buckets[at : at + 1] = fresh
        if at == 0 and not fresh and self.buckets:  # the new first bucket must not begin with a separator
            head = self.buckets[0]
            self.buckets[0] = Bucket(head.first, Piece(head.piece.raw.removeprefix(self.separator)))

    @property
    def weight(self) -> int:
        """Bytes of memory it holds."""
        return sum(bucket.piece.weight for bucket in self.buckets)

    def body(self, head: bytes, tail: bytes) -> Body:
        """Answer the body as it is."""
        pieces = [head, *(bucket.piece.raw for bucket in self.buckets), tail]
        return Body(pieces, sum(map(len, pieces)))

    def gzip_body(self, head: bytes, tail: bytes) -> Body:
        """Answer the body as one gzip member."""
        pieces, crc, size = [_GZIP_HEADER], 0, 0
        for piece in (Piece(head), *(bucket.piece for bucket in self.buckets), Piece(tail)):
            segment, own = piece.deflated
            pieces.append(segment)
            crc = isal_zlib.crc32_combine(crc, own, len(piece.raw))
            size += len(piece.raw)
        pieces.append(_DEFLATE_END + struct.pack("<II", crc, size & 0xFFFFFFFF))
        return Body(pieces, sum(map(len, pieces)))

    def zstd_body(self, head: bytes, tail: bytes) -> Body:
        """Answer the body as zstd frames."""
        pieces = [Piece(head).zstd, *(bucket.piece.zstd for bucket in self.buckets), Piece(tail).zstd]
        return Body(pieces, sum(map(len, pieces)))

    def _find(self, name: str) -> int:
        return max(0, bisect_right(self.buckets, name, key=lambda bucket: bucket.first) - 1)

    def _pack(self, charts: Charts, *, leads: bool) -> list[Bucket]:
        buckets: list[Bucket] = []
        first, parts, size = "", [] if leads else [b""], 0
        for name, entries in charts:
            first = first or name
            parts.append(self.render(name, entries))
            size += len(parts[-1])
            if size >= TARGET:
                buckets.append(Bucket(first, Piece(self.separator.join(parts))))
                first, parts, size = "", [b""], 0
        if size:
            buckets.append(Bucket(first, Piece(self.separator.join(parts))))
        return buckets
