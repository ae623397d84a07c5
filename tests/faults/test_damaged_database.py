"""A damaged SQLite file: every command ends with one line that says so, and a reindex brings everything back."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.charts import make_chart
from tests.faults.places import BLOBS, LEDGER, Place, entries, upload
from tests.live import LiveServer
from tests.stories.shop import make_provenance

COMMANDS = [("serve", "--port", "0"), ("verify",), ("gc",), ("import", "."), ("export", "out")]


def look(server: LiveServer) -> tuple[object, ...]:
    """Return what clients see: the index with its archives, provenance, tags."""
    provenance = httpx.get(f"{server.url}/charts/chart2-0.1.0.tgz.prov")
    tags = httpx.get(f"{server.url}/v2/chart1/tags/list")
    return entries(server), (provenance.status_code, provenance.content), tags.json()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[object, ...]]:
    """Return a store with charts in it, to copy from, and what its clients see."""
    folder = tmp_path_factory.mktemp("filled") / "store"
    with Place(folder, {}).serve() as server:
        for number in range(25):
            upload(server, f"chart{number}", "0.1.0", "0.2.0")
        assert httpx.post(f"{server.url}/api/prov", content=make_provenance("chart2", "0.1.0")).status_code == 201
        assert httpx.delete(f"{server.url}/api/charts/chart3/0.1.0").status_code == 200
        seen = look(server)
    return folder, seen


@pytest.fixture
def place(filled: tuple[Path, tuple[object, ...]], tmp_path: Path) -> Place:
    """Return a store of its own with the same charts."""
    shutil.copytree(filled[0], tmp_path / "store")
    return Place(tmp_path / "store", {})


def truncate(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def spoil_the_header(file: Path) -> None:
    file.write_bytes(b"\xde\xad" * 50 + file.read_bytes()[100:])


def spoil_pages(file: Path) -> None:
    content = bytearray(file.read_bytes())
    third = len(content) // 3 // 4096 * 4096
    content[third : 2 * third] = b"\xa5" * third
    file.write_bytes(bytes(content))


def make_empty(file: Path) -> None:
    file.write_bytes(b"")


def lay_a_foreign_log_beside(file: Path) -> None:
    """Put the `-wal` of another database there, with pages that this one has as well."""
    other = file.with_name("other.db")
    with closing(sqlite3.connect(other, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE something (a, b)")
        connection.executemany("INSERT INTO something VALUES (?, ?)", [(n, "x" * 3000) for n in range(40)])
        shutil.copyfile(f"{other}-wal", f"{file}-wal")
    other.unlink()


DAMAGES = [truncate, spoil_the_header, spoil_pages, make_empty, lay_a_foreign_log_beside]


def assert_one_line(done: subprocess.CompletedProcess[str], file: Path) -> None:
    assert done.returncode not in (0, 1), done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert str(file) in line
    assert "chartroom reindex" in line


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_command_names_the_file_and_reindex_brings_all_back(
    place: Place, filled: tuple[Path, tuple[object, ...]], damage: Callable[[Path], None]
) -> None:
    damage(place.database_file)
    before = {**place.take(BLOBS), **place.take(LEDGER)}
    for command, *arguments in COMMANDS:
        target = [str(place.folder.parent / argument) if argument == "out" else argument for argument in arguments]
        assert_one_line(place.run(command, *target), place.database_file)
    assert {**place.take(BLOBS), **place.take(LEDGER)} == before
    done = place.run("reindex")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    with place.serve() as server:
        assert look(server) == filled[1]
        upload(server, "afterwards")
    assert place.run("verify").stdout.splitlines()[-1] == "clean"


def test_an_empty_file_of_a_first_start_that_was_killed_is_no_damage(tmp_path: Path) -> None:
    place = Place(tmp_path / "store", {})
    place.database_file.parent.mkdir(parents=True)
    place.database_file.touch()
    with place.serve() as server:
        upload(server, "mychart")


def test_damage_that_is_met_while_running_is_said_once(place: Place) -> None:
    with place.serve() as server:
        log = server.log.read_text()
        content = place.database_file.read_bytes()
        with place.database_file.open("r+b") as file:  # the same file, under the server's feet
            file.seek(4096)
            file.write(b"\xa5" * (len(content) - 4096))
        answers = []
        for number in range(20):
            answers.append(httpx.get(f"{server.url}/api/charts/chart{number}"))
            answers.append(httpx.post(f"{server.url}/api/charts", content=make_chart(f"new{number}")))
        refused = [answer for answer in answers if answer.status_code >= 500]
        assert len(refused) > 20
        for answer in refused:
            assert answer.status_code in (500, 503)
            assert "chartroom reindex" in answer.text
        said = server.log.read_text()[len(log) :]
        assert "Traceback" not in said
        assert said.count("run `chartroom reindex`") == 1


def test_verify_names_whatever_is_damaged_without_a_trace(place: Place) -> None:
    """A segment of garbage, a blob that is a folder, a segment that is a link to the outside, a stray file."""
    ledger, blobs = sorted(place.take(LEDGER)), sorted(place.take(BLOBS))
    (place.folder / ledger[0]).write_bytes(b"\xff\x00 garbage\n" * 9)
    (place.folder / ledger[5]).unlink()
    (place.folder / ledger[5]).symlink_to("/etc/hostname")
    (place.folder / blobs[0]).unlink()
    (place.folder / blobs[0]).mkdir()
    (place.folder / blobs[1]).write_bytes(b"other bytes")
    (place.folder / LEDGER / "%" / "no-name.jsonl").write_bytes(b"\x00")
    done = place.run("verify")
    assert done.returncode == 4
    assert "Traceback" not in done.stdout + done.stderr
    for word in (ledger[0].rpartition("/")[2], "is missing", "is damaged"):
        assert word in done.stdout
    repaired = place.run("verify", "--repair")
    assert repaired.returncode == 4  # the two blobs
    assert "mended: the ledger of the root repository" in repaired.stdout
    assert repaired.stdout.splitlines()[-1] == "2 things are wrong"
