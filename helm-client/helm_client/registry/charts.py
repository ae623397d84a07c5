"""Charts as OCI artifacts: which version, which layers, and the very bytes that `helm push` would send.

Sources in Helm: pkg/registry/client.go (Push, Pull, Tags), pkg/registry/util.go (generateOCIAnnotations).
"""

from __future__ import annotations

import hashlib
import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from helm_client.archive import Chart, read_chart
from helm_client.environment import Environment
from helm_client.errors import ChartNotFound, RegistryError
from helm_client.registry.client import MANIFEST_TYPE, Descriptor, Registry, not_found
from helm_client.registry.credentials import Credentials
from helm_client.semver import parse_constraint, parse_strict
from helm_client.transfer import Access, Progress, unfinished

CONFIG_TYPE = "application/vnd.cncf.helm.config.v1+json"
CHART_TYPE = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
CHART_TYPES = (CHART_TYPE, "application/tar+gzip")
PROVENANCE_TYPE = "application/vnd.cncf.helm.chart.provenance.v1.prov"

_IMAGE = "org.opencontainers.image."
_FIELDS = (
    "name", "home", "sources", "version", "description", "keywords", "maintainers", "icon", "apiVersion", "condition",
    "tags", "appVersion", "deprecated", "annotations", "kubeVersion", "dependencies", "type",
)  # fmt: skip
_MAINTAINER = ("name", "email", "url")
_DEPENDENCY = ("name", "version", "repository", "condition", "tags", "enabled", "import-values", "alias")


class Place(NamedTuple):
    """A reference `oci://HOST/NAME[:TAG][@DIGEST]` in its parts."""

    host: str
    name: str
    tag: str = ""
    digest: str = ""


class Pulled(NamedTuple):
    """A chart that came: its file, its reference without scheme, and the digest of its manifest."""

    path: Path
    reference: str
    digest: str


class Pushed(NamedTuple):
    """A chart that went: its reference without scheme, and the digest of its manifest."""

    reference: str
    digest: str


def parse_place(reference: str) -> Place:
    """Read an oci:// reference. Raises RegistryError."""
    host, slash, path = reference.removeprefix("oci://").partition("/")
    path, _, digest = path.partition("@")
    name, colon, tag = path.rpartition(":")
    name, tag = (name, tag) if colon and "/" not in tag else (path, "")
    if not host or not slash or not name.strip("/"):
        raise RegistryError(f"invalid reference {reference}: write oci://HOST/PATH/CHART")
    return Place(host, name.strip("/"), tag, digest)


def pull_chart(
    environment: Environment, reference: str, folder: Path, *, version: str = "", provenance: bool = False,
    access: Access | None = None, plain_http: bool = False, progress: Progress | None = None,
) -> Pulled:  # fmt: skip
    """Bring a chart from a registry into a folder, with `provenance` its .prov file, too.

    `version` is exact or a range; without it and without a tag, the newest stable one. Raises ChartNotFound,
    RegistryError, DigestMismatch; nothing is left then.
    """
    place = parse_place(reference)
    login = Credentials.of(environment).find(place.host)
    with Registry(place.host, access, login, plain_http=plain_http, progress=progress) as registry:
        tag = place.digest or _choose_tag(registry, place, version)
        manifest, descriptor = registry.get_manifest(place.name, tag)
        chart, signed = _find_layers(manifest, reference)
        basename = place.name.rpartition("/")[2]
        suffix = f"@{tag.replace(':', '-')}" if place.digest else f"-{tag.replace('_', '+')}"
        target = folder / f"{basename}{suffix}.tgz"
        if provenance and signed is None:
            raise RegistryError(f"{reference} has no provenance file")
        with unfinished(target) as archive, unfinished(target) as signature:
            registry.save_blob(place.name, chart, archive)
            if provenance and signed is not None:
                registry.save_blob(place.name, signed, signature)
                os.replace(signature, target.with_name(f"{target.name}.prov"))
            os.replace(archive, target)
    shown = f"{place.host}/{place.name}" + (f"@{tag}" if place.digest else f":{tag}")
    return Pulled(target, shown, descriptor.digest)


def push_chart(
    environment: Environment, path: Path, target: str, *, access: Access | None = None, plain_http: bool = False,
    progress: Progress | None = None,
) -> Pushed:  # fmt: skip
    """Push an archive, and the provenance file beside it, below `target`, under its own name and version.

    The manifest has the bytes that `helm push` sends. Raises RegistryError, InvalidChart; OSError.
    """
    chart, archive = read_chart(path), path.read_bytes()
    base = parse_place(f"{target.rstrip('/')}/{chart.name}")
    tag = chart.version.replace("+", "_")
    layers = [(CHART_TYPE, archive)]
    provenance = path.with_name(f"{path.name}.prov")
    if provenance.exists():
        layers.append((PROVENANCE_TYPE, provenance.read_bytes()))
    config = render_config(chart)
    manifest = render_manifest(chart, config, layers, path.stat().st_mtime)
    digest = _digest(manifest)
    login = Credentials.of(environment).find(base.host)
    with Registry(base.host, access, login, plain_http=plain_http, progress=progress) as registry:
        if not registry.has(base.name, "manifests", digest):
            for content in (config, *(content for _type, content in layers)):
                registry.push_blob(base.name, _digest(content), content)
        registry.push_manifest(base.name, tag, manifest)
    return Pushed(f"{base.host}/{base.name}:{tag}", digest)


