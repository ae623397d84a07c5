"""What only a real server and a real socket show: bodies that stop, come slowly or are too large, odd targets."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import random
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from tests.api.wire import stream
from tests.charts import make_chart
from tests.live import LiveServer, serve

LIMIT = 200_000
ARCHIVE = make_chart()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """Run a server with a small limit and little patience."""
    folder = tmp_path_factory.mktemp("live") / "data"
    flags = {"CHARTROOM_MAX_UPLOAD_SIZE": str(LIMIT), "CHARTROOM_READ_TIMEOUT": "1"}
    with serve(folder, **flags) as running:
        yield running


def talk(server: LiveServer, *pieces: bytes, pause: float = 0, end: bool = False) -> bytes:
    """Send bytes as they are, and answer all that comes back until the server closes or falls silent."""
    url = urlsplit(server.url)
    assert url.hostname
    with socket.create_connection((url.hostname, url.port or 80), timeout=5) as connection:
        with contextlib.suppress(OSError):  # the server may have closed by then
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)
            if end:
                connection.shutdown(socket.SHUT_WR)
        answer = b""
        connection.settimeout(2)
        try:
            while piece := connection.recv(65536):
                answer += piece
                if b"\r\n\r\n" in answer and not pause and not end:
                    break
        except OSError:  # silent for too long, or closed with bytes of ours unread
            pass
    return answer


def get_names(server: LiveServer) -> list[str]:
    """Answer the charts that are stored."""
    return list(httpx.get(f"{server.url}/api/charts").json())


def test_a_chunked_upload_is_taken(server: LiveServer) -> None:
    async def send() -> httpx.Response:
        async with httpx.AsyncClient() as client:
            pieces = [ARCHIVE[at : at + 100] for at in range(0, len(ARCHIVE), 100)]
            return await client.post(f"{server.url}/api/charts", content=stream(*pieces))

    response = asyncio.run(send())
    assert (response.status_code, response.text) == (201, '{"saved":true}')
    assert httpx.get(f"{server.url}/charts/mychart-0.1.0.tgz").content == ARCHIVE


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_told_so_and_the_connection_closed(server: LiveServer, chunked: bool) -> None:
    for size in (LIMIT + 1, 20 * LIMIT):
        body = (bytes(1000) for _ in range(-(-size // 1000))) if chunked else bytes(size)
        response = httpx.post(f"{server.url}/api/charts", content=body)
        assert response.status_code == 413
        assert response.json()["error"].startswith("request too large")
        assert response.headers["connection"] == "close"


def test_a_client_that_asks_first_need_not_send_what_is_too_large(server: LiveServer) -> None:
    head = b"POST /api/charts HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    assert talk(server, head % (LIMIT + 1)).startswith(b"HTTP/1.1 413 ")
    assert talk(server, head % 10).startswith(b"HTTP/1.1 100 ")


@pytest.mark.parametrize(
    "request_text",
    [
        b"POST /api/charts HTTP/1.1\r\nHost: x\r\nContent-Length: 150000\r\n\r\n",
        b"POST /api/charts HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
        b"POST /api/charts HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n",
        b"POST /api/charts HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
    ],
)
def test_a_client_that_goes_away_half_way_leaves_nothing(server: LiveServer, request_text: bytes) -> None:
    before = get_names(server)
    talk(server, request_text, make_chart("half"), end=True)
    assert get_names(server) == before
    assert httpx.get(f"{server.url}/health").status_code == 200


def test_a_body_that_comes_too_slowly_is_given_up(server: LiveServer) -> None:
    head = b"POST /api/charts HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    started = time.monotonic()
    answer = talk(server, head, b"a", b"b", b"c", pause=0.3)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"the body did not arrive within 1 s (READ_TIMEOUT); nothing was stored" in answer
    assert b"connection: close" in answer.lower()
    assert 0.9 < time.monotonic() - started < 4


def test_targets_reach_the_routes_decoded(server: LiveServer) -> None:
    url = urlsplit(server.url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=5)
    try:
        for target, status in (
            ("/org%2Findex.yaml", 200), ("//org//index.yaml", 200), ("/a+b/index.yaml", 200),
            ("/%C3%A4/index.yaml", 200),
            ("/../index.yaml", 400), ("/%2e%2e/index.yaml", 400), ("/%FF/index.yaml", 400), ("/%00/index.yaml", 400),
            ("/a%0d%0aSet-Cookie:x/index.yaml", 400), ("/index.yaml?" + "q" * 3000, 200), ("/" + "a" * 3000, 404),
            ("/nowhere%0d%0aX:y", 404),
        ):  # fmt: skip
            connection.request("GET", target)
            response = connection.getresponse()
            assert (response.status, len(response.read()) > 0) == (status, True), target
            assert response.getheader("x-request-id")
            assert response.getheader("set-cookie") is None
    finally:
        connection.close()


def test_files_that_the_kernel_sends_keep_their_turn(server: LiveServer) -> None:
    archive = make_chart("large", files={"icon.png": random.Random(1).randbytes(150_000)})
    httpx.post(f"{server.url}/api/charts", content=archive).raise_for_status()
    targets = ["/charts/large-0.1.0.tgz", "/index.yaml"] * 20
    for _ in range(2):  # the first answer is made, the second one kept
        wanted = {target: httpx.get(server.url + target, headers={"accept-encoding": ""}).content for target in targets}
    requests = [f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n" for target in targets]
    last = "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    url = urlsplit(server.url)
    with socket.create_connection((url.hostname or "", url.port or 80), timeout=5) as connection:
        connection.sendall("".join((*requests, last)).encode())
        answers = connection.makefile("rb")
        for target in targets:
            fields = list(iter(answers.readline, b"\r\n"))
            length = next(int(line.split()[1]) for line in fields if line.lower().startswith(b"content-length"))
            assert answers.read(length) == wanted[target], target
        assert answers.read().endswith(b'{"healthy":true}')


def test_head_has_the_length_of_get_and_no_body(server: LiveServer) -> None:
    for path in ("/", "/health", "/index.yaml", "/api/charts", "/metrics", "/nowhere", "/charts/none.tgz"):
        got = httpx.get(server.url + path, headers={"accept-encoding": "identity"})
        head = httpx.head(server.url + path, headers={"accept-encoding": "identity"})
        assert (head.status_code, head.content) == (got.status_code, b"")
        if path != "/metrics":
            assert head.headers["content-length"] == str(len(got.content))


def test_a_connection_is_kept_after_a_refused_upload(server: LiveServer) -> None:
    with httpx.Client(base_url=server.url) as client:
        assert client.post("/api/charts", content=b"no archive, but a body").status_code == 400
        assert client.put("/api/charts", content=bytes(100_000)).status_code == 404
        assert client.get("/health").status_code == 200


def test_request_lines_are_one_line_each(server: LiveServer) -> None:
    httpx.get(f"{server.url}/log%0aforged-line")
    time.sleep(0.5)
    text = server.log.read_text()
    assert "forged-line" in text
    assert not any(line.startswith("forged-line") for line in text.splitlines())
    assert "Traceback" not in text
