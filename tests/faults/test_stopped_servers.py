"""A server that stands still for longer than its lease: another one goes on, and it acknowledges nothing afterwards."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import httpx
import orjson

from tests.charts import make_chart
from tests.live import LiveServer, serve

_LEASE = 2.0
_ROUNDS = 3


class Uploads:
    """Clients that upload to one server until they are told to end. `acknowledged` are file names."""

    def __init__(self, server: LiveServer, prefix: str) -> None:
        self.acknowledged: set[str] = set()
        self._server = server
        self._prefix = prefix
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._upload, args=(number,)) for number in range(6)]

    def __enter__(self) -> Uploads:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _upload(self, client: int) -> None:
        with httpx.Client(base_url=self._server.url, timeout=30) as connection:
            for number in range(100_000):
                if self._ended.is_set():
                    return
                name = f"{self._prefix}{client}"
                answer = connection.post("/api/charts", content=make_chart(name, f"1.{number}.0"))
                assert answer.status_code in (201, 503), answer.text
                if answer.status_code == 201:
                    self.acknowledged.add(f"{name}-1.{number}.0.tgz")


def wait_until_it_writes(server: LiveServer) -> None:
    end = time.monotonic() + 30
    while httpx.get(f"{server.url}/-/ready?write", timeout=15).status_code != 200:
        assert time.monotonic() < end, httpx.get(f"{server.url}/-/ready?write").text
        time.sleep(0.1)


def list_files(server: LiveServer) -> set[str]:
    entries = orjson.loads(httpx.get(f"{server.url}/index.yaml", timeout=15).content)["entries"]
    return {entry["urls"][0].rpartition("/")[2] for versions in entries.values() for entry in versions}


def test_a_server_that_stood_still_for_longer_than_its_lease_acknowledges_nothing(tmp_path: Path) -> None:
    folder, lease = tmp_path / "store", {"CHARTROOM_LEASE": f"{_LEASE:g}s"}
    acknowledged: set[str] = set()
    with (
        serve(folder, "--database", f"sqlite:///{tmp_path / 'a.db'}", **lease) as first,
        serve(folder, "--database", f"sqlite:///{tmp_path / 'b.db'}", **lease) as second,
    ):
        servers = [first, second]
        for number in range(_ROUNDS):
            writing, waiting = servers[number % 2], servers[(number + 1) % 2]
            wait_until_it_writes(writing)
            with Uploads(writing, f"stopped{number}x") as uploads:
                time.sleep(0.7)
                os.kill(writing.process.pid, signal.SIGSTOP)
                try:
                    wait_until_it_writes(waiting)
                    with Uploads(waiting, f"went-on{number}x") as others:
                        time.sleep(1)
                finally:
                    os.kill(writing.process.pid, signal.SIGCONT)
                time.sleep(0.5)
            assert len(uploads.acknowledged) > 5
            assert len(others.acknowledged) > 5
            acknowledged |= uploads.acknowledged | others.acknowledged
        for server in servers:
            deadline = time.monotonic() + 20
            while acknowledged - list_files(server):  # the one that only reads follows
                assert time.monotonic() < deadline, sorted(acknowledged - list_files(server))[:5]
                time.sleep(0.2)
    with serve(folder, "--database", f"sqlite:///{tmp_path / 'new.db'}") as server:
        assert acknowledged <= list_files(server)
        assert "fork" not in server.log.read_text()
