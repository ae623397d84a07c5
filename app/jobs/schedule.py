"""What runs by the clock inside a server process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from app.errors import AppError, Kind
from app.metrics import WorkerCounts
from app.services.collect import Collector
from app.services.opening import Opening
from app.services.snapshots import Snapshots
from storage import StorageError

_SAVE_SECONDS = 1.0
_TENURE_SECONDS = 2.0
_SNAPSHOT_SECONDS = 600.0

_log = structlog.get_logger(__name__)


class Schedule:
    """Renews the right to write, rescans ChartMuseum's files every `rescan_seconds`, collects garbage every
    `collect_seconds` (0: never), writes snapshots of the ledger, and leaves counts for the other workers.
    """

    def __init__(
        self, opening: Opening, snapshots: Snapshots, workers: WorkerCounts, collector: Collector, *,
        rescan_seconds: float, collect_seconds: float,
    ) -> None:  # fmt: skip
        self._opening = opening
        self._snapshots = snapshots
        self._workers = workers
        self._collector = collector
        self._rescan_seconds = rescan_seconds
        self._collect_seconds = collect_seconds
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start all jobs."""
        if self._rescan_seconds > 0:
            self._tasks.append(asyncio.create_task(_repeat(self._rescan_seconds, self._opening.rescan)))
        if self._collect_seconds > 0:
            self._tasks.append(asyncio.create_task(_repeat(self._collect_seconds, self._collect)))
        look_seconds = min(_TENURE_SECONDS, self._opening.lease_seconds / 10)
        self._tasks += [
            asyncio.create_task(_repeat(look_seconds, self._opening.keep_tenure)),
            asyncio.create_task(_repeat(_SNAPSHOT_SECONDS, self._write_snapshots)),
            asyncio.create_task(_repeat(_SAVE_SECONDS, self._save)),
        ]

    async def stop(self) -> None:
        """Stop all jobs; one that is at work ends where it stands, which every job survives."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _write_snapshots(self) -> None:
        await self._opening.look_again()
        if await self._opening.is_first("snapshots"):
            await self._snapshots.run()

    async def _collect(self) -> None:
        await self._opening.look_again()
        if await self._opening.is_first("garbage"):
            await self._collector.run()

    async def _save(self) -> None:
        self._workers.save()


async def _repeat(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except (StorageError, AppError, OSError) as error:
            is_ours = isinstance(error, AppError) and error.kind is Kind.FAULT  # it will not go away by itself
            tell = _log.error if is_ours else _log.warning
            tell("job failed; it runs again later", job=work.__qualname__, error=str(error))
        except Exception as error:  # a job that dies unheard would end the right to write with it
            _log.error("job failed; it runs again later", job=work.__qualname__, exc_info=error)
