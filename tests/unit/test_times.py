"""Times: whole nanoseconds and RFC 3339 text, both ways without loss."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.times import from_datetime, parse_time, render_time

_INT64 = st.integers(-(2**63), 2**63 - 1)


@given(_INT64)
def test_every_64_bit_time_comes_back(nanoseconds: int) -> None:
    assert parse_time(render_time(nanoseconds)) == nanoseconds


@pytest.mark.parametrize(("nanoseconds", "text"), [
    (0, "1970-01-01T00:00:00Z"),
    (1, "1970-01-01T00:00:00.000000001Z"),
    (-1, "1969-12-31T23:59:59.999999999Z"),
    (1_500_000_000, "1970-01-01T00:00:01.5Z"),
    (100, "1970-01-01T00:00:00.0000001Z"),
    (1_582_934_400_000_000_000, "2020-02-29T00:00:00Z"),
    (2**63 - 1, "2262-04-11T23:47:16.854775807Z"),
    (-(2**63), "1677-09-21T00:12:43.145224192Z"),
])  # fmt: skip
def test_text_has_as_many_digits_as_needed_as_go_writes_it(nanoseconds: int, text: str) -> None:
    assert render_time(nanoseconds) == text


@pytest.mark.parametrize(("text", "same"), [
    ("2020-01-01T01:00:00+01:00", "2020-01-01T00:00:00Z"),
    ("2019-12-31T18:30:00-05:30", "2020-01-01T00:00:00Z"),
    ("2020-01-01t00:00:00z", "2020-01-01T00:00:00Z"),
    (" 2020-01-01T00:00:00.100Z\n", "2020-01-01T00:00:00.1Z"),
    ("2020-01-01T00:00:00.1234567891234Z", "2020-01-01T00:00:00.123456789Z"),
    ("2020-01-01T00:00:00-00:00", "2020-01-01T00:00:00Z"),
])  # fmt: skip
def test_zones_cases_and_longer_fractions_are_understood(text: str, same: str) -> None:
    assert parse_time(text) == parse_time(same)


@pytest.mark.parametrize("text", [
    "", "now", "2020-01-01", "2020-01-01T00:00:00", "2020-01-01 00:00:00Z", "2020-13-01T00:00:00Z",
    "2020-02-30T00:00:00Z", "2020-01-01T25:00:00Z", "2020-01-01T00:61:00Z", "2020-01-01T00:00:00,5Z",
    "2020-01-01T00:00:00+0100", "2020-01-01T00:00:00+25:00", "٢٠٢٠-01-01T00:00:00Z", "2020-01-01T00:00:00.Z",
    "0001-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "2262-04-11T23:47:16.854775808Z",
    "0001-01-01T00:00:00+23:59", "1677-09-21T00:12:43.145224191Z",
])  # fmt: skip
def test_what_is_no_time_with_a_zone_in_64_bits_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"time|range|hour|minute|month|day|offset|year|second"):
        parse_time(text)


@given(st.datetimes(datetime(1678, 1, 1), datetime(2262, 1, 1)), st.integers(-1439, 1439))
def test_a_datetime_keeps_its_microseconds_and_its_zone(moment: datetime, minutes: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    found = from_datetime(aware)
    assert found % 1000 == 0
    assert parse_time(aware.isoformat()) == found
    assert from_datetime(aware.astimezone(UTC)) == found
