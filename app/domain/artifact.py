"""The OCI face of a chart: the config and manifest that `helm push` makes of it, and what is a chart among artifacts.

Sources in Helm: pkg/registry/client.go (Push), pkg/registry/util.go (generateOCIAnnotations).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from app.domain import gojson
from app.domain.metadata import Maintainer, Metadata
from app.domain.oci import MANIFEST_TYPE, MAX_NAME, Descriptor, Manifest, digest_of, is_name, is_tag, join_name, tag_of

HELM_CONFIG = "application/vnd.cncf.helm.config.v1+json"
HELM_CHART = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
HELM_CHART_LEGACY = "application/tar+gzip"
HELM_PROVENANCE = "application/vnd.cncf.helm.chart.provenance.v1.prov"

_PREFIX = "org.opencontainers.image."
_FIXED = (f"{_PREFIX}title", f"{_PREFIX}version")
"""Annotations that those of Chart.yaml cannot replace."""


_SPACES = (
    " \t\n\v\f\r\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""What Go's strings.TrimSpace takes away (unicode.IsSpace)."""


class Artifact(NamedTuple):
    """A chart as an OCI artifact: config and manifest with their sha256 in hex, and its annotations as JSON."""

    config: bytes
    config_digest: str
    manifest: bytes
    digest: str
    annotations: bytes


class ChartLayers(NamedTuple):
    """Where a chart's archive and provenance (None: unsigned) lie in a manifest."""

    archive: Descriptor
    provenance: Descriptor | None


class File(NamedTuple):
    """The bytes of an archive or provenance file: sha256 in hex, size in bytes."""

    digest: str
    size: int


def derive(metadata: Metadata, modified: int, archive: File, provenance: File | None) -> Artifact:
    """Answer what `helm push` makes of an archive and its provenance, byte for byte.

    `modified` is when Chart.yaml was changed, in seconds since 1970 (0: unknown). Helm writes the time of the file on
    its disk; the archive's own time is the same for everybody, so the same chart has the same digest everywhere.
    """
    config = metadata.render_config()
    config_digest = digest_of(config)
    layers = [Descriptor(HELM_CHART, *archive)]
    if provenance is not None:
        layers.append(Descriptor(HELM_PROVENANCE, *provenance))
    annotations = gojson.render_json(dict(sorted(_annotate(metadata, modified).items())))
    facts = {
        "schemaVersion": 2,
        "config": Descriptor(HELM_CONFIG, config_digest, len(config)).render(),
        "layers": _render_layers(layers),
        "annotations": orjson.Fragment(annotations),
    }
    manifest = gojson.render_json(facts)
    return Artifact(config, config_digest, manifest, digest_of(manifest), annotations)


def with_provenance(manifest: bytes, provenance: File) -> bytes:
    """Answer a chart's manifest with this provenance layer instead of the one it has, if any; all else stays."""
    facts = orjson.loads(manifest)
    others = [layer for layer in facts["layers"] if layer["mediaType"] != HELM_PROVENANCE]
    layers = [*others, Descriptor(HELM_PROVENANCE, *provenance).render()]
    facts["layers"] = sorted(layers, key=lambda layer: str(layer["digest"]))
    return gojson.render_json(facts)


def find_chart(manifest: Manifest) -> ChartLayers | str:
    """Answer where the chart lies, or in one sentence why this is none; layers are told by media type."""
    if manifest.media_type != MANIFEST_TYPE or manifest.config is None or manifest.config.media_type != HELM_CONFIG:
        return "its config is not that of a Helm chart"
    charts = [layer for layer in manifest.layers if layer.media_type in (HELM_CHART, HELM_CHART_LEGACY)]
    if len(charts) != 1:
        return f"it has {len(charts)} layers with a chart, not one"
    signed = [layer for layer in manifest.layers if layer.media_type == HELM_PROVENANCE]
    if len(signed) > 1:
        return f"it has {len(signed)} provenance layers"
    return ChartLayers(charts[0], signed[0] if signed else None)


def explain_classic_only(repository: str, name: str, version: str) -> str:
    """Answer in one ASCII sentence why a chart cannot be had as an OCI artifact; "" if it can."""
    whole = join_name(repository, name)
    if not is_name(whole):
        what = f"has more than {MAX_NAME} characters" if len(whole) > MAX_NAME else "is no repository name in OCI"
        return f"not available by OCI: the chart's path {what}"
    if not is_tag(tag_of(version)):
        return "not available by OCI: its version is no tag there"
    return ""


def _render_layers(layers: list[Descriptor]) -> list[dict[str, Any]]:
    return [layer.render() for layer in sorted(layers, key=lambda layer: layer.digest)]


def _annotate(metadata: Metadata, modified: int) -> dict[str, str]:
    found = {
        f"{_PREFIX}description": metadata.description,
        f"{_PREFIX}title": metadata.name,
        f"{_PREFIX}version": metadata.version,
        f"{_PREFIX}url": metadata.home,
        f"{_PREFIX}created": _render_created(modified),
        f"{_PREFIX}source": metadata.sources[0] if metadata.sources else "",
        f"{_PREFIX}authors": ", ".join(_render_author(one) for one in metadata.maintainers),
    }
    said = {name: value for name, value in found.items() if value.strip(_SPACES)}
    return said | {name: value for name, value in metadata.annotations.items() if name not in _FIXED}


def _render_author(maintainer: Maintainer) -> str:
    return maintainer.name + (f" ({maintainer.email})" if maintainer.email else "")


def _render_created(modified: int) -> str:
    return datetime.fromtimestamp(modified, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if modified else ""
