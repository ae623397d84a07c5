"""Fits a YAML value into typed fields as Go's encoding/json fits it into a struct.

Field names match without regard to case, unknown ones are dropped, null changes nothing, and a string field takes
numbers and booleans (sigs.k8s.io/yaml converts them first). Not here: which types a chart has (metadata.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from app.domain import gojson, goscalar

_KINDS: Mapping[type, str] = {
    bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object",
}  # fmt: skip


class BadShape(ValueError):
    """A value does not fit; the message is Go's, from `error unmarshaling JSON` on."""


class Shape(Protocol):
    """A Go type: `name` as Go prints it, and how a value is fitted into it."""

    name: str

    def fit(self, value: object, old: object, place: str) -> object:
        """Answer what the field holds after reading `value` over `old`. Raises BadShape.

        `place` is `Struct.path` of the field, empty at the top.
        """
        ...


def mismatch(value: object, place: str, wanted: str) -> BadShape:
    """Answer Go's error for a value that does not fit the Go type `wanted`."""
    where = f"struct field {place}" if place else "value"
    return _bad(f"json: cannot unmarshal {_KINDS[type(value)]} into Go {where} of type {wanted}")


def _bad(problem: str) -> BadShape:
    return BadShape(f"error unmarshaling JSON: while decoding JSON: {problem}")


class Text:
    """A string; what YAML took for a number or a boolean becomes text again."""

    name = "string"

    def fit(self, value: object, old: object, place: str) -> object:
        """Answer a str."""
        if isinstance(value, str):
            return value
        if value is None:
            return old or ""
        if isinstance(value, (list, dict)):
            raise mismatch(value, place, self.name)
        return goscalar.text_of(value)


class Flag:
    """A bool; text such as "true" is refused."""

    name = "bool"

    def fit(self, value: object, old: object, place: str) -> object:
        """Answer a bool."""
        if isinstance(value, bool):
            return value
        if value is None:
            return bool(old)
        raise mismatch(value, place, self.name)


class Anything:
    """An interface{}: whatever JSON can hold, numbers as float64, keys sorted."""

    name = "interface {}"

    def fit(self, value: object, old: object, place: str) -> object:
        """Answer the value as `gojson.render_json` takes it."""
        if isinstance(value, dict):
            return {key: self.fit(value[key], None, place) for key in sorted(value)}
        if isinstance(value, list):
            return [self.fit(item, None, place) for item in value]
        if isinstance(value, float) and value - value != 0:  # infinite or not a number
            unsupported = goscalar.text_of(value)
            raise BadShape(f"error converting YAML to JSON: json: unsupported value: {unsupported}")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return gojson.to_number(value)
        return value


class Time:
    """A time.Time: RFC 3339 text with a zone."""

    name = "time.Time"

    def fit(self, value: object, old: object, place: str) -> object:
        """Answer the text, checked."""
        if value is None:
            return old
        if not isinstance(value, str):
            raise _bad("Time.UnmarshalJSON: input is not a JSON string")
        try:
            complete = len(value) > 19 and value[10] == "T" and datetime.fromisoformat(value).tzinfo is not None
        except ValueError:
            complete = False
        if not complete:
            raise _bad(f'parsing time {gojson.quote(value)} as "2006-01-02T15:04:05Z07:00"')
        return value


class Many:
    """A slice. Like Go's, it fits each item over what stood in its place before."""

    def __init__(self, item: Shape) -> None:
        self._item = item
        self.name = f"[]{'*' if isinstance(item, Record) else ''}{item.name}"

    def fit(self, value: object, old: object, place: str) -> object:
        """Answer a list."""
        if value is None:
            return []
        if not isinstance(value, list):
            raise mismatch(value, place, self.name)
        before = old if isinstance(old, list) else []
        before = before + [None] * (len(value) - len(before))
        return [self._item.fit(item, earlier, place) for item, earlier in zip(value, before, strict=False)]


class Table:
    """A map[string]string, merged into what was there."""

    name = "map[string]string"

    def fit(self, value: object, old: object, place: str) -> object:
        """Answer a dict."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise mismatch(value, place, self.name)
        before = old if isinstance(old, dict) else {}
        return before | {key: TEXT.fit(item, None, place) for key, item in value.items()}


class Record:
    """A struct, or behind a pointer one that may be null."""

    def __init__(self, name: str, fields: Mapping[str, Shape]) -> None:
        self.name = name
        self._go_name = name.rpartition(".")[2]
        self._fields = fields
        self._folded = {field.casefold(): field for field in fields}

    def fit(self, value: object, old: object, place: str) -> object:
        """Answer a dict of the fields that were given, or None for null."""
        if value is None:
            return None
        if not isinstance(value, dict):
            raise mismatch(value, place, self.name)
        path = place.partition(".")[2]
        prefix = f"{self._go_name}.{path}." if path else f"{self._go_name}."
        record = dict(old) if isinstance(old, dict) else {}
        # sigs.k8s.io/yaml hands encoding/json an object with sorted keys, so that of `Name` and `name` the last wins.
        for key in sorted(value):
            field = key if key in self._fields else self._folded.get(key.casefold())
            if field is not None:
                record[field] = self._fields[field].fit(value[key], record.get(field), prefix + field)
        return record


TEXT = Text()
FLAG = Flag()
ANYTHING = Anything()
TIME = Time()
