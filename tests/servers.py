"""Servers that tests need: each a process of its own on a free loopback port, ended by its own handle.

`FaultyProxy` runs in the test's process, so that the test can say what goes wrong next.
"""

from __future__ import annotations

import functools
import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit


def free_port() -> int:
    """Answer a loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(
    command: Sequence[str], port: int, *, seconds: float = 30, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; enter that once the port answers. Raises RuntimeError."""
    process = subprocess.Popen(
        command, env={**os.environ, **(environment or {})}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said: deque[bytes] = deque(maxlen=50)
    assert process.stdout is not None
    listener = threading.Thread(target=said.extend, args=(process.stdout,), daemon=True)
    listener.start()  # a pipe that nobody reads fills, and the server stops at its next line
    try:
        _wait(process, port, seconds, said)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        listener.join()
        process.stdout.close()


def _wait(process: subprocess.Popen[bytes], port: int, seconds: float, said: deque[bytes]) -> None:
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"{process.args!r} does not listen on {port}: {b''.join(said).decode(errors='replace')}")


@contextmanager
def moto_server() -> Iterator[str]:
    """Run moto's S3 server and answer its address."""
    port = free_port()
    with running([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def static_server(folder: Path) -> Iterator[str]:
    """Serve a folder as the plainest of web servers does."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Keep silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


Fault = Callable[["Exchange"], None]
"""Answers one request in the place of the server behind the proxy, or with its help."""


class Exchange(BaseHTTPRequestHandler):
    """One connection to the proxy. Faults use `forward` and `answer`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or a body waits up to 40 ms for the client to confirm the head
    owner: ClassVar[FaultyProxy]

    def handle_any(self) -> None:
        self.body = self._read_body()
        fault = self.owner.next_fault(f"{self.command} {self.path}")
        (fault or pass_on)(self)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any

    def _read_body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def forward(self) -> tuple[int, list[tuple[str, str]], bytes]:
        """Ask the server behind the proxy, and answer status, headers and body."""
        target = urlsplit(self.owner.target)
        assert target.hostname is not None
        connection = http.client.HTTPConnection(target.hostname, target.port, timeout=30)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
            connection.request(self.command, self.path, self.body, headers)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            connection.close()

    def answer(self, status: int, headers: Sequence[tuple[str, str]], body: bytes, *, cut: int | None = None) -> None:
        """Send an answer; with `cut`, only so many bytes of its body, and then hang up."""
        self.send_response_only(status)
        length = str(len(body))
        for name, value in headers:
            if name.lower() == "content-length":
                length = value  # an answer to HEAD has a length and no body
            elif name.lower() not in {"transfer-encoding", "connection"}:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Keep silent: the test's own output is what counts."""


class FaultyProxy:
    """A proxy in front of an S3 server. Each request takes the next of `faults`; without one it passes."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.faults: deque[Fault | None] = deque()
        self.always: Fault | None = None
        self.seen: list[str] = []
        self._lock = threading.Lock()
        handler = type("OwnedExchange", (Exchange,), {"owner": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FaultyProxy:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.daemon_threads = True
        self._server.server_close()
        self._thread.join()

    def next_fault(self, request: str) -> Fault | None:
        """Note a request and answer what becomes of it."""
        with self._lock:
            self.seen.append(request)
            return self.faults.popleft() if self.faults else self.always


def pass_on(exchange: Exchange) -> None:
    """Answer what the server behind answers."""
    exchange.answer(*exchange.forward())


def refuse(status: int, code: str) -> Fault:
    """Answer an S3 error."""

    def fault(exchange: Exchange) -> None:
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()
        headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
        exchange.answer(status, headers, b"" if exchange.command == "HEAD" else body)

    return fault


def cut(size: int) -> Fault:
    """Answer only the first `size` bytes of the body, then hang up."""

    def fault(exchange: Exchange) -> None:
        exchange.answer(*exchange.forward(), cut=size)

    return fault


def delay(seconds: float) -> Fault:
    """Answer late."""

    def fault(exchange: Exchange) -> None:
        time.sleep(seconds)
        pass_on(exchange)

    return fault


def hang_up(exchange: Exchange) -> None:
    """Close the connection without an answer."""
    exchange.close_connection = True


def then_hang_up(exchange: Exchange) -> None:
    """Let the server do what was asked, and close the connection without its answer."""
    exchange.forward()
    exchange.close_connection = True
