"""Archives the usual way: a Starlette route that answers with FileResponse."""

from __future__ import annotations

import os
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from tests.load.peers.bare import FOLDER


def build() -> Starlette:
    """Answer the application."""
    folder = Path(os.environ[FOLDER]) / "charts"

    async def get_archive(request: Request) -> FileResponse:
        path = folder / Path(request.path_params["filename"]).name
        if not path.is_file():
            raise HTTPException(404)
        return FileResponse(path, media_type="application/x-tar")

    return Starlette(routes=[Route("/charts/{filename}", get_archive)])
