"""Clients that stop reading, send too slowly or send nothing: they cost little, are ended, and others are served."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.charts import make_chart
from tests.faults.harm import assert_works, read_resident
from tests.house import open_house
from tests.live import LiveServer, serve

CLIENTS = 100
_CHARTS, _TEXT = 80, 250_000


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answer a store whose index has 20 MB."""
    folder = tmp_path_factory.mktemp("stalled") / "store"
    asyncio.run(fill(folder))
    return folder


async def fill(folder: Path) -> None:
    async with open_house(folder) as (client, _house):
        for number in range(_CHARTS):
            content = make_chart(f"large{number}", description=f"{number} " + "words and words " * (_TEXT // 16))
            assert (await client.post("/api/charts", content=content)).status_code == 201


def connect(server: LiveServer) -> socket.socket:
    place = urlsplit(server.url)
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # so that little of a body lies in the kernel
    found.settimeout(20)
    found.connect((place.hostname, place.port))
    return found


def ask(server: LiveServer, request: bytes) -> socket.socket:
    found = connect(server)
    found.sendall(request)
    return found


@pytest.fixture(scope="module")
def server(store: Path) -> Iterator[LiveServer]:
    with serve(store, CHARTROOM_READ_TIMEOUT="2", CHARTROOM_WRITE_TIMEOUT="3") as found:
        yield found


@pytest.fixture
async def client(server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as found:
        yield found


GET_INDEX = b"GET /index.yaml HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_a_hundred_clients_that_stop_reading_cost_little_and_nobody_else(
    server: LiveServer, client: httpx.AsyncClient
) -> None:
    for _ in range(2):
        index = await client.get("/index.yaml", headers={"accept-encoding": "identity"})
        assert len(index.content) > 20_000_000
    before = read_resident(server)
    with ExitStack() as open_ones:
        for _ in range(CLIENTS):
            reader = open_ones.enter_context(ask(server, GET_INDEX))
            assert reader.recv(64).startswith(b"HTTP/1.1 200")
        assert read_resident(server) - before < 15
        began = time.monotonic()
        await assert_works(client, "others")
        assert (await client.get("/charts/large1-0.1.0.tgz")).status_code == 200
        assert time.monotonic() - began < 3
        await until_ended(server, CLIENTS)
    assert read_resident(server) - before < 15


def count_connections(server: LiveServer) -> int:
    """Answer how many of its sockets are connected (TCP: state 01), whoever is at the other end."""
    port = f":{urlsplit(server.url).port:04X}"
    lines = Path(f"/proc/{server.process.pid}/net/tcp").read_text().splitlines()[1:]
    rows = [line.split() for line in lines]
    return sum(row[1].endswith(port) and row[3] == "01" for row in rows)


async def until_ended(server: LiveServer, before: int, seconds: float = 12) -> None:
    """Wait until nearly all connections are gone; those that are in use may stay."""
    end = time.monotonic() + seconds
    while count_connections(server) > 5:
        assert time.monotonic() < end, f"{count_connections(server)} of {before} connections are still open"
        await asyncio.sleep(0.1)


async def test_clients_that_send_too_slowly_are_ended_and_leave_nothing(
    server: LiveServer, client: httpx.AsyncClient
) -> None:
    """Nothing, half a head, a head without its body, half a body: each is ended after READ_TIMEOUT."""
    begin = b"POST /api/charts HTTP/1.1\r\nHost: x\r\n"
    requests = [
        b"",
        b"GET /index",
        begin,
        begin + b"Content-Length: 1000\r\n\r\n",
        begin + b"Content-Length: 1000\r\n\r\nhalf",
        begin + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        begin + b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 900\r\n\r\n--b\r\n",
    ]
    before = read_resident(server)
    with ExitStack() as open_ones:
        slow = [open_ones.enter_context(ask(server, request)) for request in requests for _ in range(20)]
        await assert_works(client, "others")
        answers = await asyncio.gather(*(asyncio.to_thread(read_all, one) for one in slow))
    for number, answer in enumerate(answers):
        assert answer == b"" if number < 20 else answer.startswith(b"HTTP/1.1 408"), requests[number // 20]
    assert read_resident(server) - before < 15


def read_all(connection: socket.socket) -> bytes:
    """Read until the server hangs up."""
    received = []
    while piece := connection.recv(65536):
        received.append(piece)
    return b"".join(received)


async def test_a_client_that_reads_slowly_but_steadily_gets_everything(server: LiveServer) -> None:
    def read_slowly() -> int:
        with ask(server, GET_INDEX) as reader:
            received, end = 0, time.monotonic() + 4  # longer than the time that it may stand still
            while piece := reader.recv(262_144):
                received += len(piece)
                if received > 20_000_000:
                    break
                if time.monotonic() < end:
                    time.sleep(0.05)
            return received

    assert await asyncio.to_thread(read_slowly) > 20_000_000


async def test_clients_that_ask_again_and_again_without_reading_are_waited_for(
    server: LiveServer, client: httpx.AsyncClient
) -> None:
    """What is at hand is written at once, but not into memory without end."""
    again = b"GET /index.yaml HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n"
    for _ in range(3):
        packed = await client.get("/index.yaml", headers={"accept-encoding": "gzip"})
    size = int(packed.headers["content-length"])
    before = read_resident(server)
    with ExitStack() as open_ones:
        for _ in range(CLIENTS):
            open_ones.enter_context(ask(server, again * 100))
        await assert_works(client, "others")
        grown = read_resident(server) - before
        assert grown < 25 < CLIENTS * 100 * size / 1e6
        await until_ended(server, CLIENTS)
    assert (await client.get("/health")).status_code == 200
