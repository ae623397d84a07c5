"""The place where a test crashes stores, and the fixtures for it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.power.check import find_faults, verify
from tests.faults.power.disk import write_tree
from tests.faults.power.recorder import compile_recorder
from tests.faults.power.trace import Crash, Trace

_VERIFIED = 3  # of so many states one is hashed and compared by `chartroom verify` as well


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the recorder to load; the test is skipped where it cannot be compiled."""
    return compile_recorder(tmp_path_factory.mktemp("recorder"))


class Site:
    """Where one test crashes stores."""

    def __init__(
        self, folder: Path, kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.folder = folder
        self._kept = kept
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def find_faults(self, crash: Crash) -> list[str]:
        """Return what is wrong in a store after a crash; it is kept in pytest's folder for a look when something is."""
        folder = self.folder / f"crash-{crash.seed}"
        write_tree(crash.tree, folder)
        try:
            faults = find_faults(folder, crash.expected)
        except Exception as error:
            faults = [f"the store cannot be opened: {error!r}"]
        if not faults and crash.seed % _VERIFIED == 0:
            faults = self.verify(folder)
        self._capsys.readouterr()
        shutil.rmtree(folder)
        if faults:
            write_tree(crash.tree, self._kept / folder.name)
        return faults

    def verify(self, folder: Path) -> list[str]:
        """Return what `chartroom verify` finds wrong."""
        return verify(folder, self._monkeypatch, self._capsys)

    def crash(self, trace: Trace, seed: int, count: int) -> dict[str, list[str]]:
        """Return what is wrong after each of so many crashes, where something is."""
        found = {str(crash): self.find_faults(crash) for crash in trace.crashes(seed, count)}
        return {name: faults for name, faults in found.items() if faults}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Site]:
    # In memory where that can be: the stores that are opened sync hundreds of times, and nobody cuts their power.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as folder:
        yield Site(Path(folder), tmp_path, monkeypatch, capsys)
