"""Hot answers: reads that were answered since the last commit, ready to be written to a connection as they are.

By way of ASGI each request costs a task, coroutines and messages, four times what the answer itself costs. So `Front`
answers everything and keeps here what may be given again; a `Connection` asks here first.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter, time
from typing import NamedTuple

from app.db.charts import BlobFacts
from app.errors import AppError
from app.routes.asgi import Answer, Chunks, RequestHeaders, Scope
from app.routes.errors import Headers
from app.routes.negotiation import matches
from app.routes.observe import Observer
from storage import OpenFile

NEVER = -1
"""The mark of answers that must not be kept."""

_ANSWERS = 4096
"""Answers that are kept, at most: about 4 MB with 100 characters of address each."""

_BYTES = 16 * 1024 * 1024
"""Bytes of index bodies among them, at most; most are also the index cache's, and counted there."""

_URL_CHARACTERS = 1024
"""Characters of an address that is kept, at most."""

_APART = frozenset((b"range", b"if-range", b"expect", b"upgrade", b"content-length", b"transfer-encoding"))
"""Request headers that make a read another one: it goes by way of ASGI."""

Client = tuple[str, int] | None


class Ready(NamedTuple):
    """An answer as it goes over the wire: `lines` are its header lines, each with its end."""

    status: int
    lines: bytes
    body: bytes | OpenFile


class _Kept(NamedTuple):
    path: str
    route: str
    etag: bytes
    shared: bytes  # header lines that a 304 has too
    about_body: bytes
    body: bytes | BlobFacts
    size: int


class Hot:
    """Answers by address and Accept-Encoding. `mark` answers a number that every commit changes.

    Nothing here asks who the caller is: where reads need credentials, `mark` must always be NEVER.
    """

    def __init__(
        self,
        mark: Callable[[], int],
        open_now: Callable[[BlobFacts], bytes | OpenFile | None],
        observer: Observer,
        make_request_id: Callable[[], bytes],
    ) -> None:
        self.mark = mark
        self._open_now = open_now
        self._observer = observer
        self._make_request_id = make_request_id
        self._kept: dict[tuple[bytes, bytes | None], _Kept] = {}
        self._since = NEVER
        self._weight = 0

    def answer(self, url: bytes, headers: RequestHeaders, client: Client) -> Ready | None:
        """Answer a GET without a body, if what was kept for it is still so. Counted in tenths of microseconds."""
        key = (url, headers.get(b"accept-encoding"))
        kept = self._kept.get(key)
        if kept is None or not _APART.isdisjoint(headers):
            return None
        started = perf_counter()
        try:
            if self.mark() != self._since:
                self._clear()
                return None
            none_match = headers.get(b"if-none-match")
            status, lines, size = 304, kept.shared, 0
            body: bytes | OpenFile = b""
            if none_match is None or not matches(none_match, kept.etag):
                found = kept.body if isinstance(kept.body, bytes) else self._open_now(kept.body)
                if found is None:
                    return None
                status, lines, body, size = 200, kept.shared + kept.about_body, found, kept.size
        except AppError:  # said again, to the caller, by way of ASGI
            self._clear()
            return None
        request_id = headers.get(b"x-request-id") or self._make_request_id()
        took = perf_counter() - started
        self._observer.finish((time(), took, kept.path, client, "GET", kept.route, status, request_id, size, 0))
        return Ready(status, b"%bx-request-id: %b\r\n" % (lines, request_id), body)

    def keep(self, mark: int, scope: Scope, route: str, whole: Answer) -> None:
        """Keep the whole answer to a GET. `mark` was taken before it was found: a commit in between must not hide."""
        body = _single_body(whole)
        if mark == NEVER or body is None or len(scope["raw_path"]) > _URL_CHARACTERS:
            return
        weight = len(body) if isinstance(body, bytes) else 0
        if mark != self._since or len(self._kept) >= _ANSWERS or self._weight + weight > _BYTES:
            self._clear()
            self._since = mark
        query = scope["query_string"]
        url = scope["raw_path"] + (b"?" + query if query else b"")
        key = (url, dict(scope["headers"]).get(b"accept-encoding"))
        if key not in self._kept:
            self._weight += weight
        shared = [field for field in whole.headers if not field[0].startswith(b"content-")]
        about_body = [field for field in whole.headers if field[0].startswith(b"content-")]
        etag = dict(shared)[b"etag"]
        lines = _render_lines(shared), _render_lines(about_body)
        self._kept[key] = _Kept(scope["path"], route, etag, *lines, body, whole.length)

    def _clear(self) -> None:
        self._kept.clear()
        self._since, self._weight = NEVER, 0


def _single_body(whole: Answer) -> bytes | BlobFacts | None:
    if whole.status != 200 or whole.blob is not None:
        return whole.blob
    pieces = whole.pieces
    return None if isinstance(pieces, Chunks) or len(pieces) != 1 or len(pieces[0]) > _BYTES else pieces[0]


def _render_lines(headers: Headers) -> bytes:
    return b"".join(b"%b: %b\r\n" % field for field in headers)
