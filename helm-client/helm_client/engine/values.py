"""The values of a release, put together from files and expressions as Helm does (its pkg/cli/values/options.go)."""

from __future__ import annotations

import copy
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from helm_client.engine import expressions
from helm_client.engine.options import SetKind, Values
from helm_client.errors import ConfigError

Parse = Callable[[str], dict[str, Any]]
"""Reads one YAML document; raises HelmClientError."""

_KINDS: tuple[SetKind, ...] = ("set-json", "set", "set-string", "set-file", "set-literal")
_DOCUMENT_START = re.compile(r"^---[ \t\r]*\n", re.MULTILINE)
_LARGE = 10**6
"""From here on Go prints a floating-point number with an exponent."""


def merge(values: Values, parse: Parse) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Answer the values, and warnings. Raises ConfigError, and what `parse` raises."""
    found: dict[str, Any] = {}
    for name in values.files:
        for document in _split_documents(read_text(name)):
            found = merge_maps(found, parse(document))
    found = merge_maps(found, copy.deepcopy(dict(values.inline)))
    warnings: list[str] = []
    for wanted in _KINDS:
        for kind, text in values.expressions:
            if kind == wanted:
                found = _apply(kind, text, found)
                warnings += _warn_of_integers(text) if kind == "set" else []
    return found, tuple(warnings)


def merge_maps(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Answer the first map with the second over it: maps within are merged, all else is replaced."""
    merged = dict(first)
    for key, value in second.items():
        there = merged.get(key)
        merged[key] = merge_maps(there, value) if isinstance(value, dict) and isinstance(there, dict) else value
    return merged


def read_text(name: str) -> str:
    """Read a file of values: a path, an http(s) URL, or `-` for standard input. Raises ConfigError."""
    if name.strip() == "-":
        return sys.stdin.read()
    if name.startswith(("http://", "https://")):
        from helm_client.transfer import Access, Session

        session = Session(name, Access())
        try:
            with session.get(session.url) as response:
                return response.read().decode()
        finally:
            session.close()
    try:
        return Path(name).read_text(encoding="utf-8")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"open {name}: {reason}") from error
    except ValueError as error:
        raise ConfigError(f"{name} is not UTF-8 text") from error


def _split_documents(text: str) -> Iterator[str]:
    return (part for part in _DOCUMENT_START.split(text) if part.strip())


def _apply(kind: SetKind, text: str, found: dict[str, Any]) -> dict[str, Any]:
    if kind == "set-json" and text.strip().startswith("{"):
        try:
            return merge_maps(found, dict(json.loads(text)))
        except ValueError as error:
            raise ConfigError(f"failed parsing --set-json data JSON: {text}") from error
    try:
        match kind:
            case "set-json":
                expressions.apply_set_json(text, found)
            case "set":
                expressions.apply_set(text, found)
            case "set-string":
                expressions.apply_set_string(text, found)
            case "set-file":
                expressions.apply_set_file(text, found, read_text)
            case "set-literal":
                expressions.apply_set_literal(text, found)
    except ConfigError as error:
        reason = f" {text}" if kind == "set-json" else f": {error}"
        raise ConfigError(f"failed parsing --{kind} data{reason}") from error
    return found


def _warn_of_integers(text: str) -> list[str]:
    """Helm keeps the integers of --set whole; helm-python-sdk takes values as JSON, which Go reads as floats."""
    alone: dict[str, Any] = {}
    try:
        expressions.apply_set(text, alone)
    except ConfigError:  # fine where it was applied, but not onto nothing
        return []
    large = [value for value in _walk(alone) if type(value) is int and abs(value) >= _LARGE]
    return [
        f"--set gives templates {value} as a floating-point number here, which they may print as {value:.6g}: "
        "set HELM_CLIENT_BACKEND=binary, or use --set-string"
        for value in large
    ]


def _walk(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _walk(item)
    elif isinstance(value, list):
        for item in value:
            yield from _walk(item)
    else:
        yield value
