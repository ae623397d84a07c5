"""The little of Kubernetes' protobuf that client-go sends: metadata of any object, data of Secrets and ConfigMaps."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

MAGIC = b"k8s\x00"


def read_object(content: bytes) -> dict[str, Any]:
    """Read an object from its envelope (runtime.Unknown)."""
    envelope = dict(_fields(content.removeprefix(MAGIC)))
    about = dict(_fields(envelope[1]))
    api_version, kind = about.get(1, b"").decode(), about.get(2, b"").decode()
    found: dict[str, Any] = {"apiVersion": api_version, "kind": kind, "metadata": {}}
    data: dict[str, str] = {}
    for number, value in _fields(envelope.get(2, b"")):
        if number == 1:
            found["metadata"] = _read_metadata(value)
        elif number == 2 and kind in ("Secret", "ConfigMap"):
            key, content_of = _read_pair(value)
            data[key] = base64.b64encode(content_of).decode() if kind == "Secret" else content_of.decode()
        elif number == 3 and kind == "Secret":
            found["type"] = value.decode()
    return found | ({"data": data} if data else {})


def _read_metadata(content: bytes) -> dict[str, Any]:
    names = {1: "name", 2: "generateName", 3: "namespace", 5: "uid", 6: "resourceVersion"}
    maps = {11: "labels", 12: "annotations"}
    found: dict[str, Any] = {}
    for number, value in _fields(content):
        if number in names and value:
            found[names[number]] = value.decode()
        elif number in maps:
            key, text = _read_pair(value)
            found.setdefault(maps[number], {})[key] = text.decode()
    return found


def _read_pair(content: bytes) -> tuple[str, bytes]:
    pair = dict(_fields(content))
    return pair.get(1, b"").decode(), pair.get(2, b"")


def _fields(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Answer the fields that have bytes (wire type 2), and pass over the others."""
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        number, wire = tag >> 3, tag & 7
        if wire == 2:
            length, at = _varint(content, at)
            yield number, content[at : at + length]
            at += length
        elif wire == 0:
            _, at = _varint(content, at)
        else:
            at += 8 if wire == 1 else 4


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
