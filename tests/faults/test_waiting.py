"""Requests that wait for a store which does not open: bounded in time and memory, and no hindrance to the end."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.buckets import make_bucket
from tests.charts import make_chart
from tests.faults.harm import read_resident
from tests.live import LiveServer, serve
from tests.servers import Exchange, FaultyProxy, pass_on, refuse

_BODY = 19_000_000  # a little less than the largest body


@contextmanager
def closed_store(
    endpoint: str, folder: Path, *arguments: str, hangs: bool = False
) -> Iterator[tuple[LiveServer, FaultyProxy]]:
    """Run a server whose bucket refuses everything, or never answers; `proxy.always = None` opens it."""
    done = threading.Event()

    def hang(exchange: Exchange) -> None:
        done.wait(60)
        pass_on(exchange)

    with FaultyProxy(endpoint) as proxy:
        bucket, environment = make_bucket(endpoint)
        environment["CHARTROOM_STORAGE_AMAZON_ENDPOINT"] = proxy.url
        proxy.always = hang if hangs else refuse(503, "SlowDown")
        place = ("--storage", f"s3://{bucket}/charts", "--database", f"sqlite:///{folder}/chartroom.db")
        try:
            with serve(folder / "server", *place, *arguments, wait_for="/health", **environment) as server:
                yield server, proxy
        finally:
            done.set()


def address(server: LiveServer) -> tuple[str, int]:
    url = httpx.URL(server.url)
    assert url.port is not None
    return url.host, url.port


def test_a_store_that_does_not_open_is_waited_for_ten_seconds_and_no_longer(tmp_path: Path, s3_endpoint: str) -> None:
    with closed_store(s3_endpoint, tmp_path) as (server, proxy), ThreadPoolExecutor(8) as pool:
        began = time.monotonic()
        upload = make_chart("early")
        waiting = [
            pool.submit(httpx.get, f"{server.url}/index.yaml", timeout=30),
            pool.submit(httpx.get, f"{server.url}/charts/a-1.0.0.tgz", timeout=30),
            pool.submit(httpx.get, f"{server.url}/v2/a/manifests/1.0.0", timeout=30),
            pool.submit(httpx.get, f"{server.url}/api/search?q=a", timeout=30),
            pool.submit(httpx.post, f"{server.url}/api/charts", content=upload, timeout=30),
            pool.submit(httpx.post, f"{server.url}/v2/a/blobs/uploads/", timeout=30),
        ]
        page = pool.submit(httpx.get, f"{server.url}/", timeout=30)
        for path, status in (("/health", 200), ("/-/ready", 503), ("/-/ready?write", 503)):
            assert httpx.get(f"{server.url}{path}").status_code == status
        assert time.monotonic() - began < 3, "these do not wait"
        for answer in [future.result() for future in waiting]:
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5"), answer.request.url
            assert "not ready yet (storage or database do not answer" in answer.text
        assert (page.result().status_code, "not ready yet" in page.result().text) == (200, True)
        assert 9 < time.monotonic() - began < 15
        late = pool.submit(httpx.post, f"{server.url}/api/charts", content=upload, timeout=30)
        time.sleep(0.5)
        proxy.always = None
        assert late.result().status_code == 201, "as soon as it opens"


def test_waiting_uploads_are_not_read_into_memory(tmp_path: Path, s3_endpoint: str) -> None:
    with closed_store(s3_endpoint, tmp_path) as (server, _proxy):
        before = read_resident(server)
        head = b"POST /api/charts HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % _BODY
        connections = [socket.create_connection(address(server)) for _ in range(20)]
        end = time.monotonic() + 3
        for connection in connections:
            connection.sendall(head)
            connection.setblocking(False)
        while time.monotonic() < end:
            for connection in connections:
                with suppress(BlockingIOError):
                    connection.send(bytes(100_000))
            time.sleep(0.01)
        assert read_resident(server) - before < 30, "20 bodies of 19 MB wait outside"
        for connection in connections:
            connection.close()


def test_a_client_that_leaves_is_not_waited_for(tmp_path: Path, s3_endpoint: str) -> None:
    with closed_store(s3_endpoint, tmp_path) as (server, proxy):
        for request in (b"GET /left/index.yaml", b"DELETE /api/charts/left/1.0.0", b"GET /v2/left/tags/list"):
            with socket.create_connection(address(server)) as connection:
                connection.sendall(request + b" HTTP/1.1\r\nHost: x\r\n\r\n")
                time.sleep(0.3)
        end = time.monotonic() + 3
        while sum(line.count("left") for line in server.log.read_text().splitlines()) < 3:
            assert time.monotonic() < end, server.log.read_text()
            time.sleep(0.05)
        proxy.always = None


@pytest.mark.parametrize("hangs", [False, True], ids=["refused", "hanging"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_ends_in_time_while_it_opens_and_requests_wait(
    tmp_path: Path, s3_endpoint: str, workers: str, hangs: bool
) -> None:
    async def ask(server: LiveServer) -> None:
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
            asks = [client.get("/index.yaml") for _ in range(5)]
            asks += [client.post("/api/charts", content=make_chart("early")) for _ in range(5)]
            waiting = [asyncio.ensure_future(one) for one in asks]
            await asyncio.sleep(1)
            assert not any(one.done() for one in waiting)
            server.process.terminate()
            answers = await asyncio.gather(*waiting)
            assert [answer.status_code for answer in answers] == [503] * 10
            assert all("retry-after" in answer.headers for answer in answers)

    with closed_store(s3_endpoint, tmp_path, "--workers", workers, hangs=hangs) as (server, _proxy):
        began = time.monotonic()
        asyncio.run(ask(server))
        code = server.process.wait(20)
        took = time.monotonic() - began - 1
        assert took < 10, f"it took {took:.1f} s to end"
        assert code in (0, -15)
