"""The front door: the reads that machines repeat, answered before any framework: index, archives, provenance.

Everything else, and every path that is not one of these, goes to the application behind. Here as there, a request
leaves its id, a log line and its counts.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter, time
from typing import Any, NamedTuple

from app.db.charts import BlobFacts
from app.domain.access import Action
from app.errors import AppError, Kind
from app.routes.errors import Headers, render_error
from app.routes.gate import Gate
from app.routes.negotiation import choose_encoding, matches, parse_range
from app.routes.observe import Note, Observer, build_request_ids
from app.routes.paths import Paths
from app.services.archives import INLINE, Archives
from app.services.indexes import Index, Indexes, View
from app.services.readiness import Readiness

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_TARGETS = 8192
"""Paths whose meaning is remembered, at most; a flood of others only costs parsing them again."""

_TARGET_CHARACTERS = 512
"""Characters of a path that is remembered, at most: 8192 of them stay below 20 MB, whatever a flood sends."""

_BATCH = 128 * 1024
"""Bytes sent in one go where a body comes in smaller pieces."""


class Target(NamedTuple):
    """What a hot path asks for: a repository's index in a view, or one of its files."""

    repository: str
    view: View
    filename: str  # "" for the index
    route: str


class Chunks:
    """A body that comes from storage while it is sent."""

    def __init__(self, chunks: AsyncGenerator[bytes, None]) -> None:
        self.chunks = chunks

    def __len__(self) -> int:
        """Answer 2: more than one piece."""
        return 2


class Answer(NamedTuple):
    """A response: its pieces are sent one by one, `length` is what the header says."""

    status: int
    headers: Headers
    pieces: Sequence[bytes] | Chunks
    length: int


class _IndexAnswers(NamedTuple):
    """The two answers that an index can give, made once for each revision, view and encoding."""

    etag: bytes
    whole: Answer
    unchanged: Answer


RequestHeaders = dict[bytes, bytes]

_START, _BODY = "http.response.start", "http.response.body"


