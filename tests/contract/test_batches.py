"""Batches: objects that become durable together, on every backend; and the journal in which a folder keeps them."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage import Storage, StorageError, StorageFull
from storage.filesystem import FilesystemStorage
from storage.folders import Folders
from storage.rules import JOURNAL

BLOBS = [(".chartroom/blobs/sha256/ab/one", b"1" * 5000), (".chartroom/blobs/sha256/cd/two", b"")]
RECORDS = [(".chartroom/ledger/%/record", b"names both")]


async def read(storage: Storage, key: str) -> bytes:
    return b"".join([chunk async for chunk in await storage.open(key)])


async def read_all(storage: Storage) -> dict[str, bytes]:
    return {stat.key: await read(storage, stat.key) async for stat in storage.scan()}


async def test_a_batch_can_be_read_when_it_is_written(storage: Any) -> None:
    storage.write_batch(BLOBS, RECORDS)
    assert await read_all(storage) == dict(BLOBS + RECORDS)
    storage.write_batch([], [(".chartroom/ledger/%/more", b"2")])
    assert len(await read_all(storage)) == 4


async def test_the_same_batch_again_changes_nothing(storage: Any) -> None:
    storage.write_batch(BLOBS, RECORDS)
    storage.write_batch(BLOBS, RECORDS)
    assert await read_all(storage) == dict(BLOBS + RECORDS)


async def test_discarded_records_are_gone_and_blobs_may_stay(storage: Any) -> None:
    storage.write_batch([], [("kept", b"k")])
    storage.write_batch(BLOBS, RECORDS)
    storage.discard([RECORDS[0][0], "never/there"])
    assert set(await read_all(storage)) - {key for key, _ in BLOBS} == {"kept"}
    storage.write_batch([], RECORDS)
    assert await read(storage, RECORDS[0][0]) == RECORDS[0][1]


@pytest.mark.parametrize("key", ["", "../x", f"{JOURNAL}/x", "a\0b"])
async def test_a_batch_with_a_key_that_is_none_writes_nothing(storage: Any, key: str) -> None:
    with pytest.raises(ValueError, match="not a storage key"):
        storage.write_batch([], [*RECORDS, (key, b"x")])
    assert await read_all(storage) == {}


# ------------------------------------------------------------------------------------------ the journal of a folder

_WRITE = """
import os, sys
from pathlib import Path
from storage.filesystem import FilesystemStorage
storage = FilesystemStorage(Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    storage.write_batch([(f".chartroom/blobs/sha256/ab/{number}", b"blob %d" % number)], [(f"r/{number}", b"record")])
if len(sys.argv) > 3:
    sys.stdout.write("written\\n")
    sys.stdout.flush()
    sys.stdin.read()
os._exit(0)
"""


def write_and_die(folder: Path, batches: int) -> Path:
    """Let a process write batches and end without closing anything; return its journal."""
    subprocess.run([sys.executable, "-c", _WRITE, str(folder), str(batches)], check=True, timeout=60)
    (journal,) = list_journals(folder)
    return journal


def restart_machine(folder: Path) -> None:
    """Let journals look as if they were of an earlier start of the machine."""
    for journal in list_journals(folder):
        journal.rename(journal.with_name(f"0123456789ab-{journal.name[-24:]}"))


def list_journals(folder: Path) -> list[Path]:
    return sorted((folder / JOURNAL).glob("*"))


def lose_places(folder: Path) -> None:
    """Take away what a power cut may: everything that was not synced."""
    for path in folder.rglob("*"):
        if path.is_file() and path.parent.name != "journal":
            path.unlink()


async def recovered(folder: Path) -> tuple[int, tuple[str, ...], dict[str, bytes]]:
    storage = FilesystemStorage(folder)
    try:
        found = storage.recover(lambda records: [key for key, _ in records])
        return found.objects, found.damaged, await read_all(storage)
    finally:
        storage.close()


async def test_what_a_crash_left_in_a_journal_is_put_into_place(tmp_path: Path) -> None:
    write_and_die(tmp_path, 5)
    lose_places(tmp_path)
    restart_machine(tmp_path)
    objects, damaged, there = await recovered(tmp_path)
    assert (objects, damaged, len(there)) == (10, (), 10)
    assert there[".chartroom/blobs/sha256/ab/3"] == b"blob 3"
    assert list_journals(tmp_path) == []
    assert (await recovered(tmp_path))[:2] == (0, ())


async def test_what_is_torn_in_its_place_is_made_whole(tmp_path: Path) -> None:
    write_and_die(tmp_path, 2)
    (tmp_path / ".chartroom/blobs/sha256/ab/0").write_bytes(b"bl")
    (tmp_path / ".chartroom/blobs/sha256/ab/1").write_bytes(b"\0" * 6)
    objects, damaged, there = await recovered(tmp_path)
    assert (objects, damaged) == (2, ())
    assert there[".chartroom/blobs/sha256/ab/0"] == b"blob 0"
    assert there[".chartroom/blobs/sha256/ab/1"] == b"blob 1"


@pytest.mark.parametrize("cut", [1, 10, 40, 60])
async def test_a_batch_that_was_cut_off_was_never_acknowledged(tmp_path: Path, cut: int) -> None:
    journal = write_and_die(tmp_path, 3)
    lose_places(tmp_path)
    os.truncate(journal, journal.stat().st_size - cut)
    restart_machine(tmp_path)
    objects, damaged, there = await recovered(tmp_path)
    assert (objects, damaged) == (4, ())
    assert "r/2" not in there


async def test_damage_in_the_middle_is_named_and_costs_its_own_batch_only(tmp_path: Path) -> None:
    journal = write_and_die(tmp_path, 4)
    lose_places(tmp_path)
    content = bytearray(journal.read_bytes())
    at = content.index(b"blob 1")
    content[at : at + 6] = b"BLOB 1"
    journal.write_bytes(content)
    restart_machine(tmp_path)
    (journal,) = list_journals(tmp_path)
    objects, damaged, there = await recovered(tmp_path)
    assert (objects, damaged) == (6, (journal.name,))
    assert [f"r/{number}" in there for number in range(4)] == [True, False, True, True]


async def test_the_journal_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _WRITE, str(tmp_path), "3", "wait"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as living:
        assert living.stdout is not None
        assert living.stdout.readline() == b"written\n"
        objects, damaged, there = await recovered(tmp_path)
        assert (objects, damaged, len(there)) == (0, (), 6)
        assert len(list_journals(tmp_path)) == 1
        living.communicate(timeout=30)
    await recovered(tmp_path)
    assert list_journals(tmp_path) == []


async def test_a_record_that_an_ended_process_left_does_not_come_back(tmp_path: Path) -> None:
    write_and_die(tmp_path, 2)
    storage = FilesystemStorage(tmp_path)
    storage.discard(["r/1"])
    storage.close()
    assert "r/1" not in (await recovered(tmp_path))[2]


async def test_while_the_machine_runs_a_record_that_is_not_in_its_place_stays_away(tmp_path: Path) -> None:
    """Its process ended before it was put there, or another one discarded it: it was never acknowledged."""
    write_and_die(tmp_path, 2)
    (tmp_path / "r" / "1").unlink()
    objects, damaged, there = await recovered(tmp_path)
    assert (objects, damaged, "r/0" in there, "r/1" in there) == (0, (), True, False)


async def test_a_recovery_that_fails_is_done_whole_by_the_next_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full when the server starts after a power cut, and has room a moment later."""
    write_and_die(tmp_path, 2)
    lose_places(tmp_path)
    restart_machine(tmp_path)
    storage = FilesystemStorage(tmp_path)
    put = Folders.put_unsynced

    def fail_for_the_last(self: Folders, key: str, content: bytes) -> None:
        if key == "r/1":
            raise OSError(errno.ENOSPC, "No space left on device")
        put(self, key, content)

    with monkeypatch.context() as full:
        full.setattr(Folders, "put_unsynced", fail_for_the_last)
        for _ in range(2):
            with pytest.raises(StorageFull):
                storage.recover(lambda records: [key for key, _ in records])
    storage.recover(lambda records: [key for key, _ in records])
    assert {"r/0", "r/1"} < (await read_all(storage)).keys()
    storage.close()
    assert list_journals(tmp_path) == []


async def test_closing_leaves_plain_files_and_no_journal(filesystem: FilesystemStorage, tmp_path: Path) -> None:
    filesystem.write_batch(BLOBS, RECORDS)
    assert len(list_journals(tmp_path / "store")) == 1
    filesystem.close()
    assert list_journals(tmp_path / "store") == []
    assert await read(FilesystemStorage(tmp_path / "store"), RECORDS[0][0]) == RECORDS[0][1]


async def test_journals_take_turns_and_are_emptied(
    filesystem: FilesystemStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.journal.LARGEST", 10_000)
    for number in range(40):
        filesystem.write_batch([(f".chartroom/blobs/sha256/ab/{number}", os.urandom(3000))], [(f"r/{number}", b"r")])
    assert len(await read_all(filesystem)) == 80
    filesystem.close()
    assert list_journals(tmp_path / "store") == []


async def test_a_journal_is_emptied_a_while_after_its_first_batch_each_time(
    filesystem: FilesystemStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.journal.OLDEST_SECONDS", 0.3)
    for number in range(3):
        filesystem.write_batch([], [(f"r/{number}", b"r")])
        assert sum(path.stat().st_size for path in list_journals(tmp_path / "store")) > 0
        await until(lambda: all(path.stat().st_size == 0 for path in list_journals(tmp_path / "store")))
        await asyncio.sleep(0.2)  # its thread waits for the next batch


async def test_while_the_disk_fails_a_journal_is_kept_and_tried_again_seldom(
    filesystem: FilesystemStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[float] = []

    def fail(_descriptor: int) -> None:
        tries.append(time.monotonic())
        raise OSError(errno.EIO, "the disk fails")

    monkeypatch.setattr("storage.journal.OLDEST_SECONDS", 0.2)
    with monkeypatch.context() as failing:
        failing.setattr("storage.journal.sync_file_system", fail)
        filesystem.write_batch([], RECORDS)
        await asyncio.sleep(1.5)
        assert 2 <= len(tries) <= 8
        assert sum(path.stat().st_size for path in list_journals(tmp_path / "store")) > 0
    await until(lambda: all(path.stat().st_size == 0 for path in list_journals(tmp_path / "store")))


async def until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not reached():
        assert time.monotonic() < end, "it did not happen"
        await asyncio.sleep(0.05)


async def test_journals_are_no_objects(filesystem: FilesystemStorage) -> None:
    filesystem.write_batch(BLOBS, RECORDS)
    assert not [stat.key async for stat in filesystem.scan(JOURNAL)]
    with pytest.raises(ValueError, match="not a storage key"):
        await filesystem.open(f"{JOURNAL}/x")


async def test_a_journal_that_was_removed_while_it_was_written_is_an_error(
    filesystem: FilesystemStorage, tmp_path: Path
) -> None:
    filesystem.write_batch([], RECORDS)
    for path in list_journals(tmp_path / "store"):
        path.unlink()
    with pytest.raises(StorageError):
        filesystem.write_batch([], [("r/2", b"2")])
    filesystem.discard(["r/2"])
    filesystem.write_batch([], [("r/3", b"3")])
    assert set(await read_all(filesystem)) == {RECORDS[0][0], "r/3"}
