"""Reads gzip in pieces and only as far as somebody asks, so that a bomb costs what its first pieces cost.

Errors are worded like Go's compress/gzip, which Helm shows. Not here: what lies inside (tar.py, archive.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from isal import igzip_lib, isal_zlib

from app.errors import AppError, Kind

MAX_CHART_BYTES = 100 * 1024 * 1024
"""Bytes that the files of a chart may have together, subcharts included (Helm: loader.MaxDecompressedChartSize)."""

MAX_YAML_BYTES = 8 * 1024 * 1024
"""Bytes of Chart.yaml, values.yaml and the like in a chart and its subcharts: the worst take 1 us each, so 8 s."""

_MAX_HEADER_BYTES = 8 * 1024 * 1024  # tar headers on top: 16,384 of them, read in about 0.15 s
_MAX_MEMBERS = 10_000  # gzip members one after the other; bgzip makes 1,600 of 100 MiB
_PIECE = 64 * 1024  # compressed bytes handed over at a time, so that little is copied when output is left over
_CHUNK = 64 * 1024  # bytes answered at a time; from 128 KiB on, malloc asks the kernel for each, at twice the time

_HEADER_CRC, _EXTRA, _NAME, _COMMENT = 2, 4, 8, 16
_MAX_TEXT = 512  # Go reads names and comments into a buffer of that size


@dataclass(slots=True)
class Allowance:
    """What is left of one upload's limits, in bytes: files, tar headers, everything decompressed, YAML to be read."""

    files: int = MAX_CHART_BYTES
    headers: int = _MAX_HEADER_BYTES
    everything: int = MAX_CHART_BYTES + _MAX_HEADER_BYTES
    yaml: int = MAX_YAML_BYTES


def broken(problem: str) -> AppError:
    """Answer the error for content that is not what it should be."""
    return AppError(Kind.INVALID, problem)


def too_large() -> AppError:
    """Answer Helm's error for a chart that decompresses to more than its limit."""
    return broken(f"decompressed chart is larger than the maximum file size {MAX_CHART_BYTES}")


class Inflater:
    """Decompresses gzip, several members as one stream, what follows the last byte asked for ignored.

    Raises AppError INVALID from its methods, `EOF` for an empty content at once.
    """

    def __init__(self, content: bytes, allowance: Allowance) -> None:
        self._content = content
        self._allowance = allowance
        self._at = 0
        self._members = 0
        self._checksum = self._length = 0  # of what the member has given so far
        if not content:
            raise broken("EOF")
        self._begin_member()

    def read(self) -> bytes:
        """Answer the next bytes, at most 64 KiB, or none at the end."""
        while True:
            member = self._member
            if member.eof:
                self._end_member()
                if self._at == len(self._content):
                    return b""
                self._begin_member()
                continue
            chunk = self._decompress(member)
            if chunk:
                self._allowance.everything -= len(chunk)
                if self._allowance.everything < 0:
                    raise too_large()
                self._checksum = isal_zlib.crc32(chunk, self._checksum)
                self._length += len(chunk)
                return chunk
            if member.needs_input and self._at == len(self._content) and not member.eof:
                raise broken("unexpected EOF")

    def _decompress(self, member: igzip_lib.IgzipDecompressor) -> bytes:
        piece: bytes | memoryview = b""
        if member.needs_input:
            piece = memoryview(self._content)[self._at : self._at + _PIECE]
            self._at += len(piece)
        try:
            return bytes(member.decompress(piece, _CHUNK))
        except igzip_lib.error:  # type: ignore[misc]  # the stub declares an instance
            raise broken("flate: corrupt input; the archive was damaged, package the chart again") from None

    def _end_member(self) -> None:
        self._at -= len(self._member.unused_data)
        trailer = self._take(8)
        if int.from_bytes(trailer[:4], "little") != self._checksum or int.from_bytes(trailer[4:], "little") != (
            self._length & 0xFFFFFFFF
        ):
            raise broken("gzip: invalid checksum")

    def _begin_member(self) -> None:
        self._members += 1
        if self._members > _MAX_MEMBERS:
            raise broken(f"gzip: more than {_MAX_MEMBERS} members; compress the chart as one")
        begin = self._at
        magic = self._take(10)
        if magic[:3] != b"\x1f\x8b\x08":
            raise broken("gzip: invalid header")
        flags = magic[3]
        if flags & _EXTRA:
            self._take(int.from_bytes(self._take(2), "little"))
        for text in (_NAME, _COMMENT):
            if flags & text:
                self._skip_text()
        if flags & _HEADER_CRC:
            checksum = isal_zlib.crc32(self._content[begin : self._at]) & 0xFFFF
            if int.from_bytes(self._take(2), "little") != checksum:
                raise broken("gzip: invalid header")
        # Raw deflate, its checksum made beside it, is twice as fast as the gzip mode of igzip.
        self._member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE)
        self._checksum = self._length = 0

    def _take(self, count: int) -> bytes:
        taken = self._content[self._at : self._at + count]
        if len(taken) < count:
            raise broken("unexpected EOF")
        self._at += count
        return taken

    def _skip_text(self) -> None:
        end = self._content.find(0, self._at, self._at + _MAX_TEXT)
        if end < 0:
            raise broken("unexpected EOF" if len(self._content) - self._at < _MAX_TEXT else "gzip: invalid header")
        self._at = end + 1
