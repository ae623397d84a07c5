"""values.yaml is judged by its bytes: the same ones again cost nothing, and never get another answer."""

from __future__ import annotations

import pytest

from app.domain import goyaml, values
from app.errors import AppError


def test_a_file_that_was_found_right_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "_known", set())
    values.check_values(b"a: 1\n")

    def fail(_text: bytes) -> object:
        raise AssertionError("it was read again")

    monkeypatch.setattr(goyaml, "parse_yaml", fail)
    values.check_values(b"a: 1\n")


@pytest.mark.parametrize("wrong", [b"[1]", b"a: [", b"a: .nan\n", b"\ttab: x\n"])
def test_a_wrong_file_is_refused_each_time(wrong: bytes) -> None:
    for _ in range(2):
        with pytest.raises(AppError, match=r"cannot load values\.yaml"):
            values.check_values(wrong)


def test_what_is_known_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "_known", set())
    monkeypatch.setattr(values, "_MOST_KNOWN", 10)
    for number in range(35):
        values.check_values(b"a: %d\n" % number)
    assert 0 < len(values._known) <= 10
