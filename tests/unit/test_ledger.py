"""The ledger's form: names that nobody can clash with, segments that read back as they were written."""

from __future__ import annotations

import hashlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.ledger import (
    ROOT,
    Header,
    SegmentName,
    blob_key,
    parse_segment_key,
    read_header,
    read_segment,
    render_change,
    render_entry_change,
    render_segment,
    repository_folder,
    segment_key,
)
from storage.rules import is_key

_PATHS = st.lists(st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=40), max_size=6)


def make_segment(repository: str = "org/web", revision: int = 12) -> bytes:
    lines = [render_entry_change({"chart": "web"}, b'{"a":1.0,"b":"\\u0085"}'), render_change("remove", "version", n=2)]
    return render_segment(Header(repository, revision, 7, "c0ffee", 2**63 - 1, "id", "id before"), lines)


def test_a_segment_reads_back_as_it_was_written() -> None:
    content = make_segment()
    name = parse_segment_key(segment_key("org/web", 12, "c0ffee", content))
    assert name == SegmentName("org%2Fweb", 12, "c0ffee", hashlib.sha256(content).hexdigest()[:32], False)
    found = read_segment(name, content)
    assert found.header == Header("org/web", 12, 7, "c0ffee", 2**63 - 1, "id", "id before")
    assert found.changes == (
        {"op": "put", "kind": "version", "chart": "web", "entry": b'{"a":1.0,"b":"\\u0085"}'},
        {"op": "remove", "kind": "version", "n": 2},
    )


def test_a_header_of_an_older_version_has_no_ids() -> None:
    line = b'{"ledger":1,"repository":"","revision":2,"previous":1,"catalogue":"c0ffee","committed":3}'
    assert read_header(line) == Header("", 2, 1, "c0ffee", 3, "", "")


def test_each_change_is_a_line() -> None:
    header, first, second, end = make_segment().split(b"\n")
    assert orjson.loads(header)["ledger"] == 1
    assert first == b'{"op":"put","kind":"version","chart":"web","entry":{"a":1.0,"b":"\\u0085"}}'
    assert (second, end) == (b'{"op":"remove","kind":"version","n":2}', b"")


@pytest.mark.parametrize("damage", [
    lambda content: content[:-1], lambda content: content + b"\n", lambda content: b"",
    lambda content: b"x" + content[1:],
])  # fmt: skip
def test_a_damaged_segment_is_refused(damage: object) -> None:
    content = make_segment()
    name = parse_segment_key(segment_key("org/web", 12, "c0ffee", content))
    assert name is not None
    assert callable(damage)
    with pytest.raises(ValueError, match="does not match the hash"):
        read_segment(name, damage(content))


def test_keys_of_one_repository_sort_by_revision() -> None:
    keys = [segment_key("a", revision, "ffff", b"") for revision in (1, 9, 10, 99, 10**15)]
    assert keys == sorted(keys)


def test_other_content_or_another_catalogue_has_another_key() -> None:
    keys = {segment_key("a", 1, catalogue, content) for catalogue in ("x", "y") for content in (b"1", b"2")}
    assert len(keys) == 4


def test_a_snapshot_is_told_from_a_segment() -> None:
    name = parse_segment_key(segment_key("", 5, "x", b"", snapshot=True))
    assert name is not None
    assert (name.folder, name.revision, name.snapshot) == ("%", 5, True)


@pytest.mark.parametrize("name", [
    "a/notes.txt", "a/.jsonl", "a/1-x.jsonl", "a/1-x-y.json", "a/x-x-y.jsonl", "a/1-x-y-z.jsonl", "a/-1-x-y.jsonl",
])  # fmt: skip
def test_what_is_no_segment_is_passed_over(name: str) -> None:
    assert parse_segment_key(f"{ROOT}{name}") is None


@given(_PATHS, _PATHS)
def test_every_repository_has_a_folder_of_its_own_that_storage_takes(one: list[str], other: list[str]) -> None:
    first, second = "/".join(one), "/".join(other)
    folder = repository_folder(first)
    segment = folder.removeprefix(ROOT).removesuffix("/")
    assert "/" not in segment
    assert 0 < len(segment) <= 200
    assert is_key(segment_key(first, 1, "0" * 16, b""))
    assert (folder == repository_folder(second)) == (first == second)


@pytest.mark.parametrize(
    ("one", "other"), [("", "%"), ("a/b", "a%2Fb"), ("é" * 80, "é" * 79 + "f"), ("a" * 201, "a" * 202)]
)
def test_folders_of_repositories_that_look_alike_differ(one: str, other: str) -> None:
    assert repository_folder(one) != repository_folder(other)


def test_blobs_lie_by_digest() -> None:
    assert blob_key("ab" * 32) == f".chartroom/blobs/sha256/ab/{'ab' * 32}"
