"""What Chart.yaml says about a chart: read, validated and written as Helm does.

The twin of Helm's pkg/chart/metadata.go, dependency.go and of what pkg/chart/loader/load.go does with Chart.yaml and
requirements.yaml. Not here: archives (archive.py), YAML and Go's types (goyaml.py, gostruct.py).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from app.domain import gojson, goyaml
from app.domain.gostruct import ANYTHING, FLAG, TEXT, TIME, BadShape, Many, Record, Table
from app.domain.semver import parse_version
from app.errors import AppError, Kind

_MAINTAINER = Record("chart.Maintainer", {"name": TEXT, "email": TEXT, "url": TEXT})
_DEPENDENCY = Record(
    "chart.Dependency",
    {
        "name": TEXT, "version": TEXT, "repository": TEXT, "condition": TEXT, "tags": Many(TEXT), "enabled": FLAG,
        "import-values": Many(ANYTHING), "alias": TEXT,
    },
)  # fmt: skip
_METADATA = Record(
    "chart.Metadata",
    {
        "name": TEXT, "home": TEXT, "sources": Many(TEXT), "version": TEXT, "description": TEXT,
        "keywords": Many(TEXT), "maintainers": Many(_MAINTAINER), "icon": TEXT, "apiVersion": TEXT,
        "condition": TEXT, "tags": TEXT, "appVersion": TEXT, "deprecated": FLAG, "annotations": Table(),
        "kubeVersion": TEXT, "dependencies": Many(_DEPENDENCY), "type": TEXT,
    },
)  # fmt: skip
_LOCK = Record("chart.Lock", {"generated": TIME, "digest": TEXT, "dependencies": Many(_DEPENDENCY)})

_ALIAS = re.compile(r"[a-zA-Z0-9_-]+")
_SPACES = re.compile("[\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co"))


@dataclass(frozen=True, slots=True)
class Maintainer:
    """Who looks after a chart."""

    name: str = ""
    email: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Dependency:
    """A chart that a chart needs."""

    name: str = ""
    version: str = ""
    repository: str = ""
    condition: str = ""
    tags: tuple[str, ...] = ()
    enabled: bool = False
    import_values: tuple[object, ...] = ()
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Metadata:
    """The fields of Helm's chart.Metadata, cleaned and valid."""

    name: str
    version: str
    api_version: str = "v1"
    home: str = ""
    sources: tuple[str, ...] = ()
    description: str = ""
    keywords: tuple[str, ...] = ()
    maintainers: tuple[Maintainer, ...] = ()
    icon: str = ""
    condition: str = ""
    tags: str = ""
    app_version: str = ""
    deprecated: bool = False
    annotations: Mapping[str, str] = field(default_factory=dict)
    kube_version: str = ""
    dependencies: tuple[Dependency, ...] = ()
    type: str = ""

    def fields(self) -> dict[str, object]:
        """Answer the fields that are not empty, by their JSON names, in the order in which Go writes them."""
        every: dict[str, object] = {
            "name": self.name,
            "home": self.home,
            "sources": self.sources,
            "version": self.version,
            "description": self.description,
            "keywords": self.keywords,
            "maintainers": [
                _without_empty({"name": who.name, "email": who.email, "url": who.url}) for who in self.maintainers
            ],
            "icon": self.icon,
            "apiVersion": self.api_version,
            "condition": self.condition,
            "tags": self.tags,
            "appVersion": self.app_version,
            "deprecated": self.deprecated,
            "annotations": dict(sorted(self.annotations.items())),
            "kubeVersion": self.kube_version,
            "dependencies": [_dependency_fields(needed) for needed in self.dependencies],
            "type": self.type,
        }
        return _without_empty(every)

    def render_config(self) -> bytes:
        """Write the OCI config: Go's json.Marshal of chart.Metadata (helm push, pkg/registry/client.go)."""
        return gojson.render_json(self.fields())


def _without_empty(fields: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value}


def _dependency_fields(needed: Dependency) -> dict[str, object]:
    rest: dict[str, object] = {
        "condition": needed.condition,
        "tags": needed.tags,
        "enabled": needed.enabled,
        "import-values": needed.import_values,
        "alias": needed.alias,
    }
    version = {"version": needed.version} if needed.version else {}
    return {"name": needed.name, **version, "repository": needed.repository, **_without_empty(rest)}


def read_metadata(chart_yaml: bytes, requirements_yaml: bytes | None = None) -> Metadata:
    """Read a chart's metadata; requirements.yaml is read over Chart.yaml, as Helm does (load.go, LoadFiles).

    Raises AppError INVALID with Helm's texts: `cannot load Chart.yaml: ...`, `validation: ...`.
    """
    draft = _fit(_METADATA, chart_yaml, {}, "Chart.yaml")
    # The specification demands apiVersion, but Helm 2 took charts without.
    draft["apiVersion"] = draft.get("apiVersion") or "v1"
    if requirements_yaml is not None:
        draft = _fit(_METADATA, requirements_yaml, draft, "requirements.yaml")
    return _validate(draft)


