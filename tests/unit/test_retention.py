"""Which version goes when a chart may keep only so many."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.domain.retention import Kept, choose_surplus
from app.domain.semver import sort_key

_VERSIONS = ["0.1.0", "1.0.0", "1.0.0-rc.1", "1.0.1", "2.0.0-alpha", "2.0.0", "9.0.0+build-1"]
_AGES = st.lists(st.tuples(st.integers(0, 9), st.sampled_from(_VERSIONS)), min_size=1, unique_by=lambda age: age[1])


def choose(*ages: tuple[int, str], added: str, limit: int) -> str | None:
    return choose_surplus([Kept(age, sort_key(version), version) for age, version in ages], added=added, limit=limit)


def test_the_oldest_by_upload_goes_whatever_its_version() -> None:
    assert choose((3, "0.1.0"), (1, "1.0.0"), (2, "2.0.0"), added="0.1.0", limit=2) == "1.0.0"
    assert choose((1, "2.0.0"), (1, "1.0.0"), (2, "3.0.0"), added="3.0.0", limit=2) == "1.0.0"  # equal age: the lowest


def test_nothing_goes_while_there_is_room() -> None:
    assert choose((1, "1.0.0"), (2, "2.0.0"), added="2.0.0", limit=2) is None
    assert choose((1, "1.0.0"), added="1.0.0", limit=1) is None


def test_the_newest_stable_version_and_the_new_one_stay() -> None:
    assert choose((1, "1.0.0"), (2, "2.0.0-alpha"), added="2.0.0-alpha", limit=1) is None
    ages = (1, "1.0.0"), (2, "2.0.0-alpha"), (3, "2.0.0-beta")
    assert choose(*ages, added="2.0.0-beta", limit=1) == "2.0.0-alpha"
    assert choose((0, "1.0.0"), (1, "9.0.0+build-1"), (2, "0.1.0"), added="0.1.0", limit=2) == "1.0.0"


@given(_AGES, st.integers(1, 8), st.data())
def test_at_most_one_goes_and_nothing_older_stays_but_what_must(
    ages: list[tuple[int, str]], limit: int, data: st.DataObject
) -> None:
    added = data.draw(st.sampled_from([version for _, version in ages]))
    gone = choose(*ages, added=added, limit=limit)
    assert gone == choose(*reversed(ages), added=added, limit=limit)
    newest = max((version for _, version in ages if "-" not in version.partition("+")[0]), key=sort_key, default="")
    others = {version: age for age, version in ages if version not in (added, newest)}
    if len(ages) <= limit or not others:
        assert gone is None
    else:
        assert gone is not None
        assert others[gone] == min(others.values())
