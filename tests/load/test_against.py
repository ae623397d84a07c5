"""The comparison with another checkout: each row runs tiny, each side runs its own code, what is counted is right."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.load.against.buckets import Span, longest_chain
from tests.load.against.checkout import Checkout, Store, find_checkout, prove_origin
from tests.load.against.pair import Pair, open_pair
from tests.load.against.processes import read_cpu
from tests.load.against.rounds import OURS, THEIRS, Line, Reading, render, take_turns
from tests.load.against.rows import ROWS
from tests.load.against.scale import TINY
from tests.load.against.stores import UnavailableError
from tests.load.against.syncs import find_syncs
from tests.load.servers import ROOT
from tests.needs import find_postgres, missing

pytestmark = pytest.mark.load

_BY_COMMAND = "archive-20k"  # the row that is measured through the command line
_COUNTED = ("statements", "statements, of transactions", "upload-s3-30ms, requests in a row")
_NEEDS = {"strace": "strace", "PostgreSQL": "postgres"}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return another checkout: what a server of this one consists of, copied."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("app", "storage", "migrations", "helm-client"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def pair(other: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    sides = find_checkout(OURS, ROOT), find_checkout(THEIRS, other)
    with open_pair(*sides, tmp_path_factory.mktemp("against"), TINY, kept=None, say=lambda text: None) as opened:
        yield opened


@pytest.mark.parametrize("name", [name for name in ROWS if name != _BY_COMMAND])
def test_each_row_measures_both_sides(pair: Pair, name: str) -> None:
    try:
        lines = ROWS[name](pair)
    except UnavailableError as error:
        missing(next(need for word, need in _NEEDS.items() if word in str(error)))
    assert lines[0].name.startswith(name)
    for line in lines:
        ours, theirs = line.readings[OURS], line.readings[THEIRS]
        assert len(ours) == len(theirs) > 0
        assert all(reading.value > 0 for reading in (*ours, *theirs)), line
        if line.name in _COUNTED:
            assert ours[0].value == theirs[0].value  # the same code on both sides
        if line.name == "syncs, 1 client":
            assert min(ours[0].value, theirs[0].value) >= 1  # an upload is durable before its answer


def test_the_command_line_proves_both_origins_and_prints_a_table(other: Path) -> None:
    done = _run_command("--against", str(other), "--tiny", _BY_COMMAND)
    assert done.returncode == 0, done.stderr
    ours, theirs = (line for line in done.stdout.splitlines() if "its server imports" in line)
    assert ours.startswith(f"ours: {ROOT} at ")
    assert theirs.startswith(f"theirs: {other} at none; ")
    *_, head, rule, row = done.stdout.rstrip().splitlines()
    assert [cell.strip() for cell in head.split("|")][1:4] == ["row", "ours", "theirs"]
    assert set(rule) == {"|", "-"}
    assert row.startswith(f"| {_BY_COMMAND} ")
    assert row.count(" us ") == 2


def test_a_path_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    done = _run_command("--against", str(tmp_path))
    assert done.returncode == 2
    assert f"{tmp_path} is no checkout of this project" in done.stderr


def test_a_server_that_imports_from_another_checkout_is_refused(other: Path, tmp_path: Path) -> None:
    """Without `storage`, Python finds that of the checkout that is installed in its environment."""
    torn = tmp_path / "torn"
    shutil.copytree(other, torn, ignore=shutil.ignore_patterns("__pycache__", "storage"))
    with pytest.raises(RuntimeError, match=f"the server of {torn} does not run that checkout's code.*/storage/"):
        prove_origin(find_checkout(THEIRS, torn))


def test_kept_stores_are_opened_by_the_next_run(other: Path, tmp_path: Path) -> None:
    find_postgres("postgres")
    sides = find_checkout(OURS, ROOT), find_checkout(THEIRS, other)
    made: list[str] = []
    for run in ("first", "second"):
        (tmp_path / run).mkdir()
        with open_pair(*sides, tmp_path / run, TINY, kept=tmp_path / "kept", say=made.append) as opened:
            folder, postgres = opened.stores.on_folder(OURS, 20), opened.stores.on_postgres(OURS, 20)
            counts = [_count_versions(opened.sides[0], store) for store in (folder, postgres)]
        assert counts == [20, 20]
    assert len(made) == 2  # both by the first run


def _count_versions(side: Checkout, store: Store) -> int:
    with side.serve(store) as server:
        return sum(map(len, httpx.get(f"{server.url}/index.yaml").json()["entries"].values()))


def test_cpu_time_is_that_of_a_process_and_of_its_children_running_and_ended() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass\n"
    burn_and_stay = f"{burn}print(flush=True)\ninput()"
    script = textwrap.dedent(f"""\
        import subprocess, sys
        subprocess.run([sys.executable, "-c", {burn!r}])
        running = subprocess.Popen([sys.executable, "-c", {burn_and_stay!r}], stdin=subprocess.PIPE)
        input()
        running.communicate(b"\\n")
    """)
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()  # one child has ended, the other has done its work and runs
    spent = read_cpu(process.pid)
    process.communicate(b"\n")
    assert 0.55 <= spent < 1.5  # the clock ticks a hundred times a second


def test_rounds_alternate_and_the_median_of_their_ratios_counts() -> None:
    order: list[str] = []

    def turn(side: str, values: list[float]) -> dict[str, Reading]:
        order.append(side)
        value = values.pop(0)
        return {"work": Reading(value, "/s", 1 / value)}

    given = {OURS: [9.0, 10.0, 30.0, 20.0], THEIRS: [9.0, 10.0, 10.0, 40.0]}
    (line,) = take_turns({side: partial(turn, side, values) for side, values in given.items()}, 3)
    assert order == [OURS, THEIRS, OURS, THEIRS, THEIRS, OURS, OURS, THEIRS]
    cells = [cell.strip() for cell in render([line]).splitlines()[2].split("|")[1:-1]]
    assert cells == [
        "work", "20 /s", "10 /s", "1.000", "0.750..2.000", "50.000 ms", "100.000 ms", "1.000", "0.667..1.500"
    ]  # fmt: skip
    assert "not measured: why" in render([Line("other", note="not measured: why")])


def test_syncs_are_calls_that_sync_and_writes_to_files_opened_for_it() -> None:
    log = """\
        7 1.0 openat(AT_FDCWD, ""..., O_WRONLY|O_CREAT|O_DSYNC|O_CLOEXEC, 0666) = 12
        7 2.0 write(12, ""..., 10) = 10
        7 3.0 write(13, ""..., 10) = 10
        8 4.0 fdatasync(13 <unfinished ...>
        7 5.0 fsync(14) = 0
        8 5.1 <... fdatasync resumed>) = 0
        7 6.0 close(12) = 0
        7 6.1 write(12, ""..., 10) = 10
        8 6.2 openat(AT_FDCWD, ""..., O_RDWR|O_SYNC <unfinished ...>
        7 6.3 openat(AT_FDCWD, ""..., O_RDONLY|O_CLOEXEC) = 3
        8 6.4 <... openat resumed>) = 15
        8 7.0 pwrite64(15, ""..., 4096, 0 <unfinished ...>
        8 7.1 <... pwrite64 resumed>) = 4096
        7 8.0 msync(0x7f0000000000, 4096, MS_ASYNC) = 0
        7 9.0 msync(0x7f0000000000, 4096, MS_SYNC) = 0
        7 10.0 pwritev2(3, [{iov_base=""..., iov_len=1}], 1, 0, RWF_DSYNC) = 1
        7 11.0 sync_file_range(3, 0, 4096, SYNC_FILE_RANGE_WRITE) = 0
    """
    assert list(find_syncs(map(str.strip, log.splitlines()))) == [2, 4, 5, 7, 9, 10, 11]


def test_requests_in_a_row_are_the_longest_chain_without_overlap() -> None:
    beside = [Span(0, 3), Span(0, 2), Span(1, 4)]
    assert longest_chain(beside) == 1
    assert longest_chain([*beside, Span(2, 5), Span(5, 6)]) == 3
    assert longest_chain([]) == 0


def _run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.load", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
