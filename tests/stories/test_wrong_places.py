"""A command that is sent to the wrong place says so in one line, changes nothing, and never claims that all is well."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.places import Place, upload
from tests.live import serve

COMMANDS = [
    ("verify",), ("verify", "--repair"), ("gc",), ("gc", "--dry-run"), ("gc", "--force"), ("reindex",),
    ("export", "target"), ("export", "--into-chartmuseum", "target"), ("backup", "target"),
]  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Place:
    """Return a store with one chart."""
    place = Place(tmp_path / "store", {})
    with place.serve() as server:
        upload(server, "mychart")
    return place


def fill_in(command: tuple[str, ...], tmp_path: Path) -> list[str]:
    return [str(tmp_path / word) if word == "target" else word for word in command]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("kind", ["missing", "empty"])
def test_a_place_without_a_store_is_named(tmp_path: Path, command: tuple[str, ...], kind: str) -> None:
    place = Place(tmp_path / "typo", {})
    if kind == "empty":
        place.folder.mkdir()
    done = place.run(*fill_in(command, tmp_path))
    assert done.returncode == 2, done.stdout
    assert "is it the right --storage?" in done.stderr
    assert str(place.folder) in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (place.folder / ".chartroom").exists()


@pytest.mark.parametrize("way", [("export",), ("export", "--into-chartmuseum")], ids=" ".join)
def test_an_export_that_names_no_store_leaves_what_was_exported(
    tmp_path: Path, store: Place, way: tuple[str, ...]
) -> None:
    target = tmp_path / "target"
    assert store.run(*way, str(target)).returncode == 0
    before = {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}
    assert any(path.name == "mychart-0.1.0.tgz" for path in before)
    assert Place(tmp_path / "typo", {}).run(*way, str(target)).returncode == 2
    assert {path: path.read_bytes() for path in target.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("command", [*COMMANDS, ("serve", "--port", "0")], ids=" ".join)
def test_a_file_in_the_place_of_the_store_is_named(tmp_path: Path, command: tuple[str, ...]) -> None:
    place = Place(tmp_path / "file", {})
    place.folder.write_text("no store")
    done = place.run(*fill_in(command, tmp_path))
    assert done.returncode == 2
    assert "is a file" in done.stderr
    assert "damaged" not in done.stderr
    assert "Traceback" not in done.stderr
    assert place.folder.read_text() == "no store"


@pytest.mark.parametrize("command", [("verify",), ("reindex",), ("serve", "--port", "0")], ids=" ".join)
def test_a_store_that_may_not_be_written_is_not_called_damaged(store: Place, command: tuple[str, ...]) -> None:
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.fail("as root this test needs setpriv (util-linux), or it proves nothing")
    change = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    paths = [store.folder, *store.folder.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        line = [*change, sys.executable, "-m", "app", *command, "--storage", str(store.folder)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    finally:
        for path in paths:
            path.chmod(0o755 if path.is_dir() else 0o644)
    assert done.returncode == 2
    assert "damaged" not in done.stderr
    assert "Traceback" not in done.stderr
    assert "write" in done.stderr or "ermission" in done.stderr
    with serve(store.folder) as server:
        upload(server, "afterwards")
