"""Houses to ask: one with default settings, and as many others as a test wants."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx
import pytest

from app.wiring import House
from tests.house import open_house

Rooms = Callable[..., AbstractAsyncContextManager[tuple[httpx.AsyncClient, House]]]


@pytest.fixture
def rooms(tmp_path: Path, sqlite_floor: Path, monkeypatch: pytest.MonkeyPatch) -> Rooms:
    """Answer how to open a fresh house: settings as keywords, field name to text."""
    monkeypatch.setattr("app.services.tenure._SETTLE_SECONDS", 0)  # nobody else wants the store
    numbers = itertools.count()

    def open_room(**flags: str) -> AbstractAsyncContextManager[tuple[httpx.AsyncClient, House]]:
        folder = tmp_path / f"house{next(numbers)}"
        (folder / ".chartroom").mkdir(parents=True)
        shutil.copyfile(sqlite_floor, folder / ".chartroom" / "chartroom.db")  # migrating takes ten times as long
        return open_house(folder, **flags)

    return open_room


@pytest.fixture
async def client(rooms: Rooms) -> AsyncIterator[httpx.AsyncClient]:
    """Answer a client of a fresh, empty house with default settings."""
    async with rooms() as (client, _house):
        yield client
