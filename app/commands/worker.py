"""`chartroom worker`: the scheduled jobs in a process without HTTP."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from app.commands.house import open_house
from app.logs import configure_logs
from app.settings import Settings


async def work(settings: Settings, write: Callable[[str], None]) -> int:
    """Run the scheduled jobs until SIGTERM or SIGINT; answer the exit code. Raises AppError, StorageError."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with open_house(settings) as house:
        configure_logs(level=settings.level, as_json=settings.log_json)  # it runs for long: its log is all there is
        house.schedule.start()
        write("Chartroom's worker is at work; SIGTERM ends it")
        await stopped.wait()
    return 0
