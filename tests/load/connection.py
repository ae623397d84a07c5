"""One blocking connection with a clock: what a single client sees, at the least cost of its own."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit

_ROOM = 1 << 20


@dataclass(frozen=True, slots=True)
class Seen:
    """An answer; `seconds` from the first byte sent to the last received. `body` is empty unless it was wanted."""

    status: int
    headers: dict[str, str]
    body: bytes
    length: int
    seconds: float


class Connection:
    """Keeps one connection to a server."""

    def __init__(self, url: str, *, timeout: float = 60) -> None:
        place = urlsplit(url)
        assert place.hostname is not None
        assert place.port is not None
        self._host = place.netloc
        self._socket = socket.create_connection((place.hostname, place.port), timeout=timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._room = memoryview(bytearray(_ROOM))

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    @property
    def local_port(self) -> int:
        """Our end's port."""
        port: int = self._socket.getsockname()[1]
        return port

    def get(self, path: str, *, keep: bool = False, **headers: str) -> Seen:
        """GET; the body is only kept when `keep` says so. Names of headers are written with underscores."""
        return self._ask("GET", path, b"", headers, keep=keep)

    def post(self, path: str, body: bytes, **headers: str) -> Seen:
        """POST a body."""
        return self._ask("POST", path, body, headers, keep=True)

    def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str], *, keep: bool) -> Seen:
        fields = {"host": self._host, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if method == "POST":
            fields["content-length"] = str(len(body))
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        started = time.perf_counter()
        self._socket.sendall(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._receive()
        head, _, rest = received.partition(b"\r\n\r\n")
        first, *others = head.decode("latin-1").split("\r\n")
        answered = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in others)}
        status = int(first.split()[1])
        length = 0 if status == 304 else int(answered.get("content-length", "0"))
        parts, left = [rest], length - len(rest)
        while left > 0:
            chunk = self._receive() if keep else b""
            left -= len(chunk) if keep else self._skip()
            parts.append(chunk)
        seconds = time.perf_counter() - started
        return Seen(status, answered, b"".join(parts) if keep else b"", length, seconds)

    def _receive(self) -> bytes:
        chunk = self._socket.recv(_ROOM)
        if not chunk:
            raise RuntimeError("the server closed in the middle of an answer")
        return chunk

    def _skip(self) -> int:
        size = self._socket.recv_into(self._room)
        if not size:
            raise RuntimeError("the server closed in the middle of an answer")
        return size
