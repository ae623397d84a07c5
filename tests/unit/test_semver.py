"""Versions and constraints, against what Masterminds/semver v3 and Helm's IndexFile.Get answer.

The expectations here were taken from runs of the Go code.
"""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.semver import find_version, parse_constraint, parse_strict, parse_version, sort_key

NUMBERS = st.sampled_from([0, 1, 2, 10, 255, 256, 2**64 - 1])
IDENTIFIERS = st.one_of(st.integers(0, 2**65).map(str), st.text("019aZ-", min_size=1, max_size=3))
DOTTED = st.lists(IDENTIFIERS, min_size=1, max_size=3).map(".".join)


@st.composite
def versions(draw: st.DrawFn) -> str:
    numbers = draw(st.lists(NUMBERS, min_size=1, max_size=3))
    text = draw(st.sampled_from(["", "v"])) + ".".join(map(str, numbers))
    text += "-" + draw(DOTTED) if draw(st.booleans()) else ""
    return text + ("+" + draw(DOTTED) if draw(st.booleans()) else "")


def is_version(text: str) -> bool:
    try:
        parse_version(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("1", (1, 0, 0, "", "")),
        ("1.0", (1, 0, 0, "", "")),
        ("v1.2.3", (1, 2, 3, "", "")),
        ("01.2.3", (1, 2, 3, "", "")),
        ("1-beta", (1, 0, 0, "beta", "")),
        ("1.2.3-rc.1+build.01", (1, 2, 3, "rc.1", "build.01")),
        ("1.2.3--1", (1, 2, 3, "-1", "")),
        ("18446744073709551615.0.0", (2**64 - 1, 0, 0, "", "")),
    ],
)
def test_a_version_is_read_as_leniently_as_helm_reads_it(text: str, means: tuple[object, ...]) -> None:
    read = parse_version(text)
    assert (read.major, read.minor, read.patch, read.prerelease, read.build) == means
    assert read.text == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "abc", "latest", "V1.0.0", "1.2.3.4", "1.", "1..2", "-1", "1.0.0-", "1.0.0+", "1.0.0-a..b"),
        *("1.0.0-01", "1.0.0-a.00", "1.0.0-ä", "1.0.0+a_b", " 1.0.0", "1.0.0\n", "1.0.0 ", "١.0.0"),
        *("18446744073709551616.0.0", "1.0.0-" + "a" * 251),
    ],
)
def test_what_helm_refuses_as_a_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"version|segment"):
        parse_version(text)


@pytest.mark.parametrize("text", ["1.2.3", "0.0.0-0", "1.2.3-rc.1+b", "1.0.0+001"])
def test_a_semantic_version_passes_the_strict_reading(text: str) -> None:
    assert parse_strict(text) == parse_version(text)


@pytest.mark.parametrize("text", ["", "v1.2.3", "1.2", "01.2.3", "1.2.3-01", "latest", "1.2.3\n"])
def test_the_strict_reading_refuses_what_is_only_lenient(text: str) -> None:
    with pytest.raises(ValueError, match="version"):
        parse_strict(text)


