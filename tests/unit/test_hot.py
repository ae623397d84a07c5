"""Hot answers on their own: what is kept for how long, and how much of it."""

from __future__ import annotations

from typing import Any

from app.metrics import Requests
from app.routes import hot
from app.routes.asgi import Answer
from app.routes.hot import NEVER, Hot
from app.routes.observe import Observer


class Store:
    """A store that changes when told so."""

    def __init__(self) -> None:
        self.mark = 1

    def take_mark(self) -> int:
        return self.mark


class Silent(Observer):
    """Notes nothing."""

    def finish(self, note: Any) -> None: ...


def make_hot(store: Store) -> Hot:
    return Hot(store.take_mark, lambda blob: None, Silent(Requests()), lambda: b"id")


def scope_of(path: str, query: str = "") -> dict[str, Any]:
    return {"path": path, "raw_path": path.encode(), "query_string": query.encode(), "headers": []}


def answer_of(body: bytes, etag: bytes = b'"1"') -> Answer:
    return Answer(200, [(b"content-type", b"x"), (b"etag", etag)], (body,), len(body))


def keep(found: Hot, mark: int, path: str = "/index.yaml", body: bytes = b"body", query: str = "") -> None:
    found.keep(mark, scope_of(path, query), "route", answer_of(body))


def ask(found: Hot, url: bytes = b"/index.yaml") -> bytes | None:
    ready = found.answer(url, {}, None)
    return ready and ready.body


def test_a_commit_ends_what_was_kept() -> None:
    store = Store()
    found = make_hot(store)
    keep(found, store.mark)
    assert ask(found) == b"body"
    store.mark = 2
    assert ask(found) is None
    store.mark = 1
    assert ask(found) is None


def test_a_commit_between_finding_an_answer_and_keeping_it_does_not_hide() -> None:
    store = Store()
    found = make_hot(store)
    mark = store.take_mark()  # the answer is found now
    store.mark = 2  # and somebody commits
    keep(found, store.take_mark(), "/other/index.yaml")
    keep(found, mark)
    assert ask(found) is None
    keep(found, mark)
    keep(found, store.take_mark(), "/other/index.yaml")
    assert ask(found) is None
    assert ask(found, b"/other/index.yaml") == b"body"


def test_what_must_not_be_kept_is_not() -> None:
    store = Store()
    found = make_hot(store)
    keep(found, NEVER)
    found.keep(1, scope_of("/index.yaml"), "route", answer_of(b"body")._replace(status=307))
    found.keep(1, scope_of("/index.yaml"), "route", answer_of(b"body")._replace(pieces=(b"a", b"b")))
    keep(found, 1, "/index.yaml" + "x" * 2000)
    assert not found._kept
    keep(found, 1, query="format=yaml")
    assert (ask(found), ask(found, b"/index.yaml?format=yaml")) == (None, b"body")


def test_what_is_kept_is_bounded_in_number_and_bytes() -> None:
    store = Store()
    found = make_hot(store)
    for number in range(3 * hot._ANSWERS):
        keep(found, 1, f"/{number}/index.yaml")
    assert 0 < len(found._kept) <= hot._ANSWERS
    for number in range(40):
        keep(found, 1, f"/{number}/index.yaml", bytes(1_000_000))
    assert len(found._kept) <= 16
    assert ask(found, b"/39/index.yaml") == bytes(1_000_000)
