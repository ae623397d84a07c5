"""The boto3 client of one bucket: built at the first use, once, and with its errors translated."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from storage.s3_errors import Place, failure

if TYPE_CHECKING:
    from boto3.session import Session
    from mypy_boto3_s3 import S3Client

_BUILDING = threading.Lock()
"""Guards the session, which reads 100 ms of service descriptions once and may not build two clients at once."""


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class ClientOptions:
    """How to reach a server. Has no repr, since it may hold a secret. Timeouts are seconds."""

    endpoint: str | None
    region: str | None
    path_style: bool
    verify: bool | str
    access_key: str | None
    secret_key: str | None
    connect_timeout: float
    read_timeout: float
    attempts: int
    connections: int


class Client:
    """Lends the client of a bucket to any thread."""

    def __init__(self, bucket: str, options: ClientOptions) -> None:
        self.place = Place(bucket, options.endpoint)
        self._options = options
        self._built: S3Client | None = None

    @contextmanager
    def asking(self, key: str | None) -> Iterator[S3Client]:
        """Lend the client for one question, about `key` or about the bucket. Raises StorageError's tree."""
        from botocore.exceptions import BotoCoreError, ClientError
        from urllib3.exceptions import HTTPError

        try:
            yield self._get()
        except (ClientError, BotoCoreError, HTTPError) as error:
            raise failure(error, key, self.place) from error

    def close(self) -> None:
        """Close the connections."""
        if self._built is not None:
            self._built.close()

    def _get(self) -> S3Client:
        if self._built is None:
            with _BUILDING:
                if self._built is None:
                    try:
                        self._built = _build(self._options)
                    except ValueError as error:  # boto3's answer to an endpoint that is no address
                        raise failure(error, None, self.place) from error
        return self._built


@cache
def _session() -> Session:
    import boto3

    return boto3.session.Session()  # not boto3's default one, which others may be using in other threads


def _build(options: ClientOptions) -> S3Client:
    from botocore.config import Config

    session = _session()
    settings: dict[str, Any] = {
        "connect_timeout": options.connect_timeout,
        "read_timeout": options.read_timeout,
        "retries": {"mode": "standard", "total_max_attempts": options.attempts},
        "max_pool_connections": options.connections,
        "s3": {"addressing_style": "path" if options.path_style else "virtual"},
        "signature_version": "s3v4",
        # boto3 adds checksums by itself since 1.36, and older servers of other makers refuse them. The
        # signature covers the bytes already. https://github.com/boto/boto3/issues/4392
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }
    return session.client(
        "s3",
        endpoint_url=options.endpoint,
        region_name=options.region or session.region_name or "us-east-1",
        verify=options.verify,
        aws_access_key_id=options.access_key,
        aws_secret_access_key=options.secret_key,
        config=Config(**settings),
    )
