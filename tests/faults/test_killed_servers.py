"""Several servers on one store, killed at any moment, and a disk that is full for a while: what was acknowledged stays.

Moments are seeded. Clients go on while servers die and come back; afterwards the store is opened and read whole.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.charts import make_chart
from tests.faults.power.check import find_faults
from tests.faults.power.history import History
from tests.faults.power.recorder import ONLY_SYNCS_FAIL, Recorder
from tests.faults.power.site import Site
from tests.faults.power.trace import SETTINGS, finish, wait_until_it_takes_uploads
from tests.faults.power.traffic import Traffic
from tests.live import LiveServer, serve, wait_until_up

_END = 2**60
"""A place behind every step."""


class Clients:
    """Traffic to servers, with one history."""

    def __init__(self) -> None:
        self.history = History()
        self.draw = random.Random(0)
        self._places = itertools.count()
        self._tasks: list[asyncio.Task[None]] = []

    async def close(self) -> None:
        """Let no client go on after its test."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def start(self, traffic: Traffic) -> asyncio.Task[None]:
        task = asyncio.create_task(traffic.run())
        self._tasks.append(task)
        return task

    def send_to(
        self, server: LiveServer, count: int, *, patience: float = 0, recorder: Recorder | None = None
    ) -> Traffic:
        place = (lambda: recorder.length) if recorder else (lambda: next(self._places))
        return Traffic(server.url, self.history, place, seed=self.draw.randrange(2**31), count=count, patience=patience)

    async def wait_for(self, count: int, *running: asyncio.Task[None], seconds: float = 60) -> None:
        """Wait for so many more acknowledgements."""
        end, wanted = time.monotonic() + seconds, self.history.acknowledged() + count
        while self.history.acknowledged() < wanted:
            for task in running:
                if task.done():
                    task.result()
            assert time.monotonic() < end, "the servers acknowledge nothing more"
            await asyncio.sleep(0.002)


@pytest.fixture
async def clients() -> AsyncIterator[Clients]:
    made = Clients()
    yield made
    await made.close()


async def until(reached: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until it is so."""
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "it did not happen"
        await asyncio.sleep(0.01)


def has_refused(recorder: Recorder, count: int) -> bool:
    return recorder.refused >= count


def list_workers(server: LiveServer) -> list[int]:
    """Return the processes of a server's workers; multiprocessing's own helper is none."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = path.joinpath("stat").read_text().rpartition(")")[2].split()[1]
            command = path.joinpath("cmdline").read_text()
        except OSError:
            continue
        if int(parent) == server.process.pid and "spawn_main" in command:
            found.append(int(path.name))
    return found


@pytest.mark.parametrize("seed", [1, 2])
async def test_workers_that_are_killed_lose_nothing_and_come_back(tmp_path: Path, clients: Clients, seed: int) -> None:
    clients.draw.seed(seed)
    store = tmp_path / "store"
    with serve(store, "--workers", "2", **SETTINGS) as server:
        traffic = clients.send_to(server, 10_000, patience=30)
        running = clients.start(traffic)
        for _ in range(3):
            await clients.wait_for(clients.draw.randrange(5, 25), running)
            workers = list_workers(server)
            os.kill(clients.draw.choice(workers), signal.SIGKILL)
        await clients.wait_for(15, running)
        traffic.stop()
        await running
        await until(lambda: len(list_workers(server)) == 2)
        server.kill()
    assert await asyncio.to_thread(find_faults, store, clients.history.at(_END)) == []


@pytest.mark.parametrize("seed", [1, 2])
async def test_two_servers_of_one_database_lose_nothing_when_one_is_killed(
    tmp_path: Path, clients: Clients, seed: int
) -> None:
    clients.draw.seed(seed)
    store = tmp_path / "store"
    with ExitStack() as stack:
        servers = [stack.enter_context(serve(store, **SETTINGS)) for _ in range(2)]
        for _ in range(2):
            tasks = [clients.start(clients.send_to(server, 30)) for server in servers]
            await clients.wait_for(clients.draw.randrange(10, 30), *tasks)
            servers.pop(0).kill()
            await asyncio.gather(*tasks)
            servers.append(stack.enter_context(serve(store, **SETTINGS)))
        for server in servers:
            server.kill()
    assert await asyncio.to_thread(find_faults, store, clients.history.at(_END)) == []


