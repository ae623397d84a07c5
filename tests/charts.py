"""Chart archives built in memory, the same bytes every time: good ones, odd ones and hostile ones."""

from __future__ import annotations

import io
import json
import tarfile
import zlib
from collections.abc import Iterable, Mapping

Files = Mapping[str, bytes | str | None]

_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


def make_chart(
    name: str = "mychart",
    version: str = "0.1.0",
    *,
    files: Files | None = None,
    top: str | None = None,
    extra: Iterable[tarfile.TarInfo | tuple[str, bytes]] = (),
    **chart_yaml: object,
) -> bytes:
    """Answer a chart archive.

    `files` lie below the top directory (None leaves one of the usual files out); `top` is another name for that
    directory; `extra` members come last, under their own full names; further keywords are fields of Chart.yaml.
    """
    top = name if top is None else top
    fields = {"apiVersion": "v2", "name": name, "version": version, **chart_yaml}
    contents: dict[str, bytes | str | None] = {
        "Chart.yaml": "".join(f"{field}: {json.dumps(value)}\n" for field, value in fields.items()),
        "values.yaml": "replicas: 1\n",
        "templates/pod.yaml": "kind: Pod\n",
        **(files or {}),
    }
    members = [(f"{top}/{path}", content) for path, content in contents.items() if content is not None]
    return pack(*members, *extra)


def pack(*members: tarfile.TarInfo | tuple[str, bytes | str], tar_format: int = tarfile.USTAR_FORMAT) -> bytes:
    """Answer a gzipped tar of these members, by full name; nothing is added."""
    return compress(make_tar(*members, tar_format=tar_format))


def make_tar(*members: tarfile.TarInfo | tuple[str, bytes | str], tar_format: int = tarfile.USTAR_FORMAT) -> bytes:
    """Answer the tar alone."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tar_format) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            name, content = member
            content = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), 1_600_000_000
            archive.addfile(info, io.BytesIO(content))
    return target.getvalue()


def make_link(name: str, kind: bytes = tarfile.SYMTYPE, target: str = "/etc/passwd") -> tarfile.TarInfo:
    """Answer a member without content: a link, a device (`tarfile.CHRTYPE`), a directory (`tarfile.DIRTYPE`) ..."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def patch_header(tar: bytes, changes: Mapping[int, bytes]) -> bytes:
    """Answer the tar with bytes of its first header replaced, by offset, and the checksum made right."""
    block = bytearray(tar)
    for at, content in changes.items():
        block[at : at + len(content)] = content
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + 8 * ord(" ") + sum(block[156:512]))
    return bytes(block)


def compress(content: bytes) -> bytes:
    """Answer the content as gzip, without a time in its header."""
    deflater = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    deflated = deflater.compress(content) + deflater.flush()
    trailer = zlib.crc32(content).to_bytes(4, "little") + (len(content) & 0xFFFFFFFF).to_bytes(4, "little")
    return _GZIP_HEADER + deflated + trailer


def make_bomb(head: bytes, block: bytes, times: int) -> bytes:
    """Answer gzip of `head`, then `block` again and again; the block is compressed only once."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    start = deflater.compress(head) + deflater.flush(zlib.Z_FULL_FLUSH)
    # After a full flush nothing refers back, so the bytes of one block can be repeated.
    repeated = deflater.compress(block) + deflater.flush(zlib.Z_FULL_FLUSH)
    return _GZIP_HEADER + start + repeated * times + b"\x03\x00" + bytes(8)
