"""`--set` over values that are there, without Helm; what Helm makes of the same is in test_values."""

from __future__ import annotations

from typing import Any

import pytest
from helm_client.engine import expressions
from helm_client.errors import ConfigError
from hypothesis import given
from hypothesis import strategies as st


def apply(text: str, **values: Any) -> dict[str, Any]:
    expressions.apply_set(text, values)
    return values


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a=1", {"a": 1}),
        ("a=1,b.c=two", {"a": 1, "b": {"c": "two"}}),
        ("a=TRUE,b=False,c=null,d=0", {"a": True, "b": False, "c": None, "d": 0}),
        ("a=007,b=1.5,c=-3,d=+4", {"a": "007", "b": "1.5", "c": -3, "d": 4}),
        ("a=9223372036854775807,b=9223372036854775808", {"a": 2**63 - 1, "b": "9223372036854775808"}),
        ("a={x,1,null}", {"a": ["x", 1, None]}),
        ("a={}", {"a": [""]}),
        ("a={x},b=1", {"a": ["x"], "b": 1}),
        ("a[1]=x", {"a": [None, "x"]}),
        ("a[0][1]=x", {"a": [[None, "x"]]}),
        ("a[0].b.c=x", {"a": [{"b": {"c": "x"}}]}),
        (r"a\.b=x\,y", {"a.b": "x,y"}),
        (r"a=\{x", {"a": "{x"}),
        ("a=", {"a": ""}),
        ("a.b=", {"a": {"b": ""}}),
        ("a=x y,b= z", {"a": "x y", "b": " z"}),
        ("", {}),
    ],
)
def test_set_reads_as_helm_does(text: str, found: dict[str, Any]) -> None:
    assert apply(text) == found


def test_an_item_of_a_list_is_changed_where_it_lies() -> None:
    there = {"servers": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]}
    assert apply("servers[1].port=9", **there)["servers"] == [{"name": "a", "port": 1}, {"name": "b", "port": 9}]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a", 'key "a" has no value'),
        ("a,b=1", 'key "a" has no value (cannot end with ,)'),
        ("a[-1]=x", "negative -1 index not allowed"),
        ("a[x]=1", "error parsing index"),
        ("a[65537]=x", "index of 65537 is greater than maximum supported index of 65536"),
        ("a[0]b=1", "unexpected data at end of array index"),
        ("a={x", "list must terminate with '}'"),
        (".".join("a" * 32) + "=1", "value name nested level is greater than maximum supported nested level of 30"),
        ("number.a=1", "unable to parse key"),
        ("number[0]=1", "unable to parse key"),
    ],
)
def test_what_cannot_be_is_refused_in_helms_words(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        apply(text, number=1)
    assert words in str(caught.value)


def test_json_literal_and_file_values() -> None:
    values: dict[str, Any] = {}
    expressions.apply_set_json('a={"b":[1,2.5]}, c[1]=null,d="x,y",e=', values)
    expressions.apply_set_literal(r"f.g=a=b,c\d{}", values)
    expressions.apply_set_file("h=one,i=two", values, lambda path: f"<{path}>")
    assert values == {
        "a": {"b": [1, 2.5]}, " c": [None, None], "d": "x,y", "e": None, "f": {"g": r"a=b,c\d{}"}, "h": "<one>",
        "i": "<two>",
    }  # fmt: skip
    with pytest.raises(ConfigError):
        expressions.apply_set_json("a={", values)


@given(st.text(alphabet="ab01.,[]={}\\ -", max_size=24))
def test_any_text_is_read_or_refused(text: str) -> None:
    for apply_one in (expressions.apply_set, expressions.apply_set_json, expressions.apply_set_literal):
        try:
            apply_one(text, {"a": [1, {"b": None}], "b": {"a": 0}})
        except ConfigError:
            continue
