"""What a chart archive may be, and what is read out of it: the rules of Helm's loader, and three of our own.

The twin of Helm's pkg/chart/loader (archive.go, load.go). Ours: links and devices, absolute paths and a second top
directory are refused, where Helm takes them for empty files or merges them. Not here: gzip (inflate.py), tar headers
(tar.py), the fields of Chart.yaml (metadata.py), digests and file names.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from app.domain import gojson, values
from app.domain.inflate import MAX_YAML_BYTES, Allowance, Inflater, broken, too_large
from app.domain.metadata import Metadata, check_lock, read_metadata
from app.domain.tar import SPECIAL, Member, TarReader
from app.errors import AppError

MAX_FILE_BYTES = 5 * 1024 * 1024
"""Bytes of the largest file in a chart (Helm: loader.MaxDecompressedFileSize)."""

_MAX_SUBCHART_DEPTH = 32  # Helm has no limit and dies of an archive that contains itself

_YEAR_10000 = 253_402_300_800  # in seconds; RFC 3339 ends before it

_BOM = b"\xef\xbb\xbf"
_LOCKS = ("Chart.lock", "requirements.lock")
_READ = frozenset(("Chart.yaml", "values.yaml", "requirements.yaml", *_LOCKS))
_ODD_ROOTS = ("", ".", "..", "Chart.yaml")
_DRIVE = re.compile(r"[a-zA-Z]:/")


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart that can be loaded.

    `modified` is when its Chart.yaml was changed, in seconds since 1970, as the archive says; 0 if it says nothing
    or nonsense.
    """

    metadata: Metadata
    modified: int


class _File(NamedTuple):
    """A file below the top directory; unwanted content is left out."""

    path: str
    content: bytes
    modified: int


def read_chart(content: bytes, allowance: Allowance | None = None) -> Chart:
    """Read and judge a chart archive, its subcharts included, within the allowance (None: the limits of a chart).

    Raises AppError INVALID with the texts of Helm's loader, which ChartMuseum answers (loader.LoadArchive).
    """
    allowance = allowance or Allowance()
    return _load(_read_members(content, allowance, _is_needed), allowance, depth=0)


def read_files(content: bytes) -> dict[str, bytes]:
    """Answer every file by its path below the top directory, byte order marks stripped.

    Raises AppError INVALID like `read_chart`, for the same limits, but does not judge what the files say.
    """
    return {file.path: file.content for file in _read_members(content, Allowance(), lambda path: True)}


def read_templates(content: bytes) -> list[tuple[str, bytes]]:
    """Answer name and content of each file below templates/, in the archive's order. Raises like `read_files`."""
    files = _read_members(content, Allowance(), lambda path: path.startswith("templates/"))
    return [(file.path, file.content) for file in files if file.path.startswith("templates/")]


def read_values(content: bytes) -> bytes | None:
    """Answer values.yaml without its byte order mark, None if there is none. Raises like `read_files`."""
    found = None
    for file in _read_members(content, Allowance(), lambda path: path == "values.yaml"):
        if file.path == "values.yaml":
            found = file.content
    return found


def _is_needed(path: str) -> bool:
    if path in _READ:
        return True
    return path.startswith("charts/") and (path.endswith(".tgz") or path.rpartition("/")[2] in _READ)


def _read_members(content: bytes, allowance: Allowance, is_wanted: Callable[[str], bool]) -> list[_File]:
    """Walk the archive once and keep the content of wanted files (archive.go, LoadArchiveFiles)."""
    reader = TarReader(Inflater(content, allowance).read, allowance)
    files: list[_File] = []
    top: str | None = None
    while (member := reader.next()) is not None:
        if member.is_directory and member.kind not in SPECIAL:
            continue
        root, path = _locate(member)
        if top is None:
            top = root
        elif root != top:
            raise _two_roots(top, root)
        _check_size(member, allowance)
        wanted = is_wanted(path)
        found = reader.content().removeprefix(_BOM) if wanted else b""
        allowance.files -= member.size
        if allowance.files <= 0:
            raise too_large()
        files.append(_File(path, found, member.modified))
    if not files:
        raise broken("no files in chart archive")
    return files


def _two_roots(first: str, second: str) -> AppError:
    return broken(
        f"chart archive has two roots, {gojson.quote(first)} and {gojson.quote(second)}: one archive holds one chart "
        "below one directory; package each alone"
    )


