"""The S3 backend against a server that fails: each failure has its name, and nothing half-written remains.

Longer than 300 lines: one table of failures, which share the proxy and the impatient storages.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from storage import CHUNK, ObjectNotFound, StorageDenied, StorageError, StorageFull, StorageUnavailable
from storage.s3 import S3Storage
from tests.contract.conftest import Bucket
from tests.servers import Exchange, FaultyProxy, cut, delay, free_port, hang_up, pass_on, refuse, then_hang_up

MIB = 1024 * 1024


@pytest.fixture
def proxy(bucket: Bucket) -> Iterator[FaultyProxy]:
    with FaultyProxy(bucket.endpoint) as proxy:
        yield proxy


@pytest.fixture
def make(bucket: Bucket, proxy: FaultyProxy) -> Iterator[Callable[..., S3Storage]]:
    """Make storages behind the proxy, impatient enough for tests."""
    made: list[S3Storage] = []

    def make(**options: Any) -> S3Storage:
        patience = {"endpoint": proxy.url, "connect_timeout": 1.0, "read_timeout": 5.0, "attempts": 2}
        made.append(bucket.storage(**{**patience, **options}))
        return made[-1]

    yield make
    for storage in made:
        storage.close()


@pytest.fixture
def storage(make: Callable[..., S3Storage]) -> S3Storage:
    return make()


async def read(storage: S3Storage, key: str, start: int = 0, length: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in await storage.open(key, start, length)])


async def keys(storage: S3Storage, prefix: str = "") -> list[str]:
    return sorted([found.key async for found in storage.scan(prefix)])


async def stream(size: int) -> AsyncIterator[bytes]:
    for _ in range(0, size, CHUNK):
        yield b"x" * CHUNK


def questions(storage: S3Storage) -> list[Callable[[], Any]]:
    """Answer each method, as a call that asks the server."""
    return [
        lambda: storage.put("k", b"new"),
        lambda: storage.put("k", stream(9 * MIB)),
        lambda: storage.stat("k"),
        lambda: storage.open("k"),
        lambda: storage.open("k", 1, 1),
        lambda: storage.open("k", 0, 0),
        lambda: storage.delete("k"),
        lambda: keys(storage),
    ]


# ------------------------------------------------------------------------------------ a slow, busy server


@pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (500, "InternalError"), (429, "TooManyRequests")])
async def test_a_busy_server_is_asked_again_and_then_unavailable(
    storage: S3Storage, proxy: FaultyProxy, status: int, code: str
) -> None:
    await storage.put("k", b"old")
    proxy.faults.append(refuse(status, code))
    assert (await storage.stat("k")).size == 3  # the second attempt
    proxy.faults.append(refuse(status, code))
    await storage.put("k", b"newer")
    assert await read(storage, "k") == b"newer"
    proxy.seen.clear()
    proxy.faults.extend([refuse(status, code)] * 2)
    with pytest.raises(StorageUnavailable, match="try again later") as caught:
        await storage.put("k", b"third")
    assert len(proxy.seen) == 2
    assert proxy.url in str(caught.value)
    assert await read(storage, "k") == b"newer"


@pytest.mark.parametrize("fault", [refuse(503, "SlowDown"), hang_up], ids=["503", "hang up"])
async def test_every_method_maps_a_failing_server_to_unavailable(
    make: Callable[..., S3Storage], proxy: FaultyProxy, fault: Any
) -> None:
    storage = make(attempts=1)
    await storage.put("k", b"old")
    for ask in questions(storage):
        proxy.always = fault
        with pytest.raises(StorageUnavailable):
            await ask()
        proxy.always = None
        assert await keys(storage) == ["k"]
        assert await read(storage, "k") == b"old"


async def test_a_server_that_is_not_there_is_unavailable(make: Callable[..., S3Storage]) -> None:
    storage = make(endpoint=f"http://127.0.0.1:{free_port()}", attempts=1)
    for ask in questions(storage):
        with pytest.raises(StorageUnavailable, match="cannot be reached"):
            await ask()


async def test_a_server_that_answers_too_late_is_unavailable(
    make: Callable[..., S3Storage], proxy: FaultyProxy
) -> None:
    storage = make(attempts=1, read_timeout=0.2)
    await storage.put("k", b"x")
    proxy.faults.append(delay(0.6))
    with pytest.raises(StorageUnavailable, match="ReadTimeoutError"):
        await storage.stat("k")
    assert (await storage.stat("k")).size == 1


async def test_a_slow_server_does_not_hold_up_the_event_loop(storage: S3Storage, proxy: FaultyProxy) -> None:
    await storage.put("k", b"x")
    proxy.always = delay(0.3)
    waiting = asyncio.gather(*[storage.stat("k") for _ in range(8)])
    turns = 0
    while not waiting.done():
        await asyncio.sleep(0.001)
        turns += 1
    await waiting
    assert turns >= 10  # a blocked loop would take one turn for each answer, or none


# ------------------------------------------------------------------------------------------ cut bodies


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 4 * CHUNK - 1])
async def test_a_body_that_is_cut_off_is_no_end(storage: S3Storage, proxy: FaultyProxy, size: int) -> None:
    content = b"x" * (4 * CHUNK)
    await storage.put("k", content)
    proxy.faults.append(cut(size))
    with pytest.raises(StorageUnavailable):
        await read(storage, "k")
    assert await read(storage, "k") == content


async def test_a_range_that_is_cut_off_is_no_end(storage: S3Storage, proxy: FaultyProxy) -> None:
    await storage.put("k", b"x" * 1000)
    proxy.faults.append(cut(99))
    with pytest.raises(StorageUnavailable):
        await read(storage, "k", 500, 100)


async def test_a_server_that_ignores_the_range_is_not_believed(storage: S3Storage, proxy: FaultyProxy) -> None:
    def whole(exchange: Exchange) -> None:
        exchange.answer(200, [], b"0123456789")

    await storage.put("k", b"0123456789")
    proxy.faults.append(whole)
    with pytest.raises(StorageUnavailable, match="range"):
        await read(storage, "k", 5, 2)


# -------------------------------------------------------------------------------------- broken uploads


@pytest.mark.parametrize("step", [1, 2, 3, 4], ids=["begin", "first part", "last part", "complete"])
@pytest.mark.parametrize("fault", [refuse(503, "SlowDown"), hang_up], ids=["503", "hang up"])
async def test_an_upload_that_fails_at_any_step_leaves_nothing(
    make: Callable[..., S3Storage], proxy: FaultyProxy, bucket: Bucket, step: int, fault: Any
) -> None:
    storage = make(attempts=1)
    await storage.put("k", b"old")
    proxy.faults.extend([pass_on] * (step - 1) + [fault])
    with pytest.raises(StorageUnavailable):
        await storage.put("k", stream(9 * MIB))
    assert await read(storage, "k") == b"old"
    assert await keys(storage) == ["k"]
    assert bucket.uploads() == []


async def test_an_upload_whose_last_answer_is_lost_is_whole_or_absent(
    storage: S3Storage, proxy: FaultyProxy, bucket: Bucket
) -> None:
    proxy.faults.extend([pass_on] * 3 + [then_hang_up])
    with suppress(StorageUnavailable):
        await storage.put("k", stream(9 * MIB))
    assert (await storage.stat("k")).size == 9 * MIB
    assert bucket.uploads() == []


async def test_an_upload_that_is_cancelled_or_whose_content_raises_is_aborted(
    storage: S3Storage, proxy: FaultyProxy, bucket: Bucket
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        async for chunk in stream(20 * MIB):
            yield chunk
        raise RuntimeError("gone")

    with pytest.raises(RuntimeError, match="gone"):
        await storage.put("k", broken())
    for moment in [0.0, 0.02, 0.1, 0.2]:
        task = asyncio.create_task(storage.put("k", stream(20 * MIB)))
        await asyncio.sleep(moment)
        task.cancel()
        await asyncio.wait([task])
    await asyncio.sleep(0.3)  # beginning goes on unheard, and is aborted when it has its answer
    assert bucket.uploads() == []
    assert set(await keys(storage)) <= {"k"}


async def test_sweep_aborts_uploads_that_died_with_their_process(storage: S3Storage, bucket: Bucket) -> None:
    base = urlsplit(storage.presign(".chartroom/x", 60)).path.removeprefix(f"/{bucket.name}/").removesuffix("x")
    mine = bucket.client.create_multipart_upload(Bucket=bucket.name, Key=f"{base}dead")
    other = bucket.client.create_multipart_upload(Bucket=bucket.name, Key="elsewhere")
    try:
        assert await storage.sweep(100 * 365 * 24 * 3600) == 0  # young enough, even by moto's clock, which says 2010
        assert await storage.sweep(-60) == 1
        assert bucket.uploads() == ["elsewhere"]
        assert mine["Key"] == f"{base}dead"
    finally:
        bucket.client.abort_multipart_upload(Bucket=bucket.name, Key="elsewhere", UploadId=other["UploadId"])


# ------------------------------------------------------------------------------------- wrong settings


@pytest.mark.parametrize(
    ("status", "code", "kind", "advice"),
    [
        (403, "AccessDenied", StorageDenied, "s3:PutObject"),
        (403, "InvalidAccessKeyId", StorageError, "AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", StorageError, "AWS_SECRET_ACCESS_KEY"),
        (403, "RequestTimeTooSkewed", StorageError, "clock"),
        (400, "AuthorizationHeaderMalformed", StorageError, "region"),
        (507, "XMinioStorageFull", StorageFull, "quota"),
        (418, "Teapot", StorageError, "Teapot"),
    ],
)
async def test_a_refusal_says_what_to_do_and_no_secret(
    make: Callable[..., S3Storage], proxy: FaultyProxy, status: int, code: str, kind: type, advice: str
) -> None:
    storage = make(secret_key="hush-hush", access_key="key-of-mine", attempts=1)
    for ask in questions(storage):
        proxy.always = refuse(status, code)
        with pytest.raises(StorageError) as caught:
            await ask()
        if "HEAD" in proxy.seen[-1]:
            continue  # has no body, and so no code
        assert type(caught.value) is kind
        assert advice in str(caught.value)
        assert proxy.url in str(caught.value)
        assert "hush" not in str(caught.value)
        assert "key-of-mine" not in str(caught.value)


async def test_a_bucket_that_is_missing_is_never_a_missing_object(make: Callable[..., S3Storage]) -> None:
    storage = make(bucket="not-there")
    for ask in questions(storage):
        with pytest.raises(StorageError, match="create the bucket") as caught:
            await ask()
        assert type(caught.value) is StorageError


async def test_missing_credentials_are_named() -> None:
    program = """
