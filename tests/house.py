"""A house for tests: the whole application in this process, on a temporary folder, with an HTTP client in front."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

import migrations
from app.main import create_app
from app.settings import load_settings
from app.wiring import House, build_house
from storage import Storage


@asynccontextmanager
async def open_house(
    folder: Path, *, storage: Storage | None = None, museum: bool = False, **flags: str
) -> AsyncIterator[tuple[httpx.AsyncClient, House]]:
    """Open the application with these settings (field name to text); answer a client and its parts, ready to use.

    A second house on the same folder finds what the first one left.
    """
    flags.setdefault("storage", str(folder))
    settings = load_settings(flags, {}, museum=museum)
    url = settings.database_url()
    if not migrations.is_current(url):
        migrations.upgrade(url)
    house = build_house(settings, storage=storage)
    app: Any = create_app(settings, house)
    await house.open()
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://charts.test") as client:
            yield client, house
    finally:
        await house.close()
