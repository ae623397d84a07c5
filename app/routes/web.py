"""The page for people: what this is, what is in it, the commands to use it. Works without JavaScript.

An operator's own page replaces it where `web_template_path` holds HTML, as in ChartMuseum.
"""

from __future__ import annotations

import re
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from app.domain.access import Action
from app.errors import AppError, Kind
from app.routes.asgi import find_interruption
from app.routes.deps import Parts, find_address
from app.services.search import MAX_QUERY, Hits

_PAGE = 100
"""Charts on one page."""

_PAGES = 100_000
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
_HEADERS = {
    "content-security-policy": _POLICY,
    "cache-control": "private, no-cache",  # the address on it is the one that was asked
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_READ = ["GET", "HEAD"]
_OUTSIDE = re.compile(r"(?:^|[/\\])\.\.(?:[/\\]|$)|\0")


def build_router(parts: Parts, *, public_url: str, template_folder: str, api: bool = True) -> APIRouter:
    """Answer the routes; `public_url` is "" to show the address that the request came to; `api` that uploads work."""
    router = APIRouter()
    own = Path(template_folder) if template_folder else None
    tenant = "".join(f"/TENANT{number or ''}" for number in range(parts.paths.depth or 0))

    async def welcome(request: Request) -> Response:
        """GET /[?q=&page=]: the list of charts and the commands to add the repository."""
        authorization = request.headers.get("authorization")
        parts.gate.admit(authorization, "", Action.PULL)
        if own is not None and (own / "index.html").is_file():
            return HTMLResponse((own / "index.html").read_bytes())
        query = request.query_params.get("q", "").strip()[:MAX_QUERY]
        page = _parse_page(request.query_params.get("page", ""))
        hits = Hits(0, [])
        with suppress(AppError):  # then the page says so
            await parts.readiness.wait_readable(find_interruption(request.scope))
        if parts.readiness.ready:
            hits = await parts.search.find(
                query, may_read=parts.gate.readable(authorization), offset=(page - 1) * _PAGE, limit=_PAGE
            )
        address = find_address(parts, request, public_url)
        place = urlsplit(address)  # registries lie below the host alone
        return _render(
            oci=f"{place.netloc}{tenant}", plain=place.scheme == "http",
            address=address + tenant, upload=f"{address}/api{tenant}/charts",
            query=query, page=page, pages=-(-hits.total // _PAGE), total=hits.total, charts=hits.charts, api=api,
            private=parts.gate.reads_are_private, ready=parts.readiness.ready, reason=parts.readiness.reason,
        )  # fmt: skip

    router.add_api_route("/", welcome, methods=_READ)
    if own is not None and own.is_dir():
        _add_static(router, parts, own)
    return router


def _add_static(router: APIRouter, parts: Parts, own: Path) -> None:
    files = StaticFiles(directory=own)

    async def static(request: Request) -> Response:
        """GET /static...: the files of an operator's own page."""
        parts.gate.admit(request.headers.get("authorization"), "", Action.PULL)
        path = request.path_params["path"]
        if _OUTSIDE.search(path):
            raise AppError(Kind.INVALID, "the path of a static file holds .. or a NUL character")
        try:
            return await files.get_response("static" + path, request.scope)
        except HTTPException:
            return Response("404 page not found", 404, media_type="text/plain")

    router.add_api_route("/static{path:path}", static, methods=_READ)


def _parse_page(text: str) -> int:
    """Answer a page's number, 1 for what is none: a person edited the address."""
    return max(1, min(int(text), _PAGES)) if text.isdecimal() and len(text) < 10 else 1


def _render(**facts: Any) -> Response:
    return HTMLResponse(_template().render(**facts), headers=_HEADERS)


@cache
def _template() -> Any:
    from jinja2 import Environment, PackageLoader  # 15 ms that only people's pages need

    return Environment(loader=PackageLoader("app.routes"), autoescape=True).get_template("welcome.html")
