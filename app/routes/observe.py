"""What every request leaves behind: its id on the response, a line in the log, counts for /metrics.

The hot reads pay for it too, so a request only leaves a note here (0.3 us); notes become lines and counts together,
a few times a second.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

import orjson

from app.metrics import Requests

_FLUSH_SECONDS = 0.05
_MANY = 2000
"""Notes that are written down at once, however soon: half a megabyte of lines."""

_PROBES = ("/health", "/-/ready")
_LEVELS = {200: "INFO", 201: "INFO", 206: "INFO", 304: "INFO", 404: "WARN"}


Note = tuple[float, float, str, tuple[str, int] | None, str, str, int, bytes, int, int]
"""A request that was answered: when (since 1970) and how long it took, both in seconds; the path as it was asked for,
the client's address, the method, the route's template, the status, the request id; bytes sent and received.

A plain tuple of plain values: made in 0.1 us, and the garbage collector need not follow it.
"""


@dataclass(frozen=True, slots=True)
class LogForm:
    """How request lines look: ChartMuseum's `--log-json`, `--log-latency-integer` and `--log-health`."""

    as_json: bool = False
    integer_latency: bool = False
    health: bool = False


@dataclass(slots=True)
class Observer:
    """Counts and writes down requests. `stream` is where lines go."""

    requests: Requests
    form: LogForm = field(default_factory=LogForm)
    stream: BinaryIO = field(default_factory=lambda: sys.stderr.buffer)
    _count: int = 0
    _waiting: list[Note] = field(default_factory=list)

    def finish(self, note: Note) -> None:
        """Note a request that was answered."""
        waiting = self._waiting
        waiting.append(note)
        if len(waiting) == 1:
            asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self.flush)
        elif len(waiting) >= _MANY:
            self.flush()

    def flush(self) -> None:
        """Count the waiting notes and write their lines."""
        notes, self._waiting = self._waiting, []
        render = self._render_json if self.form.as_json else _render_text
        lines = []
        for note in notes:
            _, seconds, _, _, method, route, status, _, sent, received = note
            self.requests.add(status, method, route, seconds, sent, received)
            if route not in _PROBES or self.form.health:
                self._count += 1
                lines.append(render(self._count, note))
        self.stream.write("".join(lines).encode("utf-8", "replace"))
        self.stream.flush()

    def _render_json(self, count: int, note: Note) -> str:
        finished, seconds, path, client, method, _, status, request_id, *_ = note
        line = {
            "L": _LEVELS.get(status, "ERROR"),
            "T": _render_moment(finished),
            "M": f"[{count}] Request served",
            "path": path,
            "comment": "",
            "clientIP": client[0] if client else "",
            "method": method,
            "statusCode": status,
            "latency": int(seconds * 1e9) if self.form.integer_latency else _render_duration(seconds),
            "reqID": request_id.decode("latin-1"),
        }
        return orjson.dumps(line).decode() + "\n"


def build_request_ids() -> Callable[[], bytes]:
    """Answer a maker of request ids: UUIDs (version 4) with a random beginning for this process, then counted on."""
    head = secrets.token_hex(8)
    prefix = f"{head[:8]}-{head[8:12]}-4{head[13:16]}-a{secrets.token_hex(2)[1:]}-"
    count = secrets.randbelow(1 << 40)

    def make_request_id() -> bytes:
        nonlocal count
        count += 1
        return b"%s%012x" % (start, count & 0xFFFFFFFFFFFF)

    start = prefix.encode()
    return make_request_id


def _render_text(count: int, note: Note) -> str:
    finished, seconds, path, client, method, _, status, request_id, *_ = note
    if not path.isprintable():  # a path may hold line breaks once it is decoded; a log line is one line
        path = ascii(path)[1:-1]
    took = f"{seconds * 1e6:.3f}µs" if seconds < 1e-3 else _render_duration(seconds)
    level, address, name = _LEVELS.get(status, "ERROR"), client[0] if client else "", request_id.decode("latin-1")
    return f"{_render_moment(finished)} {level} [{count}] {method} {path} {status} {took} {address} {name}\n"


def _render_duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.3f}µs"
    return f"{seconds * 1e3:.3f}ms" if seconds < 1 else f"{seconds:.3f}s"


_last_second: tuple[int, str] = (0, "")


def _render_moment(moment: float) -> str:
    global _last_second
    second = int(moment)
    if _last_second[0] != second:
        _last_second = (second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)))
    return f"{_last_second[1]}.{int((moment - second) * 1000):03d}Z"
