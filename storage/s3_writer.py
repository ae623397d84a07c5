"""Writing to a bucket: whole objects, long ones in parts, and objects that the bucket makes of others.

Every call here asks about the bucket, not the key: "not found" can only mean that, except where a part is copied.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from storage.errors import StorageError
from storage.s3_client import Client
from storage.threads import Threads

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, CopySourceTypeDef

PART = 8 * 1024 * 1024
"""Bytes of one part of a long upload. S3 takes 10,000 parts: 78 GiB. All but the last are equal, for R2.

One upload holds up to three in memory: one on its way, the next one gathered, and its copy.
"""

SMALLEST = 5 * 1024 * 1024
"""Bytes that every part but the last must have (S3's EntityTooSmall)."""

LARGEST = 512 * 1024 * 1024
"""Bytes that one call copies. S3 takes 5 GiB, but answers only when they are copied, and a call may last 30 s."""


class Span(NamedTuple):
    """Bytes of an object: `length` of them from `start`."""

    key: str
    start: int
    length: int


def plan_parts(objects: Iterable[tuple[str, int]]) -> list[list[Span]]:
    """Cut objects (key and size in bytes), in their order, into the parts of one upload.

    A part of one span can be copied inside the bucket. Where objects are too small for that, a part has several spans
    and at most SMALLEST bytes, to be read and sent.
    """
    parts: list[list[Span]] = []
    gathered: list[Span] = []
    for key, size in objects:
        start = 0
        if gathered:
            start = min(size, SMALLEST - _sum(gathered))
            gathered.append(Span(key, 0, start))
            if _sum(gathered) == SMALLEST:
                parts.append(gathered)
                gathered = []
        while (left := size - start) >= SMALLEST:
            length = left if left <= LARGEST else min(LARGEST, left - SMALLEST)
            parts.append([Span(key, start, length)])
            start += length
        if left:
            gathered.append(Span(key, start, left))
    return [*parts, gathered] if gathered else parts


def _sum(spans: Iterable[Span]) -> int:
    return sum(span.length for span in spans)


@dataclass(frozen=True, slots=True)
class _Upload:
    """An upload in parts. `busy` makes aborting wait for a part that is under way, and so take it along."""

    key: str
    id: str
    busy: threading.Lock = field(default_factory=threading.Lock)


class Writer:
    """Writes below `base` in a bucket; `sse` is the encryption to ask for. Methods that are not async block."""

    def __init__(self, client: Client, threads: Threads, bucket: str, base: str, sse: str | None) -> None:
        self._client = client
        self._threads = threads
        self._bucket = bucket
        self._base = base
        self._encryption: dict[str, Any] = {"ServerSideEncryption": sse} if sse else {}

    def put(self, key: str, content: bytes) -> None:
        """Write an object whole."""
        with self._client.asking(None) as client:
            client.put_object(Bucket=self._bucket, Key=self._base + key, Body=content, **self._encryption)

    async def put_parts(self, key: str, parts: AsyncGenerator[bytes, None]) -> None:
        """Write an object of pieces of PART bytes, the last one shorter."""
        part = await anext(parts)
        if len(part) < PART:
            await self._threads.run(self.put, key, part)
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

    async def compose(self, objects: Sequence[tuple[str, int]], key: str) -> None:
        """Make one object of others; the bucket copies what is large enough."""
        parts = plan_parts(objects)
        if len(parts) <= 1 and sum(size for _key, size in objects) < SMALLEST:
            await self._threads.run(self._put_spans, key, [span for part in parts for span in part])
            return
        upload = await self._threads.run(self._begin, key, undo=self._abort_soon)
        try:
            done = [await self._threads.run(self._send, upload, number, spans) for number, spans in enumerate(parts, 1)]
            await self._threads.run(self._complete, upload, done)
        except BaseException:
            await asyncio.shield(self._abort_soon(upload))
            raise

    def delete(self, key: str) -> None:
        """Remove an object. Raises ObjectNotFound where the server says so."""
        with self._client.asking(key) as client:
            client.delete_object(Bucket=self._bucket, Key=self._base + key)

    def sweep(self, before: datetime) -> int:
        """Abort the uploads in parts that began before a moment; answer how many."""
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

    # ------------------------------------------------------------------------------------------ parts

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

    def _send(self, upload: _Upload, number: int, spans: list[Span]) -> CompletedPartTypeDef:
        if len(spans) > 1 or spans[0].length < SMALLEST:
            return self._upload(upload, number, self._read(spans))
        key, start, length = spans[0]
        source: CopySourceTypeDef = {"Bucket": self._bucket, "Key": self._base + key}
        with upload.busy, self._client.asking(key) as client:
            answer = client.upload_part_copy(
                Bucket=self._bucket, Key=self._base + upload.key, UploadId=upload.id, PartNumber=number,
                CopySource=source, CopySourceRange=f"bytes={start}-{start + length - 1}",
            )  # fmt: skip
        return {"ETag": answer["CopyPartResult"]["ETag"], "PartNumber": number}

    def _put_spans(self, key: str, spans: list[Span]) -> None:
        self.put(key, self._read(spans))

    def _read(self, spans: list[Span]) -> bytes:
        gathered = bytearray()
        for key, start, length in spans:
            if not length:
                continue
            with self._client.asking(key) as client:
                wanted = f"bytes={start}-{start + length - 1}"
                answer = client.get_object(Bucket=self._bucket, Key=self._base + key, Range=wanted)
                gathered += answer["Body"].read()
        return bytes(gathered)

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
