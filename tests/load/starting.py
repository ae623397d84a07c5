"""Rows about starting: how soon a server answers, and what it has imported by then."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tests.live import find_free_port
from tests.load.bench import Bench
from tests.load.compare import median_difference, median_ratio
from tests.load.connection import Connection
from tests.load.findings import Finding, at_most
from tests.load.servers import ROOT

_GIVE_UP_SECONDS = 60
_UNWANTED = ("boto3", "botocore", "jinja2", "sqlalchemy.orm")


def measure_start(bench: Bench) -> Iterator[Finding]:
    """From the command until /health answers, and until the whole index has come: 100,000 versions against none."""
    full, empty = bench.full(), bench.filled(0)
    times: dict[str, list[tuple[float, float]]] = {"full": [], "empty": []}
    for _ in range(bench.scale.starts):
        for name, store in (("full", full), ("empty", empty)):
            times[name].append(_start(store))
    health, index = ({name: [pair[at] for pair in pairs] for name, pairs in times.items()} for at in (0, 1))
    versions = f"{bench.scale.full:,} versions against none"
    detail = "{:.2f} s against {:.2f} s".format(*(median(health[name]) for name in times))
    yield at_most(
        f"start until /health answers, {versions}",
        1.2,
        median_ratio(health["full"], health["empty"]),
        "x",
        detail=detail,
    )
    detail = "{:.2f} s against {:.2f} s".format(*(median(index[name]) for name in times))
    difference = median_difference(index["full"], index["empty"])
    yield at_most(f"start until the index answers, {versions}", 1.0, difference, "s more", detail=detail)


def _start(store: Path) -> tuple[float, float]:
    """Answer after how many seconds /health and then the index answered; the server is ended."""
    port = find_free_port()
    command = [sys.executable, "-m", "app", "serve", "--port", str(port), "--storage", str(store)]
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return tuple(_wait(port, path, started) for path in ("/health", "/index.yaml"))  # type: ignore[return-value]
    finally:
        process.terminate()
        process.wait(15)


def _wait(port: int, path: str, started: float) -> float:
    while time.perf_counter() - started < _GIVE_UP_SECONDS:
        try:
            with Connection(f"http://127.0.0.1:{port}") as connection:
                if connection.get(path).status == 200:
                    return time.perf_counter() - started
        except (ConnectionError, RuntimeError):
            pass
        time.sleep(0.005)
    raise RuntimeError(f"{path} does not answer 200")


def measure_imports(bench: Bench) -> Iterator[Finding]:
    """Which modules nobody needs on a filesystem are imported after the first index and archive requests."""
    store, plain = bench.uploaded(bench.scale.small, size=20_000)
    archive = next((plain / "charts").iterdir()).name
    port = find_free_port()
    command = [sys.executable, "-m", "tests.load.witness", "serve", "--port", str(port), "--storage", str(store)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        _wait(port, "/index.yaml", time.perf_counter())
        _wait(port, f"/charts/{archive}", time.perf_counter())
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write("modules\n")
        process.stdin.flush()
        line = next(line for line in process.stderr if line.startswith("modules: "))
    finally:
        process.terminate()
        process.communicate(timeout=15)
    modules = set(line.split()[1:])
    found = [name for name in _UNWANTED if name in modules]
    yield Finding(
        "boto3, jinja2 and the ORM after the first index request", "not imported",
        ", ".join(found) or "not imported", "MISSED" if found else "ok", f"{len(modules):,} modules are",
    )  # fmt: skip
