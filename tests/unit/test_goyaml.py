"""YAML as Helm's Go code reads it. The expected values were taken from goyaml.v2 itself."""

from __future__ import annotations

import math
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import goyaml
from app.domain.goscalar import text_of
from app.domain.goyaml import BadYAML, parse_yaml


def parse_scalar(text: str) -> object:
    document = parse_yaml(f"k: {text}\n".encode())
    assert isinstance(document, dict)
    return document["k"]


@pytest.mark.parametrize(
    ("scalar", "text"),
    [
        ("1.10", "1.1"),
        ("1.0", "1"),
        ("010", "8"),
        ("08", "8"),
        ("0o17", "15"),
        ("0x1F", "31"),
        ("0b11", "3"),
        ("0b+1", "1"),
        ("-0b1", "-1"),
        ("1_000", "1000"),
        ("1e5", "100000"),
        ("1e6", "1e+06"),
        ("7e10", "7e+10"),
        ("12e4567", "12e4567"),
        (".5", "0.5"),
        (".1_0", "0.1"),
        ("._1", "._1"),
        ("1.", "1"),
        ("+12", "12"),
        ("-0", "0"),
        ("-0.0", "-0"),
        ("0.0001", "0.0001"),
        ("0.00001", "1e-05"),
        ("16777217.0", "1.6777216e+07"),
        ("123456789.0", "1.2345679e+08"),
        ("1e40", "+Inf"),
        (".inf", "+Inf"),
        ("-.INF", "-Inf"),
        (".nan", "NaN"),
        ("18446744073709551615", "18446744073709551615"),
        ("18446744073709551616", "1.8446744e+19"),
        ("-9223372036854775809", "-9.223372e+18"),
        ("0x10000000000000000", "0x10000000000000000"),
        ("yes", "true"),
        ("on", "true"),
        ("y", "true"),
        ("true", "true"),
        ("no", "false"),
        ("off", "false"),
        ("n", "false"),
        ("yEs", "yEs"),
        ("null", ""),
        ("~", ""),
        ("", ""),
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01T10:00:00Z", "2024-01-01T10:00:00Z"),
        ("12:30", "12:30"),
        ("12:30:45", "12:30:45"),
        ("=", "="),
        ("<<", "<<"),
        ("1.2.3", "1.2.3"),
        ("v1.10", "v1.10"),
        ("0x", "0x"),
        ("1-1", "1-1"),
        ("NaN", "NaN"),
        ('"1.10"', "1.10"),
        ("'yes'", "yes"),
        ("|\n  1.10\n", "1.10\n"),
        ("!!str 1.10", "1.10"),
        ('!!int "010"', "8"),
        ("!!float 1", "1"),
        ("!custom 010", "010"),
        ("! 010", "010"),
        ("!!binary aGk=", "hi"),
        ("!!binary /w==", "\ufffd"),
        ("!!timestamp 2024-01-01", "2024-01-01"),
    ],
)
def test_a_go_string_holds_what_goyaml_makes_of_a_scalar(scalar: str, text: str) -> None:
    if scalar == "<<":
        assert text_of(parse_yaml(b"[<<]")[0]) == text  # type: ignore[index]
    else:
        assert text_of(parse_scalar(scalar)) == text


@pytest.mark.parametrize(
    ("scalar", "value"),
    [("1", 1), ("1.0", 1.0), ("true", True), ("~", None), ("a b", "a b"), ("[1, {a: ~}]", [1, {"a": None}])],
)
def test_values_keep_their_type(scalar: str, value: object) -> None:
    parsed = parse_scalar(scalar)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("document", "value"),
    [
        (b"", None),
        (b"# nothing\n", None),
        (b"\xef\xbb\xbfa: b", {"a": "b"}),
        ("a: b".encode("utf-16"), {"a": "b"}),
        (b"a: 1\na: 2\n", {"a": 2}),
        (b"a: 1\n---\nb: [\n", {"a": 1}),
        (b"a: 1\n...\nrubbish", {"a": 1}),
        (b"1: a\n1.50: b\nyes: c\n1e10: d\n.inf: e\n-.inf: f\n.nan: g\n", dict(zip(
            ["1", "1.5", "true", "1e+10", ".inf", "-.inf", ".nan"], "abcdefg", strict=True))),
        (b"a: &x {b: 1}\nc: *x\n", {"a": {"b": 1}, "c": {"b": 1}}),
        (b"a: &x 1\nb: &x 2\nc: *x\n", {"a": 1, "b": 2, "c": 2}),
        (b"<<: {a: 1, b: 1}\na: 2\n", {"a": 2, "b": 1}),
        (b"a: 2\n<<: {a: 1}\n", {"a": 1}),
        (b"<<: [{a: 1}, {a: 2, b: 2}]\n", {"a": 1, "b": 2}),
        (b"x: &x {a: 1}\n<<: *x\n", {"x": {"a": 1}, "a": 1}),
        (b'"<<": {a: 1}\n', {"<<": {"a": 1}}),
        (b"%YAML 1.1\n---\na: b\n", {"a": "b"}),
        (b"a: [b,]\n", {"a": ["b"]}),
    ],
)  # fmt: skip
def test_the_first_document_is_read(document: bytes, value: object) -> None:
    assert parse_yaml(document) == value


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (b"a: b: c", "yaml: mapping values are not allowed in this context"),
        (b"a:\n  - b\n c: d", "yaml: line 2: did not find expected key"),
        (b"a: b\n\tc: d", "yaml: line 2: found a tab character that violates indentation"),
        (b"\ta: x", "yaml: found character that cannot start any token"),
        (b"a: [1, 2\nb: c", "yaml: line 1: did not find expected ',' or ']'"),
        (b"a: 'x", "yaml: found unexpected end of stream"),
        (b'a: "\\q"', "yaml: found unknown escape character"),
        (b'a: "\\ud800"', "yaml: found invalid Unicode character escape code"),
        (b"%YAML 1.2\n---\na: x", "yaml: found incompatible YAML document"),
        (b"a: \xe9", "yaml: incomplete UTF-8 octet sequence"),
        (b"a: caf\xe9s x", "yaml: invalid trailing UTF-8 octet"),
        (b"a: \x01", "yaml: control characters are not allowed"),
        (b"a: *b", "yaml: unknown anchor 'b' referenced"),
        (b"a: &x [*x]", "yaml: anchor 'x' value contains itself"),
        (b"<<: 1", "yaml: map merge requires map or sequence of maps as the value"),
        (b"a: !!int x", "yaml: cannot decode !!str `x` as a !!int"),
        (b"a: !!bool 1", "yaml: cannot decode !!int `1` as a !!bool"),
        (b"a: !!float 18446744073709551615", "yaml: cannot decode !!int `18446744073709551615` as a !!float"),
        (b"a: !!timestamp x", "yaml: cannot decode !!str `x` as a !!timestamp"),
        (b"a: !!binary x", "yaml: !!binary value contains invalid base64 data"),
    ],
)
def test_what_is_no_yaml_is_refused_in_gos_words(document: bytes, problem: str) -> None:
    with pytest.raises(BadYAML) as caught:
        parse_yaml(document)
    assert str(caught.value) == f"error converting YAML to JSON: {problem}"


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (b"a: {{ x }}", "yaml: invalid map key: a collection"),
        (b"? [a]\n: b", "yaml: invalid map key: a collection"),
        (b"~: a", "unsupported map key of type: null"),
        (b"9223372036854775808: a", "unsupported map key of type: uint64"),
    ],
)
def test_a_key_that_is_no_text_is_refused_with_advice(document: bytes, problem: str) -> None:
    with pytest.raises(BadYAML, match=f"error converting YAML to JSON: {problem}; quote|{problem}; quote"):
        parse_yaml(document)