ASCENDING = [
    *("0.0.0-0", "0.0.0", "0.9.0", "0.10.0", "1.0.0-0", "1.0.0-2", "1.0.0-10", "1.0.0-18446744073709551615"),
    *("1.0.0--", "1.0.0-18446744073709551616", "1.0.0-9999999999999999999999", "1.0.0-A", "1.0.0-alpha"),
    *("1.0.0-alpha.1", "1.0.0-alpha.1.0", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta+b", "1.0.0-rc.2"),
    *("1.0.0-rc.11", "1", "1.0.0", "v1.0.0", "1.0.0+1", "1.0.0+2", "1.0.0+10", "1.0.0+b1", "1.0.0+b1.1"),
    *("1.0.0+b2", "1.0.1-rc", "1.0.1", "1.1.0", "10.0.0", "256.0.0", "65536.0.0"),
]


def test_versions_are_ordered_by_precedence_then_build_metadata_then_text() -> None:
    for lower, higher in pairwise(map(parse_version, ASCENDING)):
        assert lower < higher
        assert not higher < lower


def test_keys_are_ordered_as_the_versions_are() -> None:
    for lower, higher in pairwise(ASCENDING):
        assert sort_key(lower) < sort_key(higher)


@given(versions(), versions())
def test_any_two_keys_compare_as_their_versions_do(one: str, other: str) -> None:
    if is_version(one) and is_version(other):
        a, b = parse_version(one), parse_version(other)
        assert (sort_key(one) < sort_key(other)) == (a < b)
        assert (sort_key(one) == sort_key(other)) == (one == other)


@given(st.text().filter(lambda text: not is_version(text)), versions().filter(is_version))
def test_what_is_no_version_sorts_below_all_versions(text: str, version: str) -> None:
    assert sort_key(text) < sort_key(version)


def test_a_key_exists_for_text_that_is_no_unicode() -> None:
    assert sort_key("\ud800") != sort_key("\ud801")


SHELF = [
    *("0.0.0", "0.0.3", "0.0.4", "0.2.0", "0.2.3", "0.3.0", "1.0.0-rc", "1.0.0", "1.2.3-beta.2", "1.2.3"),
    *("1.2.4", "1.3.0", "1.9.0", "1.10.0", "2.0.0-alpha", "2.0.0", "2.3.4", "10.0.0"),
]


@pytest.mark.parametrize(
    ("constraint", "taken"),
    [
        ("^1.2.3", "1.2.3 1.2.4 1.3.0 1.9.0 1.10.0"),
        ("^1.2", "1.2.3 1.2.4 1.3.0 1.9.0 1.10.0"),
        ("^1", "1.0.0 1.2.3 1.2.4 1.3.0 1.9.0 1.10.0"),
        ("^0.2.3", "0.2.3"),
        ("^0.2", "0.2.0 0.2.3"),
        ("^0.0.3", "0.0.3"),
        ("^0.0", "0.0.0 0.0.3 0.0.4"),
        ("^0", "0.0.0 0.0.3 0.0.4 0.2.0 0.2.3 0.3.0"),
        ("^1.2.3-beta.1", "1.2.3-beta.2 1.2.3 1.2.4 1.3.0 1.9.0 1.10.0"),
        ("~1.2.3", "1.2.3 1.2.4"),
        ("~1.2", "1.2.3 1.2.4"),
        ("~1", "1.0.0 1.2.3 1.2.4 1.3.0 1.9.0 1.10.0"),
        ("~>1.2", "1.2.3 1.2.4"),
        ("1.9", "1.9.0"),
        ("1.x", "1.0.0 1.2.3 1.2.4 1.3.0 1.9.0 1.10.0"),
        ("v1.2.X", "1.2.3 1.2.4"),
        ("=1.2.3", "1.2.3"),
        (">1.9", "1.10.0 2.0.0 2.3.4 10.0.0"),
        (">1", "2.0.0 2.3.4 10.0.0"),
        (">=2, <10", "2.0.0 2.3.4"),
        (">=2 <10", "2.0.0 2.3.4"),
        ("=>2,=<2", "2.0.0 2.3.4"),
        ("<=0.2", "0.0.0 0.0.3 0.0.4 0.2.0 0.2.3"),
        ("1.2 - 1.3", "1.2.3 1.2.4 1.3.0"),
        ("0.3.0 - 1.2.3 || 10", "0.3.0 1.0.0 1.2.3 10.0.0"),
        ("~0.2 || ^2", "0.2.0 0.2.3 2.0.0 2.3.4"),
        ("!=1.x <2", "0.0.0 0.0.3 0.0.4 0.2.0 0.2.3 0.3.0"),
        (">1.2.3-beta.1 <1.2.4", "1.2.3-beta.2 1.2.3"),
        ("<1.2 || >=2-0 <2.1", "0.0.0 0.0.3 0.0.4 0.2.0 0.2.3 0.3.0 1.0.0 2.0.0-alpha 2.0.0"),
        # The three that nobody would guess.
        ("^*", "0.0.0"),
        ("<=*", "0.0.0 0.0.3 0.0.4"),
        ("~0.0.0 <1", "0.0.0 0.0.3 0.0.4 0.2.0 0.2.3 0.3.0"),
    ],
)
def test_a_constraint_takes_what_helm_takes(constraint: str, taken: str) -> None:
    check = parse_constraint(constraint).check
    assert [text for text in SHELF if check(parse_version(text))] == taken.split()


@pytest.mark.parametrize("constraint", ["*", ">=0.0.0", "x || ~0"])
def test_a_constraint_that_names_no_prerelease_takes_none(constraint: str) -> None:
    check = parse_constraint(constraint).check
    assert [text for text in SHELF if check(parse_version(text))] == [v for v in SHELF if "-" not in v]


def test_the_constraint_of_devel_takes_prereleases_too() -> None:
    check = parse_constraint(">0.0.0-0").check
    assert all(check(parse_version(text)) for text in SHELF)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("abc", "improper constraint: abc"),
        ("", "improper constraint: "),
        ("1 ||", "improper constraint: "),
        ("1 || abc", "improper constraint:  abc"),
        ("1.2.3.4", "improper constraint: 1.2.3.4"),
        ("> > 1", "improper constraint: > > 1"),
        ("1\x0b2", "improper constraint: 1\x0b2"),
        ("1 - 2||3 - 4", "improper constraint: 3 - 4"),
        ("1|2", "constraint parser error"),
        ("1.2.3-01", "constraint parser error"),
        ("18446744073709551616", "constraint parser error"),
        ("1" * 513, "constraint string is too long (max 512 bytes)"),
        ("||" * 32, "too many constraint groups (max 32)"),
    ],
)
def test_what_is_no_constraint_is_refused_in_helms_words(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match="constraint") as caught:
        parse_constraint(text)
    assert str(caught.value) == complaint


