"""Charts made up for the benchmark: their metadata, as large and as repetitive as that of a real index, and archives.

Everything follows from numbers, so that every run has the same charts.
"""

from __future__ import annotations

import io
import random
import struct
import tarfile
import zlib
from functools import lru_cache

import orjson
import yaml
from isal import isal_zlib

MODIFIED = 1_700_000_000
"""When every file of a chart was changed, in seconds since 1970."""

_WORDS = [
    "apache",
    "backend",
    "cache",
    "cluster",
    "config",
    "controller",
    "dashboard",
    "database",
    "deploy",
    "distributed",
    "engine",
    "event",
    "exporter",
    "gateway",
    "graph",
    "helm",
    "index",
    "ingress",
    "kafka",
    "key",
    "kubernetes",
    "ledger",
    "log",
    "manager",
    "memory",
    "mesh",
    "metrics",
    "monitor",
    "network",
    "node",
    "object",
    "operator",
    "platform",
    "policy",
    "pool",
    "proxy",
    "queue",
    "registry",
    "replica",
    "scalable",
    "search",
    "secret",
    "server",
    "service",
    "session",
    "shard",
    "storage",
    "stream",
    "table",
    "tenant",
    "tracing",
    "vault",
    "volume",
    "web",
    "worker",
    "zone",
]
_KEYWORDS, _TEXT = 5, 18
_INSIDE = 146 * 1024
"""Bytes in a typical chart of 20 KB, unpacked."""

# Helm writes an extra field and a comment into the gzip header of every package (pkg/chartutil/save.go).
_EXTRA = b"+aHR0cHM6Ly95b3V0dS5iZS96OVV6MWljandyTQo="
_GZIP_HEAD = b"\x1f\x8b\x08\x14" + bytes(4) + b"\x00\xff" + struct.pack("<H", len(_EXTRA)) + _EXTRA + b"Helm\x00"


def name_chart(number: int) -> str:
    """Answer the name of chart `number`."""
    return f"{_WORDS[number % len(_WORDS)]}-{number:05d}"


@lru_cache(maxsize=16384)
def _describe(number: int) -> dict[str, object]:
    pick = random.Random(number)
    name = name_chart(number)
    home = f"https://{name}.example.org"
    return {
        "name": name,
        "home": home,
        "sources": [f"https://git.example.org/charts/{name}", f"https://git.example.org/{name}/{name}"],
        "version": "",
        "description": " ".join(pick.choices(_WORDS, k=_TEXT)).capitalize(),
        "keywords": pick.sample(_WORDS, _KEYWORDS),
        "maintainers": [{"name": f"{name}-team", "email": f"team@{name}.example.org"}],
        "icon": f"{home}/static/images/logo.png",
        "apiVersion": "v2",
        "appVersion": "",
        "type": "application",
    }


def describe(number: int, version: str) -> dict[str, object]:
    """Answer the metadata of one version of chart `number`, its fields in Helm's order."""
    return {**_describe(number), "version": version, "appVersion": f"v{version}"}


def render_config(number: int, version: str) -> bytes:
    """Answer the metadata as Go's json.Marshal writes it; it holds no character that Go would escape."""
    return orjson.dumps(describe(number, version))


def _render_values(pick: random.Random) -> str:
    """Answer a values.yaml as charts have them: two levels, and as many comments as values, 3 KB."""
    lines = []
    for word in _WORDS[:20]:
        lines += [
            f"# How the {word} is set up. More about it is in the manual of the {word} and its",
            f"{word}:",
        ]
        for key in _WORDS[:3]:
            lines += [f"  # {key}: see above", f"  {key}: {pick.choice(('true', '8080', '500m', 'latest'))}"]
    return "\n".join(lines) + "\n"


@lru_cache(maxsize=512)
def _pack_rest(number: int, size: int, inside: int) -> tuple[bytes, int, int]:
    """Answer all files but Chart.yaml as the end of a deflate stream, their checksum and their length unpacked."""
    name, pick = name_chart(number), random.Random(number)
    lines = [f"{word}: {{{{ .Values.{word}.{other} | quote }}}}" for word in _WORDS for other in _WORDS[:4]]
    text = "\n".join(pick.choice(lines) for _ in range(inside // 45)).encode()
    sixth = len(text) // 6
    files = {f"templates/{at}.yaml": text[at * sixth : (at + 1) * sixth] for at in range(5)}
    files["values.yaml"] = _render_values(pick).encode()
    text_size = len(_deflate(_tar(name, files), last=True))
    files["icon.png"] = pick.randbytes(max(0, size - text_size - 700))
    rest = _tar(name, files) + bytes(1024)
    return _deflate(rest, last=True), zlib.crc32(rest), len(rest)


def make_archive(number: int, version: str, *, size: int, inside: int = _INSIDE) -> bytes:
    """Make the package of one version of chart `number`, about `size` bytes, as `helm package` would.

    `inside` is the size unpacked; its text takes a seventeenth of that when packed, an icon the rest of `size`.
    Only Chart.yaml is compressed each time, as a deflate segment of its own: 0.1 ms.
    """
    head = _tar(name_chart(number), {"Chart.yaml": _render_version(number, version)})
    rest, rest_crc, rest_size = _pack_rest(number, size, inside)
    crc = isal_zlib.crc32_combine(zlib.crc32(head), rest_crc, rest_size)
    return b"".join((
        _GZIP_HEAD, _deflate(head, last=False), rest, struct.pack("<II", crc, len(head) + rest_size)
    ))  # fmt: skip


def make_tiny_archive(number: int, version: str) -> bytes:
    """Make a package that holds nothing but the Chart.yaml of one version of chart `number`: less than 1 KB."""
    content = _tar(name_chart(number), {"Chart.yaml": _render_version(number, version)}) + bytes(1024)
    end = struct.pack("<II", zlib.crc32(content), len(content))
    return b"".join((_GZIP_HEAD, _deflate(content, last=True), end))


def _render_version(number: int, version: str) -> bytes:
    return _render_chart_yaml(number).replace("@version@", version).encode()


@lru_cache(maxsize=16384)
def _render_chart_yaml(number: int) -> str:
    return yaml.safe_dump(describe(number, "@version@"))


def _tar(name: str, files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    for path, content in files.items():
        member = tarfile.TarInfo(f"{name}/{path}")
        member.size, member.mtime = len(content), MODIFIED
        target.write(member.tobuf(tarfile.USTAR_FORMAT))
        target.write(content + bytes(-len(content) % 512))
    return target.getvalue()


def _deflate(content: bytes, *, last: bool) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush(zlib.Z_FINISH if last else zlib.Z_FULL_FLUSH)
