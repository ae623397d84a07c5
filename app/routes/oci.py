"""The OCI door: what clients of registries push, ask and delete (distribution-spec 1.1, and what its main branch adds).

Manifests and blobs are read at the front (`oci_reads.py`). Every address is relative: behind a proxy an absolute one
would lead clients elsewhere, and Helm refuses those.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.db.uploads import UploadRow
from app.domain import oci
from app.domain.access import Action
from app.domain.oci import MAX_MANIFEST, RegistryError, join_name, parse_digest, parse_reference, render_digest
from app.errors import AppError, Kind
from app.routes.bodies import Limits, read_body, stream_body
from app.routes.deps import Parts
from app.routes.errors import REGISTRY_VERSION, answer_registry_error, render_warning
from app.services.uploads import OutOfOrder

Handler = Callable[[Request], Awaitable[Response]]

_READ = ("GET", "HEAD")
_SPAN = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
_MOST_TAGS = 32
_UUID = re.compile(r"[0-9a-f-]{36}")


def build_router(parts: Parts, *, writes: bool) -> APIRouter:
    """Answer the routes below /v2. Without `writes` nothing is pushed or deleted (`disable-api`)."""
    door = _Door(parts, writes)
    router = APIRouter()

    def add(path: str, handler: Handler, *methods: str) -> None:
        router.add_api_route(f"/v2{path}", _in_our_form(handler), methods=list(methods), include_in_schema=False)

    add("", door.ping, *_READ)
    add("/", door.ping, *_READ)
    add("/token", door.token, "GET", "POST")
    add("/_catalog", door.list_names, *_READ)
    add("/{name:path}/tags/list", door.list_tags, *_READ)
    add("/{name:path}/referrers/{digest}", door.list_referrers, *_READ)
    add("/{name:path}/blobs/uploads", door.start_upload, "POST")
    add("/{name:path}/blobs/uploads/", door.start_upload, "POST")
    add("/{name:path}/blobs/uploads/{uuid}", door.find_upload, *_READ)
    add("/{name:path}/blobs/uploads/{uuid}", door.append, "PATCH")
    add("/{name:path}/blobs/uploads/{uuid}", door.finish, "PUT")
    add("/{name:path}/blobs/uploads/{uuid}", door.cancel, "DELETE")
    add("/{name:path}/blobs/{digest}", door.delete_blob, "DELETE")
    add("/{name:path}/manifests/{reference}", door.put_manifest, "PUT")
    add("/{name:path}/manifests/{reference}", door.delete_manifest, "DELETE")
    return router


def _in_our_form(handler: Handler) -> Handler:
    async def wrapped(request: Request) -> Response:
        try:
            response = await handler(request)
        except Exception as error:
            return answer_registry_error(error)
        response.raw_headers.append(REGISTRY_VERSION)
        return response

    return wrapped


class _Page(NamedTuple):
    """Which part of a list is wanted: at most how many (None: all), after which."""

    limit: int | None
    last: str


@dataclass(frozen=True, slots=True)
class _Door:
    parts: Parts
    writes: bool

    # ------------------------------------------------------------------------------------------ questions

    async def ping(self, request: Request) -> Response:
        """GET /v2/: this is a registry; who has no token learns where to get one."""
        await self.parts.registry_gate.admit(_authorization(request), _address(request), "", Action.PULL)
        return _json(b"{}")

    async def token(self, request: Request) -> Response:
        """GET or POST /v2/token: a token that says who the caller is."""
        return await self.parts.registry_gate.answer_token(request)

    async def list_names(self, request: Request) -> Response:
        """GET /v2/_catalog[?n=&last=]: the names that the caller may read."""
        gate = self.parts.registry_gate
        await gate.admit(_authorization(request), _address(request), "", Action.PULL)
        self.parts.readiness.check()
        page = _parse_page(request)
        names, more = await self.parts.registry.list_names(
            limit=page.limit, last=page.last, readable=gate.readable(_authorization(request))
        )
        return _list("/v2/_catalog", page, {"repositories": names}, names, more)

    async def list_tags(self, request: Request) -> Response:
        """GET /v2/<name>/tags/list[?n=&last=]: tags in the order of their characters' codes."""
        repository, name = await self._admit(request, Action.PULL)
        page = _parse_page(request)
        tags, more = await self.parts.registry.list_tags(repository, name, limit=page.limit, last=page.last)
        whole = join_name(repository, name)
        return _list(f"/v2/{whole}/tags/list", page, {"name": whole, "tags": tags}, tags, more)

    async def list_referrers(self, request: Request) -> Response:
        """GET /v2/<name>/referrers/<digest>[?artifactType=]: what refers to a manifest, as an index."""
        repository, name = await self._admit(request, Action.PULL)
        wanted = request.query_params.get("artifactType")
        digest = parse_digest(request.path_params["digest"])
        body = await self.parts.registry.list_referrers(repository, name, digest, wanted)
        headers = {"oci-filters-applied": "artifactType"} if wanted is not None else {}
        return Response(body, headers={"content-type": oci.INDEX_TYPE, **headers})

    # ------------------------------------------------------------------------------------------ manifests

    async def put_manifest(self, request: Request) -> Response:
        """PUT /v2/<name>/manifests/<reference>[?tag=]: a manifest under a tag, or its digest and tags."""
        repository, name = await self._admit(request, Action.PUSH)
        reference = parse_reference(request.path_params["reference"])
        tags = request.query_params.getlist("tag")
        if len(tags) > _MOST_TAGS:
            return answer_registry_error(_too_many_tags(len(tags)))
        for tag in tags:
            if not oci.is_tag(tag):
                parse_reference(tag if ":" not in tag else "-")
        media_type = request.headers.get("content-type", "").partition(";")[0].strip()
        content = await read_body(request, Limits(MAX_MANIFEST, self.parts.upload.seconds))
        self.parts.readiness.check_writable()
        stored = await self.parts.registry.put_manifest(repository, name, reference, media_type, content, tags=tags)
        digest = render_digest(stored.digest)
        headers = {
            "location": f"/v2/{join_name(repository, name)}/manifests/{digest}", "docker-content-digest": digest
        }  # fmt: skip
        if stored.subject:
            headers["oci-subject"] = render_digest(stored.subject)
        if tags:
            headers["oci-tag"] = ", ".join(stored.tags)
        if stored.warning:
            headers["warning"] = render_warning(stored.warning)
        return Response(status_code=201, headers=headers)

    async def delete_manifest(self, request: Request) -> Response:
        """DELETE /v2/<name>/manifests/<reference>: a tag, or a manifest and all its tags."""
        repository, name = await self._admit(request, Action.PUSH)
        await self.parts.registry.remove(repository, name, parse_reference(request.path_params["reference"]))
        return Response(status_code=202)

    # ------------------------------------------------------------------------------------------ blobs

    async def start_upload(self, request: Request) -> Response:
        """POST /v2/<name>/blobs/uploads/: a session, a whole blob (?digest=) or a mount (?mount=&from=)."""
        repository, name = await self._admit(request, Action.PUSH)
        query = request.query_params
        if "mount" in query and await self._mount(request, repository, name, parse_digest(query["mount"])):
            return _created(repository, name, parse_digest(query["mount"]))
        if "digest" in query and "mount" not in query:
            digest = parse_digest(query["digest"])
            await self.parts.uploads.put_whole(repository, name, digest, self._body(request))
            return _created(repository, name, digest)
        algorithm = query.get("digest-algorithm", "sha256")
        if not oci.is_algorithm(algorithm):
            raise RegistryError(Kind.INVALID, "DIGEST_INVALID", "digests are taken with sha256 and sha512")
        return _accepted(await self.parts.uploads.start(repository, name, algorithm), 202)

    async def find_upload(self, request: Request) -> Response:
        """GET /v2/<name>/blobs/uploads/<uuid>: how far it is."""
        return _accepted(await self._find_session(request), 204)

    async def append(self, request: Request) -> Response:
        """PATCH /v2/<name>/blobs/uploads/<uuid>: the next bytes, in chunks with Content-Range or as a stream."""
        session = await self._find_session(request)
        try:
            start = _parse_span(request)
            return _accepted(await self.parts.uploads.append(session, start, self._body(request, session.offset)), 202)
        except OutOfOrder as error:
            return _out_of_order(error)

    async def finish(self, request: Request) -> Response:
        """PUT /v2/<name>/blobs/uploads/<uuid>?digest=: the last bytes, and what all of them must be."""
        session = await self._find_session(request)
        digest = parse_digest(request.query_params.get("digest", ""))
        try:
            body = self._body(request, session.offset)
            await self.parts.uploads.finish(session, digest, _parse_span(request), body)
        except OutOfOrder as error:
            return _out_of_order(error)
        return _created(session.repository, session.name, digest)

    async def cancel(self, request: Request) -> Response:
        """DELETE /v2/<name>/blobs/uploads/<uuid>: the client has thought better of it."""
        await self.parts.uploads.cancel(await self._find_session(request))
        return Response(status_code=204)

    async def delete_blob(self, request: Request) -> Response:
        """DELETE /v2/<name>/blobs/<digest>: the name no longer sees the blob."""
        repository, name = await self._admit(request, Action.PUSH)
        await self.parts.registry.remove_blob(repository, name, parse_digest(request.path_params["digest"]))
        return Response(status_code=202)

    # ------------------------------------------------------------------------------------------ inside

    async def _admit(self, request: Request, action: Action) -> tuple[str, str]:
        """Answer the repository and last segment of the name in the path, once the caller is let in."""
        repository, name = self.parts.paths.parse_name(request.path_params["name"])
        whole = join_name(repository, name)
        await self.parts.registry_gate.admit(_authorization(request), _address(request), whole, action)
        if action is Action.PULL:
            self.parts.readiness.check()
            return repository, name
        if not self.writes:
            raise AppError(Kind.DENIED, "this server is read only (DISABLE_API)")
        self.parts.readiness.check_writable()
        return repository, name

    async def _mount(self, request: Request, repository: str, name: str, digest: str) -> bool:
        source = request.query_params.get("from")
        if source is not None and not oci.is_name(source):
            return False
        readable = self.parts.registry_gate.readable(_authorization(request))
        place = oci.split_name(source) if source else None
        return await self.parts.registry.mount(repository, name, digest, place, readable)

    async def _find_session(self, request: Request) -> UploadRow:
        repository, name = await self._admit(request, Action.PUSH)
        uuid = request.path_params["uuid"]
        if not _UUID.fullmatch(uuid):
            raise oci.upload_unknown(uuid[:64])
        return await self.parts.uploads.find(repository, name, uuid)

    def _body(self, request: Request, before: int = 0) -> AsyncIterable[bytes]:
        limits = self.parts.upload.limits
        return stream_body(request, Limits(max(0, limits.size - before), limits.seconds))


