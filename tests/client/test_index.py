"""Reading an index: JSON and YAML, odd entries, order, search."""

from __future__ import annotations

import json

import pytest
from helm_client import ChartNotFound, Index, InvalidIndex
from helm_client.index import read_index

YAML = b"""apiVersion: v1
generated: 2026-01-01T00:00:00Z
entries:
  mychart:
  - {name: mychart, version: 0.1.0, created: 2026-01-01T00:00:00Z, urls: [charts/mychart-0.1.0.tgz]}
"""


def index_of(*versions: str, **fields: object) -> Index:
    entries = [{"name": "mychart", "version": version, **fields} for version in versions]
    return read_index(json.dumps({"apiVersion": "v1", "entries": {"mychart": entries}}).encode())


def test_yaml_is_read_and_times_stay_text() -> None:
    found = read_index(YAML).get_version("mychart")
    assert (found.version, found.created, found.urls) == (
        "0.1.0", "2026-01-01T00:00:00Z", ("charts/mychart-0.1.0.tgz",)
    )  # fmt: skip


def test_versions_come_newest_first() -> None:
    given = ("1.0.0-rc.1", "1.0.0", "0.9.0", "1.0.0-alpha", "v1.2", "1.0.0-rc.10", "1.0.0-rc.2", "0.10.0")
    wanted = ["v1.2", "1.0.0", "1.0.0-rc.10", "1.0.0-rc.2", "1.0.0-rc.1", "1.0.0-alpha", "0.10.0", "0.9.0"]
    assert [found.version for found in index_of(*given).get_versions("mychart")] == wanted


def test_the_newest_stable_version_is_the_default() -> None:
    assert index_of("2.0.0-rc.1", "1.0.0+b-1", "0.9.0").get_version("mychart").version == "1.0.0+b-1"


def test_a_prerelease_is_had_by_its_name() -> None:
    index = index_of("2.0.0-rc.1")
    assert index.get_version("mychart", "2.0.0-rc.1").version == "2.0.0-rc.1"
    with pytest.raises(ChartNotFound, match="name a prerelease"):
        index.get_version("mychart")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("^1.0", "1.9.0"), ("1.0", "1.0.3"), ("~1.2.0-0", "1.2.1-rc.1"), (">0.0.0-0", "2.0.0-rc.1"), ("v1.0.3", "1.0.3"),
     ("1.0.0+b1", "1.0.0+b1"), ("1.0.0+other", "1.0.0+b1"), ("1.x || 0.x", "1.9.0")],
)  # fmt: skip
def test_a_range_finds_the_newest_that_it_allows(wanted: str, found: str) -> None:
    index = index_of("2.0.0-rc.1", "1.9.0", "1.2.1-rc.1", "1.0.3", "1.0.0+b1", "0.1.0")
    assert index.get_version("mychart", wanted).version == found


@pytest.mark.parametrize("version", ["^3.0", "no version", "latest"])
def test_what_no_version_matches_is_named(version: str) -> None:
    with pytest.raises(ChartNotFound, match=r"no chart version found for mychart-\^3\.0|improper constraint"):
        index_of("1.0.0").get_version("mychart", version)


def test_an_entry_that_cannot_be_used_does_not_spoil_the_rest() -> None:
    good = {"name": "mychart", "version": "0.1.0", "keywords": None, "urls": "no list", "description": 3}
    odd = [None, 1, {}, {"name": "mychart"}, {"name": "mychart", "version": "x"}, {"name": 1, "version": "1.0.0"}]
    document = {"apiVersion": "v1", "entries": {"mychart": [*odd, good], "none": None, "odd": odd}}
    index = read_index(json.dumps(document).encode())
    assert list(index.charts) == ["mychart"]
    assert [found.version for found in index.get_versions("mychart")] == ["0.1.0"]


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b"a: [", b"entries: {}", b"apiVersion: v1\nentries: [1]\n"])
def test_what_is_no_index_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidIndex, match="no index of a chart repository"):
        read_index(content)


def test_an_index_without_charts_is_one() -> None:
    assert read_index(b'{"apiVersion":"v1"}').charts == {}


def test_search_wants_every_word_in_name_description_or_keywords() -> None:
    index = index_of("0.1.0", "0.2.0-rc.1", description="A Database", keywords=["sql", "storage"])
    assert [found.version for found in index.search("MYCHART sql database")] == ["0.1.0"]
    assert index.search("mychart redis") == []
    assert len(index.search("")) == 1
