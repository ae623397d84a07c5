"""The index of a repository, JSON or YAML. Like Helm, an entry that cannot be used is left out. No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from helm_client.addresses import mask
from helm_client.errors import ChartNotFound, InvalidIndex
from helm_client.semver import Version, parse_constraint, parse_version


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Leaves times as the text they are."""


_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True, slots=True)
class ChartVersion:
    """One version of a chart. Absent fields are empty; `urls` may be relative to the repository."""

    name: str
    version: str
    app_version: str = ""
    description: str = ""
    keywords: tuple[str, ...] = ()
    deprecated: bool = False
    created: str = ""
    digest: str = ""
    urls: tuple[str, ...] = ()

    @property
    def is_stable(self) -> bool:
        """Whether the version has no prerelease part."""
        return "-" not in self.version.partition("+")[0]


@dataclass(frozen=True, slots=True)
class Index:
    """The versions of each chart, newest first, by the chart's name."""

    charts: dict[str, tuple[ChartVersion, ...]]

    def get_versions(self, name: str) -> tuple[ChartVersion, ...]:
        """Answer every version of a chart, newest first. Raises ChartNotFound."""
        if name not in self.charts:
            raise ChartNotFound(f"the repository has no chart {name}")
        return self.charts[name]

    def get_version(self, name: str, version: str | None = None) -> ChartVersion:
        """Answer this version, or the newest one that a range allows (`~10.5`, `>0.0.0-0`), or the newest stable one.

        Helm's rule (repo.IndexFile.Get): an exact match comes first, then the range. Raises ChartNotFound.
        """
        versions = self.get_versions(name)
        for found in versions:
            if version and found.version == version:
                return found
        try:
            constraint = parse_constraint(version or "*")
        except ValueError as error:
            raise ChartNotFound(str(error)) from error
        for found in versions:
            if constraint.check(parse_version(found.version)):
                return found
        if not version:
            raise ChartNotFound(f"chart {name} has no stable version; name a prerelease, or allow them with >0.0.0-0")
        raise ChartNotFound(f"no chart version found for {name}-{version}")

    def search(self, words: str) -> list[ChartVersion]:
        """Answer the charts that have every word in name, description or keywords, by name.

        Each is shown by its newest stable version, or its newest where there is no stable one.
        """
        newest = (next((v for v in versions if v.is_stable), versions[0]) for versions in self.charts.values())
        return sorted((v for v in newest if _holds(v, words.lower().split())), key=lambda v: v.name)


def choose_version(index: Index, chart: str, version: str, place: str) -> ChartVersion:
    """Find a version in a repository's index; `place` is its name or URL. Raises ChartNotFound in Helm's words."""
    if chart not in index.charts:
        reason = "no chart name found"
    else:
        try:
            return index.get_version(chart, version or None)
        except ChartNotFound as error:
            reason = str(error)
    if "://" in place:
        about = f' version "{version}"' if version else ""
        raise ChartNotFound(f'chart "{chart}"{about} not found in {mask(place)} repository')
    raise ChartNotFound(
        f"chart \"{chart}\" matching {version} not found in {place} index. (try 'helm repo update'): {reason}"
    )


def _holds(version: ChartVersion, words: list[str]) -> bool:
    text = "\n".join((version.name, version.description, *version.keywords)).lower()
    return all(word in text for word in words)


def read_server_info(content: bytes) -> dict[str, Any]:
    """Read what an index says of its server (`serverInfo`), {} without. Raises InvalidIndex."""
    document = _load(content)
    found = document.get("serverInfo") if isinstance(document, dict) else None
    return found if isinstance(found, dict) else {}


def read_index(content: bytes) -> Index:
    """Read an index. Raises InvalidIndex."""
    document = _load(content)
    entries = document.get("entries") or {} if isinstance(document, dict) else None
    if not isinstance(entries, dict) or not document.get("apiVersion"):
        raise InvalidIndex("this is no index of a chart repository: apiVersion is missing, or entries are no mapping")
    charts = {}
    for name, listed in entries.items():
        if versions := sorted(_read_entries(listed), key=lambda v: parse_version(v.version), reverse=True):
            charts[str(name)] = tuple(versions)
    return Index(charts)


def _load(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        try:
            return yaml.load(content, Loader=_Loader)  # noqa: S506 - a safe loader
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise InvalidIndex("this is no index of a chart repository: neither JSON nor YAML") from error


def _read_entries(listed: object) -> Iterator[ChartVersion]:
    for entry in listed if isinstance(listed, list) else ():
        fields: dict[str, Any] = entry if isinstance(entry, dict) else {}
        name, version = _text(fields.get("name")), _text(fields.get("version"))
        if name and _read_version(version) is not None:
            yield ChartVersion(
                name, version, _text(fields.get("appVersion")), _text(fields.get("description")),
                _texts(fields.get("keywords")), fields.get("deprecated") is True, _text(fields.get("created")),
                _text(fields.get("digest")), _texts(fields.get("urls")),
            )  # fmt: skip


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(values: object) -> tuple[str, ...]:
    return tuple(value for value in values if isinstance(value, str)) if isinstance(values, list) else ()


def _read_version(text: str) -> Version | None:
    try:
        return parse_version(text)
    except ValueError:
        return None
