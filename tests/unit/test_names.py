"""Names: what is refused, in which words, and how a slim view is told from a repository."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import names
from app.errors import AppError, Kind

CONTROL = ["\x00", "\t", "\n", "\r", "\x1f", "\x7f", "\x85", "\x9f", "\u2028", "\u2029", "\ud800"]


def complaint(caught: pytest.ExceptionInfo[AppError]) -> str:
    assert caught.value.kind is Kind.INVALID
    caught.value.message.encode()  # it must be possible to send it
    return caught.value.message


@pytest.mark.parametrize(
    "path",
    [
        *(
            "",
            "org",
            "org/team",
            "a/b/c/d/e/f/g",
            "api",
            "charts",
            "v2",
            "-",
            "...",
            ".hidden",
            "a..b",
            "ä/ö",
        ),
        *("with space", "UPPER", "a+b", "a%2Fb", "~latest-3", "a" * 255, "/".join(["a" * 203] * 5)),
    ],
)
def test_a_repository_path_of_any_depth_is_taken_as_it_is(path: str) -> None:
    assert names.parse_repository(path) == path


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("..", 'repository path ".." has the segment "..": dots alone are no name'),
        ("a/../b", 'repository path "a/../b" has the segment "..": dots alone are no name'),
        ("./a", 'repository path "./a" has the segment ".": dots alone are no name'),
        (".chartroom", 'repository path ".chartroom" is the store\'s own folder: choose another name'),
        (".chartroom/blobs", 'repository path ".chartroom/blobs" is the store\'s own folder: choose another name'),
        ("/", 'repository path "/" has an empty segment: write one / between two names'),
        ("/a", 'repository path "/a" has an empty segment: write one / between two names'),
        ("a/", 'repository path "a/" has an empty segment: write one / between two names'),
        ("a//b", 'repository path "a//b" has an empty segment: write one / between two names'),
        (
            "a\x00",
            r'repository path "a\u0000" holds a control character: use printable characters only',
        ),
        (
            "a" * 256,
            'repository path "' + "a" * 100 + '..." has a segment over 255 bytes: shorten it',
        ),
        (
            "/".join(["ä" * 100] * 6),
            r'repository path "' + r"\u00e4" * 100 + '..." is longer than 1024 bytes: shorten it',
        ),
    ],
)
def test_a_path_that_could_leave_its_place_is_refused_with_the_reason(path: str, words: str) -> None:
    with pytest.raises(AppError) as caught:
        names.parse_repository(path)
    assert complaint(caught) == words


@pytest.mark.parametrize("character", CONTROL)
def test_control_characters_are_refused_in_every_name(character: str) -> None:
    for check in (names.parse_repository, names.check_chart_name, names.check_filename, names.split_view):
        with pytest.raises(AppError) as caught:
            check(f"a{character}b")
        complaint(caught)


@given(st.text())
def test_a_path_that_passes_has_only_plain_segments(text: str) -> None:
    try:
        path = names.parse_repository(text)
    except AppError:
        return
    assert path == text
    assert path == "" or all(segment not in {"", ".", ".."} for segment in path.split("/"))


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("", ("", None)),
        ("org", ("org", None)),
        ("~latest-3", ("", 3)),
        ("org/~latest-3", ("org", 3)),
        ("a/b/~latest-999", ("a/b", 999)),
        ("org/~latest-1", ("org", 1)),
        ("~latest-3/org", ("~latest-3/org", None)),
        ("~latest-3/~latest-5", ("~latest-3", 5)),
        *(
            (f"org/{name}", (f"org/{name}", None))
            for name in (
                *("~latest-0", "~latest-03", "~latest-1000", "~latest-", "~latest", "~latest-3x", "latest-3"),
                *("~latest--3", "~latest-+3", "~Latest-3", "x~latest-3", "~latest-3 ", "~latest-٣"),
            )
        ),
    ],
)
def test_only_a_last_segment_that_is_a_view_is_split_off(path: str, split: tuple[str, int | None]) -> None:
    assert names.split_view(path) == split


@pytest.mark.parametrize("path", ["/~latest-3", "../~latest-3", "a//~latest-3", "~latest-3/"])
def test_a_view_of_a_bad_path_is_refused(path: str) -> None:
    with pytest.raises(AppError):
        names.split_view(path)


@pytest.mark.parametrize("name", ["mysql", "My Chart", "a.b_c", "...", "ä", "a\\b", "a" * 255])
def test_a_chart_may_have_any_name_that_helm_takes(name: str) -> None:
    assert names.check_chart_name(name) == name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "validation: chart.metadata.name is required"),
        ("..", 'validation: chart.metadata.name ".." is not allowed'),
        (".", 'validation: chart.metadata.name "." is not allowed'),
        ("../x", 'validation: chart.metadata.name "../x" is invalid'),
        ("a/b", 'validation: chart.metadata.name "a/b" is invalid'),
        ("a\n", r'validation: chart.metadata.name "a\n" is invalid'),
        ("a" * 256, 'validation: chart.metadata.name "' + "a" * 100 + '..." is invalid'),
    ],
)
def test_a_bad_chart_name_is_refused_in_helms_words(name: str, words: str) -> None:
    with pytest.raises(AppError) as caught:
        names.check_chart_name(name)
    assert complaint(caught) == words


def test_an_archive_is_named_after_its_chart_and_version() -> None:
    assert names.archive_name("my-chart", "1.0.0+b2") == "my-chart-1.0.0+b2.tgz"


@pytest.mark.parametrize(("name", "version"), [("../x", "1.0.0"), ("x", "1/../2"), ("x\x00", "1"), ("x", "1" * 260)])
def test_an_archive_that_would_not_be_one_file_is_improperly_formatted(name: str, version: str) -> None:
    with pytest.raises(AppError) as caught:
        names.archive_name(name, version)
    assert complaint(caught) == f"{name}-{version}.tgz is improperly formatted"


@pytest.mark.parametrize("filename", ["", ".", "..", "a/b.tgz", "/a.tgz", "a.tgz/", "a\nb.tgz"])
def test_a_file_name_that_is_a_path_is_improperly_formatted(filename: str) -> None:
    with pytest.raises(AppError) as caught:
        names.check_filename(filename)
    assert complaint(caught) == f"{filename} is improperly formatted"


def test_a_plain_file_name_passes() -> None:
    assert names.check_filename("a-1.0.0+b.tgz.prov") == "a-1.0.0+b.tgz.prov"
