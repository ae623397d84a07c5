"""The search door: our own JSON, and Monocular's shape, which `helm search hub --endpoint` reads."""

from __future__ import annotations

import asyncio
import re
from typing import Any
from urllib.parse import quote

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.db.search import Found
from app.domain.access import Action
from app.errors import AppError, Kind
from app.routes.asgi import find_interruption
from app.routes.deps import Parts, find_address
from app.routes.errors import render_json
from app.services.search import Hits

_NUMBER = re.compile(r"[0-9]{1,9}")
_DEFAULT_LIMIT = 20
_LIMIT = 250


def build_router(parts: Parts, *, public_url: str, api: bool = True) -> APIRouter:
    """Answer the routes; `public_url` is what one types after `helm repo add`, "" to take it from the request."""
    router = APIRouter()
    if not api:
        return router

    async def find(request: Request, offset: int = 0, limit: int | None = None) -> Hits:
        authorization = request.headers.get("authorization")
        parts.gate.admit(authorization, "", Action.PULL)
        await parts.readiness.wait_readable(find_interruption(request.scope))
        may_read = parts.gate.readable(authorization)
        query = request.query_params.get("q", "")
        return await parts.search.find(query, may_read=may_read, offset=offset, limit=limit)

    async def search(request: Request) -> Response:
        """GET /api/search?q=&limit=&offset=: the total, and a page of charts, best first."""
        limit = _parse_number(request, "limit", _DEFAULT_LIMIT)
        hits = await find(request, _parse_number(request, "offset", 0), min(limit, _LIMIT))
        return _json({"total": hits.total, "items": [_item(chart) for chart in hits.charts]})

    async def hub_search(request: Request) -> Response:
        """GET /api/chartsvc/v1/charts/search?q=: every match in Monocular's shape."""
        hits = await find(request)
        address = find_address(parts, request, public_url)
        # In a thread: without words it is every chart.
        return await asyncio.to_thread(lambda: _json({"data": [_monocular(chart, address) for chart in hits.charts]}))

    router.add_api_route("/api/search", search, methods=["GET", "HEAD"])
    router.add_api_route("/api/chartsvc/v1/charts/search", hub_search, methods=["GET", "HEAD"])
    return router


def _json(value: object) -> Response:
    return Response(render_json(value), media_type="application/json; charset=utf-8")


def _item(row: Found) -> dict[str, Any]:
    entry = orjson.loads(row.entry)
    return {
        "repository": row.repository, "name": row.name, "version": row.version, "appVersion": row.app_version,
        "description": entry.get("description", ""), "deprecated": row.deprecated,
        "keywords": entry.get("keywords", []), "icon": entry.get("icon", ""), "created": entry["created"],
    }  # fmt: skip


def _monocular(row: Found, base: str) -> dict[str, Any]:
    """Answer Monocular's full record (a superset of what Helm's internal/monocular/search.go reads)."""
    entry = orjson.loads(row.entry)
    repository = f"{base}/{row.repository}" if row.repository else base
    label = row.repository or "chartroom"
    newest = {
        "version": row.version, "app_version": row.app_version, "created": entry["created"],
        "digest": entry["digest"], "urls": [f"{repository}/{url}" for url in entry["urls"]],
    }  # fmt: skip
    attributes = {
        "name": row.name, "repo": {"name": label, "url": repository}, "description": entry.get("description", ""),
        "home": entry.get("home", ""), "keywords": entry.get("keywords", []), "icon": entry.get("icon", ""),
        "maintainers": entry.get("maintainers", []), "sources": entry.get("sources", []),
    }  # fmt: skip
    return {
        "id": f"{label}/{row.name}", "type": "chart",
        "artifactHub": {"packageUrl": f"{base}/?q={quote(row.name)}"},
        "attributes": attributes,
        "links": {"self": f"/v1/charts/{label}/{row.name}"},
        "relationships": {"latestChartVersion": {
            "data": newest, "links": {"self": f"/v1/charts/{label}/{row.name}/versions/{row.version}"},
        }},
    }  # fmt: skip


def _parse_number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text):
        raise AppError(Kind.INVALID, f"{name} must be a whole number of at least 0")
    return int(text)
