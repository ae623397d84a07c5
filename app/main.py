"""The application: hang the doors on the house."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.domain.oci import RegistryError
from app.errors import AppError, Kind
from app.routes import chartmuseum, hub, oci, ops, web
from app.routes.errors import answer_error, answer_registry_error
from app.routes.files import Files
from app.routes.front import Front
from app.routes.oci_reads import Artifacts
from app.routes.paths import is_registry_path
from app.settings import Settings
from app.wiring import House, build_house, product_version
from storage import StorageError

_WORKER_SECONDS = 2.0


def create_app(settings: Settings, house: House | None = None) -> Front:
    """Answer the ASGI application: the front door, and FastAPI behind it."""
    house = house or build_house(settings)
    parts = house.parts

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        # Of several workers none should answer "not ready" while another one serves; a long opening they all report.
        await house.open(_WORKER_SECONDS if settings.workers > 1 else 0)
        yield
        await house.close()

    behind = FastAPI(
        title="Chartroom", version=product_version(), lifespan=lifespan, redirect_slashes=False,
        docs_url=None, openapi_url="/-/openapi.json", redoc_url=None,
    )  # fmt: skip
    public_url = f"{settings.public_url}{settings.context_path}" if settings.public_url else ""
    api = not settings.disable_api
    base_url = f"{settings.chart_url}{settings.context_path}" if settings.chart_url else ""
    behind.include_router(
        ops.build_router(parts, house.counts, house.workers, version=product_version(), metrics=settings.enable_metrics)
    )
    behind.include_router(
        web.build_router(parts, public_url=public_url, template_folder=settings.web_template_path, api=api)
    )
    behind.include_router(hub.build_router(parts, public_url=public_url, api=api))
    behind.include_router(
        chartmuseum.build_router(
            parts,
            api=api,
            deletes=not settings.disable_delete,
            base_url=base_url,
            cors=settings.cors_allow_origin,
            artifact_hub_ids=settings.artifact_hub_repo_id,
        )
    )
    behind.include_router(oci.build_router(parts, writes=api))
    _handle_errors(behind)
    files = Files(
        parts.archives, parts.readiness,
        private=parts.gate.reads_are_private, never_change=_archives_never_change(settings),
    )  # fmt: skip
    artifacts = Artifacts(parts.registry, parts.registry_gate, parts.paths, parts.readiness)
    application: Any = chartmuseum.build_upload(behind, parts, cors=settings.cors_allow_origin) if api else behind
    # A proxy on this machine may say for whom and over what it asks; the hot reads have no use for it.
    application = ProxyHeadersMiddleware(application)
    return Front(
        application, parts.paths, parts.gate, parts.readiness, parts.indexes, files, artifacts, house.observer,
        default_yaml=not settings.json_index,
    )  # fmt: skip


def _archives_never_change(settings: Settings) -> bool:
    return settings.disable_force_overwrite and settings.disable_delete and not settings.allow_overwrite


def _handle_errors(app: FastAPI) -> None:
    async def answer(request: Request, error: Exception) -> Response:
        is_registry = is_registry_path(request.scope["path"])
        if isinstance(error, HTTPException):  # no route, or not with this method: both are 404 in ChartMuseum
            unsupported = is_registry and error.status_code == 405
            error = AppError(Kind.NOT_FOUND, "not found")
            if unsupported:
                error = RegistryError(Kind.DENIED, "UNSUPPORTED", "this method is not supported here")
        return answer_registry_error(error) if is_registry else answer_error(error)

    # Starlette raises again what only `Exception` catches: a trace for each request while storage is away.
    for kind in (HTTPException, AppError, StorageError, OSError, Exception):
        app.add_exception_handler(kind, answer)
