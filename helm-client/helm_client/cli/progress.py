"""How far a download or upload is: a bar on stderr when that is a terminal, one line at the end otherwise."""

from __future__ import annotations

import sys
import time

_SHOWN_AFTER = 0.5
"""Seconds before anything is shown: what is done by then needs no bar."""

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
