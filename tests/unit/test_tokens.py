"""Identity tokens: whose they are, until when, and that nobody else can make one."""

from __future__ import annotations

import pytest

from app.domain.tokens import SECONDS, make_token, read_token

KEY, NOW = bytes(range(32)), 1_700_000_000


@pytest.mark.parametrize("subject", ["", "tester", "ü: x", "a" * 500])
def test_a_token_says_whose_it_is(subject: str) -> None:
    token = make_token(KEY, subject, NOW)
    assert token.isascii()
    assert read_token(KEY, token, NOW) == subject
    assert read_token(KEY, token, NOW + SECONDS - 1) == subject


def test_a_token_is_over_after_its_time() -> None:
    assert read_token(KEY, make_token(KEY, "tester", NOW), NOW + SECONDS) is None


def test_a_token_of_another_key_is_not_ours() -> None:
    assert read_token(KEY, make_token(bytes(32), "tester", NOW), NOW) is None


def test_no_character_of_a_token_can_be_changed() -> None:
    token = make_token(KEY, "tester", NOW)
    for at in range(len(token)):
        other = "A" if token[at] != "A" else "B"
        assert read_token(KEY, token[:at] + other + token[at + 1 :], NOW) is None


@pytest.mark.parametrize("token", ["", ".", "x", "x.y", "ä.ö", "a.b.c", "\0.\0"])
def test_what_is_no_token(token: str) -> None:
    assert read_token(KEY, token, NOW) is None
