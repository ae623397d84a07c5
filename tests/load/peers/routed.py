"""The same index from a FastAPI route with four dependencies: settings, caller, repository, service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response

from tests.load.peers.bare import ETAG, read_index


@dataclass(frozen=True)
class Settings:
    """What the service is configured with."""

    body: bytes
    anonymous: bool = True


@dataclass(frozen=True)
class Service:
    """Answers the index of a repository."""

    repository: str
    body: bytes


def get_settings(request: Request) -> Settings:
    """Answer the settings."""
    settings: Settings = request.app.state.settings
    return settings


def get_caller(settings: Annotated[Settings, Depends(get_settings)], authorization: str = Header("")) -> str:
    """Answer who asks."""
    if not settings.anonymous and not authorization:
        raise HTTPException(401)
    return authorization


def get_repository(request: Request, _caller: Annotated[str, Depends(get_caller)]) -> str:
    """Answer which repository is asked for."""
    return request.url.path.rpartition("/")[0]


def get_service(
    settings: Annotated[Settings, Depends(get_settings)], repository: Annotated[str, Depends(get_repository)]
) -> Service:
    """Answer the service."""
    return Service(repository, settings.body)


async def get_index(
    service: Annotated[Service, Depends(get_service)], if_none_match: Annotated[str, Header()] = ""
) -> Response:
    """GET /index.yaml."""
    headers = {"etag": ETAG.decode(), "cache-control": "no-cache", "vary": "accept-encoding"}
    if if_none_match == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(service.body, media_type="application/x-yaml", headers=headers)


def build() -> FastAPI:
    """Answer the application."""
    app = FastAPI()
    app.state.settings = Settings(read_index())
    app.add_api_route("/index.yaml", get_index)
    return app
