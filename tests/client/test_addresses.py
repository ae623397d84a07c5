"""Where a repository's files lie, and who is told the password."""

from __future__ import annotations

import pytest
from helm_client import InvalidIndex
from helm_client.addresses import below, chart_url, filename_of, mask, provenance_url, same_origin


@pytest.mark.parametrize(
    ("repository", "reference", "url"),
    [
        ("http://h/repo", "charts/a-1.0.0.tgz", "http://h/repo/charts/a-1.0.0.tgz"),
        ("http://h/repo/", "charts/a-1.0.0.tgz", "http://h/repo/charts/a-1.0.0.tgz"),
        ("http://h/repo", "./a.tgz", "http://h/repo/a.tgz"),
        ("http://h/repo", "../a.tgz", "http://h/a.tgz"),
        ("http://h/repo", "/a.tgz", "http://h/a.tgz"),
        ("http://h/repo", "a-1.0.0+b.1.tgz", "http://h/repo/a-1.0.0+b.1.tgz"),
        ("http://h/repo?token=1", "a.tgz", "http://h/repo/a.tgz?token=1"),
        ("http://h/repo?token=1", "a.tgz?own=2", "http://h/repo/a.tgz?token=1"),
        ("http://h/repo", "a.tgz?own=2", "http://h/repo/a.tgz"),
        ("http://h/repo?token=1", "https://other/a.tgz?own=2", "https://other/a.tgz?own=2"),
        ("http://h/repo?token=1", "//other/a.tgz", "http://other/a.tgz"),
    ],
)
def test_a_url_of_the_index_is_resolved_as_helm_does(repository: str, reference: str, url: str) -> None:
    assert chart_url(repository, reference) == url


@pytest.mark.parametrize("reference", ["oci://h/a:1", "file:///etc/a.tgz", "http:///a.tgz", "http://h:x/a.tgz", "//["])
def test_a_url_that_cannot_be_fetched_is_refused(reference: str) -> None:
    with pytest.raises(InvalidIndex, match="not http or https"):
        chart_url("http://h", reference)


def test_the_query_of_the_repository_stays_behind_the_path() -> None:
    assert below("http://h/repo/?token=1", "index.yaml") == "http://h/repo/index.yaml?token=1"
    assert provenance_url("http://h/a.tgz?token=1") == "http://h/a.tgz.prov?token=1"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://h/a", "http://h:80/b", True),
        ("https://h", "https://H:443", True),
        ("http://h", "https://h", False),
        ("http://h", "http://h:8080", False),
        ("http://h", "http://h.evil", False),
        ("http://h", "http://h@evil", False),
    ],
)
def test_an_origin_is_scheme_host_and_port(one: str, other: str, same: bool) -> None:
    assert same_origin(one, other) is same


def test_a_file_is_named_by_the_last_part_of_the_path() -> None:
    assert filename_of("http://h/charts/a-1.0.0%2Bb.tgz?token=1") == "a-1.0.0+b.tgz"
    assert filename_of("http://h/x%2F..%2Fa.tgz") == "a.tgz"


@pytest.mark.parametrize("url", ["http://h/", "http://h/charts/a", "http://h/a%00.tgz", "http://h/..%5Ca.tgz"])
def test_a_name_that_is_no_archive_is_refused(url: str) -> None:
    with pytest.raises(InvalidIndex, match="no name of an archive"):
        filename_of(url)


def test_what_is_shown_holds_no_secret() -> None:
    assert mask("https://user:pa@ss@h/a?token=1") == "https://h/a"
