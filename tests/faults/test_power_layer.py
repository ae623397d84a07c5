"""The simulation of power loss itself: it sees every operation, keeps what was synced, and forgets the rest."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.power.disk import Disk, Tree, read_log, read_tree
from tests.faults.power.pages import PAGE, SECTOR, Change, File
from tests.faults.power.recorder import IGNORE_FILE_SYNC, IGNORE_FOLDER_SYNC, Recorder
from tests.needs import find_program

_SEEDS = range(300)


class Lab:
    """Runs small programs below the recorder, in a folder of their own."""

    def __init__(self, library: Path, folder: Path) -> None:
        self.folder = folder / "disk"
        self.folder.mkdir()
        self._library = library
        self._place = folder / "record"

    def run(self, *command: str, ignore: int = 0, full: int = 0) -> Disk:
        """Return the disk after the program; it must not fail."""
        recorder = Recorder(self._library, self.folder, self._place)
        recorder.set_flags(ignore)
        recorder.fill(full)
        subprocess.run(command, check=True, cwd=self.folder, env=recorder.environment, timeout=60)
        disk = Disk(recorder.root, recorder.base, recorder.inodes)
        for record in read_log(recorder.log):
            disk.apply(record)
        recorder.close()
        return disk

    def python(self, program: str, ignore: int = 0, full: int = 0) -> Disk:
        return self.run(sys.executable, "-c", f"import os, sqlite3\n{program}", ignore=ignore, full=full)

    def read(self) -> Tree:
        """Return what really lies there."""
        return read_tree(self.folder)


@pytest.fixture
def lab(library: Path, tmp_path: Path) -> Lab:
    return Lab(library, tmp_path)


def states(disk: Disk, survival: float = 0.5) -> list[Tree]:
    """Return what many crashes at the end of the log leave."""
    return [disk.crash(seed, survival) for seed in _SEEDS]


WRITE = "file = os.open('a', os.O_CREAT | os.O_WRONLY); os.write(file, b'x' * 5000)"
FOLDER = "folder = os.open('.', os.O_RDONLY); os.fsync(folder)"


def test_what_was_never_synced_may_be_lost_by_any_part(lab: Lab) -> None:
    disk = lab.python(WRITE)
    assert disk.latest() == lab.read() == {"a": b"x" * 5000}
    assert disk.crash(1, 0) == {}
    assert disk.crash(1, 1) == {"a": b"x" * 5000}
    left = [tree["a"] for tree in states(disk) if "a" in tree]
    assert 100 < len(left) < 200
    assert {len(content or b"") for content in left} == {0, 5000}
    first, second = b"x" * PAGE, b"x" * (5000 - PAGE)
    assert bytes(PAGE) + second in left, "the second page without the first"
    assert first + bytes(len(second)) in left
    assert any(content and content.count(b"x") not in (0, PAGE, len(second), 5000) for content in left), "a torn page"


def test_a_synced_file_has_its_bytes_and_perhaps_no_name(lab: Lab) -> None:
    disk = lab.python(f"{WRITE}; os.fsync(file)")
    assert disk.crash(1, 0) == {}
    assert {tree.get("a") for tree in states(disk)} == {None, b"x" * 5000}


def test_a_synced_folder_has_its_names_and_perhaps_no_bytes(lab: Lab) -> None:
    disk = lab.python(f"{WRITE}; {FOLDER}")
    assert disk.crash(1, 0) == {"a": b""}
    assert all("a" in tree for tree in states(disk))


def test_what_was_synced_whole_is_there_whole(lab: Lab) -> None:
    disk = lab.python(f"{WRITE}; os.fdatasync(file); {FOLDER}")
    assert all(tree == {"a": b"x" * 5000} for tree in states(disk))


@pytest.mark.parametrize(("ignored", "left"), [(IGNORE_FILE_SYNC, {"a": b""}), (IGNORE_FOLDER_SYNC, {})])
def test_a_sync_can_be_made_to_do_nothing(lab: Lab, ignored: int, left: Tree) -> None:
    disk = lab.python(f"{WRITE}; os.fsync(file); {FOLDER}", ignore=ignored)
    assert disk.crash(1, 0) == left
    assert disk.latest() == {"a": b"x" * 5000}


def test_everything_can_be_synced_at_once(lab: Lab) -> None:
    disk = lab.python(f"{WRITE}; os.mkdir('b'); open('b/c', 'w').write('y'); os.sync(); open('d', 'w')")
    assert disk.crash(1, 0) == {"a": b"x" * 5000, "b/": b"", "b/c": b"y"}


def test_a_sync_covers_what_came_before_it_and_nothing_after(lab: Lab) -> None:
    disk = lab.python(f"{WRITE}; {FOLDER}; os.fsync(file); os.pwrite(file, b'z' * 10, 0); os.ftruncate(file, 20)")
    assert disk.crash(1, 0) == {"a": b"x" * 5000}
    left = [tree["a"] or b"" for tree in states(disk)]
    assert {len(content) for content in left} == {20, 5000}
    assert {content[:20] for content in left} == {b"x" * 20, b"z" * 10 + b"x" * 10}
    assert {content[PAGE:] for content in left} == {b"", b"x" * (5000 - PAGE)}


def test_a_rename_is_atomic_and_durable_with_the_folder_of_the_new_name(lab: Lab) -> None:
    setup = f"os.mkdir('b'); {WRITE}; os.fsync(file); {FOLDER}; os.rename('a', 'b/c')"
    pending = lab.python(setup)
    assert {tuple(sorted(tree)) for tree in states(pending)} == {("a", "b/"), ("b/", "b/c")}
    assert pending.crash(1, 0) == {"a": b"x" * 5000, "b/": b""}


def test_a_rename_is_durable_once_its_folder_is_synced(lab: Lab) -> None:
    disk = lab.python(f"os.mkdir('b'); {WRITE}; os.fsync(file); {FOLDER}; os.rename('a', 'b/c'); "
                      "os.fsync(os.open('b', os.O_RDONLY))")  # fmt: skip
    assert all(tree == {"b/": b"", "b/c": b"x" * 5000} for tree in states(disk))


def test_a_replaced_file_is_the_old_one_or_the_new_one(lab: Lab) -> None:
    disk = lab.python(f"{WRITE}; os.fsync(file); {FOLDER}; new = os.open('n', os.O_CREAT | os.O_WRONLY); "
                      "os.write(new, b'new'); os.fsync(new); os.rename('n', 'a')")  # fmt: skip
    assert {tree["a"] for tree in states(disk)} == {b"x" * 5000, b"new"}


def test_what_lies_in_a_folder_without_a_name_is_lost(lab: Lab) -> None:
    disk = lab.python("os.mkdir('b'); file = os.open('b/c', os.O_CREAT | os.O_WRONLY); os.write(file, b'y'); "
                      "os.fsync(file); os.fsync(os.open('b', os.O_RDONLY))")  # fmt: skip
    assert disk.crash(1, 0) == {}
    assert {tuple(tree) for tree in states(disk)} == {(), ("b/", "b/c")}


def test_a_removed_name_may_come_back_until_its_folder_is_synced(lab: Lab) -> None:
    disk = lab.python(f"{WRITE}; os.fsync(file); {FOLDER}; os.unlink('a')")
    assert disk.crash(1, 0) == {"a": b"x" * 5000}
    assert {tuple(tree) for tree in states(disk)} == {(), ("a",)}


def test_later_names_may_survive_without_earlier_ones(lab: Lab) -> None:
    disk = lab.python("open('a', 'w'); open('b', 'w')")
    assert {tuple(sorted(tree)) for tree in states(disk)} == {(), ("a",), ("b",), ("a", "b")}


def test_a_committed_transaction_of_sqlite_survives_and_an_open_one_does_not(lab: Lab, tmp_path: Path) -> None:
    """SQLite's own writes are seen, its write-ahead log too."""
    disk = lab.python(
        "base = sqlite3.connect('db', isolation_level=None); base.execute('PRAGMA journal_mode=WAL')\n"
        "base.execute('PRAGMA synchronous=FULL'); base.execute('CREATE TABLE t (x)')\n"
        "base.execute('INSERT INTO t VALUES (1)'); base.execute('PRAGMA synchronous=OFF')\n"
        "base.execute('INSERT INTO t VALUES (2)'); os._exit(0)"
    )
    shown = set()
    for number, tree in enumerate(states(disk, 0.7)[:60]):
        place = tmp_path / f"crash{number}"
        place.mkdir()
        for name, content in tree.items():
            (place / name).write_bytes(content or b"")
        database = sqlite3.connect(place / "db")
        shown.add(tuple(database.execute("SELECT x FROM t ORDER BY x")))
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        database.close()
    assert shown == {((1,),), ((1,), (2,))}


