"""One object made of several inside a bucket: how it is cut into parts, and what is left when it fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import Composer, ObjectNotFound, StorageError
from storage.s3 import S3Storage
from storage.s3_writer import LARGEST, SMALLEST, plan_parts
from tests.contract.conftest import Bucket
from tests.house import open_house
from tests.oci.client import digest_of
from tests.servers import Exchange, FaultyProxy, pass_on, refuse

MIB = 1024 * 1024


@pytest.fixture
def proxy(bucket: Bucket) -> Iterator[FaultyProxy]:
    with FaultyProxy(bucket.endpoint) as proxy:
        yield proxy


@pytest.fixture
def storage(bucket: Bucket, proxy: FaultyProxy) -> Iterator[S3Storage]:
    storage = bucket.storage(endpoint=proxy.url, connect_timeout=1.0, read_timeout=5.0, attempts=1)
    yield storage
    storage.close()


def refuse_copies(exchange: Exchange) -> None:
    """Be a server that does not know UploadPartCopy."""
    if exchange.headers.get("x-amz-copy-source"):
        refuse(501, "NotImplemented")(exchange)
    else:
        pass_on(exchange)


async def read(storage: S3Storage, key: str) -> bytes:
    return b"".join([chunk async for chunk in await storage.open(key)])


@given(st.lists(st.integers(0, 3 * SMALLEST) | st.integers(0, 3 * LARGEST), max_size=20))
def test_parts_hold_every_byte_once_and_are_as_large_as_a_bucket_wants(sizes: list[int]) -> None:
    parts = plan_parts([(str(number), size) for number, size in enumerate(sizes)])
    spans = [span for part in parts for span in part]
    reached = dict.fromkeys(map(str, range(len(sizes))), 0)
    for key, start, length in spans:
        assert start == reached[key]
        reached[key] += length
    assert list(reached.values()) == sizes
    assert [int(span.key) for span in spans] == sorted(int(span.key) for span in spans)
    for number, part in enumerate(parts):
        length = sum(span.length for span in part)
        assert length >= SMALLEST or number == len(parts) - 1
        assert length <= (LARGEST if len(part) == 1 else SMALLEST)


@pytest.mark.parametrize(
    ("sizes", "copies"),
    [([6 * MIB], 1), ([6 * MIB, 1, 7 * MIB, 3], 1), ([100, 200], 0), ([0], 0), ([MIB, 11 * MIB, 6 * MIB], 2)],
)
async def test_parts_become_one_object(
    storage: S3Storage, proxy: FaultyProxy, bucket: Bucket, sizes: list[int], copies: int
) -> None:
    assert isinstance(storage, Composer)
    parts, copied = [], []

    def watch(exchange: Exchange) -> None:
        copied.extend(filter(None, [exchange.headers.get("x-amz-copy-source")]))
        pass_on(exchange)

    for number, size in enumerate(sizes):
        await storage.put(f"part/{number}", bytes([number + 65]) * size)
        parts.append((f"part/{number}", size))
    proxy.always = watch
    await storage.compose(parts, "whole")
    assert await read(storage, "whole") == b"".join(bytes([n + 65]) * size for n, size in enumerate(sizes))
    assert len(copied) == copies
    assert bucket.uploads() == []
    assert len(await read(storage, "part/0")) == sizes[0]


async def test_a_missing_part_is_named_and_leaves_nothing(storage: S3Storage, bucket: Bucket) -> None:
    await storage.put("part/0", bytes(6 * MIB))
    with pytest.raises(ObjectNotFound, match="part/1"):
        await storage.compose([("part/0", 6 * MIB), ("part/1", 6 * MIB)], "whole")
    with pytest.raises(ObjectNotFound):
        await storage.stat("whole")
    assert bucket.uploads() == []
    with pytest.raises(ValueError, match="key"):
        await storage.compose([("../part", 1)], "whole")


async def test_a_bucket_that_cannot_copy_says_so_and_the_upload_arrives_all_the_same(
    storage: S3Storage, proxy: FaultyProxy, bucket: Bucket, tmp_path: Path
) -> None:
    proxy.always = refuse_copies
    await storage.put("part/0", bytes(6 * MIB))
    with pytest.raises(StorageError, match="NotImplemented"):
        await storage.compose([("part/0", 6 * MIB)], "whole")
    assert bucket.uploads() == []
    chunks = [bytes([number]) * (6 * MIB) for number in range(2)]
    async with open_house(tmp_path, storage=storage) as (client, _house):
        location = (await client.post("/v2/mychart/blobs/uploads/")).headers["location"]
        for chunk in chunks:
            location = (await client.patch(location, content=chunk)).headers["location"]
        digest = digest_of(b"".join(chunks))
        query = "&" if urlsplit(location).query else "?"
        assert (await client.put(f"{location}{query}digest={digest}")).status_code == 201
        assert (await client.get(f"/v2/mychart/blobs/{digest}")).content == b"".join(chunks)
    assert [found.key async for found in storage.scan(".chartroom/uploads/")] == []
