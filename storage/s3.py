"""Objects in a bucket of S3 or of anything that speaks it. Which questions are asked, in which order.

boto3 blocks, so each call runs in a thread. `s3_client` imports it at the first one.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from storage.errors import ObjectNotFound, StorageError, StorageUnavailable
from storage.protocol import CHUNK, ObjectStat
from storage.rules import batches, check_key, check_range, is_key
from storage.s3_client import Client, ClientOptions
from storage.s3_errors import RangePastEnd
from storage.threads import Threads

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

    _Opened = tuple[StreamingBody | None, bytes, int]  # a body, its first chunk, how many bytes are left then

_PART = 8 * 1024 * 1024
"""Bytes of one part of a long upload. S3 takes 10,000 parts: 78 GiB. All but the last are equal, for R2.

One upload holds up to three in memory: one on its way, the next one gathered, and its copy.
"""

_LONGEST_PRESIGN = 7 * 24 * 3600
"""Seconds that a SigV4 address may work."""


class S3Storage:
    """Keeps the contract of Storage and Presigner in `bucket`, below `prefix`.

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
        self._encryption: dict[str, Any] = {"ServerSideEncryption": sse} if sse else {}
        self._threads = Threads(workers, "s3")
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

    def close(self) -> None:
        """Let the threads and connections go. The storage must not be used afterwards."""
        self._threads.close()
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
            await self._threads.run(self._put_whole, key, content)
            return
        async with aclosing(batches(content, _PART)) as parts:
            await self._put_parts(key, parts)

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
            await self._threads.run(self._delete, key)

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
        return await self._threads.run(self._sweep, datetime.now(UTC) - timedelta(seconds=older_than_seconds))

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

    # ------------------- writing: asks about the bucket, not the key, since "not found" can only mean that

    def _put_whole(self, key: str, content: bytes) -> None:
        with self._client.asking(None) as client:
            client.put_object(Bucket=self._bucket, Key=self._base + key, Body=content, **self._encryption)

    async def _put_parts(self, key: str, parts: AsyncGenerator[bytes, None]) -> None:
        part = await anext(parts)
        if len(part) < _PART:
            await self._threads.run(self._put_whole, key, part)
            return
        upload = await self._threads.run(self._begin, key, undo=self._abort_soon)
        try:
            done: list[CompletedPartTypeDef] = []
            while part:
                done.append(await self._threads.run(self._upload, upload, len(done) + 1, part))
                part = b""  # or it would live on while the next one gathers
                part = await anext(parts, b"")
            await self._threads.run(self._complete, upload, done)
        except BaseException:
            await asyncio.shield(self._abort_soon(upload))
            raise

    def _begin(self, key: str) -> _Upload:
        with self._client.asking(None) as client:
            wanted = {"Bucket": self._bucket, "Key": self._base + key, **self._encryption}
            return _Upload(key, client.create_multipart_upload(**wanted)["UploadId"])

    def _upload(self, upload: _Upload, number: int, part: bytes) -> CompletedPartTypeDef:
        with upload.busy, self._client.asking(None) as client:
            answer = client.upload_part(
                Bucket=self._bucket, Key=self._base + upload.key, UploadId=upload.id, PartNumber=number, Body=part
            )
        return {"ETag": answer["ETag"], "PartNumber": number}

    def _complete(self, upload: _Upload, parts: list[CompletedPartTypeDef]) -> None:
        with upload.busy, self._client.asking(None) as client:
            client.complete_multipart_upload(
                Bucket=self._bucket, Key=self._base + upload.key, UploadId=upload.id, MultipartUpload={"Parts": parts}
            )

    def _abort_soon(self, upload: _Upload) -> asyncio.Future[None]:
        return asyncio.get_running_loop().run_in_executor(self._threads.executor, self._abort, upload)

    def _abort(self, upload: _Upload) -> None:
        with upload.busy, suppress(StorageError), self._client.asking(None) as client:
            # If that fails too, `sweep` finds it.
            client.abort_multipart_upload(Bucket=self._bucket, Key=self._base + upload.key, UploadId=upload.id)

    def _delete(self, key: str) -> None:
        with self._client.asking(key) as client:
            client.delete_object(Bucket=self._bucket, Key=self._base + key)

    def _sweep(self, before: datetime) -> int:
        found: list[_Upload] = []
        with self._client.asking(None) as client:
            pages = client.get_paginator("list_multipart_uploads")
            # Only below our own folder: next to it, other programs may be at work.
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._base + ".chartroom/"):
                old = [item for item in page.get("Uploads", []) if item["Initiated"] < before]
                found += [_Upload(item["Key"][len(self._base) :], item["UploadId"]) for item in old]
        for upload in found:
            self._abort(upload)
        return len(found)


@dataclass(frozen=True, slots=True)
class _Upload:
    """An upload in parts. `busy` makes aborting wait for a part that is under way, and so take it along."""

    key: str
    id: str
    busy: threading.Lock = field(default_factory=threading.Lock)


def _close(opened: _Opened) -> None:
    if opened[0] is not None:
        opened[0].close()
