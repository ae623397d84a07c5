"""Houses and stores to harm, each fresh and in a folder or bucket that can be looked into."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.services import tenure
from tests.api.conftest import rooms
from tests.contract.conftest import bucket
from tests.faults.places import Place, bucket_place
from tests.faults.power.site import library, site

__all__ = ["bucket", "library", "rooms", "site"]


@pytest.fixture(autouse=True)
def _alone_in_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare each house the time in which two that start at once notice each other."""
    monkeypatch.setattr(tenure, "_SETTLE_SECONDS", 0.0)


@pytest.fixture(params=["folder and SQLite", "bucket and SQLite", "bucket and Postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Return an empty store of each kind."""
    if request.param == "folder and SQLite":
        yield Place(tmp_path / "store", {})
        return
    database = request.getfixturevalue("postgres_url") if "Postgres" in request.param else ""
    with bucket_place(tmp_path / "store", request.getfixturevalue("s3_endpoint"), database) as bucket:
        yield bucket
