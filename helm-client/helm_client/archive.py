"""Chart archives (.tgz) and chart folders: what is in them, and how they are unpacked without harm."""

from __future__ import annotations

import gzip
import io
import json
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from helm_client.errors import InvalidChart

MAX_FILE = 5 * 1024 * 1024
MAX_CHART = 100 * 1024 * 1024
"""Bytes of one file, and of all of them unpacked: Helm's limits (loader/archive: MaxDecompressedFileSize)."""

MAX_FILES = 20_000

_METADATA = {
    "name", "home", "sources", "version", "description", "keywords", "maintainers", "icon", "apiVersion", "condition",
    "tags", "appVersion", "deprecated", "annotations", "kubeVersion", "dependencies", "type",
}  # fmt: skip
_README = re.compile(r"readme(?:\.md|\.txt)?", re.IGNORECASE)
_ODD = re.compile(r"[\x00-\x1f\x7f\\]")


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart's files by their path below its folder, and what its Chart.yaml says."""

    files: dict[str, bytes]
    metadata: dict[str, Any]

    @property
    def name(self) -> str:
        """The chart's name."""
        return str(self.metadata.get("name") or "")

    @property
    def version(self) -> str:
        """The chart's version."""
        return str(self.metadata.get("version") or "")

    @property
    def values(self) -> bytes:
        """The bytes of values.yaml, empty without one."""
        return self.files.get("values.yaml", b"")

    @property
    def readme(self) -> bytes | None:
        """The bytes of the README, or None."""
        return next((content for path, content in self.files.items() if _README.fullmatch(path)), None)

    def crds(self) -> list[bytes]:
        """Answer the files below crds/, this chart's first, then those of its subcharts, each by name."""
        own = [path for path in self.files if path.startswith("crds/") and path.endswith((".yaml", ".yml", ".json"))]
        nested = [path for path in self.files if re.fullmatch(r"(?:charts/[^/]+/)+crds/.+\.(?:ya?ml|json)", path)]
        return [self.files[path] for path in sorted(own) + sorted(nested)]


def read_chart(path: Path) -> Chart:
    """Read an archive or a chart folder. Raises InvalidChart; OSError when it cannot be opened."""
    files = dict(_read_folder(path) if path.is_dir() else _read_archive(path))
    if "Chart.yaml" not in files:
        raise InvalidChart("Chart.yaml file is missing")
    try:
        metadata = _load(files["Chart.yaml"])
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidChart(f"cannot load Chart.yaml: {error}") from error
    if not isinstance(metadata, dict):
        raise InvalidChart("cannot load Chart.yaml: it is no mapping")
    known = {
        key: value for key, value in metadata.items() if key in _METADATA and value not in (None, "", [], {}, False)
    }
    known.setdefault("apiVersion", "v1")  # as Helm takes charts that are older than the field
    if "dependencies" not in known and "requirements.yaml" in files:
        known["dependencies"] = (_load(files["requirements.yaml"]) or {}).get("dependencies") or []
    return Chart(files, known)


def unpack(path: Path, folder: Path) -> Path:
    """Unpack an archive into a folder; answer the chart's own folder there, which must not exist yet.

    Nothing lands outside of it, and nothing at all if something is wrong. Raises InvalidChart; OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=folder) as temporary:
        roots = set()
        for name, content in _iterate(path):
            root, _, _rest = name.partition("/")
            roots.add(root)
            target = Path(temporary) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        if len(roots) != 1:
            raise InvalidChart(f"{path.name} has {len(roots)} folders at its top; a chart has one")
        target = folder / roots.pop()
        if target.exists():
            raise InvalidChart(f"failed to untar: a file or directory with the name {target} already exists")
        shutil.move(Path(temporary) / target.name, target)
        return target


def _read_archive(path: Path) -> Iterator[tuple[str, bytes]]:
    for name, content in _iterate(path):
        _root, slash, rest = name.partition("/")
        if slash and rest:
            yield rest, content


def _iterate(path: Path) -> Iterator[tuple[str, bytes]]:
    """Answer each file of an archive: its path, checked, and its bytes. Links and devices are refused."""
    try:
        with gzip.open(path) as stream, tarfile.open(fileobj=_Bounded(stream, path.name), mode="r|") as archive:
            left = MAX_CHART
            for count, member in enumerate(archive):
                left -= member.size
                if member.size > MAX_FILE or left < 0 or count >= MAX_FILES:
                    raise _too_large(path.name)
                if not member.isdir():
                    name = _check_member(member, path.name)
                    file = archive.extractfile(member)
                    yield name, file.read() if file else b""
    except gzip.BadGzipFile as error:
        raise InvalidChart(f"{path.name} is no chart archive: it is not gzipped") from error
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise InvalidChart(f"{path.name} is no chart archive: {error}") from error


class _Bounded(io.RawIOBase):
    """Bytes of an archive as they come out of it, up to what a chart may have: headers of a bomb count, too."""

    def __init__(self, stream: gzip.GzipFile, name: str) -> None:
        self._stream, self._name, self._left = stream, name, MAX_CHART + MAX_FILES * 1024

    def read(self, size: int = -1) -> bytes:
        """Read on. Raises InvalidChart when there is too much."""
        content = self._stream.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise _too_large(self._name)
        return content


def _too_large(name: str) -> InvalidChart:
    return InvalidChart(
        f"{name} is too large unpacked: a file may have {MAX_FILE >> 20} MiB, a chart {MAX_CHART >> 20} MiB and "
        f"{MAX_FILES} files"
    )


def _check_member(member: tarfile.TarInfo, archive: str) -> str:
    name = member.name.removeprefix("./")
    parts = name.split("/")
    if name.startswith("/") or _ODD.search(name) or any(part in ("", ".", "..") for part in parts):
        raise InvalidChart(f"{archive} would write outside of its folder: {member.name!r}")
    if not member.isfile():
        raise InvalidChart(f"{archive} has a link or device: {member.name!r}")
    return name


def _read_folder(path: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted(path.rglob("*")):
        if file.is_file():
            yield file.relative_to(path).as_posix(), file.read_bytes()


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Leaves times, and numbers where Helm wants text, as the text they are."""


_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}

_TEXTS = ("name", "version", "appVersion", "description", "home", "icon", "apiVersion", "kubeVersion", "type")


def _load(content: bytes) -> Any:
    document = yaml.load(content, Loader=_Loader)  # noqa: S506 - a safe loader
    if isinstance(document, dict):
        for key in _TEXTS:
            if isinstance(document.get(key), (int, float)):
                document[key] = _as_text(document[key])
    return document


def _as_text(number: float | bool) -> str:
    """Write a scalar that Helm reads as text as sigs.k8s.io/yaml does."""
    return (
        json.dumps(number) if isinstance(number, bool) else f"{number:g}" if isinstance(number, float) else str(number)
    )
