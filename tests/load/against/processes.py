"""What a process and its children cost: their CPU time, read from /proc."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_UTIME, _CHILDREN_STIME = 11, 14  # fields of /proc/PID/stat after the command's name (proc(5))
_SETTLE_SECONDS = 0.1


def list_processes(root: int) -> list[int]:
    """Return the id of a process and of everything that it started and that still runs."""
    found = [root]
    for process in found:
        for children in Path(f"/proc/{process}/task").glob("*/children"):
            with suppress(OSError):  # a thread, or the process, has just ended
                found += map(int, children.read_text().split())
    return found


def read_cpu(root: int) -> float:
    """Return the CPU seconds, user and system, of a process, its children, and those of them that have ended."""
    ticks = 0
    for process in list_processes(root):
        try:
            stat = Path(f"/proc/{process}/stat").read_text()
        except OSError:  # it has just ended: its parent has its time
            continue
        ticks += sum(map(int, stat.rpartition(")")[2].split()[_UTIME : _CHILDREN_STIME + 1]))
    return ticks * _TICK


class Meter:
    """Measures a block: `cpu` is what the processes spent until shortly after it, so that late work counts too."""

    def __init__(self, root: int) -> None:
        self._root = root
        self.cpu = 0.0

    def __enter__(self) -> Meter:
        self._before = read_cpu(self._root)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        time.sleep(_SETTLE_SECONDS)
        self.cpu = read_cpu(self._root) - self._before
