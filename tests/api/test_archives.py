"""Archives and provenance files: bytes, types, validators, ranges, and what is answered for what is not there."""

from __future__ import annotations

import hashlib

import httpx
import pytest

from tests.api.conftest import Rooms
from tests.api.wire import ask, push, sign
from tests.charts import make_chart

ARCHIVE = make_chart()
PATH = "/charts/mychart-0.1.0.tgz"


@pytest.fixture
async def stocked(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """Answer a client of a house with one signed chart."""
    await push(client, ARCHIVE)
    await push(client, sign(), to="/api/prov")
    return client


@pytest.mark.parametrize(
    ("path", "kind", "content"),
    [(PATH, "application/x-tar", ARCHIVE), (f"{PATH}.prov", "application/pgp-signature", sign())],
)
async def test_a_file_is_served_as_it_was_uploaded(
    stocked: httpx.AsyncClient, path: str, kind: str, content: bytes
) -> None:
    reply = await ask(stocked, "GET", path)
    assert (reply.status, reply.body) == (200, content)
    assert reply.headers["content-type"] == kind
    assert reply.headers["content-length"] == str(len(content))
    assert reply.headers["etag"] == f'"sha256:{hashlib.sha256(content).hexdigest()}"'
    assert reply.headers["cache-control"] == "no-cache"
    assert "content-encoding" not in reply.headers
    assert "content-disposition" not in reply.headers
    head = await ask(stocked, "HEAD", path)
    head.headers["x-request-id"] = reply.headers["x-request-id"]
    assert (head.status, head.headers, head.body) == (200, reply.headers, b"")


async def test_helms_own_accept_header_and_compression_change_nothing(stocked: httpx.AsyncClient) -> None:
    headers = {"accept": "application/gzip,application/octet-stream", "accept-encoding": "gzip, zstd"}
    reply = await ask(stocked, "GET", PATH, headers=headers)
    assert (reply.status, reply.body) == (200, ARCHIVE)


MISSING = [
    ("/charts/mychart-0.2.0.tgz", 404, "object not found"),
    ("/charts/mychart-0.2.0.tgz.prov", 404, "object not found"),
    ("/charts/footgz", 404, "object not found"),
    ("/org/charts/mychart-0.1.0.tgz", 404, "object not found"),
    ("/charts/mychart-0.1.0.bad", 500, "unsupported file extension"),
    ("/charts/mychart-0.1.0.prov", 500, "unsupported file extension"),
    ("/charts/index-cache.yaml", 500, "unsupported file extension"),
    ("/charts/mychart-0.1.0.tgz.asc", 500, "unsupported file extension"),
    ("/org/charts/x", 500, "unsupported file extension"),
]


async def test_what_is_not_there_is_told_in_chartmuseums_words(stocked: httpx.AsyncClient) -> None:
    for path, status, message in MISSING:
        body = f'{{"error":"{message}"}}'
        for method in ("GET", "HEAD"):
            reply = await ask(stocked, method, path)
            assert (reply.status, reply.headers["content-length"]) == (status, str(len(body))), path
            assert reply.headers["content-type"] == "application/json; charset=utf-8"
            assert reply.body.decode() == body or method == "HEAD"


async def test_a_plus_in_a_version_may_be_written_plainly_or_encoded(client: httpx.AsyncClient) -> None:
    await push(client, archive := make_chart(version="3.2.6+meta.1"))
    for name in ("mychart-3.2.6+meta.1.tgz", "mychart-3.2.6%2Bmeta.1.tgz"):
        assert (await ask(client, "GET", f"/charts/{name}")).body == archive


async def test_if_none_match_answers_304(stocked: httpx.AsyncClient) -> None:
    etag = (await ask(stocked, "GET", PATH)).headers["etag"]
    for value in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        for method in ("GET", "HEAD"):
            reply = await ask(stocked, method, PATH, headers={"if-none-match": value})
            assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", etag)
            assert reply.headers["cache-control"] == "no-cache"
    assert (await ask(stocked, "GET", PATH, headers={"if-none-match": '"other"'})).status == 200


SIZE = len(ARCHIVE)


RANGES = [
    ("bytes=0-", 206, 0, SIZE),
    ("bytes=0-0", 206, 0, 1),
    ("bytes=10-19", 206, 10, 20),
    ("Bytes=10-19", 206, 10, 20),
    ("bytes=100-", 206, 100, SIZE),
    (f"bytes={SIZE - 1}-", 206, SIZE - 1, SIZE),
    ("bytes=5-99999999", 206, 5, SIZE),
    ("bytes=-5", 206, SIZE - 5, SIZE),
    ("bytes=-99999999", 206, 0, SIZE),
    ("bytes=0-1,5-6", 200, 0, SIZE),  # several ranges: all of it, as RFC 9110 allows
    ("items=0-1", 200, 0, SIZE),
    ("bytes=a-b", 200, 0, SIZE),
    ("bytes=", 200, 0, SIZE),
    ("bytes=-", 200, 0, SIZE),
    ("bytes=" + "9" * 5000 + "-", 200, 0, SIZE),
]


async def test_a_single_range_of_an_archive_is_sent_alone(stocked: httpx.AsyncClient) -> None:
    for wanted, status, start, end in RANGES:
        reply = await ask(stocked, "GET", PATH, headers={"range": wanted})
        assert (reply.status, reply.body) == (status, ARCHIVE[start:end]), wanted
        assert reply.headers["content-length"] == str(end - start)
        assert reply.headers["accept-ranges"] == "bytes"
        assert reply.headers.get("content-range") == (f"bytes {start}-{end - 1}/{SIZE}" if status == 206 else None)


@pytest.mark.parametrize("wanted", [f"bytes={SIZE}-", "bytes=99999999-", "bytes=-0"])
async def test_a_range_beyond_the_end_is_416(stocked: httpx.AsyncClient, wanted: str) -> None:
    reply = await ask(stocked, "GET", PATH, headers={"range": wanted})
    assert (reply.status, reply.headers["content-range"], reply.body) == (416, f"bytes */{SIZE}", b"")


async def test_head_knows_no_ranges(stocked: httpx.AsyncClient) -> None:
    reply = await ask(stocked, "HEAD", PATH, headers={"range": "bytes=0-1"})
    assert (reply.status, reply.headers["content-length"]) == (200, str(SIZE))


@pytest.mark.parametrize(("value", "status"), [("{etag}", 206), ('"old"', 200), ("W/{etag}", 200)])
async def test_if_range_sends_all_of_it_when_the_archive_has_changed(
    stocked: httpx.AsyncClient, value: str, status: int
) -> None:
    etag = (await ask(stocked, "GET", PATH)).headers["etag"]
    headers = {"range": "bytes=2-3", "if-range": value.format(etag=etag)}
    reply = await ask(stocked, "GET", PATH, headers=headers)
    assert (reply.status, reply.body) == (status, ARCHIVE[2:4] if status == 206 else ARCHIVE)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, "no-cache"),
        ({"disable_delete": "true"}, "no-cache"),
        ({"disable_force_overwrite": "true"}, "no-cache"),
        ({"disable_delete": "1", "disable_force_overwrite": "1", "allow_overwrite": "1"}, "no-cache"),
        ({"disable_delete": "1", "disable_force_overwrite": "1"}, "max-age=31536000, immutable"),
        (
            {"disable_delete": "1", "disable_force_overwrite": "1", "basic_auth_user": "a", "basic_auth_pass": "b"},
            "private, max-age=31536000, immutable",
        ),
        ({"basic_auth_user": "a", "basic_auth_pass": "b"}, "private, no-cache"),
        ({"basic_auth_user": "a", "basic_auth_pass": "b", "auth_anonymous_get": "true"}, "no-cache"),
    ],
)
async def test_an_archive_is_immutable_only_where_nothing_can_change_it(
    rooms: Rooms, flags: dict[str, str], expected: str
) -> None:
    async with rooms(**flags) as (client, _house):
        client.auth = httpx.BasicAuth("a", "b")
        await push(client, ARCHIVE)
        assert (await client.get(PATH)).headers["cache-control"] == expected


