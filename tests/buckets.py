"""Buckets of an S3 server that tests run: clients that look into them, and what a server must know to use one."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3


def make_client(endpoint: str) -> Any:
    """Return a client of the S3 server. Whoever has it closes it."""
    account: dict[str, Any] = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    return boto3.session.Session().client("s3", "us-east-1", endpoint_url=endpoint, **account)


@contextmanager
def open_client(endpoint: str) -> Iterator[Any]:
    """Return a client of the S3 server until the block ends."""
    client = make_client(endpoint)
    try:
        yield client
    finally:
        client.close()


def make_bucket(endpoint: str) -> tuple[str, dict[str, str]]:
    """Make a bucket and answer its name, and the environment of a server that uses it."""
    name = f"charts-{uuid.uuid4().hex[:8]}"
    with open_client(endpoint) as client:
        client.create_bucket(Bucket=name)
    return name, {
        "CHARTROOM_STORAGE_AMAZON_ENDPOINT": endpoint, "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
    }  # fmt: skip
