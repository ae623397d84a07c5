"""One revision of a release, as Helm keeps it: JSON, gzipped, in base64. No I/O.

The record is Helm's (pkg/storage/driver, pkg/release): what is not known here stays in `document` untouched.
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from helm_client.errors import ReleaseError

_MAGIC = b"\x1f\x8b\x08"
_LARGEST = 64 * 1024 * 1024
"""Bytes of a record unpacked, at most: etcd takes 1.5 MiB of it packed."""

_SYSTEM_LABELS = ("name", "owner", "status", "version", "createdAt", "modifiedAt")


@dataclass(frozen=True, slots=True)
class Hook:
    """One hook of a release: where its template lies, and what it renders to."""

    name: str
    kind: str
    path: str
    manifest: str
    events: tuple[str, ...] = ()
    last_run: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Release:
    """One revision of a release: `document` is Helm's record, `all_labels` those of the object that holds it."""

    document: dict[str, Any] = field(repr=False)
    all_labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def labels(self) -> dict[str, str]:
        """The user's own labels."""
        return {name: value for name, value in self.all_labels.items() if name not in _SYSTEM_LABELS}

    @property
    def name(self) -> str:
        """The release's name."""
        return str(self.document.get("name") or "")

    @property
    def namespace(self) -> str:
        """The namespace it was installed into."""
        return str(self.document.get("namespace") or "")

    @property
    def revision(self) -> int:
        """Which revision: 1 is the first."""
        return int(self.document.get("version") or 0)

    @property
    def info(self) -> dict[str, Any]:
        """Times, description, status and notes."""
        return self.document.get("info") or {}

    @property
    def status(self) -> str:
        """Such as deployed, superseded, failed, uninstalled, pending-install."""
        return str(self.info.get("status") or "unknown")

    @property
    def description(self) -> str:
        """What happened, in Helm's words."""
        return str(self.info.get("description") or "")

    @property
    def notes(self) -> str:
        """What the chart has to say to its user."""
        return str(self.info.get("notes") or "")

    @property
    def updated(self) -> str:
        """When it was deployed last, as recorded (RFC 3339); empty if never."""
        return str(self.info.get("last_deployed") or "")

    @property
    def metadata(self) -> dict[str, Any]:
        """The chart's metadata."""
        return (self.document.get("chart") or {}).get("metadata") or {}

    @property
    def chart(self) -> str:
        """The chart, as `name-version`."""
        if not self.metadata:
            return "MISSING"
        return f"{self.metadata.get('name', '')}-{self.metadata.get('version', '')}"

    @property
    def app_version(self) -> str:
        """The version of what the chart installs."""
        return str(self.metadata.get("appVersion") or "")

    @property
    def manifest(self) -> str:
        """The objects that were applied, as YAML documents."""
        return str(self.document.get("manifest") or "")

    @property
    def config(self) -> dict[str, Any] | None:
        """The values that the user gave; None when there were none."""
        return self.document.get("config")

    @property
    def hooks(self) -> tuple[Hook, ...]:
        """The hooks, in Helm's order."""
        return tuple(
            Hook(
                hook.get("name") or "", hook.get("kind") or "", hook.get("path") or "", hook.get("manifest") or "",
                tuple(hook.get("events") or ()), hook.get("last_run") or {},
            )
            for hook in self.document.get("hooks") or ()
        )  # fmt: skip

    def values(self) -> dict[str, Any]:
        """Answer the computed values: the user's over the chart's own (chartutil.CoalesceValues)."""
        return coalesce(self.config or {}, (self.document.get("chart") or {}).get("values") or {})


def coalesce(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Lay values over defaults: mappings are merged, everything else is replaced, and null takes a default away."""
    merged = dict(defaults)
    for key, value in given.items():
        default = defaults.get(key)
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(default, Mapping):
            merged[key] = coalesce(value, default)
        else:
            merged[key] = value
    return merged


def decode(content: str | bytes, labels: Mapping[str, str]) -> Release:
    """Read a record as it lies in a ConfigMap's (or, decoded once, a Secret's) data. Raises ReleaseError."""
    try:
        packed = base64.b64decode(content, validate=False)
        document = json.loads(_unpack(packed) if packed[:3] == _MAGIC else packed)
    except (ValueError, zlib.error, gzip.BadGzipFile, EOFError) as error:
        raise ReleaseError(f"the record of a release cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise ReleaseError("the record of a release is no JSON object")
    return Release(document, labels)


def encode(release: Release) -> str:
    """Write a record as Helm does: JSON, gzipped, in base64."""
    content = json.dumps(release.document, ensure_ascii=False, separators=(",", ":")).encode()
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()


def _unpack(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    content = unpacker.decompress(packed, _LARGEST)
    if unpacker.unconsumed_tail:
        raise ValueError(f"it has more than {_LARGEST >> 20} MiB")
    return content
