"""Other people's repositories for tests: a real HTTP server whose answers the test writes down."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

_LONGEST_STALL = 60.0  # seconds


@dataclass
class Answer:
    """What the server says under one path. `fails` times it says 503 first; `cut` bytes are all it sends.

    After `stall` bytes it says no more, and keeps the connection until the test ends. Otherwise `pace` seconds lie
    between one eighth and the next.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    fails: int = 0
    cut: int | None = None
    stall: int | None = None
    pace: float = 0.0


class FakeRepository:
    """A server on a loopback port: `answers` by path (with the query, if there is one), `seen` requests in order."""

    def __init__(self, account: str = "") -> None:
        self.answers: dict[str, Answer] = {}
        self.seen: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.account = account
        self.stopped = threading.Event()
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def start(self) -> None:
        """Answer requests from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def find(self, path: str) -> Answer:
        """Note a request and answer what becomes of it."""
        self.seen.append(path)
        answer = self.answers.get(path, Answer(b"not found", 404))
        if answer.fails:
            answer.fails -= 1
            return Answer(b"busy", 503)
        return answer


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Keep silent about clients that went away."""


class _Handler(BaseHTTPRequestHandler):
    owner: ClassVar[FakeRepository]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or a body waits up to 40 ms for the client to confirm the head

    def do_GET(self) -> None:
        self.owner.headers.append(dict(self.headers.items()))
        answer = self.owner.find(self.path)
        wanted = "Basic " + base64.b64encode(self.owner.account.encode()).decode()
        if self.owner.account and self.headers.get("Authorization") != wanted:
            answer = Answer(b"who are you", 401)
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        body = answer.body[: answer.cut if answer.stall is None else answer.stall]
        step = -(-len(body) // 8) if answer.pace else len(body)
        for start in range(0, len(body), step or 1):
            self.wfile.write(body[start : start + step])
            time.sleep(answer.pace)
        if answer.cut is not None:
            self.close_connection = True
        if answer.stall is not None:
            self.owner.stopped.wait(_LONGEST_STALL)

    def log_message(self, format: str, *args: object) -> None:
        """Keep silent."""


@contextmanager
def fake_repository(account: str = "") -> Iterator[FakeRepository]:
    """Run a server until the block ends; with `account` ("user:password") it lets nobody else in."""
    server = FakeRepository(account)
    server.start()
    try:
        yield server
    finally:
        server.stop()
