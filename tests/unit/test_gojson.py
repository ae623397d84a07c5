"""JSON and quoted text as Go writes them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.gojson import Number, quote, render_json, to_number


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"b": 1, "a": "x"}, b'{"b":1,"a":"x"}'),
        ("<b>&amp;</b>", b'"\\u003cb\\u003e\\u0026amp;\\u003c/b\\u003e"'),
        ("a\u2028b\u2029c", b'"a\\u2028b\\u2029c"'),
        ('"\\/\b\f\n\r\t\x00\x1f\x7f', b'"\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\x7f"'),
        ("é\U0001f600", '"é\U0001f600"'.encode()),
        ([None, True, False, [], {}], b"[null,true,false,[],{}]"),
        (("a", "b"), b'["a","b"]'),
    ],
)
def test_strings_and_structure_are_written_as_by_go(value: object, written: bytes) -> None:
    assert render_json(value) == written


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (1.0, b"1"),
        (-3, b"-3"),
        (0.5, b"0.5"),
        (-0.0, b"-0"),
        (1e20, b"100000000000000000000"),
        (1e21, b"1e+21"),
        (1e-6, b"0.000001"),
        (1e-7, b"1e-7"),
        (1.5e-10, b"1.5e-10"),
        (12345678901234567890, b"12345678901234567000"),
        (2**53, b"9007199254740992"),
        (1e16 + 2, b"10000000000000002"),
        (1.7976931348623157e308, b"1.7976931348623157e+308"),
        (123456789.125, b"123456789.125"),
    ],
)
def test_numbers_are_written_as_go_writes_a_float64(number: float, written: bytes) -> None:
    assert render_json([to_number(number)]) == b"[" + written + b"]"


def test_what_json_cannot_hold_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        render_json({"x": object()})


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_survives_being_written(number: float) -> None:
    for form in (Number(number), to_number(number)):
        assert json.loads(render_json(form), parse_int=float) == number


@given(
    st.recursive(
        st.text() | st.booleans() | st.none(),
        lambda item: st.lists(item) | st.dictionaries(st.text(), item),
        max_leaves=8,
    )
)
def test_whatever_is_written_reads_back_the_same(value: object) -> None:
    written = render_json(value)
    assert json.loads(written) == value
    assert not set(b"<>&") & set(written)


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("flat", '"flat"'),
        ('a"b\\c', r'"a\"b\\c"'),
        ("a\n\t\r\a\b\f\v", r'"a\n\t\r\a\b\f\v"'),
        ("\x00\x7f\x85\u2028\ufeff", r'"\x00\x7f\u0085\u2028\ufeff"'),
        ("é \U0001f600", '"é \U0001f600"'),
        ("\U000e0001", r'"\U000e0001"'),
    ],
)
def test_text_is_quoted_as_by_percent_q(text: str, quoted: str) -> None:
    assert quote(text) == quoted
