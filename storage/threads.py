"""How blocking work of a backend leaves the event loop: a bounded set of threads of its own.

The way there and back costs 15 us of Python; that of `concurrent.futures` costs 70, which is what a small write takes.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@dataclass(slots=True)
class _Job:
    work: Callable[..., Any]
    arguments: tuple[Any, ...]
    undo: Callable[[Any], object] | None
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


class Threads:
    """Runs functions in at most `workers` threads, which start when they are needed.

    `executor` is for libraries that want one; it starts its threads only if they use it.
    """

    def __init__(self, workers: int, name: str) -> None:
        self.executor = ThreadPoolExecutor(workers, thread_name_prefix=name)
        self._workers = workers
        self._name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    async def run(self, work: Callable[[*Ts], T], *arguments: *Ts, undo: Callable[[T], object] | None = None) -> T:
        """Run blocking work in a thread.

        If the caller is cancelled meanwhile, work that has begun goes on to its end, unheard. `undo` then
        gets what it answered, on the event loop: to close what it opened.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if len(self._threads) < self._workers:
            self._start_one()
        self._jobs.put(_Job(work, arguments, undo, loop, future))
        try:
            return await future
        except asyncio.CancelledError:
            # Cancelled when the result was there and not handed over yet.
            if undo is not None and future.done() and not future.cancelled() and future.exception() is None:
                undo(future.result())
            raise

    def close(self, seconds: float = 1.0) -> None:
        """Wait for the work that has begun, `seconds` at most, and let the threads go.

        A server that does not answer would keep the process for minutes; what is left ends with the process.
        """
        for _ in self._threads:
            self._jobs.put(None)
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._threads.clear()
        self.executor.shutdown(wait=False)

    def _start_one(self) -> None:
        thread = threading.Thread(target=self._work, name=f"{self._name}_{len(self._threads)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if job.future.cancelled():
                continue
            result, error = None, None
            try:
                result = job.work(*job.arguments)
            except BaseException as caught:
                error = caught
            with suppress(RuntimeError):  # the loop was closed: nobody waits any more
                job.loop.call_soon_threadsafe(_settle, job, result, error)
            del job, result, error  # an idle thread holds on to nothing


def _settle(job: _Job, result: Any, error: BaseException | None) -> None:
    if job.future.cancelled():
        if error is None and job.undo is not None:
            job.undo(result)
    elif error is not None:
        job.future.set_exception(error)
    else:
        job.future.set_result(result)
