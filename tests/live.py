"""A live server for tests: `chartroom serve` as its own process on a free loopback port, ended by its handle."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

START_SECONDS = 30.0


@dataclass
class LiveServer:
    """A running server: `url` has no slash at the end."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    _stopped: bool = field(default=False)

    def kill(self) -> None:
        """End it the hard way (SIGKILL), and its workers with it."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self._stopped = True

    def stop(self, seconds: float = 15) -> int:
        """Ask it to end (SIGTERM) and answer its exit code."""
        if not self._stopped:
            self.process.terminate()
            self._stopped = True
        return self.process.wait(seconds)


def find_free_port() -> int:
    """Answer a loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serve(folder: Path, *arguments: str, wait_for: str = "/-/ready", **environment: str) -> Iterator[LiveServer]:
    """Run `chartroom serve` on a folder until the block ends; extra arguments and environment as given."""
    port = find_free_port()
    command = [sys.executable, "-m", "app", "serve", "--port", str(port), *arguments]
    if "--storage" not in arguments:
        command += ["--storage", str(folder)]
    folder.mkdir(parents=True, exist_ok=True)
    log = folder.parent / f"{folder.name}-{port}.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, stdout=stream, stderr=stream, env={**os.environ, **environment}, start_new_session=True
        )
    scheme = "https" if environment.get("CHARTROOM_TLS_CERT") else "http"
    server = LiveServer(f"{scheme}://127.0.0.1:{port}", process, log)
    try:
        if wait_for:
            wait_until_up(server, wait_for)
        yield server
    finally:
        if process.poll() is None:
            try:
                server.stop()
            except subprocess.TimeoutExpired:
                server.kill()
                raise


def wait_until_up(server: LiveServer, path: str) -> None:
    """Wait until GET `path` answers 200; on failure show what the server said."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            break
        try:
            if httpx.get(f"{server.url}{path}", timeout=5, verify=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"the server did not come up:\n{server.log.read_text()}")
