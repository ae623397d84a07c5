"""Rows about memory: what the server process holds (VmRSS) after known work."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from tests.faults.harm import read_resident
from tests.live import LiveServer
from tests.load.bench import Bench
from tests.load.connection import Connection
from tests.load.findings import Finding, at_most, not_measured
from tests.load.servers import run_ours
from tests.load.uploading import upload_all

_SETTLE_SECONDS = 1.0


def measure_memory(bench: Bench) -> Iterator[Finding]:
    """All three rows, where the kernel tells."""
    if not Path("/proc/self/status").exists():
        yield not_measured("memory", "see below", "only Linux tells")
        return
    yield _measure_pulled(bench)
    yield _measure_cached(bench)
    yield _measure_stalled(bench)


def _measure_pulled(bench: Bench) -> Finding:
    """Serve the index of a real repository once and every archive in it once."""
    source = os.environ.get("CHARTROOM_TEST_INCUBATOR")
    if source:
        store, what = bench.folder / "incubator", "incubator"
        archives = [path.read_bytes() for path in sorted(Path(source, "packages").glob("*.tgz"))[: bench.scale.pulled]]
        with run_ours(store) as server:
            upload_all(server.url, archives)
    else:
        store, _ = bench.uploaded(bench.scale.pulled, size=20_000)
        what = f"{bench.scale.pulled:,} generated archives"
    with run_ours(store) as server, Connection(server.url) as connection:
        before = read_resident(server)
        index = orjson.loads(connection.get("/index.yaml", keep=True).body)
        urls = [url for versions in index["entries"].values() for version in versions for url in version["urls"]]
        for url in urls:
            assert connection.get(f"/{url}").status == 200
        after = read_resident(server)
    detail = f"{before:.0f} MB when ready, {len(urls):,} archives pulled"
    return at_most(f"memory: {what} served and pulled once", 110, after, "MB", detail=detail)


def _measure_cached(bench: Bench) -> Finding:
    with run_ours(bench.full()) as server, Connection(server.url) as connection:
        before = read_resident(server)
        plain = connection.get("/index.yaml").length
        with_plain = read_resident(server)
        packed = connection.get("/index.yaml", accept_encoding="gzip").length
        time.sleep(_SETTLE_SECONDS)
        after = read_resident(server)
    sizes = f"{plain / 1e6:.0f} MB plain and {packed / 1e6:.0f} MB gzip"
    detail = f"{before:.0f} MB when ready, {with_plain:.0f} MB with the plain one alone; {sizes}"
    return at_most(f"memory: {bench.scale.full:,} versions with index cached", 320, after, "MB", detail=detail)


def _measure_stalled(bench: Bench) -> Finding:
    store, readers = bench.filled(bench.scale.large), bench.scale.readers
    with run_ours(store) as server, ExitStack() as open_ones:
        with Connection(server.url) as connection:
            size = connection.get("/index.yaml").length
            connection.get("/index.yaml")
        time.sleep(_SETTLE_SECONDS)
        before = read_resident(server)
        for _ in range(readers):
            _stall(server, open_ones)
        time.sleep(_SETTLE_SECONDS)
        after = read_resident(server)
    work = f"memory: {readers} stalled readers of a {size / 1e6:.0f} MB index"
    return at_most(work, 10, after - before, "MB more", detail=f"{before:.0f} MB before, {after:.0f} MB with them")


def _stall(server: LiveServer, open_ones: ExitStack) -> None:
    """Ask for the index, wait for the first bytes of the answer, and read no more."""
    place = urlsplit(server.url)
    reader = open_ones.enter_context(socket.create_connection((place.hostname, place.port), timeout=20))
    reader.sendall(f"GET /index.yaml HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
    assert reader.recv(1024).startswith(b"HTTP/1.1 200")
