"""Power that fails at any moment: of what was acknowledged nothing is lost, and nothing is torn.

A recorder below a real server logs what it changes on the disk. From each log, states are made in which a disk may be
that forgot (and reordered) what was not synced, and a store is opened on each: see `tests/faults/power`.
CHARTROOM_TEST_POWER_RUNS says how many states there are in all.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.faults.power.disk import write_tree
from tests.faults.power.history import History
from tests.faults.power.recorder import IGNORE_FILE_SYNC, IGNORE_FOLDER_SYNC, Recorder
from tests.faults.power.site import Site
from tests.faults.power.trace import Crash, record

RUNS = int(os.environ.get("CHARTROOM_TEST_POWER_RUNS", "60"))
_PER_SEED = 50
_DELAYS = (500, 3000, 8000)  # microseconds that a sync takes, at most
SEEDS = [(seed, min(_PER_SEED, RUNS - seed * _PER_SEED)) for seed in range(-(-RUNS // _PER_SEED))]


@pytest.mark.parametrize(("seed", "runs"), SEEDS)
def test_a_power_loss_takes_nothing_that_was_acknowledged(site: Site, library: Path, seed: int, runs: int) -> None:
    """First a fresh store whose server is killed once; then a server that starts on what a power loss left of it."""
    draw = random.Random(seed)
    store = site.folder / "store"
    store.mkdir()
    recorder = Recorder(library, store, site.folder / "first", seed=seed, delay=draw.choice(_DELAYS))
    workers = 2 if seed % 4 == 3 else 1
    trace = record(recorder, History(), seed=seed, workers=workers)
    assert trace.history.acknowledged() > 20
    assert trace.find_unseen() == []
    assert site.crash(trace, seed, runs - runs // 3) == {}
    # The power fails again while the next server catches up, or later.
    (crash,) = trace.crashes(seed + 1000, 1)
    again = site.folder / "again"
    write_tree(crash.tree, again)
    recorder = Recorder(library, again, site.folder / "second", seed=seed, delay=draw.choice(_DELAYS))
    second = record(recorder, trace.history.after(crash.place), seed=seed + 1000, counts=(12,), workers=workers)
    assert second.find_unseen() == []
    assert site.crash(second, seed + 2000, runs // 3) == {}


@pytest.mark.parametrize("ignored", [IGNORE_FILE_SYNC, IGNORE_FOLDER_SYNC])
def test_a_server_whose_syncs_do_nothing_is_found_out(site: Site, library: Path, ignored: int) -> None:
    """The test can fail: where one kind of sync is left out, uploads that were acknowledged are lost."""
    store = site.folder / "store"
    store.mkdir()
    recorder = Recorder(library, store, site.folder / "record")
    recorder.set_flags(ignored)
    trace = record(recorder, History(), seed=ignored, counts=(24,))
    crashes = [crash for crash in trace.crashes(ignored, 12) if crash.survival < 0.9 and is_expecting(crash)]
    assert len(crashes) >= 3
    for crash in crashes:
        assert site.find_faults(crash) != [], crash


def is_expecting(crash: Crash) -> bool:
    """Tell whether a chart was acknowledged before the crash."""
    return any(allowed.must.state.digest and not allowed.maybe for allowed in crash.expected.values())
