"""Writes values as Go writes them: JSON as by encoding/json, and text quoted as by `%q`.

Clients compare and hash what Helm wrote, so these bytes are a contract. Not here: reading JSON, YAML
(goyaml.py), and which fields a chart has (metadata.py).
"""

from __future__ import annotations

from decimal import Decimal

import orjson

# Within JSON these characters stand only in strings, so replacing them in the whole output is safe.
_HTML = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)

_QUOTED = {"\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v"} | {
    '"': r"\"",
    "\\": r"\\",
}

_EXACT = 2**53  # below it every float64 without a fraction is written like the integer


class Number(float):
    """A number that JSON readers in Go hold as float64, and that `render_json` must write as Go does."""


def to_number(value: int | float) -> int | Number:
    """Answer the number as Go's interface{} holds it: a float64, here an int where that is written the same."""
    number = float(value)
    if number.is_integer() and -_EXACT < number < _EXACT and (number or not str(number).startswith("-")):
        return int(number)
    return Number(number)


def render_json(value: object) -> bytes:
    """Write compact JSON as Go's json.Marshal does: `<`, `>`, `&`, U+2028 and U+2029 escaped, no spaces.

    Keys keep the order they have: Go writes structs in field order and sorts maps, so the caller sorts maps.
    Floats must be `Number`s. Raises TypeError for what JSON cannot hold (encoding/json, encode.go).
    """
    written = orjson.dumps(value, default=_write_number)
    for character, escape in _HTML:
        if character in written:
            written = written.replace(character, escape)
    return written


def _write_number(value: object) -> orjson.Fragment:
    # orjson asks for everything it does not know, subclasses of float included.
    if not isinstance(value, Number):
        raise TypeError(f"JSON cannot hold a {type(value).__name__}")
    shortest = float.__repr__(value)
    if not value or 1e-6 <= abs(value) < 1e21:
        text = format(Decimal(shortest), "f").removesuffix(".0")
    else:
        text = shortest.replace("e-0", "e-")
    return orjson.Fragment(text.encode())


def quote(text: str) -> str:
    """Quote text for a message as Go's `%q` does (strconv.Quote)."""
    return '"' + "".join(_quote_character(character) for character in text) + '"'


def _quote_character(character: str) -> str:
    escaped = _QUOTED.get(character)
    if escaped is not None:
        return escaped
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