def render_config(chart: Chart) -> bytes:
    """Answer the config blob: Chart.yaml as Go marshals it (chart.Metadata)."""
    found = _pick(chart.metadata, _FIELDS)
    if "maintainers" in found:
        found["maintainers"] = [_pick(one, _MAINTAINER) if one else None for one in found["maintainers"]]
    if "annotations" in found:
        found["annotations"] = dict(sorted(found["annotations"].items()))
    if "dependencies" in found:
        found["dependencies"] = [_pick({"repository": "", **one}, _DEPENDENCY) for one in found["dependencies"]]
    return _render(found)


def render_manifest(chart: Chart, config: bytes, layers: list[tuple[str, bytes]], modified: float) -> bytes:
    """Answer the manifest; `modified` is the archive's time in seconds since 1970."""
    described = [_describe(media_type, content) for media_type, content in layers]
    return _render({
        "schemaVersion": 2,
        "config": _describe(CONFIG_TYPE, config),
        "layers": sorted(described, key=lambda layer: str(layer["digest"])),
        "annotations": dict(sorted(_annotate(chart, modified).items())),
    })  # fmt: skip


def _choose_tag(registry: Registry, place: Place, version: str) -> str:
    """Answer the tag that is meant: a version is one, and a range needs the list."""
    if place.tag and not version:
        return place.tag
    try:
        parse_strict(version)
    except ValueError:
        pass
    else:
        return version.replace("+", "_")
    try:
        constraint = parse_constraint(version or "*")
    except ValueError as error:
        raise ChartNotFound(str(error)) from error
    found = []
    for tag in registry.list_tags(place.name):
        try:
            found.append(parse_strict(tag.replace("_", "+")))
        except ValueError:
            continue
    for one in sorted(found, reverse=True):
        if constraint.check(one):
            return one.text.replace("+", "_")
    raise ChartNotFound(f"could not locate a version matching provided version string {version}")


def _find_layers(manifest: dict[str, Any], reference: str) -> tuple[Descriptor, Descriptor | None]:
    if manifest.get("mediaType", MANIFEST_TYPE) != MANIFEST_TYPE or not isinstance(manifest.get("layers"), list):
        raise RegistryError(f"{reference} is no chart: its manifest is of another kind")
    if (manifest.get("config") or {}).get("mediaType") != CONFIG_TYPE:
        raise not_found(f"{reference} is no chart: its config is not that of a Helm chart")
    layers = [
        Descriptor(str(one.get("mediaType")), str(one.get("digest")), int(one.get("size") or 0))
        for one in manifest["layers"] if isinstance(one, dict)
    ]  # fmt: skip
    charts = [layer for layer in layers if layer.media_type in CHART_TYPES]
    if not charts:
        raise RegistryError(f"{reference} is no chart: no layer has one")
    return charts[0], next((layer for layer in layers if layer.media_type == PROVENANCE_TYPE), None)


def _pick(fields: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Answer fields in the order of Go's struct, without the empty ones; a dependency's repository always stays."""
    return {name: fields[name] for name in names if fields.get(name) or (name == "repository" and name in fields)}


def _annotate(chart: Chart, modified: float) -> dict[str, str]:
    metadata = chart.metadata
    authors = (
        one.get("name", "") + (f" ({one['email']})" if one.get("email") else "")
        for one in metadata.get("maintainers") or () if one
    )  # fmt: skip
    sources = metadata.get("sources") or [""]
    found = {
        "description": metadata.get("description") or "", "title": chart.name, "version": chart.version,
        "url": metadata.get("home") or "", "created": _render_time(modified), "source": str(sources[0]),
        "authors": ", ".join(authors),
    }  # fmt: skip
    said = {f"{_IMAGE}{name}": value for name, value in found.items() if value.strip()}
    own = metadata.get("annotations") or {}
    fixed = (f"{_IMAGE}title", f"{_IMAGE}version")
    return said | {name: value for name, value in own.items() if name not in fixed}


def _render_time(seconds: float) -> str:
    text = datetime.fromtimestamp(int(seconds)).astimezone().isoformat()
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


def _describe(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _render(value: Any) -> bytes:
    """Write JSON as Go does (encoding/json)."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode()
