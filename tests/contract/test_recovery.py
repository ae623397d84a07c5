"""Which segments of a journal come back after a power cut: those that continue the ledger, and no others."""

from __future__ import annotations

from pathlib import Path

from app.domain.ledger import Header, render_segment, segment_key
from app.services.recovery import choose


def make(revision: int, previous: int, commit: str, parent: str, committed: int = 0) -> tuple[str, bytes]:
    content = render_segment(Header("team", revision, previous, "c", committed or revision, commit, parent), [b"{}"])
    return segment_key("team", revision, "c", content), content


def lay_down(folder: Path, *segments: tuple[str, bytes]) -> None:
    for key, content in segments:
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(content)


def test_segments_that_follow_come_back_whatever_lies_between(tmp_path: Path) -> None:
    one, two, three, four = make(1, 0, "a", ""), make(4, 1, "b", "a"), make(5, 4, "c", "b"), make(9, 5, "d", "c")
    lay_down(tmp_path, one, three)
    assert set(choose([two, four], tmp_path.joinpath)) == {two[0], four[0]}


def test_the_first_segment_of_a_repository_comes_back(tmp_path: Path) -> None:
    one, two = make(3, 0, "a", ""), make(4, 3, "b", "a")
    assert set(choose([one, two], tmp_path.joinpath)) == {one[0], two[0]}


def test_a_segment_that_was_discarded_stays_away(tmp_path: Path) -> None:
    one, gone, two = make(1, 0, "a", ""), make(2, 1, "x", "a"), make(2, 1, "b", "a", committed=3)
    lay_down(tmp_path, one, two)
    assert choose([gone], tmp_path.joinpath) == set()
    later = make(7, 1, "c", "a")
    (tmp_path / two[0]).unlink()
    lay_down(tmp_path, later)
    assert choose([gone], tmp_path.joinpath) == set(), "another revision, after the same commit"


def test_of_two_in_journals_the_one_that_others_follow_or_the_younger_comes_back(tmp_path: Path) -> None:
    one, gone, two = make(1, 0, "a", ""), make(2, 1, "x", "a", committed=2), make(2, 1, "b", "a", committed=3)
    lay_down(tmp_path, one)
    assert choose([gone, two], tmp_path.joinpath) == {two[0]}
    followed = make(2, 1, "y", "a", committed=2)
    child = make(5, 2, "z", "y")
    assert choose([followed, two, child], tmp_path.joinpath) == {followed[0], child[0]}


def test_what_follows_nothing_stays_away(tmp_path: Path) -> None:
    """The ledger was copied first, and the blobs with their journals much later."""
    lay_down(tmp_path, make(1, 0, "a", ""))
    assert choose([make(8, 7, "h", "g"), make(9, 8, "i", "h")], tmp_path.joinpath) == set()