import asyncio
from storage import StorageDenied, StorageError
from storage.s3 import S3Storage
storage = S3Storage("charts", endpoint="http://127.0.0.1:1")
try:
    asyncio.run(storage.stat("k"))
except StorageError as error:
    print(type(error).__name__, error)
storage.close()
"""
    clean = {"PATH": "", "HOME": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true"}
    done = subprocess.run([sys.executable, "-c", program], env=clean, capture_output=True, check=True, text=True)
    assert done.stdout.startswith("StorageError no usable credentials for bucket 'charts'")
    assert done.stderr == ""


async def test_an_endpoint_that_is_no_address_is_named_without_its_password(
    make: Callable[..., S3Storage],
) -> None:
    for endpoint in ["nonsense", "http://user:hush@bad host"]:
        with pytest.raises(StorageError) as caught:
            await make(endpoint=endpoint).stat("k")
        assert "hush" not in str(caught.value)
        assert "endpoint" in str(caught.value)


def test_a_prefix_is_normalised_and_a_bad_one_refused(bucket: Bucket) -> None:
    for prefix in ["", "/", "a", "/a/b/", "//a//"]:
        storage = bucket.storage(prefix=prefix)
        clean = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        assert urlsplit(storage.presign("k", 60)).path == f"/{bucket.name}/{clean}k"
        storage.close()
    for prefix in ["..", "a/../b", "a//b", "x" * 121, "\0"]:
        with pytest.raises(ValueError, match="prefix"):
            bucket.storage(prefix=prefix)


def test_boto3_is_not_imported_before_the_first_call() -> None:
    program = "import sys, storage.s3 as s; s.S3Storage('b'); assert not {'boto3', 'botocore'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


# ------------------------------------------------------------------------------------------- and more


async def test_an_object_that_appears_late_is_not_remembered_as_missing(storage: S3Storage, proxy: FaultyProxy) -> None:
    await storage.put("k", b"x")
    for ask in [lambda: storage.stat("k"), lambda: storage.open("k")]:
        proxy.faults.append(refuse(404, "NoSuchKey"))
        with pytest.raises(ObjectNotFound):
            await ask()
        assert await read(storage, "k") == b"x"


async def test_ten_thousand_keys_are_listed_page_by_page(storage: S3Storage, proxy: FaultyProxy) -> None:
    base = urlsplit(storage.presign("x", 60)).path.split("/", 2)[2].removesuffix("x")
    names = [f"charts/ünï+{number:05}.tgz" for number in range(10_000)]

    def pages(exchange: Exchange) -> None:
        asked = parse_qs(urlsplit(exchange.path).query)
        start = int(asked.get("continuation-token", ["0"])[0])
        items = "".join(
            f"<Contents><Key>{quote(base + name)}</Key><Size>{number}</Size>"
            "<LastModified>2024-05-06T07:08:09.000Z</LastModified></Contents>"
            for number, name in enumerate(names[start : start + 1000], start)
        )
        more = start + 1000 < len(names)
        token = f"<NextContinuationToken>{start + 1000}</NextContinuationToken>" if more else ""
        body = (
            f"<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>{str(more).lower()}</IsTruncated>"
            f"{token}{items}</ListBucketResult>"
        )
        exchange.answer(200, [("Content-Type", "application/xml")], body.encode())

    proxy.always = pages
    found = [item async for item in storage.scan("charts/")]
    assert [item.key for item in found] == names
    assert [item.size for item in found] == list(range(10_000))
    assert len(proxy.seen) == 10
    proxy.seen.clear()
    scan = storage.scan()
    await anext(scan)
    await scan.aclose()
    assert len(proxy.seen) == 1  # a reader who leaves early asks for no more pages
    proxy.faults.extend([pages, pages, refuse(503, "SlowDown"), refuse(503, "SlowDown")])
    with pytest.raises(StorageUnavailable):
        await keys(storage)  # and no list that only looks complete


async def test_names_of_other_programs_that_are_no_keys_are_not_shown(storage: S3Storage, bucket: Bucket) -> None:
    base = urlsplit(storage.presign("x", 60)).path.split("/", 2)[2].removesuffix("x")
    for name in ["folder/", "a//b", "real", ".chartroom/tmp/x"]:
        bucket.client.put_object(Bucket=bucket.name, Key=base + name, Body=b"x")
    assert await keys(storage) == ["real"]


async def test_a_presigned_address_works_for_anybody_and_asks_nobody(
    storage: S3Storage, make: Callable[..., S3Storage], proxy: FaultyProxy
) -> None:
    key = "a b/ünï+%2F&?#.tgz"
    await storage.put(key, b"content")
    proxy.seen.clear()
    address = storage.presign(key, 60)
    assert proxy.seen == []
    assert address.startswith(proxy.url)
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in address
    assert "X-Amz-Expires=60" in address
    assert await asyncio.to_thread(fetch, address) == b"content"
    with pytest.raises(urllib.error.HTTPError) as caught:
        await asyncio.to_thread(fetch, storage.presign("none", 60))
    caught.value.close()
    for seconds in [0, -1, 604_801]:
        with pytest.raises(ValueError, match="seconds"):
            storage.presign(key, seconds)


def fetch(address: str) -> bytes:
    with urllib.request.urlopen(address) as response:
        content: bytes = response.read()
        return content


@pytest.mark.parametrize("size", [10, 9 * MIB])
async def test_encryption_is_asked_for(make: Callable[..., S3Storage], bucket: Bucket, size: int) -> None:
    storage = make(sse="AES256")
    await storage.put("k", stream(size))
    path = urlsplit(storage.presign("k", 60)).path.removeprefix(f"/{bucket.name}/")
    assert bucket.client.head_object(Bucket=bucket.name, Key=path)["ServerSideEncryption"] == "AES256"


def test_virtual_hosts_may_be_asked_for(bucket: Bucket) -> None:
    storage = bucket.storage(endpoint="https://s3.example.com", path_style=False, prefix="p")
    assert storage.presign("k", 60).startswith(f"https://{bucket.name}.s3.example.com/p/k?")
    storage.close()


async def test_many_readers_at_once_are_served(storage: S3Storage) -> None:
    content = bytes(range(256)) * 4096
    await storage.put("k", content)
    chunks = await asyncio.gather(*[storage.open("k") for _ in range(40)])  # more than there are threads
    for each in chunks:
        assert b"".join([chunk async for chunk in each]) == content
