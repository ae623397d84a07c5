"""The row about Helm's own code: loading our index as JSON against the same as block YAML.

Run as a program it loads the indexes of the repositories named, in turns, and prints the seconds as JSON: Helm's
code lives in a process of its own, for it must not be forked.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median

from tests.load.bench import Bench
from tests.load.compare import median_ratio
from tests.load.findings import Finding, at_least, not_measured
from tests.load.servers import ROOT, run_ours


def measure_helm(bench: Bench) -> Iterator[Finding]:
    """Helm's code loading our index of 12,000 versions, JSON against block YAML."""
    scale = bench.scale
    work = f"Helm's code loading our index of {scale.helm:,} versions, JSON against block YAML"
    if importlib.util.find_spec("helm_python") is None:
        yield not_measured(work, ">= 2.5 x", "helm-python-sdk is not installed")
        return
    with run_ours(bench.filled(scale.helm)) as server:
        urls = [server.url, f"{server.url}/?format=yaml"]
        done = subprocess.run(
            [sys.executable, "-m", "tests.load.helm", str(scale.rounds), *urls],
            cwd=ROOT, capture_output=True, text=True, timeout=300, check=True,
        )  # fmt: skip
    seconds_json, seconds_yaml = json.loads(done.stdout)
    detail = f"{median(seconds_json):.2f} s against {median(seconds_yaml):.2f} s"
    yield at_least(work, 2.5, median_ratio(seconds_yaml, seconds_json), detail=detail)


def _main(rounds: int, urls: list[str]) -> list[list[float]]:
    import helm_python

    seconds: list[list[float]] = [[] for _ in urls]
    for turn in range(rounds + 1):
        for at, url in enumerate(urls):
            started = time.perf_counter()
            helm_python.repo_index(url)
            if turn:  # the first one also renders the index
                seconds[at].append(time.perf_counter() - started)
    return seconds


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_main(int(sys.argv[1]), sys.argv[2:])))