def check_lock(lock: bytes, filename: str) -> None:
    """Raise AppError INVALID `cannot load <filename>: ...` unless Helm can read this Chart.lock (load.go)."""
    _fit(_LOCK, lock, {}, filename)


def _fit(shape: Record, text: bytes, old: dict[str, Any], filename: str) -> dict[str, Any]:
    try:
        return cast("dict[str, Any]", shape.fit(goyaml.parse_yaml(text), old, "") or old)
    except (goyaml.BadYAML, BadShape) as error:
        raise AppError(Kind.INVALID, f"cannot load {filename}: {error}") from None


def _invalid(problem: str) -> AppError:
    return AppError(Kind.INVALID, f"validation: {problem}")


def _validate(draft: dict[str, Any]) -> Metadata:
    """Clean and judge, in the order of Metadata.Validate (metadata.go)."""
    name, version, kind = _clean(draft.get("name", "")), draft.get("version", ""), draft.get("type", "")
    if not draft.get("apiVersion"):
        raise _invalid("chart.metadata.apiVersion is required")
    if not name:
        raise _invalid("chart.metadata.name is required")
    if name in (".", ".."):
        raise _invalid(f"chart.metadata.name {gojson.quote(name)} is not allowed")
    if "/" in name:
        raise _invalid(f"chart.metadata.name {gojson.quote(name)} is invalid")
    if not version:
        raise _invalid("chart.metadata.version is required")
    try:
        parse_version(version)
    except ValueError:
        raise _invalid(f"chart.metadata.version {gojson.quote(version)} is invalid") from None
    if kind not in ("", "application", "library"):
        raise _invalid("chart.metadata.type must be application or library")
    return Metadata(
        name=name,
        version=version,
        api_version=draft["apiVersion"],
        home=_clean(draft.get("home", "")),
        sources=_clean_all(draft.get("sources", ())),
        description=_clean(draft.get("description", "")),
        keywords=_clean_all(draft.get("keywords", ())),
        maintainers=tuple(_maintainer(who) for who in draft.get("maintainers", ())),
        icon=_clean(draft.get("icon", "")),
        condition=_clean(draft.get("condition", "")),
        tags=_clean(draft.get("tags", "")),
        app_version=_clean(draft.get("appVersion", "")),
        deprecated=draft.get("deprecated", False),
        annotations=draft.get("annotations", {}),
        kube_version=_clean(draft.get("kubeVersion", "")),
        dependencies=_dependencies(draft.get("dependencies", ())),
        type=kind,
    )


def _maintainer(who: dict[str, str] | None) -> Maintainer:
    if who is None:
        raise _invalid("maintainers must not contain empty or null nodes")
    return Maintainer(_clean(who.get("name", "")), _clean(who.get("email", "")), _clean(who.get("url", "")))


def _dependencies(drafts: list[dict[str, Any] | None]) -> tuple[Dependency, ...]:
    taken: dict[str, Dependency] = {}
    for draft in drafts:
        needed = _dependency(draft)
        key = needed.alias or needed.name
        if key in taken:
            raise _invalid(f"more than one dependency with name or alias {gojson.quote(key)}")
        taken[key] = needed
    return tuple(taken.values())


def _dependency(draft: dict[str, Any] | None) -> Dependency:
    if draft is None:
        raise _invalid("dependencies must not contain empty or null nodes")
    name, alias = _clean(draft.get("name", "")), draft.get("alias", "")
    if alias and not _ALIAS.fullmatch(alias):
        raise _invalid(f"dependency {gojson.quote(name)} has disallowed characters in the alias")
    return Dependency(
        name=name,
        version=_clean(draft.get("version", "")),
        repository=_clean(draft.get("repository", "")),
        condition=_clean(draft.get("condition", "")),
        tags=_clean_all(draft.get("tags", ())),
        enabled=draft.get("enabled", False),
        import_values=tuple(draft.get("import-values", ())),
        alias=alias,
    )


def _clean_all(texts: list[str]) -> tuple[str, ...]:
    return tuple(_clean(text) for text in texts)


def _clean(text: str) -> str:
    """Turn every space into a plain one and drop what cannot be printed (metadata.go, sanitizeString)."""
    if text.isprintable():
        return text
    spaced = _SPACES.sub(" ", text)
    # Go drops unassigned characters too, but what is assigned depends on the age of the Unicode tables, and a
    # new emoji in a description is more likely than an unassigned character.
    return "".join(character for character in spaced if unicodedata.category(character) not in _HIDDEN)
