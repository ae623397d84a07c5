"""What a YAML scalar means to Helm's Go code, and what a Go string makes of it.

The rules are goyaml.v2's resolve.go: YAML 1.1 with `y`, `on` and octal `010`, but without base 60 and with dates
left as text. Not here: documents and collections (goyaml.py).
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from decimal import Decimal

MERGE_TAG = "tag:yaml.org,2002:merge"
BINARY_TAG = "tag:yaml.org,2002:binary"
_TIMESTAMP_TAG = "tag:yaml.org,2002:timestamp"
_TAGS = {f"tag:yaml.org,2002:{name}": f"!!{name}" for name in ("bool", "int", "float", "null", "timestamp")}
_SHORT = {bool: "!!bool", int: "!!int", float: "!!float", type(None): "!!null", str: "!!str"}

_WORDS: dict[str, object] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
}
FIRST_LETTERS = frozenset("yYnNtTfFoO~.+-0123456789")  # whatever begins otherwise is text

_INTEGER = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|([0-9]+))")
_ODD_BINARY = re.compile(r"0b([-+][01]+)")  # strconv.ParseInt reads the sign that follows the prefix
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_DOT_FLOAT = re.compile(r"\.[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+(?:_[0-9]+)*)?")
_LONGEST_DECIMAL = 20  # digits of 2**64 - 1; Python refuses to read more than 4300
_TIMESTAMP = re.compile(r"\d{4}-\d\d?-\d\d?(?:[Tt ]\d\d?:\d\d?:\d\d?(?:[.,]\d+)?(?:Z|[-+]\d\d:\d\d)?)?", re.ASCII)


class BadScalar(ValueError):
    """The scalar contradicts its tag; the message is Go's."""


def resolve(text: str) -> object:
    """Answer what a plain scalar without a tag means: None, bool, int, float or the text itself."""
    if text and text[0] not in FIRST_LETTERS:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in "yYnNtTfFoO~":
        return text
    if text[0] == ".":
        return _float(text.replace("_", ""), text) if _DOT_FLOAT.fullmatch(text) else text
    return _number(text)


def _number(text: str) -> object:
    plain = text.replace("_", "")
    match = _INTEGER.fullmatch(plain)
    if match is not None:
        sign, sixteen, two, eight, ten = match.groups()
        # "08" is no octal number, and Go reads no decimal one with a leading 0: it becomes a float.
        if not ten or ten == "0" or (ten[0] != "0" and len(ten) <= _LONGEST_DECIMAL):
            number = int(sixteen or two or eight or ten, 16 if sixteen else 2 if two else 8 if eight else 10)
            if _fits(sign, number):
                return -number if sign == "-" else number
    if _FLOAT.fullmatch(plain):
        return _float(plain, text)
    match = _ODD_BINARY.fullmatch(plain)
    if match is not None and -(2**63) <= int(match[1], 2) < 2**63:
        return int(match[1], 2)
    return text


def _fits(sign: str, number: int) -> bool:
    # int64, or uint64 when no sign is given.
    return number <= {"-": 2**63, "+": 2**63 - 1, "": 2**64 - 1}[sign]


def _float(plain: str, text: str) -> object:
    number = float(plain)
    return number if math.isfinite(number) else text  # out of range stays text


def resolve_tagged(tag: str, text: str) -> object:
    """Answer what a scalar with an explicit tag means. Raises BadScalar; unknown tags leave the text alone."""
    if tag == BINARY_TAG:
        return _binary(text)
    if tag not in _TAGS:
        return text
    if tag == _TIMESTAMP_TAG and _TIMESTAMP.fullmatch(text):
        return text
    wanted = _TAGS[tag]
    value = resolve(text)
    found = _SHORT[type(value)]
    if found == wanted:
        return value
    if wanted == "!!float" and found == "!!int" and isinstance(value, int) and value < 2**63:
        return float(value)
    raise BadScalar(f"cannot decode {found} `{text}` as a {wanted}")


def _binary(text: str) -> str:
    try:
        content = base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        raise BadScalar("!!binary value contains invalid base64 data") from None
    # json.Marshal writes U+FFFD for each byte that is no UTF-8.
    decoded = content.decode("utf-8", "surrogateescape")
    return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in decoded)


def text_of(value: object) -> str:
    """Answer what a Go string holds after reading this scalar: `1.10` is "1.1", `1e5` is "100000", `yes` is "true".

    A float passes through 32 bits, so `123456789.0` is "1.2345679e+08" (sigs.k8s.io/yaml, convertToJSONableObject).
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float32_text(value)
    return ""


def _float32_text(value: float) -> str:
    """Write the shortest digits that give the same float32, as strconv.FormatFloat(value, 'g', -1, 32) does."""
    if math.isnan(value):
        return "NaN"
    packed = _pack(value)
    (single,) = struct.unpack("<f", packed)
    if math.isinf(single):
        return "+Inf" if single > 0 else "-Inf"
    if single == 0:
        return "-0" if packed[3] else "0"
    candidates = (f"{single:.{digits}e}" for digits in range(9))
    written = next(candidate for candidate in candidates if _pack(float(candidate)) == packed)
    mantissa, _, exponent = written.partition("e")
    if -4 <= int(exponent) < 6:
        return format(Decimal(written), "f")
    return f"{mantissa}e{int(exponent):+03d}"


def _pack(value: float) -> bytes:
    try:
        return struct.pack("<f", value)
    except OverflowError:  # beyond float32
        return struct.pack("<f", math.copysign(math.inf, value))
