"""What search shows of a chart."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.domain.semver import sort_key
from app.domain.summary import Summary, summarize


def summary(version: str = "1.0.0", **facts: Any) -> Summary:
    return summarize(orjson.dumps({"name": "Web", "version": version, **facts}), sort_key(version))


@pytest.mark.parametrize("versions", [
    ["0.1.0-a", "2.0.0-rc.1", "0.0.1", "1.0.0", "1.0.0+b", "1.10.0"],
    ["1-x", "1", "2"],
    ["v1.0.0-beta+exp", "v1.0.0"],
])  # fmt: skip
def test_stable_versions_outrank_pre_releases_and_newer_ones_older_ones(versions: list[str]) -> None:
    assert sorted(versions, key=lambda version: summary(version).rank) == versions


def test_a_dash_in_the_build_makes_no_pre_release() -> None:
    assert summary("1.0.0+a-b").rank > summary("1.0.1-a").rank


def test_words_are_name_keywords_and_description_in_lower_case() -> None:
    found = summary(keywords=["Proxy", "HTTP"], description="Serves ÄLL")
    assert found.words == "web\nproxy\nhttp\nserves äll"
    assert (found.description, found.deprecated, found.app_version) == ("Serves ÄLL", False, "")


def test_what_is_there_is_shown() -> None:
    found = summary(appVersion="1.2", deprecated=True, description="d")
    assert (found.version, found.app_version, found.deprecated) == ("1.0.0", "1.2", True)


def test_no_nul_is_left_for_it_is_no_text_to_postgres() -> None:
    found = summary(appVersion="1\x00", description="a\x00b", keywords=["k\x00"])
    assert "\x00" not in found.words + found.description + found.app_version