async def test_a_stored_object_that_vanished_is_our_fault_and_the_rest_keeps_working(
    rooms: Rooms, capsys: pytest.CaptureFixture[str]
) -> None:
    async with rooms(archive_cache_bytes="0") as (client, house):
        await push(client, ARCHIVE, other := make_chart("other"))
        digest = hashlib.sha256(ARCHIVE).hexdigest()
        await house.storage.delete(f".chartroom/blobs/sha256/{digest[:2]}/{digest}")
        for path in (PATH, "/api/charts/mychart/0.1.0/values", "/api/charts/mychart/0.1.0/templates"):
            response = await client.get(path)
            assert response.status_code == 500
            assert response.json() == {"error": f"the stored object sha256:{digest} is missing; tell the operator"}
        assert (await client.get("/charts/other-0.1.0.tgz")).content == other
        assert (await client.get("/index.yaml")).status_code == 200
    captured = capsys.readouterr()
    assert "stored object is missing" in captured.out + captured.err


async def test_a_deleted_archive_is_gone_at_once_and_an_uploaded_one_is_there_at_once(
    client: httpx.AsyncClient,
) -> None:
    assert (await client.get(PATH)).status_code == 404
    await push(client, ARCHIVE)
    assert (await client.get(PATH)).status_code == 200
    await client.delete("/api/charts/mychart/0.1.0")
    assert (await client.get(PATH)).status_code == 404


async def test_a_large_archive_comes_in_pieces_and_whole(client: httpx.AsyncClient) -> None:
    noise = b"".join(hashlib.sha512(b"%d" % number).digest() for number in range(20_000))
    await push(client, archive := make_chart("large", files={"noise.bin": noise}))
    assert len(archive) > 1_000_000
    reply = await ask(client, "GET", "/charts/large-0.1.0.tgz")
    assert reply.body == archive
    assert (await ask(client, "HEAD", "/charts/large-0.1.0.tgz")).headers["content-length"] == str(len(archive))
    part = await ask(client, "GET", "/charts/large-0.1.0.tgz", headers={"range": "bytes=500000-900000"})
    assert part.body == archive[500_000:900_001]
