"""Fixtures of the stories: places where followed files lie."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from storage import Closeable
from tests.servers import moto_server
from tests.stories.followed import Place, bucket_place, folder_place

_BUCKET = "followed"


@pytest.fixture(scope="session")
def followed_endpoint() -> Iterator[str]:
    """Return the address of an S3 server with a bucket."""
    with moto_server() as endpoint:
        account = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        client: Any = boto3.session.Session().client("s3", "us-east-1", endpoint_url=endpoint, **account)
        client.create_bucket(Bucket=_BUCKET)
        client.close()
        yield endpoint


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
        found = bucket_place(request.getfixturevalue("followed_endpoint"), _BUCKET, database)
    yield found
    if isinstance(found.storage, Closeable):
        found.storage.close()
