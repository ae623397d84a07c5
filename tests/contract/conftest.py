"""The backends that the contract suite runs on, and the S3 server that one of them needs."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from app.db.session import Database
from storage.filesystem import FilesystemStorage
from storage.memory import MemoryStorage
from storage.s3 import S3Storage
from tests.servers import moto_server


@dataclass(frozen=True)
class Bucket:
    """A bucket to test in, and a client to look into it from outside."""

    endpoint: str
    name: str
    key: str
    secret: str
    client: Any

    def storage(self, **options: Any) -> S3Storage:
        """Answer a storage of its own in the bucket, below a prefix that nobody else uses."""
        own = {
            "endpoint": self.endpoint,
            "region": "us-east-1",
            "access_key": self.key,
            "secret_key": self.secret,
            "prefix": f"test-{uuid.uuid4().hex}",
        }
        return S3Storage(options.pop("bucket", self.name), **{**own, **options})

    def uploads(self) -> list[str]:
        """Answer the keys of the uploads in parts that are neither complete nor aborted."""
        return [item["Key"] for item in self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", [])]


@pytest.fixture(scope="session")
def bucket() -> Iterator[Bucket]:
    """Use the server that CHARTROOM_TEST_S3=endpoint,bucket,key,secret names, or start moto's."""
    named = os.environ.get("CHARTROOM_TEST_S3")
    if named:
        yield _bucket(*named.split(","))
        return
    with moto_server() as endpoint:
        found = _bucket(endpoint, "charts", "testing", "testing")
        found.client.create_bucket(Bucket="charts")
        yield found
        found.client.close()


def _bucket(endpoint: str, name: str, key: str, secret: str) -> Bucket:
    client = boto3.session.Session().client(
        "s3", "us-east-1", endpoint_url=endpoint, aws_access_key_id=key, aws_secret_access_key=secret
    )
    return Bucket(endpoint, name, key, secret, client)


@pytest.fixture
def filesystem(tmp_path: Path) -> Iterator[FilesystemStorage]:
    storage = FilesystemStorage(tmp_path / "store")
    yield storage
    storage.close()


@pytest.fixture
def s3(bucket: Bucket) -> Iterator[S3Storage]:
    storage = bucket.storage()
    yield storage
    storage.close()


@pytest.fixture(params=["memory", "filesystem", "s3"])
def storage(request: pytest.FixtureRequest) -> Any:
    """Answer each backend in turn, empty."""
    make: Callable[[], Any] = MemoryStorage
    return make() if request.param == "memory" else request.getfixturevalue(request.param)


@pytest.fixture
def sink() -> MemoryStorage:
    """Return the storage behind `database`."""
    return MemoryStorage()


@pytest.fixture
def database(catalogue_url: str, sink: MemoryStorage) -> Iterator[Database]:
    """Return a database with all tables and no rows, its writer at work, on SQLite and on Postgres."""
    found = Database(catalogue_url, sink)
    found.start()
    yield found
    found.close()
