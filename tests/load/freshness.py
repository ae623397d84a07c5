"""Rows about what a reader sees after an upload: how soon, and on which worker."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from statistics import median

from app.domain.names import archive_name
from tests.live import START_SECONDS, LiveServer
from tests.load.bench import Bench
from tests.load.compare import median_difference
from tests.load.connection import Connection
from tests.load.findings import Finding, at_most, not_measured
from tests.load.generated import make_archive, name_chart
from tests.load.servers import run_ours

_TRIES = 200


def measure_first_index(bench: Bench) -> Iterator[Finding]:
    """The first index after an upload at 100,000 versions against a warm one, plain and gzip."""
    scale = bench.scale
    with run_ours(bench.full()) as server, Connection(server.url) as connection, Connection(server.url) as uploader:
        for kind, accepted in (("plain", "identity"), ("gzip", "gzip")):
            size = connection.get("/index.yaml", accept_encoding=accepted).length
            firsts: list[float] = []
            warm: list[float] = []
            for number in range(scale.fresh):
                chart = number * 37 % max(1, scale.full // 10)  # spread over the whole index
                archive = make_archive(chart, f"8.{number}.0-{kind}", size=20_000)
                answer = uploader.post("/api/charts", archive)
                assert answer.status == 201, f"upload {number}: {answer.status} {answer.body!r}"
                firsts.append(connection.get("/index.yaml", accept_encoding=accepted).seconds * 1000)
                warm.append(connection.get("/index.yaml", accept_encoding=accepted).seconds * 1000)
            detail = f"{median(firsts):.1f} ms against {median(warm):.1f} ms"
            work = f"first index after an upload, {scale.full:,} versions ({size / 1e6:.1f} MB), {kind}, against warm"
            yield at_most(work, 10, median_difference(firsts, warm), "ms more", detail=detail)


def measure_stale_reads(bench: Bench) -> Iterator[Finding]:
    """Two workers: after each acknowledged upload the index and the archive are read from the other one."""
    work, target = f"two workers: stale reads from the other worker after {bench.scale.acknowledged:,} uploads", "0"
    if not Path("/proc/net/tcp").exists():
        yield not_measured(work, target, "only Linux tells which worker holds a connection")
        return
    store = bench.folder / "workers"
    with run_ours(store, "--workers", "2") as server, ExitStack() as open_ones:
        pair = _connect_to_each_worker(server, open_ones)
        stale = sum(_is_stale(number, *pair[:: 1 if number % 2 else -1]) for number in range(bench.scale.acknowledged))
    yield Finding(work, target, str(stale), "ok" if stale == 0 else "MISSED", "index and archive read each time")


def _is_stale(number: int, writer: Connection, reader: Connection) -> bool:
    chart, version = number % 50, f"1.{number}.0"
    archive = make_archive(chart, version, size=20_000)
    answer = writer.post("/api/charts", archive)
    assert answer.status == 201, f"upload {number}: {answer.status} {answer.body!r}"
    filename = archive_name(name_chart(chart), version)
    listed = f"charts/{filename}".encode() in reader.get("/index.yaml", keep=True).body
    pulled = reader.get(f"/charts/{filename}", keep=True)
    return not listed or pulled.body != archive


def _connect_to_each_worker(server: LiveServer, open_ones: ExitStack) -> list[Connection]:
    """Open connections until two of them lie with different workers; answer those two."""
    found: dict[int, Connection] = {}
    for _ in range(_TRIES):
        connection = open_ones.enter_context(Connection(server.url))
        connection.get("/health")
        found.setdefault(_find_holder(server, connection), connection)
        if len(found) == 2:
            _wait_until_ready(found.values())
            return list(found.values())
    raise RuntimeError(f"after {_TRIES} connections only one worker has answered")


def _wait_until_ready(connections: Iterable[Connection]) -> None:
    """Each worker opens the store by itself, and answers 503 until it has."""
    deadline = time.monotonic() + START_SECONDS
    for connection in connections:
        while connection.get("/-/ready").status != 200:
            if time.monotonic() > deadline:
                raise RuntimeError("a worker does not become ready")
            time.sleep(0.05)


def _find_holder(server: LiveServer, connection: Connection) -> int:
    """Answer the process that holds the other end of a connection, by the kernel's tables."""
    port = int(server.url.rpartition(":")[2])
    ends = f":{port:04X}", f":{connection.local_port:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inode = next(line[9] for line in lines if line[1].endswith(ends[0]) and line[2].endswith(ends[1]))
    for process in _list_descendants(server.process.pid):
        descriptors = Path(f"/proc/{process}/fd")
        if f"socket:[{inode}]" in _list_targets(descriptors):
            return process
    raise RuntimeError("no worker holds this connection")


def _list_descendants(process: int) -> list[int]:
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(child) for child in children] + [below for child in children for below in _list_descendants(int(child))]


def _list_targets(descriptors: Path) -> Iterator[str]:
    """Answer what a process's descriptors are; those that it closes meanwhile are left out."""
    for path in descriptors.iterdir():
        with suppress(FileNotFoundError):
            yield os.readlink(path)