@pytest.mark.parametrize("text", ["1  " * 160 + "!", " " * 512, "1-a." * 120, "1 - 1 " * 80 + "!", "," * 512])
def test_no_constraint_takes_long_to_refuse(text: str) -> None:
    start = time.perf_counter()
    with pytest.raises(ValueError, match="constraint"):
        parse_constraint(text)
    assert time.perf_counter() - start < 0.5


STORED = ["1.0.0+b2", "1.0.0+b1", "1.0.0-rc1", "0.10.0", "0.2.0", "0.1.0"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        *((text, "1.0.0+b2") for text in ("", "latest", "*", "1", "1.0.0", ">=0.1.0", ">0.0.0-0")),
        *((text, text) for text in STORED),
        ("0.x", "0.10.0"),
        ("^0.1", "0.1.0"),
        ("~0.2", "0.2.0"),
        ("v0.1.0", "0.1.0"),
        ("1.0.0+zz", "1.0.0+b2"),
        ("9.9.9", None),
    ],
)
def test_a_version_is_found_as_helms_index_finds_it(wanted: str, found: str | None) -> None:
    assert find_version(STORED, wanted) == found


def test_asking_for_no_constraint_says_so() -> None:
    with pytest.raises(ValueError, match=r"^improper constraint: abc$"):
        find_version(STORED, "abc")


def test_the_newest_of_prereleases_alone_is_none() -> None:
    assert find_version(["1.0.0-rc2", "1.0.0-rc1"], "latest") is None


def test_a_stored_text_that_is_no_version_is_found_by_itself_only() -> None:
    stored = ["1.0.0", "nightly"]
    assert find_version(stored, "nightly") == "nightly"
    assert find_version(stored, "*") == "1.0.0"
    assert find_version(["nightly"], "") is None


def test_the_stored_order_of_the_table_is_the_order_of_keys() -> None:
    assert sorted(STORED, key=sort_key, reverse=True) == STORED
