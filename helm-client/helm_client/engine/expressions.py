"""Helm's `--set` expressions, applied to values that are there already (Helm's pkg/strvals).

helm-python-sdk has Helm's own parser, but only onto nothing: `--set list[0].port=1` over a list from a file would
replace the list. So this is a parser of the same language, with the same limits and the same words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from helm_client.errors import ConfigError

LARGEST_INDEX = 65536
DEEPEST_NAME = 30

_INT64 = 2**63
_INTEGER = re.compile(r"[+-]?[0-9]+\Z")
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None, "0": 0}

Convert = Callable[[str], Any]


def apply_set(text: str, values: dict[str, Any]) -> None:
    """Apply `--set`: integers, true, false and null get their type. Raises ConfigError."""
    _run(_Parser(text, _to_typed), values)


def apply_set_string(text: str, values: dict[str, Any]) -> None:
    """Apply `--set-string`: every value is text. Raises ConfigError."""
    _run(_Parser(text, str), values)


def apply_set_file(text: str, values: dict[str, Any], read: Convert) -> None:
    """Apply `--set-file`: a value is what `read` answers for a path. Raises ConfigError."""
    _run(_Parser(text, read), values)


def apply_set_json(text: str, values: dict[str, Any]) -> None:
    """Apply `--set-json` of the form key=JSON. Raises ConfigError."""
    _run(_JsonParser(text, str), values)


def apply_set_literal(text: str, values: dict[str, Any]) -> None:
    """Apply `--set-literal`: everything after the `=` is the value. Raises ConfigError."""
    _run(_LiteralParser(text, str), values)


def _run(parser: _Parser, values: dict[str, Any]) -> None:
    while parser.parse_key(values, 0):
        pass


def _to_typed(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if not text.startswith("0") and _INTEGER.match(text) and -_INT64 <= int(text) < _INT64:
        return int(text)
    return text


class _Parser:
    """Reads from a position; its methods answer whether more may follow."""

    escape = "\\"
    key_ends = "=[,."

    def __init__(self, text: str, convert: Convert) -> None:
        self.text, self.at, self.convert = text, 0, convert

    def parse_key(self, values: dict[str, Any], depth: int) -> bool:
        """Read one assignment into `values`; answer False when nothing is left."""
        key, end = self._until(self.key_ends)
        if end == "":
            if key:
                raise ConfigError(f'key "{key}" has no value')
            return False
        if end == "[":
            index = self._parse_index()
            target = values.get(key, [])
            if not isinstance(target, list):
                raise ConfigError(f'unable to parse key: "{key}" is {_describe(target)}, not a list')
            _put(values, key, self._parse_item(target, index, depth))
            return True
        if end == ",":
            _put(values, key, "")
            raise ConfigError(f'key "{key}" has no value (cannot end with ,)')
        if end == ".":
            return self._parse_nested(values, key, depth + 1)
        self._take_value(lambda value: _put(values, key, value))
        return True

    def _parse_nested(self, values: dict[str, Any], key: str, depth: int) -> bool:
        if depth > DEEPEST_NAME:
            text = "value name nested level is greater than maximum supported nested level of"
            raise ConfigError(f"{text} {DEEPEST_NAME}")
        inner = values.get(key, {})
        if not isinstance(inner, dict):
            raise ConfigError(f'unable to parse key: "{key}" is {_describe(inner)}, not a map')
        more = self.parse_key(inner, depth)
        if more and not inner:
            raise ConfigError(f'key map "{key}" has no value')
        if inner:
            _put(values, key, inner)
        return more

    def _parse_index(self) -> int:
        text, end = self._until("]")
        if not end or not _INTEGER.match(text):
            raise ConfigError(f'error parsing index: strconv.Atoi: parsing "{text}": invalid syntax')
        index = int(text)
        if index < 0:
            raise ConfigError(f"negative {index} index not allowed")
        return index

    def _parse_item(self, items: list[Any], index: int, depth: int) -> list[Any]:
        """Read what follows an index, and answer the list with it."""
        word, end = self._until("[.=")
        if word:
            raise ConfigError(f'unexpected data at end of array index: "{word}"')
        there = items[index] if index < len(items) else None
        if end == "=":
            self._take_value(lambda value: _put_item(items, index, value))
        elif end == "[":
            if there is not None and not isinstance(there, list):
                raise ConfigError(f"unable to parse key: item {index} is {_describe(there)}, not a list")
            _put_item(items, index, self._parse_item(there or [], self._parse_index(), depth))
        elif end == ".":
            inner = there if isinstance(there, dict) else {}
            if self.parse_key(inner, depth) or inner:
                _put_item(items, index, inner)
        return items

    def _take_value(self, put: Callable[[Any], None]) -> None:
        if self.at == len(self.text):
            put("")
        elif self.text[self.at] == "{":
            self.at += 1
            put(self._parse_list())
        else:
            put(self.convert(self._until(",")[0]))

    def _parse_list(self) -> list[Any]:
        items: list[Any] = []
        while True:
            word, end = self._until(",}")
            if not end:
                raise ConfigError("list must terminate with '}'")
            items.append(self.convert(word))
            if end == "}":
                if self.text[self.at : self.at + 1] == ",":
                    self.at += 1
                return items

    def _until(self, ends: str) -> tuple[str, str]:
        """Read up to one of these characters: the text before it, and it; at the end of all it is empty."""
        word = ""
        while self.at < len(self.text):
            character = self.text[self.at]
            self.at += 1
            if character in ends:
                return word, character
            if character == self.escape:
                word += self.text[self.at : self.at + 1]
                self.at += 1
            else:
                word += character
        return word, ""


class _JsonParser(_Parser):
    def _take_value(self, put: Callable[[Any], None]) -> None:
        if self._skip_blank():
            put(None)
            return
        try:
            value, self.at = json.JSONDecoder(parse_constant=_refuse).raw_decode(self.text, self.at)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        put(value)
        self._skip_blank()

    def _skip_blank(self) -> bool:
        """Skip blanks, and a comma or the end; answer whether there was nothing else."""
        rest = self.text[self.at :].lstrip()
        self.at = len(self.text) - len(rest)
        if rest.startswith(","):
            self.at += 1
        return not rest or rest.startswith(",")


class _LiteralParser(_Parser):
    escape = ""
    key_ends = "=[."

    def _take_value(self, put: Callable[[Any], None]) -> None:
        value, self.at = self.text[self.at :], len(self.text)
        put(value)


def _refuse(word: str) -> Any:
    raise ValueError(f"invalid character in {word}")


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    if key:
        values[key] = value


def _put_item(items: list[Any], index: int, value: Any) -> None:
    if index > LARGEST_INDEX:
        raise ConfigError(f"index of {index} is greater than maximum supported index of {LARGEST_INDEX}")
    items.extend([None] * (index + 1 - len(items)))
    items[index] = value


def _describe(value: Any) -> str:
    return "null" if value is None else {bool: "true or false", dict: "a map", list: "a list"}.get(type(value), "text")
