"""How the index is revalidated and compressed: HEAD, ETag, Accept-Encoding, Cache-Control."""

from __future__ import annotations

import re
import zlib

import httpx
import pytest
import zstandard

from tests.api.conftest import Rooms
from tests.api.wire import Reply, ask, push
from tests.charts import make_chart


async def test_head_answers_the_headers_of_get(client: httpx.AsyncClient) -> None:
    await push(client, make_chart())
    for headers in ({}, {"accept-encoding": "gzip"}, {"accept-encoding": "zstd"}):
        got = await ask(client, "GET", "/index.yaml", headers=headers)
        head = await ask(client, "HEAD", "/index.yaml", headers=headers)
        assert head.body == b""
        assert int(head.headers["content-length"]) == len(got.body)
        assert _without_id(head) == _without_id(got)


def _without_id(reply: Reply) -> dict[str, str]:
    return {name: value for name, value in reply.headers.items() if name != "x-request-id"}


async def test_if_none_match_answers_304_for_the_current_etag(client: httpx.AsyncClient) -> None:
    await push(client, make_chart())
    etag = (await ask(client, "GET", "/index.yaml")).headers["etag"]
    rows = [
        (etag, 304), (f"W/{etag}", 304), (f'"other", {etag}', 304), (f'"other",{etag} , "more"', 304), ("*", 304),
        (etag.strip('"'), 200), ('"other"', 200),
    ]  # fmt: skip
    for value, status in rows:
        for method in ("GET", "HEAD"):
            reply = await ask(client, method, "/index.yaml", headers={"if-none-match": value})
            assert reply.status == status, value
            assert (reply.headers["etag"], reply.headers["cache-control"]) == (etag, "no-cache")
            if status == 304:
                assert reply.body == b""
                assert "content-type" not in reply.headers
                assert reply.headers["vary"] == "accept-encoding"


async def test_the_etag_differs_by_content_encoding_format_view_and_repository(client: httpx.AsyncClient) -> None:
    await push(client, make_chart())
    await push(client, make_chart(), to="/api/org/charts")
    asked = [("/index.yaml", coding) for coding in ("identity", "gzip", "zstd")]
    asked += [(path, "identity") for path in ("/index.yaml?format=yaml", "/~latest-1/index.yaml", "/org/index.yaml")]
    asked += [("/unknown/index.yaml", "identity")]
    etags = [(await ask(client, "GET", path, headers={"accept-encoding": c})).headers["etag"] for path, c in asked]
    assert len(set(etags)) == len(asked)
    await push(client, make_chart("other"))
    assert (await ask(client, "GET", "/index.yaml")).headers["etag"] not in etags
    assert (await ask(client, "GET", "/org/index.yaml")).headers["etag"] in etags
    assert all(re.fullmatch('"[^"]+"', etag) for etag in etags)


ACCEPTED: list[tuple[str | None, str | None]] = [
    (None, None),
    *(("", None), ("identity", None), ("br", None), ("gzip", "gzip"), ("zstd", "zstd"), ("GZIP", "gzip")),
    *(("gzip, deflate, br", "gzip"), ("gzip, deflate, br, zstd", "zstd"), ("gzip;q=1.0, zstd;q=0.5", "gzip")),
    *(("gzip;q=0", None), ("gzip;q=0.0, *", "zstd"), ("*;q=0", None), ("identity;q=1, gzip;q=0.5", None)),
    *(("gzip;q=0.5, identity;q=0.5", "gzip"), ("gzip; q=0.2", "gzip"), ("gzip;q=x", None), ("gzip;q=nan", None)),
    *(("deflate,gzip;q=1.0,*;q=0.5", "gzip"), ("," * 500 + "gzip", "gzip")),
]


async def test_a_body_is_compressed_as_accept_encoding_asks(client: httpx.AsyncClient) -> None:
    await push(client, *(make_chart(version=f"0.1.{number}") for number in range(3)))
    plain = await ask(client, "GET", "/index.yaml")
    for accepted, encoding in ACCEPTED:
        headers = {} if accepted is None else {"accept-encoding": accepted}
        reply = await ask(client, "GET", "/index.yaml", headers=headers)
        assert reply.headers.get("content-encoding") == encoding, accepted
        assert reply.headers["vary"] == "accept-encoding"
        assert int(reply.headers["content-length"]) == len(reply.body)
        assert _decode(reply.body, encoding) == plain.body


def _decode(body: bytes, encoding: str | None) -> bytes:
    if encoding == "gzip":
        return zlib.decompress(body, wbits=31)
    if encoding == "zstd":
        with zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=True) as reader:
            return reader.read()
    return body


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_a_changed_index_decompresses_too(client: httpx.AsyncClient, encoding: str) -> None:
    for number in range(30):
        await push(client, make_chart(f"chart{number * 7 % 30}", f"0.1.{number}"))
        for path in ("/index.yaml", "/~latest-2/index.yaml", "/index.yaml?format=yaml"):
            plain = await ask(client, "GET", path)
            reply = await ask(client, "GET", path, headers={"accept-encoding": encoding})
            assert _decode(reply.body, encoding) == plain.body


async def test_shared_caches_must_ask_again_and_private_ones_alone_may_keep_what_needs_credentials(
    rooms: Rooms,
) -> None:
    account = {"basic_auth_user": "me", "basic_auth_pass": "secret"}
    for flags, expected in (
        ({}, "no-cache"),
        (account, "private, no-cache"),
        ({**account, "auth_anonymous_get": "1"}, "no-cache"),
    ):
        async with rooms(**flags) as (client, _house):
            response = await client.get("/index.yaml", auth=("me", "secret"))
        assert response.headers["cache-control"] == expected
