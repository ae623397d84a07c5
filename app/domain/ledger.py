"""The ledger's form: what one commit changed in one repository, as lines of JSON under a name of its own.

A segment is named `.chartroom/ledger/<repository>/<revision>-<catalogue>-<hash>.jsonl`. Its first line is a header,
each further line one change. A snapshot has the same form, ends in `.snapshot.jsonl`, and holds the whole
repository as it was at its revision. Names carry the content's hash: no second writer can overwrite one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson

from app.domain.oci import hash_name

ROOT = ".chartroom/ledger/"
BLOBS = ".chartroom/blobs/"
_ROOT_REPOSITORY = "%"  # `quote` never answers a lone percent sign, so no repository's name is escaped to it
_LONGEST_NAME = 200  # bytes; file systems end at 255
_ENTRY = b',"entry":'  # the last field of its line


class SegmentName(NamedTuple):
    """What a segment's key says: the escaped repository, revision, catalogue, content hash, and its kind."""

    folder: str
    revision: int
    catalogue: str
    hash: str
    snapshot: bool


class Header(NamedTuple):
    """The first line of a segment or snapshot.

    `previous` is the repository's revision before this commit, `parent` the random id of that commit: a chain without
    gaps. `committed` is in nanoseconds since 1970. Segments of versions before 0003 have no ids: both are "".
    """

    repository: str
    revision: int
    previous: int
    catalogue: str
    committed: int
    commit: str = ""
    parent: str = ""


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment that was read back: its header, its changes, oldest first, and its key where that is known."""

    header: Header
    changes: tuple[dict[str, Any], ...]
    key: str = ""


def blob_key(digest: str) -> str:
    """Answer where the bytes with this digest lie: 64 hex digits are a sha256, 128 a sha512."""
    return f"{BLOBS}{hash_name(digest)}/{digest[:2]}/{digest}"


def parse_blob_key(key: str) -> str | None:
    """Answer the digest of the blob that lies under a key; None if no blob does."""
    digest = key.rpartition("/")[2]
    return digest if len(digest) in (64, 128) and blob_key(digest) == key else None


def repository_folder(repository: str) -> str:
    """Answer the key prefix of a repository's segments; it ends in a slash."""
    name = quote(repository, safe="") or _ROOT_REPOSITORY
    if len(name) > _LONGEST_NAME:  # the header has the whole name; this one must only be unique
        name = f"{name[:120]}%%{hashlib.sha256(repository.encode()).hexdigest()[:32]}"
    return f"{ROOT}{name}/"


def segment_key(repository: str, revision: int, catalogue: str, content: bytes, *, snapshot: bool = False) -> str:
    """Answer the storage key of a segment."""
    return segment_key_of(repository, revision, catalogue, hashlib.sha256(content).hexdigest(), snapshot=snapshot)


def segment_key_of(repository: str, revision: int, catalogue: str, digest: str, *, snapshot: bool = False) -> str:
    """Answer the storage key of a segment whose content has this sha256."""
    ending = ".snapshot.jsonl" if snapshot else ".jsonl"
    return f"{repository_folder(repository)}{revision:016d}-{catalogue}-{digest[:32]}{ending}"


def parse_segment_key(key: str) -> SegmentName | None:
    """Answer what a key under ROOT says, or None if it is no segment's name."""
    folder, _, name = key.removeprefix(ROOT).rpartition("/")
    stem, snapshot = name.removesuffix(".jsonl"), name.endswith(".snapshot.jsonl")
    parts = stem.removesuffix(".snapshot").split("-")
    if not name.endswith(".jsonl") or len(parts) != 3 or not parts[0].isdecimal():
        return None
    return SegmentName(folder, int(parts[0]), parts[1], parts[2], snapshot)


def render_change(operation: str, kind: str, /, **facts: Any) -> bytes:
    """Answer one line: `operation` is put or remove, `kind` version, provenance, blob, manifest or tag."""
    return orjson.dumps({"op": operation, "kind": kind, **facts})


def render_entry_change(facts: dict[str, Any], entry: bytes) -> bytes:
    """Answer the line that puts a chart version, with its index line inside as it is."""
    return orjson.dumps({"op": "put", "kind": "version", **facts, "entry": orjson.Fragment(entry)})


def render_segment(header: Header, lines: Iterable[bytes]) -> bytes:
    """Return a segment's bytes."""
    return b"\n".join([render_header(header), *lines, b""])


def render_header(header: Header) -> bytes:
    """Return the first line of a segment or snapshot."""
    return orjson.dumps({"ledger": 1, **header._asdict()})


def read_header(line: bytes) -> Header:
    """Read a first line back. Raises ValueError, KeyError for what is none."""
    facts = orjson.loads(line)
    ids = facts.get("commit", ""), facts.get("parent", "")
    return Header(
        facts["repository"], facts["revision"], facts["previous"], facts["catalogue"], facts["committed"], *ids
    )


def read_segment(name: SegmentName, content: bytes) -> Segment:
    """Read a segment back. Raises ValueError when its bytes are not those that its name promises."""
    if hashlib.sha256(content).hexdigest()[:32] != name.hash:
        raise ValueError("its content does not match the hash in its name")
    first, *lines = content.splitlines()
    return Segment(read_header(first), tuple(map(read_change, lines)))


def parse_header(head: bytes) -> dict[str, Any]:
    """Return the header of a segment of which `head` is the beginning; an empty one where that is none."""
    line, found, _ = head.partition(b"\n")
    try:
        header = orjson.loads(line) if found else {}
    except orjson.JSONDecodeError:
        return {}
    return header if isinstance(header, dict) else {}


def read_change(line: bytes) -> dict[str, Any]:
    """Read one change back; a version's `entry` stays the very bytes that were put in, escapes included."""
    line = line.rstrip(b"\n")
    facts, found, entry = line.partition(_ENTRY)  # inside a string its quotes would be escaped
    if not found:
        return dict(orjson.loads(line))
    return {**orjson.loads(facts + b"}"), "entry": entry[:-1]}
