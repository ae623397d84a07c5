"""The load of reads: `wrk` where it is installed, else a small client of our own."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit

_SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked: paths in turn, each with the same headers, over so many connections, for so many seconds."""

    paths: Sequence[str]
    seconds: float
    connections: int = 16
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Rate:
    """What came of it, each per second; `count` is how many requests there were."""

    requests: float
    bytes: float
    count: int


def load_tool() -> str:
    """Answer the name of the tool that makes the load."""
    return "wrk" if shutil.which("wrk") else "our own client"


def measure(url: str, load: Load) -> Rate:
    """Load a server. Raises RuntimeError when an answer is none of 2xx and 304, or a connection breaks."""
    if shutil.which("wrk") and load.seconds >= 1:  # wrk counts whole seconds
        return _run_wrk(url, load)
    return asyncio.run(_run_own(url, load))


def _run_wrk(url: str, load: Load) -> Rate:
    headers = [part for name, value in load.headers for part in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", f"-c{load.connections}", f"-d{round(load.seconds)}s", "--timeout", "20s", *headers]
    with tempfile.NamedTemporaryFile("w", suffix=".paths") as file:
        environment = dict(os.environ)
        if len(load.paths) > 1:
            file.write("\n".join(load.paths))
            file.flush()
            environment["BENCH_PATHS"] = file.name
        done = subprocess.run(
            [*command, "-s", str(_SCRIPT), url + load.paths[0]],
            env=environment, capture_output=True, text=True, timeout=load.seconds + 60, check=True,
        )  # fmt: skip
    words = done.stdout.rpartition("BENCH ")[2].split()
    requests, size, microseconds, errors = map(int, words[:4])
    if errors or not requests:
        raise RuntimeError(f"{url}{load.paths[0]}: {errors} errors in {requests} requests\n{done.stdout}")
    return Rate(requests * 1e6 / microseconds, size * 1e6 / microseconds, requests)


async def _run_own(url: str, load: Load) -> Rate:
    place = urlsplit(url)
    assert place.hostname is not None
    assert place.port is not None
    lines = "".join(f"{name}: {value}\r\n" for name, value in (("Host", place.netloc), *load.headers))
    requests = cycle([f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode() for path in load.paths])
    counts = [0, 0]
    started = time.perf_counter()

    async def one() -> None:
        reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=1 << 20)
        while time.perf_counter() - started < load.seconds:
            writer.write(next(requests))
            status, size = await read_answer(reader)
            if status not in (200, 304):
                raise RuntimeError(f"{url} answers {status}")
            counts[0] += 1
            counts[1] += size
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(one() for _ in range(load.connections)))
    seconds = time.perf_counter() - started
    return Rate(counts[0] / seconds, counts[1] / seconds, counts[0])


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, int]:
    """Read one answer to its end; answer its status and how many bytes its body had."""
    head = await reader.readuntil(b"\r\n\r\n")
    status, length = int(head[9:12]), 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line[15:])
    left = 0 if status == 304 else length
    while left:
        chunk = await reader.read(min(left, 1 << 18))
        if not chunk:
            raise RuntimeError("the server closed in the middle of an answer")
        left -= len(chunk)
    return status, length
