"""The front door: the reads that machines repeat, answered before any framework.

The index, archives and provenance; manifests and blobs at the OCI door.

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
    find_interruption,
    join_small,
    send_pieces,
)
from app.routes.errors import render_error, render_registry_error
from app.routes.files import Files
from app.routes.gate import Gate
from app.routes.hot import NEVER, Hot
from app.routes.negotiation import choose_encoding, matches
from app.routes.observe import Observer, build_request_ids
from app.routes.oci_reads import Artifacts, Wanted, parse_wanted
from app.routes.paths import Paths
from app.services.indexes import Index, Indexes, View
from app.services.readiness import Readiness

_TARGETS = 8192
"""Paths whose meaning is remembered, at most; a flood of others only costs parsing them again."""

_TARGET_CHARACTERS = 512
"""Characters of a path that is remembered, at most: 8192 of them stay below 20 MB, whatever a flood sends."""


_PACKED_BATCH = 4 * 1024 * 1024
"""Bytes of a compressed index that are sent in one go."""

_INDEX = "/:repo/index.yaml"


class Target(NamedTuple):
    """What a hot path asks for: a repository's index in a view, or one of its files."""

    repository: str
    view: View
    filename: str  # "" for the index
    route: str
    wanted: Wanted | None = None  # a manifest or blob at the OCI door instead


class _IndexAnswers(NamedTuple):
    """The two answers that an index can give, made once for each revision, view and encoding."""

    etag: bytes
    whole: Answer
    unchanged: Answer


@dataclass(slots=True)
class Front:
    """The outermost ASGI application."""

    behind: Application
    paths: Paths
    gate: Gate
    readiness: Readiness
    indexes: Indexes
    files: Files
    artifacts: Artifacts
    observer: Observer
    default_yaml: bool = False
    _targets: dict[str, Target | None] = field(default_factory=dict)
    _make_request_id: Callable[[], bytes] = field(default_factory=build_request_ids)
    hot: Hot = field(init=False)

    def __post_init__(self) -> None:
        self.hot = Hot(self._take_mark, self.files.archives.open_now, self.observer, self._make_request_id)

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
        if target is None and (wanted := parse_wanted(path)):
            target = Target("", View(), "", f"/v2/:name/{wanted.kind}/:reference", wanted)
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
            if not self.gate.anonymous_pull and target.wanted is None:
                authorization = headers.get(b"authorization", b"").decode("latin-1")
                self.gate.admit(authorization, target.repository, Action.PULL)
            answer = await self._answer(scope, target, headers)
        except Exception as error:
            status, fields, body = (render_registry_error if target.wanted else render_error)(error)
            answer = Answer(status, fields, (body,), len(body))
        status, fields, pieces, length, _ = answer
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

    async def _answer(self, scope: Scope, target: Target, headers: RequestHeaders) -> Answer:
        mark = self._take_mark()
        if target.wanted is not None:
            answer = whole = await self.artifacts.answer(target.wanted, scope, headers)
        elif target.filename:
            if scope["method"] == "HEAD":
                headers.pop(b"range", None)  # RFC 9110, 14.2: ranges are for GET
            answer = whole = await self.files.answer(
                target.repository, target.filename, headers, find_interruption(scope)
            )
        else:
            encoding = choose_encoding(headers.get(b"accept-encoding", b""))
            view = _read_format(scope["query_string"], target.view) if scope["query_string"] else target.view
            index = self._find_index(target.repository, view, encoding)
            if index is None:
                await self.readiness.wait_readable(find_interruption(scope))
                index = await self.indexes.get(target.repository, view, encoding)
                index.answers[encoding] = self._make_answers(index, encoding)
            answers: _IndexAnswers = index.answers[encoding]
            none_match, whole = headers.get(b"if-none-match"), answers.whole
            answer = answers.unchanged if none_match and matches(none_match, answers.etag) else whole
            if not index.row.id:  # the empty one that all unknown names share: a flood of them must not push out others
                return answer
        if scope["method"] == "GET":
            self.hot.keep(mark, scope, target.route, whole)
        return answer

    def _take_mark(self) -> int:
        """Answer a number that stays the same while every hot answer is true; NEVER where none may be kept."""
        if not self.gate.anonymous_pull or not self.readiness.ready or not self.indexes.inline:
            return NEVER
        return self.indexes.mark()

    def _find_index(self, repository: str, view: View, encoding: str) -> Index | None:
        """Answer the index if its answers are at hand and current; the common case, in 3 us."""
        if not self.readiness.ready or not self.indexes.inline:
            return None
        self.indexes.mark()
        index = self.indexes.find_current(repository, view)
        return index if index is not None and encoding in index.answers else None

    def _make_answers(self, index: Index, encoding: str) -> _IndexAnswers:
        etag, body = index.get(encoding)
        cache = b"private, no-cache" if self.gate.reads_are_private else b"no-cache"
        shared = [(b"etag", etag), (b"cache-control", cache), (b"vary", b"accept-encoding")]
        fields = [(b"content-type", b"application/x-yaml"), (b"content-length", b"%d" % body.length), *shared]
        if encoding:
            fields.append((b"content-encoding", encoding.encode()))
        # A compressed body is a tenth of the index: a copy in one piece costs little, and leaves in one go.
        pieces = join_small(body.pieces, batch=_PACKED_BATCH) if encoding else join_small(body.pieces)
        return _IndexAnswers(etag, Answer(200, fields, pieces, body.length), Answer(304, shared, (), 0))

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
