"""How far long work is: a line on stderr that changes when that is a terminal, one line at the end otherwise."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_SHOWN_AFTER = 0.5
"""Seconds before anything is shown: what is done by then needs no bar."""

_TOLD_AFTER = 5.0
"""Seconds that work of unknown length must take to be worth a line where nobody watches."""

_MIB = 1024 * 1024


class Progress:
    """Told of bytes as `helm_client.transfer.Progress`; `quiet` says nothing."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._is_terminal = sys.stderr.isatty()
        self._began: dict[str, float] = {}
        self._drawn = ""

    def __call__(self, name: str, done: int, total: int) -> None:
        """Note that `done` of `total` bytes (0: unknown) of a file have come or gone."""
        began = self._began.setdefault(name, time.monotonic())
        if self._quiet or time.monotonic() - began < _SHOWN_AFTER:
            return
        if self._is_terminal:
            share = f" of {total / _MIB:.1f} MiB ({100 * done // total} %)" if total else " MiB"
            self._draw(f"{name}: {done / _MIB:.1f}{share}")
            if done == total:
                self.finish()
        elif done == total:
            sys.stderr.write(f"{name}: {total / _MIB:.1f} MiB in {time.monotonic() - began:.1f} s\n")

    def finish(self) -> None:
        """Take the bar away."""
        if self._drawn:
            self._draw("")
            sys.stderr.write("\r")
            self._drawn = ""

    def _draw(self, line: str) -> None:
        sys.stderr.write(f"\r{line.ljust(len(self._drawn))}")
        sys.stderr.flush()
        self._drawn = line


@contextmanager
def ticking(what: str) -> Iterator[None]:
    """Show how many seconds something has taken, for work that cannot say how far it is."""
    began, done = time.monotonic(), threading.Event()
    if sys.stderr.isatty():
        clock = threading.Thread(target=_tick, args=(what, began, done), daemon=True)
        clock.start()
    try:
        yield
    finally:
        done.set()
        seconds = time.monotonic() - began
        if sys.stderr.isatty():
            clock.join()
        elif seconds >= _TOLD_AFTER:
            sys.stderr.write(f"{what}: {seconds:.1f} s\n")


def _tick(what: str, began: float, done: threading.Event) -> None:
    line = ""
    while not done.wait(1.0):
        line = f"{what}: {time.monotonic() - began:.0f} s"
        sys.stderr.write(f"\r{line}")
        sys.stderr.flush()
    if line:
        sys.stderr.write(f"\r{' ' * len(line)}\r")
        sys.stderr.flush()