def _authorization(request: Request) -> str:
    return request.headers.get("authorization", "")


def _address(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


def _parse_page(request: Request) -> _Page:
    text = request.query_params.get("n")
    if text is not None and not (text.isascii() and text.isdigit() and len(text) < 10):
        raise RegistryError(Kind.INVALID, "UNSUPPORTED", "n must be a number, 0 or more")
    return _Page(int(text) if text is not None else None, request.query_params.get("last", ""))


def _list(path: str, page: _Page, facts: dict[str, object], items: list[str], more: bool) -> Response:
    response = _json(orjson.dumps(facts))
    if more and items:
        target = f"{path}?n={page.limit}&last={quote(items[-1], safe='')}"
        response.headers["link"] = f'<{target}>; rel="next"'
    return response


def _parse_span(request: Request) -> int | None:
    """Answer where the bytes begin, as Content-Range says: `a-b`. Raises RegistryError BLOB_UPLOAD_INVALID."""
    text = request.headers.get("content-range")
    if text is None:
        return None
    match = _SPAN.fullmatch(text.strip())
    if match is None or int(match[1]) > int(match[2]):
        raise RegistryError(Kind.INVALID, "BLOB_UPLOAD_INVALID", "Content-Range must be <start>-<end>, both inclusive")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) != int(match[2]) - int(match[1]) + 1:
        raise RegistryError(Kind.INVALID, "SIZE_INVALID", "Content-Range and Content-Length do not agree")
    return int(match[1])


def _accepted(session: UploadRow, status: int) -> Response:
    headers = {
        "location": f"/v2/{join_name(session.repository, session.name)}/blobs/uploads/{session.uuid}",
        "range": f"0-{max(0, session.offset - 1)}",
        "docker-upload-uuid": session.uuid,
    }
    return Response(status_code=status, headers=headers)


def _created(repository: str, name: str, digest: str) -> Response:
    text = render_digest(digest)
    location = f"/v2/{join_name(repository, name)}/blobs/{text}"
    return Response(status_code=201, headers={"location": location, "docker-content-digest": text})


def _out_of_order(error: OutOfOrder) -> Response:
    response = answer_registry_error(error)
    response.status_code = 416
    for field in ("location", "range", "docker-upload-uuid"):
        response.headers[field] = _accepted(error.session, 202).headers[field]
    return response


def _too_many_tags(number: int) -> RegistryError:
    return RegistryError(Kind.INVALID, "UNSUPPORTED", f"{number} tags at once are too many: at most {_MOST_TAGS}")
