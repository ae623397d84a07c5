"""The load of uploads: clients that each keep a connection, and send charts that were made before the clock runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

import uvloop

from tests.load.generated import make_archive
from tests.load.reading import read_answer

CLIENTS = 8
_BOUNDARY = "----chartroom-bench"
_FORM_HEAD = (
    f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="chart"; filename="chart.tgz"\r\n'
    "Content-Type: application/gzip\r\n\r\n"
).encode()
_FORM_TAIL = f"\r\n--{_BOUNDARY}--\r\n".encode()


class Supply:
    """Charts that nobody has yet: new versions of charts that are there, 20 KB each.

    Two supplies with different `major` never make the same version.
    """

    def __init__(self, charts: int, *, major: int = 7) -> None:
        self._charts = min(charts, 100)
        self._major = major
        self._made = 0

    def take(self, count: int) -> list[bytes]:
        """Answer `count` archives, each a new version."""
        numbers = range(self._made, self._made + count)
        self._made += count
        return [make_archive(number % self._charts, f"{self._major}.{number}.0", size=20_000) for number in numbers]


def as_body(archive: bytes) -> tuple[str, bytes]:
    """Answer content type and body of an upload with `curl --data-binary`."""
    return "application/gzip", archive


def as_form(archive: bytes) -> tuple[str, bytes]:
    """Answer content type and body of an upload with `curl -F chart=@...`."""
    return f"multipart/form-data; boundary={_BOUNDARY}", _FORM_HEAD + archive + _FORM_TAIL


def upload_all(url: str, archives: Iterable[bytes], *, form: bool = False, clients: int = CLIENTS) -> float:
    """Upload archives and answer the seconds it took. Raises RuntimeError unless each is answered 201."""
    render = as_form if form else as_body
    host = urlsplit(url).netloc
    requests = [
        f"POST /api/charts HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode() + body
        for kind, body in map(render, archives)
    ]  # fmt: skip
    return uvloop.run(_send_all(url, requests, clients))


async def _send_all(url: str, requests: Sequence[bytes], clients: int) -> float:
    place = urlsplit(url)
    waiting = iter(requests)

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for request in waiting:
            writer.write(request)
            status, _ = await read_answer(reader)
            if status != 201:
                raise RuntimeError(f"{url} answers {status} to an upload")

    connections = [await asyncio.open_connection(place.hostname, place.port) for _ in range(clients)]
    started = time.perf_counter()
    await asyncio.gather(*(one(*connection) for connection in connections))
    seconds = time.perf_counter() - started
    for _, writer in connections:
        writer.close()
        await writer.wait_closed()
    return seconds