def test_a_disk_can_be_full_for_a_while(lab: Lab) -> None:
    disk = lab.python(
        "import errno\n"
        "try: open('a', 'w')\n"
        "except OSError as error: assert error.errno == errno.ENOSPC\n"
        "else: raise AssertionError", full=1000,
    )  # fmt: skip
    assert disk.latest() == lab.read() == {}


PROGRAM = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
int main(void) {
    struct iovec parts[2] = {{"one ", 4}, {"two ", 4}};
    mkdir("f", 0755);
    int folder = open("f", O_RDONLY | O_DIRECTORY);
    int a = openat(folder, "a", O_CREAT | O_RDWR, 0644), b = creat("b", 0644);
    writev(a, parts, 2), pwritev(a, parts, 2, 100), pwrite(a, "three", 5, 50), pwritev2(a, parts, 1, 60, 0);
    write(b, "to copy", 7);
    int c = openat64(AT_FDCWD, "c", O_CREAT | O_RDWR | O_APPEND, 0644), from = open64("b", O_RDONLY);
    write(c, "first", 5), pwrite64(c, "appended", 8, 0);
    int d = open("d", O_CREAT | O_WRONLY, 0644), e = open("e", O_CREAT | O_WRONLY | O_DSYNC, 0644);
    sendfile(d, from, NULL, 4), copy_file_range(from, NULL, d, NULL, 3, 0);
    write(e, "synced", 6);
    ftruncate(d, 6), truncate("b", 3), posix_fallocate(c, 0, 9000);
    int nameless = open(".", O_TMPFILE | O_WRONLY, 0644);
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", nameless);
    write(nameless, "named late", 10), linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW);
    link("e", "f/e2"), renameat(folder, "a", AT_FDCWD, "a2"), unlinkat(folder, "e2", 0), mkdirat(folder, "g", 0755);
    rename("f", "h"), rmdir("h/g"), open("b", O_WRONLY | O_TRUNC);
    return 0;
}
"""


def test_every_call_of_the_c_library_is_seen(lab: Lab, tmp_path: Path) -> None:
    source, program = tmp_path / "program.c", tmp_path / "program"
    source.write_text(PROGRAM)
    subprocess.run([find_program("cc"), "-o", str(program), str(source)], check=True)
    disk = lab.run(str(program))
    assert disk.latest() == lab.read()
    assert sorted(lab.read()) == ["a2", "b", "c", "d", "e", "h/", "named"]
    assert lab.read()["d"] == b"to cop"
    assert lab.read()["c"] == b"firstappended".ljust(9000, b"\0")


def test_changes_of_one_file_are_followed_by_their_bytes() -> None:
    """Against a plain array of bytes: what every process sees, and what a crash may leave, sector by sector."""
    draw = random.Random(7)
    for _ in range(200):
        file, seen = File(), [bytearray()]
        for place in range(draw.randrange(1, 8)):
            content = bytearray(seen[-1])
            offset, size = draw.randrange(3 * PAGE), draw.randrange(1, 2 * PAGE)
            if draw.random() < 0.3:
                file.pending.append(Change(place, offset, cut=True))
                content = content[:offset].ljust(offset, b"\0")
            else:
                written = draw.randbytes(size)
                file.pending.append(Change(place, offset, written))
                content = content.ljust(offset, b"\0")
                content[offset : offset + size] = written
            seen.append(content)
            if draw.random() < 0.2:
                file.sync(place + 1)
                seen = [content]
        assert file.latest() == bytes(seen[-1])
        left = file.crash(draw, draw.choice((0.0, 0.2, 0.5, 0.9, 1.0)))
        assert len(left) in {len(content) for content in seen}
        for at in range(0, len(left), SECTOR):
            sector = left[at : at + SECTOR]
            moments = [bytes(content[at : at + SECTOR]).ljust(SECTOR, b"\0")[: len(sector)] for content in seen]
            assert sector in moments
