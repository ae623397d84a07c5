"""The rows about helm-client: a search in what is cached, completion, and the time until it says something.

Each measurement is a whole process, as a shell starts it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import yaml

from tests.load.bench import Bench
from tests.load.findings import Finding, at_most
from tests.load.servers import run_ours

_RUN = [sys.executable, "-m", "helm_client"]
_COMPLETE = {
    "a chart's name": {"COMP_WORDS": "helm-client pull big/", "COMP_CWORD": "2"},
    "a command": {"COMP_WORDS": "helm-client ", "COMP_CWORD": "1"},
    "a flag": {"COMP_WORDS": "helm-client pull --ver", "COMP_CWORD": "2"},
}


def measure_client(bench: Bench) -> Iterator[Finding]:
    """Search, completion and help of helm-client, over the cached index of 12,000 versions."""
    scale = bench.scale
    home = bench.folder / "client-home"
    home.mkdir(exist_ok=True)
    with run_ours(bench.filled(scale.helm)) as server:
        _take(home, "repo", "add", "big", f"{server.url}/?format=yaml")
    index = home / ".cache" / "helm" / "repository" / "big-index.yaml"
    _take(home, "search", "repo", "chart")
    searches, parses, helps = [], [], []
    completions: dict[str, list[float]] = {what: [] for what in _COMPLETE}
    for _ in range(scale.rounds):
        searches.append(_take(home, "search", "repo", "chart"))
        parses.append(_parse(index))
        for what, words in _COMPLETE.items():
            completions[what].append(_take(home, _HELM_CLIENT_COMPLETE="bash_complete", **words))
        helps.append(_take(home, "--help"))
    ratio = median(mine / theirs for mine, theirs in zip(searches, parses, strict=True))
    work = f"helm-client search repo, {scale.helm:,} versions cached, against parsing that index with PyYAML's C loader"
    yield at_most(work, 0.5, ratio, "x", detail=f"{median(searches):.2f} s against {median(parses):.2f} s")
    for what, seconds in completions.items():
        yield at_most(f"helm-client completing {what}", 100, 1000 * median(seconds), "ms")
    yield at_most("helm-client --help", 300, 1000 * median(helps), "ms")


def _take(home: Path, *words: str, **environment: str) -> float:
    """Run helm-client; answer the seconds until it ends.

    Its output is read, since a wait with a limit alone looks every 50 ms only.
    """
    own = {"HOME": str(home), "PATH": os.environ["PATH"], **environment}
    started = time.perf_counter()
    subprocess.run([*_RUN, *words], env=own, stdout=subprocess.PIPE, timeout=120, check=True)
    return time.perf_counter() - started


def _parse(path: Path) -> float:
    content = path.read_bytes()
    started = time.perf_counter()
    yaml.load(content, Loader=yaml.CSafeLoader)
    return time.perf_counter() - started
