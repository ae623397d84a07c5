"""Counts of this process for /metrics, under ChartMuseum's names, and how those of all workers are added up.

A request costs one dictionary look-up and a few additions here; Prometheus's own types are only built when
somebody scrapes. With several workers each leaves its counts in a file of a shared folder once a second.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric, SummaryMetricFamily

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds: Prometheus's defaults, which ChartMuseum uses."""

_SECONDS, _SENT, _RECEIVED = len(BUCKETS) + 1, len(BUCKETS) + 2, len(BUCKETS) + 3


class Kind(NamedTuple):
    """What requests are told apart by; `route` is a template, never a path, so that there are few."""

    code: int
    method: str
    route: str


class Requests:
    """Request counts: for each kind the histogram's buckets, then seconds, bytes sent, bytes received."""

    def __init__(self) -> None:
        self.counts: dict[Kind, list[float]] = {}

    def add(self, code: int, method: str, route: str, seconds: float, sent: int, received: int) -> None:
        """Count one request; `seconds` is how long it took, `sent` and `received` are bodies in bytes."""
        kind = (code, method, route)  # as a key the same as a Kind, and made faster
        row = self.counts.get(kind)  # type: ignore[call-overload]
        if row is None:
            row = self.counts[Kind(*kind)] = [0.0] * (len(BUCKETS) + 4)
        row[bisect_left(BUCKETS, seconds)] += 1
        row[_SECONDS] += seconds
        row[_SENT] += sent
        row[_RECEIVED] += received


class WorkerCounts:
    """The counts of all workers, by way of one file each in `folder` (None: this process is the only one)."""

    def __init__(self, requests: Requests, folder: Path | None, *, settle: Callable[[], None] = lambda: None) -> None:
        self._requests = requests
        self._settle = settle  # counts what still waits to be counted
        self._folder = folder

    def save(self) -> None:
        """Leave this process's counts for the others. A file is replaced whole."""
        self._settle()
        if self._folder is None:
            return
        rows = [[*kind, row] for kind, row in self._requests.counts.items()]
        target = self._folder / f"{os.getpid()}.json"
        fresh = target.with_suffix(".new")
        fresh.write_text(json.dumps(rows))
        fresh.replace(target)

    def collect_counts(self) -> dict[Kind, list[float]]:
        """Answer the sum over all workers, also those that have ended: a counter never goes back."""
        self._settle()
        total: dict[Kind, list[float]] = {kind: list(row) for kind, row in self._requests.counts.items()}
        for rows in self._read_others():
            for code, method, route, row in rows:
                kind = Kind(code, method, route)
                total[kind] = [a + b for a, b in zip(total.get(kind, [0.0] * len(row)), row, strict=True)]
        return total

    def _read_others(self) -> Iterator[list[tuple[int, str, str, list[float]]]]:
        if self._folder is None:
            return
        for path in self._folder.glob("*.json"):
            if path.stem != str(os.getpid()):
                yield json.loads(path.read_text())


def render_request_metrics(counts: dict[Kind, list[float]]) -> Iterable[Metric]:
    """Answer the four request families of ChartMuseum."""
    total = CounterMetricFamily(
        "chartmuseum_requests", "Requests answered", labels=["code", "method", "handler", "host", "url"]
    )
    duration = HistogramMetricFamily(
        "chartmuseum_request_duration_seconds", "Time to answer in seconds", labels=["code", "method", "url"]
    )
    sizes = SummaryMetricFamily("chartmuseum_request_size_bytes", "Bytes received in bodies")
    answers = SummaryMetricFamily("chartmuseum_response_size_bytes", "Bytes sent in bodies")
    number = sent = received = 0.0
    for kind, row in counts.items():
        requests = sum(row[:_SECONDS])
        labels = [str(kind.code), kind.method]
        total.add_metric([*labels, kind.route, "", kind.route], requests)
        duration.add_metric([*labels, kind.route], list(_accumulate(row)), row[_SECONDS])
        number, sent, received = number + requests, sent + row[_SENT], received + row[_RECEIVED]
    sizes.add_metric([], count_value=int(number), sum_value=received)
    answers.add_metric([], count_value=int(number), sum_value=sent)
    return total, duration, sizes, answers


def _accumulate(row: list[float]) -> Iterator[tuple[str, float]]:
    running = 0.0
    for bound, count in zip([*map(str, BUCKETS), "+Inf"], row, strict=False):
        running += count
        yield bound, running