@dataclass(slots=True)
class Front:
    """The outermost ASGI application."""

    behind: Application
    paths: Paths
    gate: Gate
    readiness: Readiness
    indexes: Indexes
    archives: Archives
    observer: Observer
    default_yaml: bool = False
    archives_never_change: bool = False
    _targets: dict[str, Target | None] = field(default_factory=dict)
    _make_request_id: Callable[[], bytes] = field(default_factory=build_request_ids)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a hot read, or hand the request on."""
        if scope["type"] != "http":
            await self.behind(scope, receive, send)
            return
        method = scope["method"]
        if method == "GET" or method == "HEAD":
            path = scope["path"]
            try:
                target = self._targets[path]
            except KeyError:
                target = self._find_target(path)
            if target is not None:
                await self._serve(scope, send, target)
                return
        await self._pass_on(scope, receive, send)

    # -- hot reads

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
                return Target(repository, View(self.default_yaml, limit), "", "/:repo/index.yaml")
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
                answer = await self._answer_file(target, headers)
            else:
                answer = self._answer_index_now(scope, target, headers) or await self._answer_index(
                    scope, target, headers
                )
        except Exception as error:
            status, fields, body = render_error(error)
            answer = Answer(status, fields, (body,), len(body))
        status, fields, pieces, length = answer
        await send({"type": _START, "status": status, "headers": [*fields, (b"x-request-id", request_id)]})
        method = scope["method"]
        try:
            if method == "HEAD":
                length = 0
                await send({"type": _BODY, "body": b""})
            elif len(pieces) == 1 and not isinstance(pieces, Chunks):
                await send({"type": _BODY, "body": pieces[0]})
            else:
                await _send_pieces(send, pieces)
        finally:
            note = Note(time(), perf_counter() - started, scope, method, target.route, status, request_id, length, 0)
            self.observer.finish(note)

    def _answer_index_now(self, scope: Scope, target: Target, headers: RequestHeaders) -> Answer | None:
        """Answer without waiting, if the index is at hand and current; the common case, in 3 us."""
        if not self.readiness.ready or not self.indexes.inline:
            return None
        accepted = headers.get(b"accept-encoding")
        encoding = choose_encoding(accepted) if accepted else ""
        view = _read_format(scope["query_string"], target.view) if scope["query_string"] else target.view
        self.indexes.check_inline()
        index = self.indexes.find_current(target.repository, view)
        answers = index and index.answers.get(encoding)
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
        return _IndexAnswers(etag, Answer(200, fields, _batch(body.pieces), body.length), Answer(304, shared, (), 0))

    async def _answer_file(self, target: Target, headers: RequestHeaders) -> Answer:
        if not self.readiness.ready:
            size, chunks = await self.readiness.open_old_file(target.repository, target.filename)
            kind = (b"content-type", _content_type(target.filename))
            return Answer(200, [kind, (b"content-length", b"%d" % size)], Chunks(chunks), size)
        blob = self._find_blob_now(target) or await self.archives.find(target.repository, target.filename)
        if blob is None:
            raise AppError(Kind.NOT_FOUND, "object not found")
        etag = b'"sha256:%b"' % blob.digest.encode()
        shared: Headers = [(b"etag", etag), (b"cache-control", self._file_cache()), (b"accept-ranges", b"bytes")]
        none_match = headers.get(b"if-none-match")
        if none_match and matches(none_match, etag):
            return Answer(304, shared, (), 0)
        location = self.archives.presign(blob)
        if location is not None:
            return Answer(307, [(b"location", location.encode()), (b"cache-control", b"no-store")], (), 0)
        shared.append((b"content-type", _content_type(target.filename)))
        wanted = headers.get(b"range")
        if wanted:
            return await self._answer_range(blob, wanted, shared)
        shared.append((b"content-length", b"%d" % blob.size))
        content = self.archives.read_now(blob)
        if content is not None:
            return Answer(200, shared, (content,), blob.size)
        if blob.size <= INLINE:
            return Answer(200, shared, (await self.archives.read(blob),), blob.size)
        return Answer(200, shared, Chunks(await self.archives.open(blob)), blob.size)

    def _find_blob_now(self, target: Target) -> BlobFacts | None:
        if not self.indexes.inline:
            return None
        self.indexes.check_inline()
        return self.archives.find_known(target.repository, target.filename)

    async def _answer_range(self, blob: BlobFacts, wanted: bytes, fields: Headers) -> Answer:
        span = parse_range(wanted, blob.size)
        if span is None:
            return Answer(416, [(b"content-range", b"bytes */%d" % blob.size), (b"content-length", b"0")], (), 0)
        start, end = span
        length = end - start
        fields.append((b"content-length", b"%d" % length))
        if length == blob.size:
            return Answer(200, fields, Chunks(await self.archives.open(blob)), length)
        fields.append((b"content-range", b"bytes %d-%d/%d" % (start, end - 1, blob.size)))
        return Answer(206, fields, Chunks(await self.archives.open(blob, start, length)), length)

    def _file_cache(self) -> bytes:
        scope = b"private, " if self.gate.reads_are_private else b""
        return scope + (b"max-age=31536000, immutable" if self.archives_never_change else b"no-cache")

    # -- everything else

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = dict(scope["headers"]).get(b"x-request-id")
        watch = _Watch(send, given or self._make_request_id(), receive)
        started, path, method = perf_counter(), scope["path"], scope["method"]
        scope["path"] = self.paths.localize(path) or "/-/outside"
        if path == "/metrics":  # stays outside the context path, as in ChartMuseum
            scope["path"] = path
        scope["raw_path"] = b""
        try:
            await self.behind(scope, watch.receive, watch.send)
        finally:
            took, route = perf_counter() - started, _route_of(scope)
            scope["path"] = path
            note = Note(time(), took, scope, method, route, watch.status, watch.request_id, watch.sent, watch.received)
            self.observer.finish(note)


@dataclass(slots=True)
class _Watch:
    """Stands between the application and the server: adds the request id, counts bytes."""

    _send: Send
    request_id: bytes
    _receive: Receive
    status: int = 500
    sent: int = 0
    received: int = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", self.request_id)]
        else:
            self.sent += len(message.get("body", b""))
        await self._send(message)

    async def receive(self) -> Message:
        message = await self._receive()
        self.received += len(message.get("body", b""))
        return message


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


def _content_type(filename: str) -> bytes:
    return b"application/pgp-signature" if filename.endswith(".prov") else b"application/x-tar"


def _route_of(scope: Scope) -> str:
    template: str = getattr(scope.get("route"), "path", "")
    template = template.replace("/{repository:inner}", "/:repo").replace("{repository:tenant}", "/:repo")
    return template.replace(":path}", "}").replace("{", ":").replace("}", "") or "other"


async def _send_pieces(send: Send, pieces: Sequence[bytes] | Chunks) -> None:
    """Send a body piece by piece; a client that reads slowly holds one piece in memory, not the body."""
    if isinstance(pieces, Chunks):
        async for piece in pieces.chunks:
            await send({"type": _BODY, "body": piece, "more_body": True})
    else:
        for piece in pieces:
            await send({"type": _BODY, "body": piece, "more_body": True})
    await send({"type": _BODY, "body": b""})


def _batch(pieces: Sequence[bytes]) -> Sequence[bytes]:
    """Join small pieces, so that a body is not sent in crumbs; large ones stay what they are."""
    batches: list[bytes] = []
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _BATCH:
            batches.append(b"".join(waiting) if len(waiting) > 1 else piece)
            waiting, size = [], 0
    if waiting:
        batches.append(b"".join(waiting))
    return batches
