"""How blocking work of a backend leaves the event loop: a bounded pool of threads of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Threads:
    """Runs functions in at most `workers` threads, which start when they are needed."""

    def __init__(self, workers: int, name: str) -> None:
        self.executor = ThreadPoolExecutor(workers, thread_name_prefix=name)

    async def run(self, work: Callable[[*Ts], T], *arguments: *Ts, undo: Callable[[T], object] | None = None) -> T:
        """Run blocking work in a thread.

        If the caller is cancelled meanwhile, work that has begun goes on to its end, unheard. `undo` then
        gets what it answered, on the event loop: to close what it opened.
        """
        future = asyncio.get_running_loop().run_in_executor(self.executor, work, *arguments)
        if undo is None:
            return await future
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            future.add_done_callback(partial(_undo, undo))
            raise

    def close(self) -> None:
        """Wait for the work that has begun, and let the threads go."""
        self.executor.shutdown()


def _undo(undo: Callable[[T], object], future: asyncio.Future[T]) -> None:
    if not future.cancelled() and future.exception() is None:
        undo(future.result())
