"""The classic door: ChartMuseum's routes, statuses and texts. The contract is ChartMuseum 0.16.

Paths are those below the context path; `{repository:tenant}` is empty or begins with a slash. The order of the routes
is part of the contract: `/api/charts/charts` lists the tenant `charts`. Reads of the index and of archives are in
`front.py`; what it cannot serve comes here to be told why.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.domain.access import Action
from app.domain.archive import read_templates, read_values
from app.domain.gojson import render_json as render_values
from app.domain.index import rebase_entry, render_chart
from app.domain.names import check_new_repository
from app.domain.values import parse_values
from app.errors import AppError, Kind
from app.routes.asgi import Application
from app.routes.bodies import is_form, read_body, read_form
from app.routes.deps import Parts, admit, was_admitted
from app.routes.direct import Direct
from app.routes.errors import answer_error, render_json, render_warning
from app.services.charts import Outcome, Published
from app.services.listing import Page, blob_of, unpack
from app.services.parcels import Parcel
from app.services.policy import Policy

Handler = Callable[[Request], Awaitable[Response]]

_NUMBER = re.compile(r"[+-]?[0-9]+")
_READ = ["GET", "HEAD"]
_ARCHIVE_ENDINGS = ("tgz", "tgz.prov")


def build_router(
    parts: Parts, *, api: bool = True, deletes: bool = True, base_url: str = "", cors: str = "",
    artifact_hub_ids: dict[str, str] | None = None,
) -> APIRouter:  # fmt: skip
    """Answer the routes. A switched-off route is absent: 404, as in ChartMuseum."""
    router = APIRouter()
    door = _Door(parts, base_url, artifact_hub_ids or {})
    if api:
        _add_api(router, door, deletes=deletes, cors=cors)
    for tenant in ("", "/{repository:inner}"):
        if artifact_hub_ids:
            router.add_api_route(f"{tenant}/artifacthub-repo.yml", door.artifact_hub, methods=_READ)
        router.add_api_route(f"{tenant}/index.yaml", door.misplaced_index, methods=_READ)
        router.add_api_route(f"{tenant}/charts/", door.other_file, methods=_READ)
        router.add_api_route(f"{tenant}/charts/{{filename}}", door.other_file, methods=_READ)
    return router


def build_upload(behind: Application, parts: Parts, *, cors: str = "") -> Application:
    """Answer an application that takes uploads itself and hands on everything else."""
    upload = _with_cors(_Door(parts, "", {}).upload, cors)
    return Direct(behind, Route("/api{repository:tenant}/charts", upload, methods=["POST"]), upload)


def _add_api(router: APIRouter, door: _Door, *, deletes: bool, cors: str) -> None:
    def add(path: str, handler: Handler, *methods: str) -> None:
        router.add_api_route(f"/api{{repository:tenant}}/{path}", _with_cors(handler, cors), methods=list(methods))

    add("charts", door.list_charts, *_READ)
    add("charts", door.upload, "POST")
    add("prov", door.upload_provenance, "POST")
    add("charts/", door.list_versions, *_READ)  # the chart whose name is empty: there is none
    add("charts/{name}", door.list_versions, *_READ)
    add("charts/{name}/", door.get_version, *_READ)  # the newest
    add("charts/{name}/{version}", door.get_version, *_READ)
    add("charts/{name}/{version}/templates", door.templates, *_READ)
    add("charts/{name}/{version}/values", door.values, *_READ)
    if deletes:
        add("charts/{name}/{version}", door.delete, "DELETE")


def _with_cors(handler: Handler, allowed: str) -> Handler:
    """Add the CORS header to what an admitted caller gets, errors included; not to a 401, as in ChartMuseum."""
    if not allowed:
        return handler

    async def wrapped(request: Request) -> Response:
        try:
            response = await handler(request)
        except Exception as error:
            if not was_admitted(request):
                raise
            response = answer_error(error)
        response.headers["access-control-allow-origin"] = allowed
        return response

    return wrapped


def _json(content: bytes, status: int = 200) -> Response:
    return Response(content, status, media_type="application/json; charset=utf-8")


class _Door:
    def __init__(self, parts: Parts, base_url: str, artifact_hub_ids: dict[str, str]) -> None:
        self._parts = parts
        self._base_url = base_url
        self._artifact_hub_ids = artifact_hub_ids

    async def list_charts(self, request: Request) -> Response:
        """GET /api/R/charts[?offset=&limit=]: every chart with its versions, by name."""
        caller = await admit(self._parts, request, Action.PULL)
        page = _parse_page(request)
        charts = await self._parts.listing.list_charts(caller.repository, page, limit=caller.limit)
        # In a thread: a large repository's list is as long as its index.
        return _json(await asyncio.to_thread(self._render_list, caller.repository, charts))

    async def list_versions(self, request: Request) -> Response:
        """GET /api/R/charts/<name>: the versions of one chart, newest first."""
        caller = await admit(self._parts, request, Action.PULL)
        name = request.path_params.get("name", "")
        lines = await self._parts.listing.list_versions(caller.repository, name, limit=caller.limit)
        return _json(b"[" + b",".join(self._entries(caller.repository, lines)) + b"]")

    async def get_version(self, request: Request) -> Response:
        """GET /api/R/charts/<name>/<version>: one version, also by constraint, `latest` or nothing."""
        caller = await admit(self._parts, request, Action.PULL)
        row = await self._get_row(request, caller.repository, caller.limit)
        return _json(self._entries(caller.repository, [row.entry])[0])

    async def templates(self, request: Request) -> Response:
        """GET /api/R/charts/<name>/<version>/templates: the templates (base64) and the values, parsed."""
        return _json(await unpack(await self._read_archive(request), _render_templates))

    async def values(self, request: Request) -> Response:
        """GET /api/R/charts/<name>/<version>/values: values.yaml as it is."""
        values = await unpack(await self._read_archive(request), read_values)
        if values is None:
            raise AppError(Kind.NOT_FOUND, "values.yaml not found")
        return Response(values, media_type="application/yaml")

    async def upload(self, request: Request) -> Response:
        """POST /api/R/charts[?force]: an archive as the raw body, or a form with an archive, provenance or both."""
        caller = await admit(self._parts, request, Action.PUSH)
        check_new_repository(caller.repository)
        upload, policy = self._parts.upload, self._policy(request)
        if not is_form(request):
            parcel = Parcel(await read_body(request, upload.limits))
            self._parts.readiness.check_writable()  # another catalogue may have taken over while the body came
            return _saved(await self._parts.charts.publish(caller.repository, parcel, policy), "file already exists")
        form = await read_form(
            request, upload.limits, chart_field=upload.chart_field, provenance_field=upload.provenance_field
        )
        self._parts.readiness.check_writable()
        if form.chart is None and form.provenance is None:
            fields = f"{upload.chart_field} and {upload.provenance_field}"
            raise AppError(Kind.INVALID, f"no package or provenance file found in form fields {fields}")
        parcel = Parcel(form.chart, form.provenance, origin="form")
        return _saved(await self._parts.charts.publish(caller.repository, parcel, policy), "chart already exists")

    async def upload_provenance(self, request: Request) -> Response:
        """POST /api/R/prov[?force]: a provenance file as the raw body."""
        caller = await admit(self._parts, request, Action.PUSH)
        check_new_repository(caller.repository)
        body = await read_body(request, self._parts.upload.limits)
        self._parts.readiness.check_writable()
        try:
            published = await self._parts.charts.publish(
                caller.repository, Parcel(provenance=body), self._policy(request)
            )
        except AppError as error:
            if error.message == "invalid provenance file":
                # The form path answers 400; here ChartMuseum's clients and its own tests expect 500.
                return _json(render_json({"error": error.message}), 500)
            raise
        return _saved(published, "file already exists")

    def _policy(self, request: Request) -> Policy:
        """Return what the settings allow this upload."""
        return self._parts.charts.rules.for_upload(force="force" in request.query_params)

    async def delete(self, request: Request) -> Response:
        """DELETE /api/R/charts/<name>/<version>: the archive and its provenance; the version is literal."""
        caller = await admit(self._parts, request, Action.PUSH)
        name, version = request.path_params["name"], request.path_params["version"]
        if not await self._parts.charts.withdraw(caller.repository, name, version):
            raise AppError(Kind.NOT_FOUND, f"chart {name} has no version {version} here; nothing was deleted")
        return _json(b'{"deleted":true}')

    async def other_file(self, request: Request) -> Response:
        """GET /R/charts/<filename> with an ending that no chart has: 500, as ChartMuseum and its suite want it."""
        if request.scope["path"].startswith("/api/"):
            raise AppError(Kind.NOT_FOUND, "not found")  # the API is switched off
        await admit(self._parts, request, Action.PULL)
        if request.path_params.get("filename", "").endswith(_ARCHIVE_ENDINGS):
            raise AppError(Kind.NOT_FOUND, "object not found")
        return _json(render_json({"error": "unsupported file extension"}), 500)

    async def misplaced_index(self, request: Request) -> Response:
        """GET /R/index.yaml where R is no repository: a name that cannot be, or a wrong depth."""
        await admit(self._parts, request, Action.PULL)
        raise AppError(Kind.NOT_FOUND, "not found")

    async def artifact_hub(self, request: Request) -> Response:
        """GET /R/artifacthub-repo.yml: the identifier that Artifact Hub gave this repository."""
        caller = await admit(self._parts, request, Action.PULL)
        identifier = self._artifact_hub_ids.get(caller.repository)
        if identifier is None:
            raise AppError(Kind.NOT_FOUND, "Artifact Hub repository ID not found")
        return Response(f"repositoryID: {identifier}\n", headers={"content-type": "application/x-yaml"})

    def _entries(self, repository: str, lines: list[bytes]) -> list[bytes]:
        if not self._base_url:
            return lines
        base = "/".join(filter(None, (self._base_url, repository)))
        return [rebase_entry(line, base) for line in lines]

    def _render_list(self, repository: str, charts: list[tuple[str, list[bytes]]]) -> bytes:
        rendered = (render_chart(name, self._entries(repository, lines)) for name, lines in charts)
        # On one line: neither names nor entries hold raw line breaks.
        return b"{" + b",".join(chart.replace(b"\n", b"") for chart in rendered) + b"}"

    async def _get_row(self, request: Request, repository: str, limit: int | None) -> Any:
        parameters = request.path_params
        return await self._parts.listing.get_version(
            repository, parameters["name"], parameters.get("version", ""), limit=limit
        )

    async def _read_archive(self, request: Request) -> bytes:
        caller = await admit(self._parts, request, Action.PULL)
        row = await self._get_row(request, caller.repository, caller.limit)
        return await self._parts.archives.read(blob_of(row))


def _render_templates(content: bytes) -> bytes:
    found = [{"name": name, "data": base64.b64encode(data).decode()} for name, data in read_templates(content)]
    values = read_values(content)
    parsed = b"null" if values is None else render_values(parse_values(values))
    return b'{"templates":%b,"values":%b}' % (render_json(found or None), parsed)


def _saved(published: Published, conflict: str) -> Response:
    if published.outcome in (Outcome.CONFLICT, Outcome.UNCHANGED):
        return _json(render_json({"error": conflict}), 409)
    response = _json(b'{"saved":true}', 201)
    if published.warning:
        response.headers["warning"] = render_warning(published.warning)
    return response


def _parse_page(request: Request) -> Page:
    offset = _parse_number(request, "offset", 0, "offset is not a valid non-negative integer")
    limit = _parse_number(request, "limit", 1, "limit is not a valid positive integer")
    return Page(offset or 0, limit)


def _parse_number(request: Request, name: str, least: int, message: str) -> int | None:
    """Answer a query parameter as Go's Atoi reads it; None if it is absent. Raises AppError INVALID."""
    given = request.query_params.getlist(name)
    if not given:
        return None
    text = given[0]
    number = int(text) if _NUMBER.fullmatch(text) and len(text) < 19 else -1
    if number < least:
        raise AppError(Kind.INVALID, message)
    return number
