"""Which versions go when a chart may keep only so many."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.domain.retention import choose_surplus

_AGES = st.lists(st.tuples(st.integers(0, 9), st.text("ab", min_size=1)), unique_by=lambda age: age[1])


def test_the_oldest_by_upload_go_whatever_their_version() -> None:
    assert choose_surplus([(3, "0.1.0"), (1, "9.0.0"), (2, "1.0.0")], keep=1) == ["9.0.0", "1.0.0"]


def test_nothing_goes_while_there_is_room() -> None:
    assert choose_surplus([(1, "a"), (2, "b")], keep=2) == []
    assert choose_surplus([], keep=0) == []


def test_keeping_none_takes_all() -> None:
    assert choose_surplus([(2, "b"), (1, "a")], keep=0) == ["a", "b"]


@given(_AGES, st.integers(0, 12))
def test_exactly_the_surplus_goes_and_nothing_younger_than_what_stays(ages: list[tuple[int, str]], keep: int) -> None:
    gone = choose_surplus(ages, keep=keep)
    assert len(gone) == max(0, len(ages) - keep)
    youngest_gone = max((age for age, version in ages if version in gone), default=0)
    assert all(age >= youngest_gone for age, version in ages if version not in gone)
    assert gone == choose_surplus(reversed(ages), keep=keep)
