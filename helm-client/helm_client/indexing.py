"""Making the index.yaml of a folder of archives, as `helm repo index` does (repo.IndexDirectory). No network."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from helm_client.archive import read_chart
from helm_client.errors import HelmClientError, InvalidIndex
from helm_client.semver import Version, parse_version


def make_index(folder: Path, *, url: str = "", merge: Path | None = None) -> dict[str, Any]:
    """Answer the index of the archives in a folder and one level below; `url` comes before their names.

    Entries of the index in the file `merge` stay where the folder has no chart of that name and version. What is no
    chart is left out, as Helm leaves it out. Raises InvalidIndex; OSError.
    """
    now = datetime.now().astimezone().isoformat()
    entries: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((*folder.glob("*.tgz"), *folder.glob("*/*.tgz"))):
        try:
            metadata = read_chart(path).metadata
            parse_version(str(metadata.get("version")))
        except (HelmClientError, ValueError):
            continue
        place = path.relative_to(folder).as_posix()
        entry = {
            **metadata, "created": now, "digest": hashlib.sha256(path.read_bytes()).hexdigest(),
            "urls": [f"{url.rstrip('/')}/{place}" if url else place],
        }  # fmt: skip
        entries.setdefault(str(metadata.get("name")), []).append(entry)
    if merge is not None:
        _merge(entries, merge)
    for listed in entries.values():
        listed.sort(key=_version_of, reverse=True)
    return {"apiVersion": "v1", "entries": entries, "generated": now}


def _merge(entries: dict[str, list[dict[str, Any]]], path: Path) -> None:
    try:
        document = yaml.load(path.read_bytes(), Loader=yaml.BaseLoader) or {}  # noqa: S506  # makes text only
        old = document.get("entries") or {}
        for name, listed in old.items():
            known = {str(entry.get("version")) for entry in entries.get(name, ())}
            more = [entry for entry in listed if str(entry["version"]) not in known]
            entries.setdefault(name, []).extend(map(_with_types, more))
    except FileNotFoundError:
        return
    except (yaml.YAMLError, AttributeError, LookupError, TypeError) as error:
        raise InvalidIndex(f"{path} is no index of a chart repository: {error}") from error


def _with_types(entry: dict[str, Any]) -> dict[str, Any]:
    """Give the one field that is no text its type back, and an entry its apiVersion."""
    typed = {key: value == "true" if key == "deprecated" else value for key, value in entry.items()}
    return {"apiVersion": "v1", **typed}  # as Helm takes entries that are older than the field


def _version_of(entry: dict[str, Any]) -> Version:
    try:
        return parse_version(str(entry.get("version")))
    except ValueError:
        return parse_version("0.0.0-0")
