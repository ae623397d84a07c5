"""The index: every parser reads the same from it, whatever stands in a chart's metadata."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import index

CREATED = "2024-03-01T10:20:30.123456789Z"
DIGEST = "5c824605d676f5244aaf70d889f4e58f953308c426f2fa8f970e8fd580eaf363"
ODD = "".join(map(chr, [*range(0xA1), 0x2028, 0x2029, 0xFEFF, 0xFFFC, 0xFFFD, 0xFFFE, 0xFFFF, 0x1F600, 0x10FFFF]))

# Letters that trouble some parser, beside any other; no half surrogates, which no metadata holds.
TEXT = st.text(
    st.one_of(st.sampled_from(ODD), st.characters(exclude_categories=["Cs"])),
    max_size=8,
) | st.sampled_from(["y", "no", "~", "null", "1.0", "1e5", "012", "<<", "=", "- a", "? b", "# c", "a: b", "---", ""])


def go_json(value: object) -> bytes:
    """Write JSON as Go's json.Marshal does."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode()


def render(metadata: dict[str, Any], filename: str = "mychart-1.0.0.tgz") -> bytes:
    return index.render_entry(go_json(metadata), filename=filename, created=CREATED, digest=DIGEST)


def render_json(charts: dict[str, list[bytes]], context_path: str = "") -> bytes:
    body = index.SEPARATOR.join(index.render_chart(name, entries) for name, entries in charts.items())
    return index.render_head(CREATED, context_path) + body + index.render_tail()


def render_yaml(charts: dict[str, list[bytes]], context_path: str = "") -> bytes:
    body = b"".join(index.yaml_chart(name, entries) for name, entries in charts.items())
    return index.yaml_head(CREATED, context_path, empty=not charts) + body + index.yaml_tail()


def whole(charts: dict[str, list[dict[str, Any]]], server: dict[str, str] | None = None) -> dict[str, Any]:
    return {"apiVersion": "v1", "generated": CREATED, "serverInfo": server or {}, "entries": charts}


def complete(metadata: dict[str, Any], filename: str = "mychart-1.0.0.tgz") -> dict[str, Any]:
    return {**metadata, "urls": [f"charts/{filename}"], "created": CREATED, "digest": DIGEST}


CHART = {"name": "mychart", "version": "1.0.0", "description": 'A <b>Helm</b> & "chart"', "apiVersion": "v2"}


def test_an_entry_is_one_line_with_its_place_and_digest_last() -> None:
    assert render(CHART) == (
        rb'{"name":"mychart","version":"1.0.0",'
        rb'"description":"A \u003cb\u003eHelm\u003c/b\u003e \u0026 \"chart\"",'
        rb'"apiVersion":"v2","urls":["charts/mychart-1.0.0.tgz"],"created":"2024-03-01T10:20:30.123456789Z",'
        rb'"digest":"5c824605d676f5244aaf70d889f4e58f953308c426f2fa8f970e8fd580eaf363"}'
    )


def test_an_entry_without_metadata_is_still_an_object() -> None:
    assert json.loads(render({})) == complete({})


def test_spaces_and_line_breaks_between_values_do_not_break_the_line() -> None:
    config = json.dumps(CHART, indent=2).encode() + b"\n"
    entry = index.render_entry(config, filename="mychart-1.0.0.tgz", created=CREATED, digest=DIGEST)
    assert b"\n" not in entry
    assert json.loads(entry) == complete(CHART)


