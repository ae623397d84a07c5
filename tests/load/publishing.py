"""Rows about uploads: against the usual way, and against an almost empty repository."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from tests.load.bench import Bench
from tests.load.catalogue import make_versions
from tests.load.compare import median_ratio, take_turns
from tests.load.findings import Finding, at_least, at_most, not_measured, show_rate
from tests.load.peers import uploads as reference
from tests.load.servers import find_museum, run_museum, run_ours, run_peer
from tests.load.uploading import Supply, upload_all


def _rate(url: str, supply: Supply, count: int, *, form: bool = False) -> Callable[[], float]:
    def turn() -> float:
        archives = supply.take(count)
        return count / upload_all(url, archives, form=form)

    return turn


def _fill_reference(folder: Path, versions: int) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        for given in make_versions(versions):
            yield {
                "name": given.name, "version": given.version, "digest": given.digest, "size": given.size,
                "created": given.created / 1e9, "details": orjson.loads(given.config),
            }  # fmt: skip

    reference.fill(folder, rows())


def measure_upload(bench: Bench) -> Iterator[Finding]:
    """Durable uploads by 8 clients while 100,000 versions are there, against the reference handler."""
    scale, store, theirs = bench.scale, bench.full(), bench.folder / "reference"
    work = f"durable upload, 8 clients, {scale.full:,} versions present, against the usual way"
    try:
        import aiosqlite  # noqa: F401
        import greenlet  # noqa: F401
    except ImportError as error:
        yield not_measured(work, ">= 5 x", f"{error.name} is not installed")
        return
    _fill_reference(theirs, scale.full)
    charts = max(1, scale.full // 10)
    ours, forms = Supply(charts), Supply(charts)
    with ExitStack() as running:
        url = running.enter_context(run_ours(store)).url
        peer = running.enter_context(run_peer("uploads", theirs))
        turns = {"ours": _rate(url, ours, scale.uploads)}
        turns["the usual way"] = _rate(peer, forms, scale.peer_uploads, form=True)
        if find_museum():
            folder = running.enter_context(tempfile.TemporaryDirectory(prefix="chartroom-museum-"))
            museum = running.enter_context(run_museum(Path(folder)))
            turns["ChartMuseum (empty)"] = _rate(museum, Supply(charts), scale.peer_uploads)
        for turn in turns.values():
            turn()  # the first requests of a process cost more
        measured = take_turns(turns, scale.rounds)
        as_form = median(take_turns({"form": _rate(url, ours, scale.uploads, form=True)}, scale.rounds)["form"])
    ratio = median_ratio(measured["ours"], measured["the usual way"])
    detail = ", ".join(f"{name} {show_rate(median(values))}" for name, values in measured.items())
    museum_ratio = ""
    if "ChartMuseum (empty)" in measured:
        museum_ratio = f"{median_ratio(measured['ChartMuseum (empty)'], measured['the usual way']):.2f} x"
    yield at_least(work, 5, ratio, detail=f"{detail}, ours as a form {show_rate(as_form)}", museum=museum_ratio)


def measure_upload_growth(bench: Bench) -> Iterator[Finding]:
    """The same upload at 100,000 versions against at 100."""
    scale, few = bench.scale, min(100, bench.scale.full // 2)
    stores = {"many": bench.full(), "few": bench.filled(few)}
    with ExitStack() as running:
        turns = {}
        for name, store in stores.items():
            url = running.enter_context(run_ours(store)).url
            turns[name] = _rate(url, Supply(few, major=6), scale.uploads // 2)
            turns[name]()
        rates = take_turns(turns, scale.rounds * 2)
    ratio = median_ratio(rates["few"], rates["many"])
    detail = f"{show_rate(median(rates['many']))} against {show_rate(median(rates['few']))}"
    yield at_most(f"the same upload at {scale.full:,} versions against at {few}", 1.2, ratio, "x", detail=detail)
