"""The front door: the reads that machines repeat, answered before any framework: index, archives, provenance.

Everything else, and every path that is not one of these, goes to the application behind. Here as there, a request
leaves its id, a log line and its counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter, time
from typing import NamedTuple

from app.domain.access import Action
from app.errors import AppError
from app.routes.asgi import (
    BODY,
    START,
    Answer,
    Application,
    Chunks,
    Receive,
    RequestHeaders,
    Scope,
    Send,
    Watch,
    join_small,
    send_pieces,
)
from app.routes.errors import render_error
from app.routes.files import Files
from app.routes.gate import Gate
from app.routes.negotiation import choose_encoding, matches
from app.routes.observe import Observer, build_request_ids
from app.routes.paths import Paths
from app.services.indexes import Index, Indexes, View
from app.services.readiness import Readiness

_TARGETS = 8192
"""Paths whose meaning is remembered, at most; a flood of others only costs parsing them again."""

_TARGET_CHARACTERS = 512
"""Characters of a path that is remembered, at most: 8192 of them stay below 20 MB, whatever a flood sends."""


_PACKED_BATCH = 4 * 1024 * 1024
"""Bytes of a compressed index that are sent in one go."""

_HOT = 256
"""Paths of indexes whose answers are at hand, at most."""

_INDEX = "/:repo/index.yaml"


class Target(NamedTuple):
    """What a hot path asks for: a repository's index in a view, or one of its files."""

    repository: str
    view: View
    filename: str  # "" for the index
    route: str


class _IndexAnswers(NamedTuple):
    """The two answers that an index can give, made once for each revision, view and encoding."""

    etag: bytes
    whole: Answer
    unchanged: Answer
    body: bytes  # of `whole` if it is in one piece, else empty