def _locate(member: Member) -> tuple[str, str]:
    """Answer the top directory and the path below it; refuse what could lie elsewhere."""
    name = member.name
    if member.kind in SPECIAL:
        raise broken(
            f"chart archive holds a {SPECIAL[member.kind]}, {gojson.quote(name)}: charts hold only files and "
            "directories, since a link can lead out of them; put the file itself there"
        )
    root, _, path = name.partition("/")
    is_odd = "//" in name or "/." in name or "\\" in name or ":" in name
    if is_odd or not path or root in _ODD_ROOTS or path[-1] == "/":
        return _locate_odd(name)
    return root, path


def _locate_odd(name: str) -> tuple[str, str]:
    """Do what `_locate` does for names that need a closer look, step by step as Helm does."""
    # Archives made on Windows may separate by backslashes.
    delimiter = "\\" if "\\" in name else "/"
    root, separator, path = name.partition(delimiter)
    if separator and (not root or _DRIVE.match(root + "/")):
        raise broken(
            f"chart archive holds an absolute path, {gojson.quote(name)}: every file must lie below the chart's "
            "directory; use helm package"
        )
    path = path.replace(delimiter, "/")
    if path.startswith("/"):
        raise broken("chart illegally contains absolute paths")
    path = posixpath.normpath(path)
    if path == ".":
        raise broken(f"chart illegally contains content outside the base directory: {gojson.quote(name)}")
    if path.startswith("..") or root == "..":
        raise broken("chart illegally references parent directory")
    if _DRIVE.match(path):
        raise broken("chart contains illegally named files")
    if root == "Chart.yaml":
        raise broken("chart yaml not in base directory")
    return root, path


def _check_size(member: Member, allowance: Allowance) -> None:
    if member.size > allowance.files:
        raise too_large()
    if member.size > MAX_FILE_BYTES:
        raise broken(
            f"decompressed chart file {gojson.quote(member.name)} is larger than the maximum file size {MAX_FILE_BYTES}"
        )


def _load(files: list[_File], allowance: Allowance, *, depth: int) -> Chart:
    """Judge the files of one chart, then its subcharts (load.go, LoadFiles)."""
    # Of a path that comes twice the later one counts.
    by_path = {file.path: file for file in files}
    allowance.yaml -= sum(len(file.content) for file in files if file.path in _READ)
    if allowance.yaml < 0:
        raise broken(
            f"the Chart.yaml and values.yaml files of the chart and its subcharts are larger than {MAX_YAML_BYTES} "
            "bytes together; make them smaller"
        )
    chart_yaml, requirements = by_path.get("Chart.yaml"), by_path.get("requirements.yaml")
    if chart_yaml is None:
        raise broken("Chart.yaml file is missing")
    metadata = read_metadata(chart_yaml.content, requirements.content if requirements else None)
    for filename in _LOCKS:
        if filename in by_path:
            check_lock(by_path[filename].content, filename)
    if "values.yaml" in by_path:
        values.check_values(by_path["values.yaml"].content)
    for name, parts in _group_subcharts(files).items():
        if name.endswith(".tgz") and parts[0].path != name:
            raise broken(f"error unpacking subchart tar in {metadata.name}: expected {name}, got {parts[0].path}")
        try:
            _load_subchart(name, parts, allowance, depth + 1)
        except AppError as error:
            raise broken(f"error unpacking subchart {name} in {metadata.name}: {error.message}") from None
    modified = chart_yaml.modified
    return Chart(metadata, modified if 0 <= modified < _YEAR_10000 else 0)


def _group_subcharts(files: list[_File]) -> dict[str, list[_File]]:
    """Answer the files below charts/ by their first step, without those that Helm ignores."""
    groups: dict[str, list[_File]] = {}
    for file in files:
        if file.path.startswith("charts/") and not file.path.endswith(".prov"):
            path = file.path.removeprefix("charts/")
            name = path.partition("/")[0]
            if name[0] not in "_.":
                groups.setdefault(name, []).append(_File(path, file.content, file.modified))
    return groups


def _load_subchart(name: str, files: list[_File], allowance: Allowance, depth: int) -> None:
    if depth > _MAX_SUBCHART_DEPTH:
        raise broken(f"subcharts are nested more than {_MAX_SUBCHART_DEPTH} deep; unpack some of them")
    if name.endswith(".tgz"):
        below = _read_members(files[0].content, allowance, _is_needed)
    else:
        below = [_File(file.path.partition("/")[2], file.content, file.modified) for file in files if "/" in file.path]
    _load(below, allowance, depth=depth)