def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    """Left alone they would keep the port, and the store's lease, until somebody finds them."""
    with serve(tmp_path / "store", "--workers", "2") as server:
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(10)
        end = time.monotonic() + 20
        while is_listening(server.url):
            assert time.monotonic() < end, "workers go on"
            time.sleep(0.1)
    with serve(tmp_path / "store") as server:
        assert httpx.post(f"{server.url}/api/charts", content=make_chart()).status_code == 201


def is_listening(url: str) -> bool:
    try:
        httpx.get(f"{url}/health", timeout=5)
    except httpx.TransportError:
        return False
    return True


async def test_a_second_catalogue_that_takes_over_has_all_that_the_killed_one_acknowledged(
    tmp_path: Path, clients: Clients
) -> None:
    """The first one's own database comes last, and learns what the second one took."""
    clients.draw.seed(3)
    settings = {**SETTINGS, "CHARTROOM_LEASE": "3s"}
    store = tmp_path / "store"
    with ExitStack() as stack:
        first = stack.enter_context(serve(store, **settings))
        second = stack.enter_context(
            serve(store, "--database", f"sqlite:///{tmp_path / 'second.db'}", wait_for="/health", **settings)
        )
        running = clients.start(clients.send_to(first, 60))
        await clients.wait_for(clients.draw.randrange(20, 40), running)
        first.kill()
        await running
        await asyncio.to_thread(wait_until_it_takes_uploads, second)
        running = clients.start(clients.send_to(second, 60))
        await clients.wait_for(clients.draw.randrange(15, 30), running)
        second.kill()
        await running
    assert await asyncio.to_thread(find_faults, store, clients.history.at(_END)) == []


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_disk_that_is_full_for_a_while_loses_nothing_and_tears_nothing(
    tmp_path: Path, clients: Clients, library: Path, site: Site, seed: int
) -> None:
    """Single writes and syncs fail at seeded moments; then there is room again, and the same server goes on."""
    clients.draw.seed(seed)
    store = tmp_path / "store"
    store.mkdir()
    recorder = Recorder(library, store, tmp_path / "record", seed=seed, delay=1000)
    with serve(store, **SETTINGS, **recorder.environment) as server:
        traffic = clients.send_to(server, 10_000, patience=10, recorder=recorder)
        running = clients.start(traffic)
        for per_mille in (30, 200, 1000):
            await clients.wait_for(8, running)
            enough = recorder.refused + 10
            recorder.fill(per_mille)
            await until(partial(has_refused, recorder, enough))
            recorder.fill(0)
        assert traffic.failures
        await clients.wait_for(30, running)
        traffic.stop()
        await running
        wait_until_up(server, "/-/ready")
        last = clients.send_to(server, 20, recorder=recorder)
        await last.run()
        assert last.failures == []
        with recorder.paused():
            server.kill()
    trace = finish(recorder, clients.history)
    assert trace.find_unseen() == []
    # On such a disk the power may fail, too, at the end or at any moment before.
    assert await asyncio.to_thread(site.crash, trace, seed, 10) == {}
    assert await asyncio.to_thread(find_faults, store, clients.history.at(_END)) == []
    assert await asyncio.to_thread(site.verify, store) == []


def test_a_sync_that_fails_acknowledges_nothing_and_the_server_goes_on(tmp_path: Path, library: Path) -> None:
    """Of SQLite's own sync nobody knows whether the commit is on the disk: that is 503, not 500, and not "nothing"."""
    store = tmp_path / "store"
    store.mkdir()
    recorder = Recorder(library, store, tmp_path / "record")
    with serve(store, **recorder.environment) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        recorder.set_flags(ONLY_SYNCS_FAIL)
        recorder.fill(1000)
        begun = client.post("/v2/mychart/blobs/uploads/")
        assert begun.status_code in (202, 503), begun.text  # a session need not survive, so it need not be synced
        refused = client.post("/api/charts", content=make_chart())
        assert refused.status_code in (503, 507), refused.text
        assert recorder.refused > 0
        recorder.fill(0)
        end = time.monotonic() + 20
        while (answer := client.post("/api/charts", content=make_chart())).status_code in (503, 507):
            assert time.monotonic() < end, answer.text
            time.sleep(0.2)
        assert answer.status_code in (201, 409), answer.text  # 409: the refused one "may be stored", and was
        assert client.get("/charts/mychart-0.1.0.tgz").content == make_chart()
    recorder.close()
