"""A server under the recorder: what clients did, what it acknowledged, and everything that reached the disk."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from tests.faults.power.disk import Disk, Kind, Record, Tree, read_log, read_tree
from tests.faults.power.history import Allowed, History, Key
from tests.faults.power.recorder import Recorder
from tests.faults.power.traffic import Traffic
from tests.live import LiveServer, serve

# Garbage goes quickly, so that its way is interrupted too.
SETTINGS = {"CHARTROOM_GC_INTERVAL": "300ms", "CHARTROOM_GC_GRACE": "200ms", "CHARTROOM_LOG_LEVEL": "warning"}
_SURVIVALS = (0.0, 0.0, 0.3, 0.7, 0.95, 1.0)


@dataclass(frozen=True, slots=True)
class Crash:
    """One state in which a power loss may leave the store, and what must be and may be in it."""

    seed: int
    place: int
    survival: float
    tree: Tree
    expected: dict[Key, Allowed]

    def __str__(self) -> str:
        return f"crash {self.seed} at byte {self.place} of the log, {self.survival:.0%} of what was not synced survive"


@dataclass(slots=True)
class Trace:
    """A recorded server: `history` with the places at which its answers left."""

    recorder: Recorder
    history: History
    records: list[Record]

    def make_disk(self) -> Disk:
        return Disk(self.recorder.root, self.recorder.base, self.recorder.inodes)

    def crashes(self, seed: int, count: int) -> Iterator[Crash]:
        """Return crashes at seeded places, in the order of the log."""
        draw = random.Random(seed)
        plans = sorted((self._choose_place(draw), draw.randrange(2**31), draw.choice(_SURVIVALS)) for _ in range(count))
        disk, records = self.make_disk(), iter(self.records)
        for place, number, survival in plans:
            while disk.end < place:
                disk.apply(next(records))
            yield Crash(number, place, survival, disk.crash(number, survival), self.history.at(place))

    def _choose_place(self, draw: random.Random) -> int:
        """Where an answer has just left, just before a sync has ended, or anywhere."""
        chance = draw.random()
        if chance < 0.4 and (answers := [record.end for record in self.records if record.kind is Kind.ANSWER]):
            return draw.choice(answers)
        if chance < 0.7 and (syncs := [record.place for record in self.records if record.kind is Kind.SYNC]):
            return draw.choice(syncs)
        return draw.choice(self.records).end

    def find_unseen(self) -> list[str]:
        """Return the paths at which the folder is not what was recorded; SQLite writes its `-shm` through memory."""
        disk = self.make_disk()
        for record in self.records:
            disk.apply(record)
        seen, found = disk.latest(), read_tree(self.recorder.folder)
        return [
            path
            for path in sorted(seen.keys() | found.keys())
            if not (path.endswith("-shm") and path in seen and seen[path] is None) and seen.get(path) != found.get(path)
        ]


def finish(recorder: Recorder, history: History) -> Trace:
    """Read what was recorded."""
    records = read_log(recorder.log)
    history.set_answers({record.name: record.end for record in records if record.kind is Kind.ANSWER})
    return Trace(recorder, history, records)


def wait_until_it_takes_uploads(server: LiveServer, seconds: float = 60) -> None:
    """Wait until a server may write: one whose catalogue is new waits for the lease of the lost one to end."""
    end = time.monotonic() + seconds
    with httpx.Client(base_url=server.url, timeout=30) as client:
        while (answer := client.post("/api/charts", content=b"no chart")).status_code != 400:
            assert time.monotonic() < end, f"the server takes no uploads: {answer.status_code} {answer.text}"
            time.sleep(0.2)


def record(
    recorder: Recorder, history: History, *, seed: int, counts: tuple[int, ...] = (32, 20), workers: int = 1
) -> Trace:
    """Record one server after another on the recorder's folder, each with so many changes by its clients.

    All but the last are killed in the middle of their work; the last is told to end.
    """
    draw = random.Random(seed)
    for index, count in enumerate(counts):
        is_last = index == len(counts) - 1
        arguments = ("--workers", str(workers))
        with serve(recorder.folder, *arguments, **SETTINGS, **recorder.environment) as server:
            wait_until_it_takes_uploads(server)
            traffic = Traffic(server.url, history, lambda: recorder.length, seed=draw.randrange(2**31), count=count)
            stop_after = None if is_last else history.acknowledged() + draw.randrange(count // 2, count)
            asyncio.run(_drive(traffic, server, recorder, stop_after))
            assert not traffic.failures, traffic.failures
    return finish(recorder, history)


async def _drive(traffic: Traffic, server: LiveServer, recorder: Recorder, stop_after: int | None) -> None:
    running = asyncio.create_task(traffic.run())
    if stop_after is not None:
        while traffic.history.acknowledged() < stop_after and not running.done():
            await asyncio.sleep(0.001)
        with recorder.paused():
            server.kill()
    await running
