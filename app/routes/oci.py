"""The OCI door: what clients of registries push, ask and delete (distribution-spec 1.1, and what its main branch adds).

Manifests and blobs are read at the front (`oci_reads.py`), blobs come in by `oci_uploads.py`. Addresses are relative:
behind a proxy an absolute one would lead clients elsewhere, and Helm refuses those.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.domain import oci
from app.domain.access import Action
from app.domain.oci import MAX_MANIFEST, RegistryError, join_name, parse_digest, parse_reference, render_digest
from app.errors import AppError, Kind
from app.routes.asgi import find_interruption
from app.routes.bodies import Limits, read_body
from app.routes.deps import Parts
from app.routes.errors import REGISTRY_VERSION, answer_registry_error, render_warning
from app.routes.oci_uploads import UploadDoor
from app.routes.paths import check_new_name

Handler = Callable[[Request], Awaitable[Response]]

_READ = ("GET", "HEAD")
_MOST_TAGS = 32


def build_router(parts: Parts, *, writes: bool) -> APIRouter:
    """Answer the routes below /v2. Without `writes` nothing is pushed or deleted (`disable-api`)."""
    door = _Door(parts, writes)
    uploads = UploadDoor(parts, door.admit)
    router = APIRouter()

    def add(path: str, handler: Handler, *methods: str) -> None:
        router.add_api_route(f"/v2{path}", _in_our_form(handler), methods=list(methods), include_in_schema=False)

    add("", door.ping, *_READ)
    add("/", door.ping, *_READ)
    add("/token", door.token, "GET", "POST")
    add("/_catalog", door.list_names, *_READ)
    add("/{name:path}/tags/list", door.list_tags, *_READ)
    add("/{name:path}/referrers/{digest}", door.list_referrers, *_READ)
    add("/{name:path}/blobs/uploads", uploads.start, "POST")
    add("/{name:path}/blobs/uploads/", uploads.start, "POST")
    add("/{name:path}/blobs/uploads/{uuid}", uploads.find, *_READ)
    add("/{name:path}/blobs/uploads/{uuid}", uploads.append, "PATCH")
    add("/{name:path}/blobs/uploads/{uuid}", uploads.finish, "PUT")
    add("/{name:path}/blobs/uploads/{uuid}", uploads.cancel, "DELETE")
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
        response.headers[REGISTRY_VERSION[0].decode()] = REGISTRY_VERSION[1].decode()
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
        await self.parts.readiness.wait_readable(find_interruption(request.scope))
        page = _parse_page(request)
        names, more = await self.parts.registry.list_names(
            limit=page.limit, last=page.last, readable=gate.readable(_authorization(request))
        )
        return _list("/v2/_catalog", page, {"repositories": names}, names, more)

    async def list_tags(self, request: Request) -> Response:
        """GET /v2/<name>/tags/list[?n=&last=]: tags in the order of their characters' codes."""
        repository, name = await self.admit(request, Action.PULL)
        page = _parse_page(request)
        tags, more = await self.parts.registry.list_tags(repository, name, limit=page.limit, last=page.last)
        whole = join_name(repository, name)
        return _list(f"/v2/{whole}/tags/list", page, {"name": whole, "tags": tags}, tags, more)

    async def list_referrers(self, request: Request) -> Response:
        """GET /v2/<name>/referrers/<digest>[?artifactType=]: what refers to a manifest, as an index."""
        repository, name = await self.admit(request, Action.PULL)
        wanted = request.query_params.get("artifactType")
        digest = parse_digest(request.path_params["digest"])
        body = await self.parts.registry.list_referrers(repository, name, digest, wanted)
        headers = {"oci-filters-applied": "artifactType"} if wanted is not None else {}
        return Response(body, headers={"content-type": oci.INDEX_TYPE, **headers})

    # ------------------------------------------------------------------------------------------ manifests

    async def put_manifest(self, request: Request) -> Response:
        """PUT /v2/<name>/manifests/<reference>[?tag=]: a manifest under a tag, or its digest and tags."""
        repository, name = await self.admit(request, Action.PUSH)
        check_new_name(repository)
        reference = parse_reference(request.path_params["reference"])
        tags = [oci.parse_tag(tag) for tag in request.query_params.getlist("tag")]
        if len(tags) > _MOST_TAGS:
            raise _too_many_tags(len(tags))
        media_type = request.headers.get("content-type", "").partition(";")[0].strip()
        content = await read_body(request, Limits(MAX_MANIFEST, self.parts.upload.seconds))
        self.parts.readiness.check_writable()
        stored = await self.parts.pushes.put_manifest(repository, name, reference, media_type, content, tags=tags)
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
        repository, name = await self.admit(request, Action.PUSH)
        await self.parts.registry.remove(repository, name, parse_reference(request.path_params["reference"]))
        return Response(status_code=202)

    # ------------------------------------------------------------------------------------------ blobs

    async def delete_blob(self, request: Request) -> Response:
        """DELETE /v2/<name>/blobs/<digest>: the name no longer sees the blob."""
        repository, name = await self.admit(request, Action.PUSH)
        await self.parts.registry.remove_blob(repository, name, parse_digest(request.path_params["digest"]))
        return Response(status_code=202)

    # ------------------------------------------------------------------------------------------ inside

    async def admit(self, request: Request, action: Action) -> tuple[str, str]:
        """Answer the repository and last segment of the name in the path, once the caller is let in."""
        repository, name = self.parts.paths.parse_name(request.path_params["name"])
        whole = join_name(repository, name)
        await self.parts.registry_gate.admit(_authorization(request), _address(request), whole, action)
        interruption = find_interruption(request.scope)
        if action is Action.PULL:
            await self.parts.readiness.wait_readable(interruption)
            return repository, name
        if not self.writes:
            raise AppError(Kind.DENIED, "this server is read only (DISABLE_API)")
        await self.parts.readiness.wait_writable(interruption)
        return repository, name


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
    last = request.query_params.get("last", "")
    if "\0" in last:  # no name or tag holds it, and Postgres takes it in no statement
        raise RegistryError(Kind.INVALID, "UNSUPPORTED", "last holds a NUL character; give the last item of a page")
    return _Page(int(text) if text is not None else None, last)


def _list(path: str, page: _Page, facts: dict[str, object], items: list[str], more: bool) -> Response:
    response = _json(orjson.dumps(facts))
    if more and items:
        target = f"{path}?n={page.limit}&last={quote(items[-1], safe='')}"
        response.headers["link"] = f'<{target}>; rel="next"'
    return response


def _too_many_tags(number: int) -> RegistryError:
    return RegistryError(Kind.INVALID, "UNSUPPORTED", f"{number} tags at once are too many: at most {_MOST_TAGS}")
