"""Blobs on their way in at the OCI door: whole, in chunks, as a stream, or mounted from another name."""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from app.db.uploads import UploadRow
from app.domain import oci
from app.domain.access import Action
from app.domain.oci import RegistryError, join_name, parse_digest, render_digest
from app.errors import Kind
from app.routes.bodies import Limits, stream_body
from app.routes.deps import Parts
from app.routes.errors import answer_registry_error
from app.routes.paths import check_new_name
from app.services.uploads import OutOfOrder

_SPAN = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
_UUID = re.compile(r"[0-9a-f-]{36}")


@dataclass(frozen=True, slots=True)
class UploadDoor:
    """The routes of uploads. `admit` lets a request in and answers repository and last segment of its name."""

    parts: Parts
    admit: Callable[[Request, Action], Awaitable[tuple[str, str]]]

    async def start(self, request: Request) -> Response:
        """POST /v2/<name>/blobs/uploads/: a session, a whole blob (?digest=) or a mount (?mount=&from=)."""
        repository, name = await self.admit(request, Action.PUSH)
        check_new_name(repository)
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
        return _accepted(await self.parts.uploads.start(repository, name), 202)

    async def find(self, request: Request) -> Response:
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

    async def _mount(self, request: Request, repository: str, name: str, digest: str) -> bool:
        source = request.query_params.get("from")
        if source is not None and not oci.is_name(source):
            return False
        readable = self.parts.registry_gate.readable(request.headers.get("authorization", ""))
        place = oci.split_name(source) if source else None
        return await self.parts.registry.mount(repository, name, digest, place, readable)

    async def _find_session(self, request: Request) -> UploadRow:
        repository, name = await self.admit(request, Action.PUSH)
        uuid = request.path_params["uuid"]
        if not _UUID.fullmatch(uuid):
            raise oci.upload_unknown(uuid[:64])
        return await self.parts.uploads.find(repository, name, uuid)

    def _body(self, request: Request, before: int = 0) -> AsyncIterable[bytes]:
        limits = self.parts.upload.limits
        return stream_body(request, Limits(max(0, limits.size - before), limits.seconds))


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
    return Response(status_code=status, headers=_describe(session))


def _describe(session: UploadRow) -> dict[str, str]:
    return {
        "location": f"/v2/{join_name(session.repository, session.name)}/blobs/uploads/{session.uuid}",
        "range": f"0-{max(0, session.offset - 1)}",
        "docker-upload-uuid": session.uuid,
    }


def _created(repository: str, name: str, digest: str) -> Response:
    text = render_digest(digest)
    location = f"/v2/{join_name(repository, name)}/blobs/{text}"
    return Response(status_code=201, headers={"location": location, "docker-content-digest": text})


def _out_of_order(error: OutOfOrder) -> Response:
    response = answer_registry_error(error)
    response.status_code = 416
    response.headers.update(_describe(error.session))
    return response
