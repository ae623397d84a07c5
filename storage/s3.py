"""Objects in a bucket of S3 or of anything that speaks it: which questions are asked, in which order.

Writing has a room of its own, `s3_writer`.
boto3 blocks, so each call runs in a thread. `s3_client` imports it at the first one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from storage.errors import ObjectNotFound, StorageUnavailable
from storage.protocol import CHUNK, Objects, ObjectStat
from storage.rules import batches, check_key, check_range, is_key
from storage.s3_client import Client, ClientOptions
from storage.s3_errors import RangePastEnd
from storage.s3_writer import PART, Writer
from storage.threads import Threads

if TYPE_CHECKING:
    from botocore.response import StreamingBody

    _Opened = tuple[StreamingBody | None, bytes, int]  # a body, its first chunk, how many bytes are left then

_LONGEST_PRESIGN = 7 * 24 * 3600
"""Seconds that a SigV4 address may work."""


class S3Storage:
    """Keeps the contract of Storage, Composer and Presigner in `bucket`, below `prefix`.

    Without `endpoint` it is Amazon's. Without `access_key` and `secret_key`, boto3 looks in its usual places
    (environment, profile, service account, instance). `sse` is the encryption to ask for, `AES256` or
    `aws:kms`. `verify` is False, True or the path of a CA bundle. Timeouts are seconds; `attempts` counts
    the first one too; `workers` bounds the calls at one time.
    """

    def __init__(
        self,
        bucket: str,
        *,
        prefix: str = "",
        endpoint: str | None = None,
        region: str | None = None,
        path_style: bool = True,
        sse: str | None = None,
        verify: bool | str = True,
        access_key: str | None = None,
        secret_key: str | None = None,
        connect_timeout: float = 5.0,
        read_timeout: float = 30.0,
        attempts: int = 3,
        workers: int = 16,
    ) -> None:
        prefix = prefix.strip("/")
        if (prefix and not is_key(prefix)) or len(prefix.encode()) > 120:
            raise ValueError(f"not a prefix for a bucket (at most 120 bytes): {prefix!r}")
        self._bucket = bucket
        self._base = f"{prefix}/" if prefix else ""
        self._bucket_seen = False
        self._threads = Threads(workers, "s3")
        self._batches = ThreadPoolExecutor(workers, thread_name_prefix="s3-batch")
        self._client = Client(
            bucket,
            ClientOptions(
                endpoint=endpoint,
                region=region,
                path_style=path_style,
                verify=verify,
                access_key=access_key,
                secret_key=secret_key,
                connect_timeout=connect_timeout,
                read_timeout=read_timeout,
                attempts=attempts,
                # A body that is being read keeps its connection while its thread serves others.
                connections=workers * 4,
            ),
        )
        self._writer = Writer(self._client, self._threads, bucket, self._base, sse)

    def close(self) -> None:
        """Let the threads and connections go. The storage must not be used afterwards."""
        self._threads.close()
        self._batches.shutdown()
        self._client.close()

    def presign(self, key: str, seconds: int) -> str:
        """Answer an address under which anybody can GET the object for `seconds`, a week at most.

        The first call of all builds the client, in half a second. Raises StorageError without credentials.
        """
        check_key(key)
        if not 0 < seconds <= _LONGEST_PRESIGN:
            raise ValueError(f"not a time for a presigned address: {seconds} seconds")
        with self._client.asking(key) as client:
            wanted = {"Bucket": self._bucket, "Key": self._base + key}
            return client.generate_presigned_url("get_object", Params=wanted, ExpiresIn=seconds)

    async def put(self, key: str, content: bytes | AsyncIterable[bytes]) -> None:
        """Write an object; a long stream in parts of 8 MiB. Raises StorageUnavailable, StorageFull."""
        check_key(key)
        if isinstance(content, bytes):
            await self._threads.run(self._writer.put, key, content)
            return
        async with aclosing(batches(content, PART)) as parts:
            await self._writer.put_parts(key, parts)

    def write_batch(self, blobs: Objects, records: Objects) -> None:
        """Write several objects side by side; see `Storage`. Raises StorageUnavailable, StorageFull."""
        objects = [*blobs, *records]
        for key, _ in objects:
            check_key(key)
        if len(objects) == 1:
            self._writer.put(*objects[0])
            return
        waiting = [self._batches.submit(self._writer.put, key, content) for key, content in objects]
        errors = [error for one in waiting if (error := one.exception()) is not None]  # none is on its way afterwards
        if errors:
            raise errors[0]

    def discard(self, keys: Sequence[str]) -> None:
        """Remove objects; blocking."""
        for key in keys:
            with suppress(ObjectNotFound):
                self._writer.delete(key)

    async def compose(self, parts: Sequence[tuple[str, int]], key: str) -> None:
        """Make one object of others, which the bucket copies by itself; see `Composer`. Raises ObjectNotFound."""
        for one in (key, *(part[0] for part in parts)):
            check_key(one)
        await self._writer.compose(parts, key)

    async def stat(self, key: str) -> ObjectStat:
        """Tell size and time of an object. Raises ObjectNotFound."""
        check_key(key)
        return await self._threads.run(self._head, key)

    async def open(self, key: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """Answer a range of an object in chunks. Raises ObjectNotFound."""
        check_key(key)
        check_range(start, length)
        chunks = self._chunks(key, start, length)
        await anext(chunks)  # runs to its first yield: failures come now, and its `finally` is armed
        return chunks

    async def delete(self, key: str) -> None:
        """Remove an object."""
        check_key(key)
        with suppress(ObjectNotFound):  # Amazon never says so, others do
            await self._threads.run(self._writer.delete, key)

    async def scan(self, prefix: str = "") -> AsyncIterator[ObjectStat]:
        """Answer the objects whose key starts with `prefix`, a page of the listing at a time."""
        if "\0" in prefix:
            return  # no key has one, and not every server survives the question
        token = ""
        while True:
            page, token = await self._threads.run(self._list, prefix, token)
            for item in page:
                yield item
            if not token:
                return

    async def sweep(self, older_than_seconds: float = 24 * 3600) -> int:
        """Abort the uploads in parts that died with their process, by age in seconds. Answers how many."""
        before = datetime.now(UTC) - timedelta(seconds=older_than_seconds)
        return await self._threads.run(self._writer.sweep, before)

    # ------------------------------------------------------------------------------------------ reading

    def _head(self, key: str) -> ObjectStat:
        try:
            with self._client.asking(key) as client:
                answer = client.head_object(Bucket=self._bucket, Key=self._base + key)
        except ObjectNotFound:
            if not self._bucket_seen:  # the answer to HEAD has no body to tell a missing bucket apart
                with self._client.asking(None) as client:
                    client.head_bucket(Bucket=self._bucket)
                self._bucket_seen = True
            raise
        return ObjectStat(key, answer["ContentLength"], answer["LastModified"].astimezone(UTC))

    def _get(self, key: str, start: int, length: int | None) -> _Opened:
        """Open a body and read its first chunk."""
        if length == 0:
            self._head(key)
            return None, b"", 0
        wanted: dict[str, Any] = {}
        if start or length is not None:
            wanted["Range"] = f"bytes={start}-{'' if length is None else start + length - 1}"
        try:
            with self._client.asking(key) as client:
                answer = client.get_object(Bucket=self._bucket, Key=self._base + key, **wanted)
        except RangePastEnd:
            return None, b"", 0
        body = answer["Body"]
        try:
            if "ContentLength" not in answer or (wanted and "ContentRange" not in answer):
                raise StorageUnavailable(f"{self._client.place} answered without the length or range of {key!r}")
            left = answer["ContentLength"]
            first = self._read(key, body, left)
        except BaseException:
            body.close()
            raise
        return body, first, left - len(first)

    def _read(self, key: str, body: StreamingBody, left: int) -> bytes:
        with self._client.asking(key):
            chunk: bytes = body.read(min(CHUNK, left)) if left else b""
        if left and not chunk:
            raise StorageUnavailable(f"{self._client.place} cut off {key!r} with {left} bytes to go")
        return chunk

    async def _chunks(self, key: str, start: int, length: int | None) -> AsyncGenerator[bytes, None]:
        body, chunk, left = await self._threads.run(self._get, key, start, length, undo=_close)
        if body is None:
            yield b""
            return
        try:
            yield b""
            if chunk:
                yield chunk
            while left:
                chunk = await self._threads.run(self._read, key, body, left)
                left -= len(chunk)
                yield chunk
        finally:
            body.close()

    def _list(self, prefix: str, token: str) -> tuple[list[ObjectStat], str]:
        more: dict[str, Any] = {"ContinuationToken": token} if token else {}
        with self._client.asking(None) as client:
            page = client.list_objects_v2(Bucket=self._bucket, Prefix=self._base + prefix, **more)
        found = []
        for item in page.get("Contents", []):
            key = item["Key"][len(self._base) :]
            if is_key(key):  # other programs keep "folders" here: empty objects with a slash at the end
                found.append(ObjectStat(key, item["Size"], item["LastModified"].astimezone(UTC)))
        return found, page["NextContinuationToken"] if page["IsTruncated"] else ""


def _close(opened: _Opened) -> None:
    if opened[0] is not None:
        opened[0].close()