@dataclass(slots=True)
class Front:
    """The outermost ASGI application."""

    behind: Application
    paths: Paths
    gate: Gate
    readiness: Readiness
    indexes: Indexes
    files: Files
    observer: Observer
    default_yaml: bool = False
    _targets: dict[str, Target | None] = field(default_factory=dict)
    _hot: dict[str, _IndexAnswers] = field(default_factory=dict)
    _mark: int = -1
    _make_request_id: Callable[[], bytes] = field(default_factory=build_request_ids)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a hot read, or hand the request on."""
        if scope["type"] != "http":
            await self.behind(scope, receive, send)
            return
        method = scope["method"]
        if method == "GET" or method == "HEAD":
            path = scope["path"]
            if path in self._hot and method == "GET" and await self._serve_hot(scope, send, path):
                return
            try:
                target = self._targets[path]
            except KeyError:
                target = self._find_target(path)
            if target is not None:
                await self._serve(scope, send, target)
                return
        await self._pass_on(scope, receive, send)

    # -- hot reads

    async def _serve_hot(self, scope: Scope, send: Send, path: str) -> bool:
        """Answer the plain index of a path that was asked for since the last commit; False if this is not one.

        What Helm sends, a thousand times between two uploads. Everything here is counted in tenths of microseconds.
        """
        mark = self.indexes.mark()
        if mark != self._mark:
            self._hot.clear()
            self._mark = mark
            return False
        headers = dict(scope["headers"])
        if b"accept-encoding" in headers or scope["query_string"]:
            return False
        started = perf_counter()
        answers = self._hot[path]
        status, fields, _, length = _choose_index_answer(answers, headers)
        request_id = headers.get(b"x-request-id") or self._make_request_id()
        await send({"type": START, "status": status, "headers": [*fields, (b"x-request-id", request_id)]})
        await send({"type": BODY, "body": answers.body if status == 200 else b""})
        self.observer.finish(
            (time(), perf_counter() - started, path, scope["client"], "GET", _INDEX, status, request_id, length, 0)
        )
        return True

    def _keep_hot(self, scope: Scope, answers: _IndexAnswers, mark: int) -> None:
        """Keep answers that were found after `mark` was taken: asked for again, it could hide a commit in between."""
        if mark != self._mark or len(self._hot) >= _HOT:
            self._hot.clear()
            self._mark = mark
        if self.gate.anonymous_pull and answers.body and not scope["query_string"]:
            self._hot[scope["path"]] = answers

    def _find_target(self, path: str) -> Target | None:
        target = self._parse_target(self.paths.localize(path))
        if len(path) > _TARGET_CHARACTERS:
            return target
        if len(self._targets) >= _TARGETS:
            self._targets.clear()
        self._targets[path] = target
        return target

    def _parse_target(self, path: str | None) -> Target | None:
        if path is None or "\0" in path or not path.endswith(("/index.yaml", ".tgz", ".tgz.prov")):
            return None
        folder, _, filename = path.rpartition("/")
        try:
            if filename == "index.yaml":
                repository, limit = self.paths.parse_place(folder)
                return Target(repository, View(self.default_yaml, limit), "", _INDEX)
            if not filename.endswith((".tgz", ".tgz.prov")) or not folder.endswith("/charts"):
                return None
            repository, _limit = self.paths.parse_place(folder.removesuffix("/charts"))
        except AppError:
            return None  # the application behind says what is wrong
        return Target(repository, View(), filename, "/:repo/charts/:filename")

    async def _serve(self, scope: Scope, send: Send, target: Target) -> None:
        started = perf_counter()
        headers: RequestHeaders = dict(scope["headers"])
        request_id = headers.get(b"x-request-id") or self._make_request_id()
        try:
            if not self.gate.anonymous_pull:
                authorization = headers.get(b"authorization", b"").decode("latin-1")
                self.gate.admit(authorization, target.repository, Action.PULL)
            if target.filename:
                if scope["method"] == "HEAD":
                    headers.pop(b"range", None)  # RFC 9110, 14.2: ranges are for GET
                answer = await self.files.answer(target.repository, target.filename, headers)
            else:
                answer = self._answer_index_now(scope, target, headers) or await self._answer_index(
                    scope, target, headers
                )
        except Exception as error:
            status, fields, body = render_error(error)
            answer = Answer(status, fields, (body,), len(body))
        status, fields, pieces, length = answer
        await send({"type": START, "status": status, "headers": [*fields, (b"x-request-id", request_id)]})
        method = scope["method"]
        try:
            if method == "HEAD":
                length = 0
                if isinstance(pieces, Chunks):
                    await pieces.chunks.aclose()
                await send({"type": BODY, "body": b""})
            elif not isinstance(pieces, Chunks) and len(pieces) == 1:
                await send({"type": BODY, "body": pieces[0]})
            else:
                await send_pieces(send, pieces)
        finally:
            took = perf_counter() - started
            self.observer.finish(
                (time(), took, scope["path"], scope.get("client"), method, target.route, status, request_id, length, 0)
            )

    def _answer_index_now(self, scope: Scope, target: Target, headers: RequestHeaders) -> Answer | None:
        """Answer without waiting, if the index is at hand and current; the common case, in 3 us."""
        if not self.readiness.ready or not self.indexes.inline:
            return None
        accepted = headers.get(b"accept-encoding")
        encoding = choose_encoding(accepted) if accepted else ""
        view = _read_format(scope["query_string"], target.view) if scope["query_string"] else target.view
        mark = self.indexes.mark()
        index = self.indexes.find_current(target.repository, view)
        answers = index and index.answers.get(encoding)
        if answers and index and not encoding and index.row.id:  # not the empty index that all unknown names share
            self._keep_hot(scope, answers, mark)
        return _choose_index_answer(answers, headers) if answers else None

    async def _answer_index(self, scope: Scope, target: Target, headers: RequestHeaders) -> Answer:
        """Answer once the index is current, and have it at hand for the next request."""
        self.readiness.check()
        encoding = choose_encoding(headers.get(b"accept-encoding", b""))
        view = _read_format(scope["query_string"], target.view)
        index = await self.indexes.get(target.repository, view, encoding)
        answers = index.answers[encoding] = self._make_answers(index, encoding)
        return _choose_index_answer(answers, headers)

    def _make_answers(self, index: Index, encoding: str) -> _IndexAnswers:
        etag, body = index.get(encoding)
        cache = b"private, no-cache" if self.gate.reads_are_private else b"no-cache"
        shared = [(b"etag", etag), (b"cache-control", cache), (b"vary", b"accept-encoding")]
        fields = [(b"content-type", b"application/x-yaml"), (b"content-length", b"%d" % body.length), *shared]
        if encoding:
            fields.append((b"content-encoding", encoding.encode()))
        # A compressed body is a tenth of the index: a copy in one piece costs little, and leaves in one go.
        pieces = join_small(body.pieces, batch=_PACKED_BATCH) if encoding else join_small(body.pieces)
        whole, only = Answer(200, fields, pieces, body.length), pieces[0] if len(pieces) == 1 else b""
        return _IndexAnswers(etag, whole, Answer(304, shared, (), 0), only)

    # -- everything else

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = dict(scope["headers"]).get(b"x-request-id")
        watch = Watch(send, given or self._make_request_id(), receive)
        started, path, method = perf_counter(), scope["path"], scope["method"]
        scope["path"] = self.paths.localize(path) or "/-/outside"
        scope["raw_path"] = b""
        try:
            await self.behind(scope, watch.receive, watch.send)
        finally:
            took, route = perf_counter() - started, _route_of(scope)
            scope["path"] = path
            self.observer.finish(
                (
                    time(),
                    took,
                    path,
                    scope.get("client"),
                    method,
                    route,
                    watch.status,
                    watch.request_id,
                    watch.sent,
                    watch.received,
                )
            )


def _choose_index_answer(answers: _IndexAnswers, headers: RequestHeaders) -> Answer:
    none_match = headers.get(b"if-none-match")
    return answers.unchanged if none_match and matches(none_match, answers.etag) else answers.whole


def _read_format(query: bytes, view: View) -> View:
    for field_ in query.split(b"&"):
        if field_ == b"format=yaml":
            return view._replace(yaml=True)
        if field_ == b"format=json":
            return view._replace(yaml=False)
    return view


def _route_of(scope: Scope) -> str:
    template: str = getattr(scope.get("route"), "path", "")
    template = template.replace("/{repository:inner}", "/:repo").replace("{repository:tenant}", "/:repo")
    return template.replace(":path}", "}").replace("{", ":").replace("}", "") or "other"
