"""Walks over the members of a tar stream: ustar, GNU, star and V7 headers, pax records and GNU long names.

It reads what Go's archive/tar reads and words its errors like it; contents are skipped unless asked for. Not here:
what a chart may contain (archive.py), decompression (inflate.py).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import NamedTuple

from app.domain import pax
from app.domain.inflate import Allowance, broken, too_large

SPECIAL = {
    b"1": "hard link",
    b"2": "symbolic link",
    b"3": "character device",
    b"4": "block device",
    b"6": "named pipe",
    b"S": "sparse file",
}
"""Kinds of members that are neither file nor directory."""

_BLOCK = 512
_ZEROS = bytes(_BLOCK)
_MAX_EXTENSION = 1 << 20  # archive/tar: maxSpecialFileSize
_WITHOUT_CONTENT = frozenset(b"123456"[at : at + 1] for at in range(6))

# A header as nearly every program writes it: ustar, no prefix, not star. Others are read field by field.
# Groups: mode, size, mtime, checksum (six or seven digits), type flag.
_ORDINARY = re.compile(
    rb"""(?s).{100}
    ([0-7]{7})[\0\ ] (?:[0-7]{7}[\0\ ]){2} ([0-7]{11})[\0\ ] ([0-7]{11})[\0\ ]
    (?:([0-7]{6})\0\ |([0-7]{7})[\0\ ]) (.)
    .{100} ustar\0 .{66} (?:\0{16}|[0-7]{7}[\0\ ][0-7]{7}[\0\ ]) \0 .{162} (?!tar\0)""",
    re.VERBOSE,
)
_OCTAL = re.compile(rb"[0-7]+")


class Member(NamedTuple):
    """A member: its name as written, bytes of content, kind (a type flag), and time of change in seconds."""

    name: str
    size: int
    kind: bytes
    is_directory: bool
    modified: int


_Header = tuple[bytes, int, bytes, int, int]  # name, size, kind, mode, modified


class TarReader:
    """Answers members one after the other; `read` answers the decompressed stream in pieces, nothing at its end."""

    def __init__(self, read: Callable[[], bytes], allowance: Allowance) -> None:
        self._read = read
        self._allowance = allowance
        self._buffer = b""
        self._at = 0
        self._left = 0  # content of the member that nobody has taken
        self._padding = 0

    def next(self) -> Member | None:
        """Answer the next member, or None at the end. Raises AppError INVALID (archive/tar, reader.go)."""
        long_name = b""
        records: dict[bytes, bytes] = {}
        while True:
            if not self._advance():
                return None
            name, size, kind, mode, modified = _read_header(self._buffer, self._at - _BLOCK)
            if kind == b"x" or kind == b"g":
                self._expect(size)
                records = pax.read_records(self._extension())
                if kind == b"g":  # for everybody, and of no interest; what stood before it is forgotten
                    long_name, records = b"", {}
            elif kind == b"L" or kind == b"K":
                self._expect(size)
                text = self._extension().partition(b"\0")[0]
                if kind == b"L":
                    long_name = text
            else:
                break
        if records:
            name, size, kind, modified = pax.overrule(records, name, size, kind, modified)
        name = long_name or name
        if kind == b"\0":  # old archives mark directories by a slash
            kind = b"5" if name.endswith(b"/") else b"0"
        self._expect(0 if kind in _WITHOUT_CONTENT else size)
        is_directory = kind == b"5" or mode & ~0o7777 == 0o40000
        return Member(name.decode(errors="replace"), size, kind, is_directory, modified)

    def content(self) -> bytes:
        """Answer the content of the member that `next` answered last."""
        content = self._take(self._left, allow_end=False)
        self._left = 0
        return content

    def _expect(self, size: int) -> None:
        if size < 0:
            raise pax.invalid()
        self._left = size
        self._padding = -size % _BLOCK

    def _extension(self) -> bytes:
        if self._left > _MAX_EXTENSION:
            raise broken("archive/tar: header field too long")
        self._charge(self._left)
        return self.content()

    def _advance(self) -> bool:
        """Go behind the next header; False at the end: zeros before zeros or before nothing, or nothing."""
        at = self._at + self._left + self._padding
        if at + _BLOCK > len(self._buffer):
            if not self._fetch_block():
                return False
            at = self._at
        self._left = self._padding = 0
        self._at = at + _BLOCK
        if self._buffer.startswith(_ZEROS, at):
            second = self._take(_BLOCK, allow_end=True)
            if 0 < len(second) < _BLOCK:
                raise broken("unexpected EOF")
            if second and second != _ZEROS:
                raise pax.invalid()
            return False
        self._charge(_BLOCK)
        return True

    def _fetch_block(self) -> bool:
        """Go to the next block, which is not in the buffer as a whole; False if the stream ends before it."""
        self._skip(self._left)
        self._left = 0
        if len(self._take(self._padding, allow_end=True)) < self._padding:
            return False
        block = self._take(_BLOCK, allow_end=True)
        if not block:
            return False
        if len(block) < _BLOCK:
            raise broken("unexpected EOF")
        self._buffer, self._at = block + self._buffer[self._at :], 0
        return True

    def _charge(self, count: int) -> None:
        self._allowance.headers -= count
        if self._allowance.headers < 0:
            raise too_large()

    def _take(self, count: int, *, allow_end: bool) -> bytes:
        """Answer the next `count` bytes; fewer only if the stream ends and that is allowed."""
        end = self._at + count
        if end <= len(self._buffer):
            taken = self._buffer[self._at : end]
            self._at = end
            return taken
        pieces = [self._buffer[self._at :]]
        missing = count - len(pieces[0])
        while missing:
            self._buffer, self._at = self._read(), 0
            if not self._buffer:
                if allow_end:
                    break
                raise broken("unexpected EOF")
            piece = self._buffer[:missing]
            self._at = len(piece)
            missing -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def _skip(self, count: int) -> None:
        count -= len(self._buffer) - self._at
        while count > 0:
            self._buffer = self._read()
            if not self._buffer:
                raise broken("unexpected EOF")
            count -= len(self._buffer)
        self._at = len(self._buffer) + count


def _read_header(buffer: bytes, at: int) -> _Header:
    """Read the block at `at`, its checksum verified (archive/tar, readHeader)."""
    ordinary = _ORDINARY.match(buffer, at)
    if ordinary is None:
        return _read_odd_header(buffer[at : at + _BLOCK])
    mode, size, modified, six, seven, kind = ordinary.groups()
    _verify(buffer, at, int(six or seven, 8))
    name = buffer[at : at + 100].partition(b"\0")[0]
    return name, int(size, 8), kind, int(mode, 8), int(modified, 8)


def _read_odd_header(block: bytes) -> _Header:
    _verify(block, 0, _octal(block[148:156]))
    mode, _, _ = (_number(block[field : field + 8]) for field in (100, 108, 116))
    size, modified = _number(block[124:136]), _number(block[136:148])
    name = block[:100].partition(b"\0")[0]
    magic = block[257:263]
    if magic == b"ustar\0" or magic == b"ustar ":
        prefix = _prefix(block, magic)
        if prefix:
            name = prefix + b"/" + name
    return name, size, block[156:157], mode, modified


def _verify(buffer: bytes, at: int, stored: int) -> None:
    # Adler-32 begins with 1 and keeps the sum of all bytes modulo 65521 in its low half: the checksum in C.
    before, behind = buffer[at : at + 148], buffer[at + 156 : at + _BLOCK]
    if (zlib.adler32(behind, zlib.adler32(before)) & 0xFFFF) == (stored - 256 + 1) % 65521:
        return
    # Some programs added signed bytes.
    if stored != 256 + sum(byte - 256 if byte > 127 else byte for byte in before + behind):
        raise pax.invalid()


def _prefix(block: bytes, magic: bytes) -> bytes:
    _number(block[329:337])
    _number(block[337:345])
    if magic == b"ustar\0":
        is_star = block[508:512] == b"tar\0"
        if is_star:
            _number(block[476:488])
            _number(block[488:500])
        return block[345 : 476 if is_star else 500].partition(b"\0")[0]
    if block[263:265] != b" \0" or not block[345]:
        return b""
    # GNU keeps times where ustar keeps the prefix. Go before 1.8 wrote a prefix there all the same.
    try:
        _number(block[345:357])
        if block[357]:
            _number(block[357:369])
    except Exception:
        prefix = block[345:500].partition(b"\0")[0]
        return prefix if prefix.isascii() else b""
    return b""


def _number(field: bytes) -> int:
    """Read octal digits, or if the first bit is set a big-endian number in two's complement."""
    if not field[0] & 0x80:
        return _octal(field)
    bits = len(field) * 8 - 1
    number = int.from_bytes(field, "big") & ((1 << bits) - 1)
    if number >> (bits - 1):
        number -= 1 << bits
    if not -(2**63) <= number < 2**63:
        raise pax.invalid()
    return number


def _octal(field: bytes) -> int:
    digits = field.strip(b" \0").partition(b"\0")[0]
    if not digits:
        return 0
    if not _OCTAL.fullmatch(digits):
        raise pax.invalid()
    return int(digits, 8)
