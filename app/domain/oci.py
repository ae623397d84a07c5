"""What OCI's distribution and image specifications say of names, digests and manifests.

Sources: github.com/opencontainers/distribution-spec (spec.md) and image-spec (manifest.md, image-index.md,
descriptor.md), versions 1.1. Inside the house a digest is bare lower-case hex: 64 characters are sha256, 128 sha512.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson

from app.errors import AppError, Kind

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST_TYPE = "application/vnd.docker.distribution.manifest.list.v2+json"

MAX_MANIFEST = 4 * 1024 * 1024
"""Bytes of a manifest, at most; clients read no more either."""

MAX_NAME = 255
_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_LENGTHS = {"sha256": 64, "sha512": 128}
_HEX = re.compile(r"[0-9a-f]+")
# RFC 6838, 4.2, and parameters as RFC 2045 writes them, which Sigstore's older bundles have. ASCII without controls.
_TYPE_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
_PARAMETER = r"""[ \t]*;[ \t]*[A-Za-z0-9!#$&^_.+-]{1,127}=(?:[A-Za-z0-9!#$%&'*+.^_`|~-]{1,127}|"[ !#-\[\]-~]{0,127}")"""
_MEDIA_TYPE = re.compile(f"{_TYPE_NAME}/{_TYPE_NAME}(?:{_PARAMETER}){{0,8}}")
_INDEXES = (INDEX_TYPE, DOCKER_LIST_TYPE)
_IMAGES = (MANIFEST_TYPE, DOCKER_MANIFEST_TYPE)


class RegistryError(AppError):
    """An error with a code of OCI's closed list, and what else may help a program (`detail`)."""

    def __init__(self, kind: Kind, code: str, message: str, *, detail: object = None) -> None:
        super().__init__(kind, message)
        self.code = code
        self.detail = detail


def name_unknown(name: str) -> RegistryError:
    """Answer the error for a name under which nothing is stored."""
    return RegistryError(Kind.NOT_FOUND, "NAME_UNKNOWN", "there is no such repository here", detail={"name": name})


def manifest_unknown(reference: str) -> RegistryError:
    """Answer the error for a tag or digest that is not there."""
    return RegistryError(
        Kind.NOT_FOUND, "MANIFEST_UNKNOWN", "there is no such manifest", detail={"reference": reference}
    )


def blob_unknown(digest: str) -> RegistryError:
    """Answer the error for a blob that is not there, or not in this repository."""
    detail = {"digest": render_digest(digest)}
    return RegistryError(Kind.NOT_FOUND, "BLOB_UNKNOWN", "there is no such blob in this repository", detail=detail)


def upload_unknown(uuid: str) -> RegistryError:
    """Answer the error for an upload that is over, or never was."""
    text = "there is no such upload: it ended, or expired; begin again"
    return RegistryError(Kind.NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", text, detail={"uuid": uuid})


# ---------------------------------------------------------------------------------------------- names and digests


def is_name(text: str) -> bool:
    """Answer whether this can be the name of a repository in OCI's sense."""
    return len(text) <= MAX_NAME and _NAME.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Answer whether this can be a tag."""
    return _TAG.fullmatch(text) is not None


def parse_name(text: str) -> str:
    """Check a name. Raises RegistryError NAME_INVALID."""
    if not is_name(text):
        why = "lower-case letters and digits, joined by single . _ - and /, at most 255 characters"
        raise RegistryError(Kind.INVALID, "NAME_INVALID", f"this is no repository name: {why}", detail={"name": text})
    return text


def split_name(name: str) -> tuple[str, str]:
    """Answer the repository path ("" is the root) and the chart of an OCI name."""
    repository, _, chart = name.rpartition("/")
    return repository, chart


def join_name(repository: str, chart: str) -> str:
    """Answer the OCI name of a chart in a repository."""
    return f"{repository}/{chart}" if repository else chart


def tag_of(version: str) -> str:
    """Answer the tag of a chart version: OCI knows no plus sign (Helm: pkg/registry, `+` becomes `_`)."""
    return version.replace("+", "_")


def version_of(tag: str) -> str:
    """Answer the version that a tag stands for."""
    return tag.replace("_", "+")


def parse_digest(text: str) -> str:
    """Answer the hex of a digest. Raises RegistryError DIGEST_INVALID for other algorithms and lengths."""
    algorithm, _, encoded = text.partition(":")
    if _LENGTHS.get(algorithm) != len(encoded) or not _HEX.fullmatch(encoded):
        why = "sha256: and 64, or sha512: and 128 lower-case hex digits"
        raise RegistryError(Kind.INVALID, "DIGEST_INVALID", f"this is no digest: it must be {why}", detail=text[:256])
    return encoded


def hash_name(digest: str) -> str:
    """Answer the algorithm of a digest in hex."""
    return "sha256" if len(digest) == _LENGTHS["sha256"] else "sha512"


def is_algorithm(name: str) -> bool:
    """Answer whether digests of this algorithm are taken."""
    return name in _LENGTHS


def render_digest(digest: str) -> str:
    """Answer a digest as manifests and headers write it."""
    return f"{hash_name(digest)}:{digest}"


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    """Answer the hex digest of some bytes."""
    return hashlib.new(algorithm, content).hexdigest()


def parse_tag(text: str) -> str:
    """Check a tag. Raises RegistryError MANIFEST_INVALID."""
    if not is_tag(text):
        raise _invalid("the tag may hold letters, digits, and . _ - but not at its beginning, at most 128 in all")
    return text


class Reference(NamedTuple):
    """A tag or a digest (hex); the other one is empty."""

    tag: str
    digest: str

    def __str__(self) -> str:
        return self.tag or render_digest(self.digest)


def parse_reference(text: str) -> Reference:
    """Read what stands behind `/manifests/`. Raises RegistryError DIGEST_INVALID, MANIFEST_INVALID for no tag."""
    if ":" in text:
        return Reference("", parse_digest(text))
    return Reference(parse_tag(text), "")


# ---------------------------------------------------------------------------------------------- manifests


class Descriptor(NamedTuple):
    """What a manifest says of something it refers to. `digest` in hex, `size` in bytes."""

    media_type: str
    digest: str
    size: int
    elsewhere: bool = False  # it may be had from other places: registries must not ask for it

    def render(self) -> dict[str, Any]:
        """Answer its JSON fields in Helm's order."""
        return {"mediaType": self.media_type, "digest": render_digest(self.digest), "size": self.size}


class Manifest(NamedTuple):
    """An image manifest or an index. `annotations` is a JSON object, or empty; `subject` a digest in hex, or empty."""

    media_type: str
    artifact_type: str
    config: Descriptor | None
    layers: tuple[Descriptor, ...]
    children: tuple[Descriptor, ...]
    subject: str
    annotations: bytes

    @property
    def needed(self) -> list[str]:
        """Which blobs the repository must have, in hex, each once."""
        wanted = [self.config, *self.layers] if self.config else list(self.layers)
        return list(dict.fromkeys(one.digest for one in wanted if not one.elsewhere))


def read_manifest(content: bytes, media_type: str) -> Manifest:
    """Read a manifest that came with this media type. Raises RegistryError MANIFEST_INVALID, DIGEST_INVALID."""
    if media_type not in (*_INDEXES, *_IMAGES):
        raise _invalid(f"manifests of the type {media_type[:128]!r} are not taken here")
    facts = _read_object(content)
    if facts.get("mediaType", media_type) != media_type:
        raise _invalid(f"its mediaType is not {media_type}, which it was sent as")
    if facts.get("schemaVersion") != 2:
        raise _invalid("its schemaVersion must be 2")
    subject = _read_descriptor(facts["subject"], "subject").digest if facts.get("subject") is not None else ""
    annotations = _read_annotations(facts.get("annotations"))
    given = _read_media_type(facts.get("artifactType", ""), "artifactType")
    if media_type in _INDEXES:
        children = _read_list(facts, "manifests")
        return Manifest(media_type, given, None, (), children, subject, annotations)
    if "config" not in facts:
        raise _invalid("it has no config")
    config = _read_descriptor(facts["config"], "config")
    return Manifest(
        media_type, given or config.media_type, config, _read_list(facts, "layers"), (), subject, annotations
    )


def render_descriptor(media_type: str, digest: str, size: int, artifact_type: str, annotations: bytes) -> bytes:
    """Answer the descriptor of a manifest as the list of referrers shows it."""
    facts: dict[str, Any] = {"mediaType": media_type, "digest": render_digest(digest), "size": size}
    if artifact_type:
        facts["artifactType"] = artifact_type
    if annotations:
        facts["annotations"] = orjson.Fragment(annotations)
    return orjson.dumps(facts)


def render_referrers(descriptors: Iterable[bytes]) -> bytes:
    """Answer the index of those that refer to a manifest."""
    return b'{"schemaVersion":2,"mediaType":"%b","manifests":[%b]}' % (INDEX_TYPE.encode(), b",".join(descriptors))


def _read_object(content: bytes) -> dict[str, Any]:
    try:
        facts = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise _invalid(f"it is not JSON: {error}") from error
    if not isinstance(facts, dict):
        raise _invalid("it is no JSON object")
    return facts


def _read_list(facts: dict[str, Any], field: str) -> tuple[Descriptor, ...]:
    found = facts.get(field)
    if not isinstance(found, list):
        raise _invalid(f"its {field} must be a list")
    return tuple(_read_descriptor(item, field) for item in found)


def _read_descriptor(value: object, field: str) -> Descriptor:
    if not isinstance(value, dict):
        raise _invalid(f"its {field} must be made of descriptors")
    size, digest = value.get("size"), value.get("digest")
    if type(size) is not int or not 0 <= size < 1 << 63 or not isinstance(digest, str):
        raise _invalid(f"a descriptor in its {field} lacks a digest or a size")
    kind = _read_media_type(value.get("mediaType", ""), f"mediaType in {field}")
    if not kind:
        raise _invalid(f"a descriptor in its {field} lacks a mediaType")
    return Descriptor(kind, parse_digest(digest), size, bool(value.get("urls")) or "nondistributable" in kind)


def _read_annotations(value: object) -> bytes:
    if value is None:
        return b""
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise _invalid("its annotations must be texts by name")
    return orjson.dumps(value) if value else b""


def _read_media_type(value: object, field: str) -> str:
    """Return a media type, or "" for none. Raises RegistryError MANIFEST_INVALID for what RFC 6838 does not allow."""
    if not isinstance(value, str):
        raise _invalid(f"its {field} must be a text")
    if value and not _MEDIA_TYPE.fullmatch(value):
        raise _invalid(f"its {field} is {json.dumps(value[:100])}; write a media type (RFC 6838): type/subtype")
    return value


def _invalid(why: str) -> RegistryError:
    return RegistryError(Kind.INVALID, "MANIFEST_INVALID", f"this manifest cannot be stored: {why}")