def bomb_of_lists(levels: int, width: int) -> bytes:
    lines = [b"a0: &a0 [" + b",".join([b"x"] * width) + b"]"]
    lines += [b"a%d: &a%d [" % (n, n) + b",".join([b"*a%d" % (n - 1)] * width) + b"]" for n in range(1, levels)]
    return b"\n".join(lines)


def bomb_of_maps(levels: int, width: int) -> bytes:
    lines = [b"a0: &a0 {x: y}"]
    for n in range(1, levels):
        items = b", ".join(b"k%d: *a%d" % (item, n - 1) for item in range(width))
        lines.append(b"a%d: &a%d {%s}" % (n, n, items))
    return b"\n".join(lines)


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        pytest.param(bomb_of_lists(9, 9), "excessive aliasing|more than 200000 values", id="a billion laughs"),
        pytest.param(bomb_of_maps(30, 9), "excessive aliasing|more than 200000 values", id="a billion maps"),
        pytest.param(
            b"a: &a " + b"x" * 1_000_000 + b"\nb: [" + b"*a," * 99 + b"*a]", "excessive aliasing", id="one long text"
        ),
        pytest.param(b"[" * 100_000, "depth", id="open brackets"),
        pytest.param(b"{a: " * 100_000, "depth", id="open braces"),
        pytest.param(b"- " * 100_000 + b"x", "depth", id="dashes"),
        pytest.param(b"? " * 100_000 + b"x", "depth", id="question marks"),
        pytest.param(b"".join(b" " * n + b"a:\n" for n in range(400)), "depth", id="steps"),
        pytest.param(
            b"a0: &a0 [x]\n" + b"".join(b"a%d: &a%d [*a%d]\n" % (n, n, n - 1) for n in range(1, 1000)),
            "excessive aliasing|depth",
            id="depth behind aliases",
        ),
    ],
)
def test_a_bomb_is_refused_before_it_costs_much(document: bytes, problem: str) -> None:
    tracemalloc.start()
    began = time.monotonic()
    try:
        with pytest.raises(BadYAML, match=problem):
            parse_yaml(document)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100 * 1024 * 1024
    assert time.monotonic() - began < 10


def test_a_document_of_too_many_values_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(goyaml, "MAX_NODES", 1000)
    assert parse_yaml(b"[" + b"1," * 900 + b"]") == [1] * 900
    with pytest.raises(BadYAML, match="more than 1000 values"):
        parse_yaml(b"[" + b"1," * 1000 + b"]")


def test_aliases_in_reason_are_fine() -> None:
    document = b"a: &a [" + b"x," * 100 + b"]\n" + b"".join(b"b%d: *a\n" % n for n in range(90))
    assert len(parse_yaml(document)["b89"]) == 100  # type: ignore[index]


def test_a_hundred_levels_are_fine() -> None:
    value = parse_yaml(b"[" * 100 + b"]" * 100)
    for _ in range(99):
        assert isinstance(value, list)
        value = value[0]
    assert value == []


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(document: bytes) -> None:
    try:
        parse_yaml(document)
    except BadYAML as error:
        assert str(error).startswith("error converting YAML to JSON: ")  # noqa: PT017


@given(st.text(alphabet="abc:-[]{}&*!|>'\"#%@?,~ \n<0.", max_size=60))
def test_any_text_of_indicators_is_read_or_refused(document: str) -> None:
    try:
        parse_yaml(document.encode())
    except BadYAML as error:
        assert str(error).startswith("error converting YAML to JSON: ")  # noqa: PT017


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float32_survives_as_text(number: float) -> None:
    assert float(text_of(number)) == pytest.approx(number, rel=1e-6)
    assert math.copysign(1, float(text_of(number))) == math.copysign(1, number)
