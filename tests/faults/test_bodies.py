"""Bodies that no chart can be read from: each text of Helm's loader over HTTP, too much, too little, too slowly."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.conftest import Rooms
from tests.api.wire import ask, sign, stream
from tests.charts import compress, make_chart, make_tar, pack
from tests.faults.harm import assert_works, error_of, take_stock, unharmed
from tests.live import LiveServer, serve

MEBIBYTE = 1024 * 1024
CHART = ("c/Chart.yaml", "name: c\nversion: 1.0.0\n")


def with_fields(text: str) -> bytes:
    return pack(("c/Chart.yaml", text))


REFUSED: dict[str, bytes] = {
    "EOF": b"",
    "gzip: invalid header": b"this is no archive",
    "unexpected EOF": b"short",
    "archive/tar: invalid tar header": compress(b"x" * 600),
    "no files in chart archive": compress(make_tar()),
    "Chart.yaml file is missing": pack(("c/values.yaml", "a: 1\n")),
    'chart illegally contains content outside the base directory: "flat"': pack(("flat", "x"), CHART),
    'chart illegally contains content outside the base directory: "Chart.yaml"': pack(("Chart.yaml", "name: c\n")),
    "chart illegally references parent directory": pack(CHART, ("c/../../x", "x")),
    "chart illegally contains absolute paths": pack(CHART, ("c//abs", "x")),
    "chart contains illegally named files": pack(CHART, ("c/C:/x", "x")),
    'decompressed chart file "c/big" is larger than the maximum file size 5242880': pack(
        CHART, ("c/big", bytes(5 * MEBIBYTE + 1))
    ),
    "decompressed chart is larger than the maximum file size 104857600": pack(
        CHART, *((f"c/{number}", bytes(5 * MEBIBYTE)) for number in range(20))
    ),
    "validation: chart.metadata.name is required": with_fields("version: 1.0.0\n"),
    "validation: chart.metadata.version is required": with_fields("name: c\n"),
    'validation: chart.metadata.version "abc" is invalid': with_fields("name: c\nversion: abc\n"),
    'validation: chart.metadata.name "../x" is invalid': with_fields("name: ../x\nversion: 1.0.0\n"),
    'validation: chart.metadata.name ".." is not allowed': with_fields("name: ..\nversion: 1.0.0\n"),
    "validation: chart.metadata.type must be application or library": with_fields(
        "name: c\nversion: 1.0.0\ntype: thing\n"
    ),
    'validation: more than one dependency with name or alias "d"': with_fields(
        "name: c\nversion: 1.0.0\ndependencies: [{name: d, version: 1.0.0}, {name: d, version: 1.0.0}]\n"
    ),
    'validation: dependency "d" has disallowed characters in the alias': with_fields(
        "name: c\nversion: 1.0.0\ndependencies: [{name: d, version: 1.0.0, alias: a/b}]\n"
    ),
    "validation: maintainers must not contain empty or null nodes": with_fields(
        "name: c\nversion: 1.0.0\nmaintainers: [null]\n"
    ),
    "error unpacking subchart s-1.tgz in c: unexpected EOF": pack(CHART, ("c/charts/s-1.tgz", "short")),
}

BEGINNINGS: dict[str, bytes] = {
    "cannot load Chart.yaml: error converting YAML to JSON: yaml: line 1: ": with_fields("name: [\n"),
    "cannot load values.yaml: error converting YAML to JSON: yaml: line 1: ": pack(CHART, ("c/values.yaml", "a: [\n")),
    "cannot load Chart.yaml: ": pack(("c/Chart.yaml", b'name: c\nversion: 1.0.0\ndescription: "\xff\xfe"\n')),
}

MORE_OF_THE_SAME = {
    "truncated gzip": (make_chart()[:100], "unexpected EOF"),
    "gzip of a little": (compress(b"x" * 100), "unexpected EOF"),
    "a name with a slash": (make_chart("a/b", top="c"), 'validation: chart.metadata.name "a/b" is invalid'),
    "four numbers": (make_chart(version="1.2.3.4"), 'validation: chart.metadata.version "1.2.3.4" is invalid'),
    "a leading zero": (make_chart(version="1.0.0-01"), 'validation: chart.metadata.version "1.0.0-01" is invalid'),
}


def cases() -> Iterator[tuple[bytes, str, bool]]:
    """Answer a body, what is said of it, and whether that is all."""
    yield from ((content, text, True) for text, content in REFUSED.items())
    yield from ((content, text, False) for text, content in BEGINNINGS.items())
    yield from ((content, text, True) for content, text in MORE_OF_THE_SAME.values())


async def test_each_text_of_the_loader_comes_to_raw_uploads_and_to_forms(rooms: Rooms) -> None:
    async with rooms() as (client, house), unharmed(client, Path(house.settings.storage)):
        for content, text, is_all in cases():
            raw = await client.post("/api/org/charts", content=content)
            form = await client.post("/api/org/charts", files={"chart": ("c.tgz", content)})
            both = await client.post("/api/charts?force", files={"chart": ("c.tgz", content), "prov": ("p", sign())})
            for answer in (raw, form, both):
                assert answer.status_code == 400, text
                assert error_of(answer) == text if is_all else error_of(answer).startswith(text)


async def test_provenance_that_is_none_is_refused_at_both_doors(rooms: Rooms) -> None:
    nowhere = sign("../../x")
    async with rooms() as (client, house), unharmed(client, Path(house.settings.storage)):
        for body in (b"", b"text", b"-----BEGIN PGP SIGNED MESSAGE-----\n", b"\xff" * 1000):
            answer = await client.post("/api/prov", content=body)
            assert (answer.status_code, error_of(answer)) == (500, "invalid provenance file")
            answer = await client.post("/api/charts", files={"prov": ("p", body)})
            assert (answer.status_code, error_of(answer)) == (400, "invalid provenance file")
        for answer in (
            await client.post("/api/prov", content=nowhere),
            await client.post("/api/charts", files={"prov": ("p", nowhere)}),
            await client.post("/api/charts", files={"prov": ("p", nowhere), "chart": ("c", make_chart())}),
        ):
            assert answer.status_code == 400
            assert error_of(answer).endswith("is improperly formatted")


async def test_forms_that_hold_no_file_say_which_fields_are_looked_at(rooms: Rooms) -> None:
    chart = make_chart()
    head = b'--b\r\nContent-Disposition: form-data; name="chart"; filename="c.tgz"\r\n\r\n'
    kind = {"content-type": "multipart/form-data; boundary=b"}
    bodies = [
        (kind, b""),
        (kind, b"--b--\r\n"),
        (kind, b"no boundary at all"),
        (kind, b"--b\r\n\r\nno headers\r\n--b--\r\n"),
        (kind, b'--b\r\nContent-Disposition: form-data; name="chart"\r\n\r\nno file\r\n--b--\r\n'),
        (kind, head.replace(b'"chart"', b'"archive"') + chart + b"\r\n--b--\r\n"),
        (kind, b"--b\r\n" + b"X" * 100_000),
        (kind, b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"x" * 2 * MEBIBYTE + b"\r\n--b--\r\n"),
        (kind, head.replace(b'"chart"', b'"a"') * 40 + b"--b--\r\n"),
        ({"content-type": "multipart/form-data"}, head + chart + b"\r\n--b--\r\n"),
        ({"content-type": "multipart/form-data; boundary=" + "b" * 5000}, head + chart),
        ({"content-type": "multipart/form-data; boundary=b; charset=nonsense"}, b"--b\xff"),
    ]
    async with rooms() as (client, house), unharmed(client, Path(house.settings.storage)):
        for headers, body in bodies:
            answer = await client.post("/api/charts", content=body, headers=headers)
            assert answer.status_code == 400, body[:80]
            assert error_of(answer) == "no package or provenance file found in form fields chart and prov"


async def test_a_body_over_the_limit_is_refused_however_it_comes(rooms: Rooms) -> None:
    limit = 100_000
    form = {"content-type": "multipart/form-data; boundary=b"}
    start = b'--b\r\nContent-Disposition: form-data; name="chart"; filename="c.tgz"\r\n\r\n'
    piece, pieces = b"x" * 8192, limit // 8192 + 1
    async with rooms(max_upload_size=str(limit)) as (client, house), unharmed(client, Path(house.settings.storage)):
        for path in ("/api/charts", "/api/org/prov?force"):
            replies = [
                await ask(client, "POST", path, headers={"content-length": str(limit + 1)}, chunks=[b"never read"]),
                await ask(client, "POST", path, chunks=[piece] * pieces),
            ]
            if not path.endswith("?force"):
                replies += [
                    await ask(client, "POST", path, headers=form, chunks=[start, *[piece] * pieces]),
                    await ask(client, "POST", path, headers={**form, "content-length": str(limit + 1)}),
                ]
            for reply in replies:
                assert reply.status == 413
                assert reply.headers["content-type"] == "application/json; charset=utf-8"
                assert reply.headers["connection"] == "close"
                assert reply.body == b'{"error":"request too large: the limit is 100000 bytes (MAX_UPLOAD_SIZE)"}'
        largest = await client.post("/api/charts", content=stream(*[b"x" * 10_000] * 10))
        assert (largest.status_code, error_of(largest)) == (400, "gzip: invalid header")


# -------------------------------------------------------------------------------- what only a socket can do


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with serve(tmp_path_factory.mktemp("bodies") / "store", CHARTROOM_READ_TIMEOUT="1") as found:
        yield found


@pytest.fixture
async def live(server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        yield client


def folder_of(server: LiveServer) -> Path:
    return next(path for path in server.log.parent.iterdir() if path.is_dir())


def connect(server: LiveServer) -> socket.socket:
    url = httpx.URL(server.url)
    assert url.port is not None
    return socket.create_connection((url.host, url.port), timeout=10)


def send(server: LiveServer, *pieces: bytes) -> None:
    """Send these bytes and hang up."""
    with connect(server) as sender:
        for piece in pieces:
            sender.sendall(piece)


async def test_a_body_that_stops_half_way_stores_nothing(server: LiveServer, live: httpx.AsyncClient) -> None:
    chart = make_chart("half")
    form = b'--b\r\nContent-Disposition: form-data; name="chart"; filename="c.tgz"\r\n\r\n' + chart + b"\r\n"
    begin = b"POST /api/charts HTTP/1.1\r\nHost: x\r\n"
    is_form = b"Content-Type: multipart/form-data; boundary=b\r\n"
    async with unharmed(live, folder_of(server)):
        # The whole chart each time, so that only the missing end can be what keeps it out.
        for request in (
            begin + b"Content-Length: %d\r\n\r\n" % (len(chart) + 1) + chart,
            begin + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(chart), chart),
            begin + is_form + b"Content-Length: %d\r\n\r\n" % (len(form) + 7) + form,
            begin + is_form + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(form), form),
            begin.replace(b"charts", b"prov") + b"Content-Length: 5000\r\n\r\n" + sign("half"),
            begin + b"Content-Length: 1000\r\n\r\n",
        ):
            await asyncio.to_thread(send, server, request)
        await wait_for_line(server, "POST /api/prov 400")


async def wait_for_line(server: LiveServer, text: str) -> None:
    for _ in range(200):
        if text in server.log.read_text():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"the log never says {text}")


def converse(server: LiveServer, request: bytes) -> bytes:
    """Send bytes and answer all that comes back until the server hangs up."""
    with connect(server) as sender:
        sender.sendall(request)
        return b"".join(iter(lambda: sender.recv(65536), b""))


async def test_a_body_that_comes_too_slowly_is_ended(server: LiveServer, live: httpx.AsyncClient) -> None:
    request = b"POST /api/charts HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf"
    async with unharmed(live, folder_of(server)):
        answer = await asyncio.to_thread(converse, server, request)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b'{"error":"the body did not arrive within 1 s (READ_TIMEOUT); nothing was stored"}' in answer
        assert b"connection: close" in answer


async def test_what_is_no_http_is_answered_and_ended(server: LiveServer, live: httpx.AsyncClient) -> None:
    begin = b"POST /api/charts HTTP/1.1\r\nHost: x\r\n"
    async with unharmed(live, folder_of(server)):
        for request in (
            begin + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            begin + b"Content-Length: -5\r\n\r\n",
            begin + b"Content-Length: 99999999999999999999999\r\n\r\n",
            begin + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            begin + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n",
            b"GET /\xff\xfe/index.yaml HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\x1b[31m\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        ):
            answer = await asyncio.to_thread(converse, server, request)
            assert answer.startswith(b"HTTP/1.1 400"), request


async def test_a_body_that_would_be_too_large_is_refused_before_it_is_sent(server: LiveServer) -> None:
    request = b"POST /api/charts HTTP/1.1\r\nHost: x\r\nContent-Length: 30000000\r\nExpect: 100-continue\r\n\r\n"
    answer = await asyncio.to_thread(converse, server, request)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"100 Continue" not in answer


async def test_a_sender_that_is_refused_does_not_disturb_others(rooms: Rooms) -> None:
    """Half the uploads of a crowd are broken in some way; the other half is stored, and only that."""
    async with rooms() as (client, house):
        bad = [content for content, _, _ in cases() if len(content) < MEBIBYTE]
        good = [make_chart("good", f"1.{number}.0") for number in range(len(bad))]
        answers = await asyncio.gather(
            *(client.post("/api/charts", content=body) for pair in zip(bad, good, strict=True) for body in pair)
        )
        assert [answer.status_code for answer in answers] == [400, 201] * len(bad)
        stock = await take_stock(client, Path(house.settings.storage))
        assert len(stock.rows["chart_versions"]) == len(good)
        assert sum("/blobs/" in path for path in stock.files) == len(good)
        await assert_works(client)
