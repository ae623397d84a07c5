"""Fixtures of the stories: places where followed files lie, and stores to back up and restore."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage import Closeable
from tests.buckets import make_bucket
from tests.stories.followed import Place, bucket_place, folder_place
from tests.stories.stores import Stores


@pytest.fixture
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    """Return what makes stores, and drops their databases at the end."""
    made = Stores(request, tmp_path)
    yield made
    made.close()


@pytest.fixture(params=["folder sqlite", "folder postgres", "bucket sqlite"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Return an empty folder or bucket, with a database of each kind."""
    kind, _, rows = request.param.partition(" ")
    database = request.getfixturevalue("postgres_url") if rows == "postgres" else f"sqlite:///{tmp_path / 'charts.db'}"
    if kind == "folder":
        found = folder_place(tmp_path / "store", database)
    else:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "testing")
        endpoint = request.getfixturevalue("s3_endpoint")
        found = bucket_place(endpoint, make_bucket(endpoint)[0], database)
    yield found
    if isinstance(found.storage, Closeable):
        found.storage.close()
