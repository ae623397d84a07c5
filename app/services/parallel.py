"""Work for many items, so many of them at one time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def for_each(parallel: int, work: Callable[[T], Awaitable[object]], items: Iterable[T]) -> None:
    """Run `work` for every item; each is taken when its turn comes.

    The first error ends the others, and is raised when they have ended.
    """
    waiting = iter(items)

    async def take_turns() -> None:
        for item in waiting:
            await work(item)

    tasks = [asyncio.create_task(take_turns()) for _ in range(parallel)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def gather(parallel: int, work: Callable[[T], Awaitable[R]], items: Sequence[T]) -> list[R]:
    """Run `work` for every item, also after an error; return the results in order, or raise the first error."""
    results: dict[int, R] = {}
    errors: dict[int, Exception] = {}

    async def keep(place: int) -> None:
        try:
            results[place] = await work(items[place])
        except Exception as error:  # raised at the end: nothing goes on behind the back of the caller
            errors[place] = error

    await for_each(parallel, keep, range(len(items)))
    if errors:
        raise errors[min(errors)]
    return [results[place] for place in range(len(items))]