@pytest.mark.parametrize("config", [b"", b"[]", b"null", b'"x"', b'{"a":"\xff"}', b'{"a":"\n"}', b'{"a":1'])
def test_what_is_no_object_never_reaches_an_index(config: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        index.render_entry(config, filename="a-1.tgz", created=CREATED, digest=DIGEST)


@pytest.mark.parametrize("moment", ["", "2024-03-01", "2024-03-01 10:20:30Z", "2024-03-01T10:20:30"])
def test_a_time_that_helm_would_refuse_never_reaches_an_index(moment: str) -> None:
    with pytest.raises(ValueError, match="RFC 3339"):
        index.render_entry(b"{}", filename="a-1.tgz", created=moment, digest=DIGEST)
    with pytest.raises(ValueError, match="RFC 3339"):
        index.render_head(moment, "")
    with pytest.raises(ValueError, match="RFC 3339"):
        index.yaml_head(moment, "", empty=True)


def test_a_file_name_is_written_so_that_the_url_leads_to_it() -> None:
    entry = json.loads(render(CHART, filename='a%b?c#d "<ä>-1.0.0+b.tgz'))
    assert entry["urls"] == ['charts/a%25b%3Fc%23d "<ä>-1.0.0+b.tgz']


@pytest.mark.parametrize("base", ["https://charts.example.org/ctx/org", "https://charts.example.org/ctx/org/"])
def test_an_entry_is_rebased_on_a_url(base: str) -> None:
    trap = {
        **CHART,
        "annotations": {'"urls":["': '"urls":["x', "urls": '["'},
        "dependencies": [{"urls": ["x"]}],
    }
    filename = 'odd"urls":["-1.tgz'
    rebased = json.loads(index.rebase_entry(render(trap, filename), base))
    assert rebased == {**complete(trap), "urls": [f"https://charts.example.org/ctx/org/charts/{filename}"]}


def test_a_pair_of_surrogate_escapes_becomes_the_character() -> None:
    config = rb'{"name":"\ud83d\ude00 \\ud83d \ud83d \uDE00 \\\uD83D\uDE00"}'
    entry = index.render_entry(config, filename="a-1.tgz", created=CREATED, digest=DIGEST)
    for load in (json.loads, yaml.safe_load):
        assert load(entry)["name"] == "\U0001f600 \\ud83d \ufffd \ufffd \\\U0001f600"


def test_keys_too_long_for_yaml_are_left_out() -> None:
    kept = {"a" * 998: "kept", "ä" * 998: "kept", "\x01" * 166: "kept"}
    dropped = {"b" * 999: "x", "<" * 200: "x", "\x85" * 200: "x", "\\" * 600: "x"}
    metadata = {**CHART, "annotations": {**kept, **dropped}}
    entries = [render(metadata)]
    expected = whole({"mychart": [complete({**CHART, "annotations": kept})]})
    assert yaml.load(render_json({"mychart": entries}), yaml.CSafeLoader) == expected
    assert yaml.load(render_yaml({"mychart": entries}), yaml.SafeLoader) == expected


def test_long_text_is_kept_whole() -> None:
    metadata = {**CHART, "description": "x " * 100_000, "keywords": ["y" * 5000]}
    expected = whole({"mychart": [complete(metadata)]})
    for body in (render_json({"mychart": [render(metadata)]}), render_yaml({"mychart": [render(metadata)]})):
        assert yaml.load(body, yaml.CSafeLoader) == expected


def test_the_parts_make_an_index_with_one_version_a_line() -> None:
    body = render_json({"a": [b'{"name":"a"}', b"{}"], 'b"': [b"{}"]}, "/ctx")
    assert body.decode().splitlines() == [
        '{"apiVersion":"v1","generated":"2024-03-01T10:20:30.123456789Z",'
        '"serverInfo":{"contextPath":"/ctx"},"entries":{',
        *('"a":[', '{"name":"a"},', "{}", "],", r'"b\"":[', "{}", "]", "}}"),
    ]


def test_block_yaml_has_chartmuseums_shape() -> None:
    metadata = {
        **CHART,
        "deprecated": True,
        "keywords": [],
        "maintainers": [{"name": "Bob", "email": "b@x.y"}],
        "annotations": {"y": "1e5"},
        "dependencies": [{"tags": ["t"], "name": "common", "import-values": [["a"], {"child": "c"}]}],
    }
    assert (
        render_yaml({"mychart": [render(metadata)]}, "/ctx").decode()
        == """\
apiVersion: v1
generated: "2024-03-01T10:20:30.123456789Z"
serverInfo: {"contextPath": "/ctx"}
entries:
  "mychart":
  - annotations:
      "y": "1e5"
    apiVersion: "v2"
    created: "2024-03-01T10:20:30.123456789Z"
    dependencies:
    - import-values:
      - - "a"
      - "child": "c"
      name: "common"
      tags:
      - "t"
    deprecated: true
    description: "A <b>Helm</b> & \\"chart\\""
    digest: "5c824605d676f5244aaf70d889f4e58f953308c426f2fa8f970e8fd580eaf363"
    keywords: []
    maintainers:
    - email: "b@x.y"
      name: "Bob"
    name: "mychart"
    urls:
    - "charts/mychart-1.0.0.tgz"
    version: "1.0.0"
"""
    )


def test_an_empty_repository_has_empty_entries_in_both_forms() -> None:
    assert json.loads(render_json({})) == whole({})
    assert render_yaml({}).decode() == (
        'apiVersion: v1\ngenerated: "2024-03-01T10:20:30.123456789Z"\nserverInfo: {}\nentries: {}\n'
    )
    assert yaml.safe_load(render_yaml({})) == yaml.safe_load(render_json({})) == whole({})


METADATA = st.fixed_dictionaries(
    {"name": TEXT, "version": TEXT},
    optional={
        "description": TEXT,
        "deprecated": st.booleans(),
        "keywords": st.lists(TEXT, max_size=3),
        "annotations": st.dictionaries(TEXT, TEXT, max_size=3),
        "maintainers": st.lists(st.fixed_dictionaries({"name": TEXT}, optional={"url": TEXT}), max_size=2),
        "dependencies": st.lists(
            st.fixed_dictionaries(
                {"name": TEXT},
                optional={"import-values": st.lists(TEXT | st.dictionaries(TEXT, TEXT, max_size=2), max_size=2)},
            ),
            max_size=2,
        ),
    },
)
CHARTS = st.dictionaries(TEXT, st.lists(METADATA, min_size=1, max_size=2), max_size=2)


@settings(max_examples=60, deadline=None)
@given(CHARTS)
def test_every_parser_reads_the_same_from_every_index(charts: dict[str, list[dict[str, Any]]]) -> None:
    expected = whole({name: [complete(one) for one in entries] for name, entries in charts.items()})
    rendered = {name: [render(one) for one in entries] for name, entries in charts.items()}
    body, block = render_json(rendered), render_yaml(rendered)
    assert json.loads(body) == expected
    for text in (body, block):
        assert yaml.load(text, yaml.CSafeLoader) == expected
        assert yaml.load(text, yaml.SafeLoader) == expected


def test_no_character_that_yaml_does_not_print_is_left_raw() -> None:
    metadata = {"name": ODD, "version": "1", "annotations": {ODD: ODD}}
    for body in (render_json({ODD: [render(metadata)]}), render_yaml({ODD: [render(metadata)]})):
        raw = set(body.decode())
        assert raw & set(ODD) == {"\n", *map(chr, range(0x20, 0x7F)), *"\xa0\ufffc\ufffd\U0001f600\U0010ffff"}
        assert yaml.load(body, yaml.SafeLoader) == whole({ODD: [complete(metadata)]})
