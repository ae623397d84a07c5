"""What only the filesystem backend does: temp files, durability, links, foreign files, a full disk.

Longer than 300 lines: the ways of a disk are many, and share two fixtures.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import storage.threads
from storage import CHUNK, Mover, ObjectNotFound, StorageError, StorageFull, StorageUnavailable, page_cache
from storage.filesystem import FilesystemStorage
from storage.threads import Threads

MIB = 1024 * 1024


@pytest.fixture
def root(filesystem: FilesystemStorage) -> Path:
    return filesystem.path("x").parent


async def read(storage: FilesystemStorage, key: str) -> bytes:
    return b"".join([chunk async for chunk in await storage.open(key)])


async def keys(storage: FilesystemStorage, prefix: str = "") -> list[str]:
    return sorted([found.key async for found in storage.scan(prefix)])


def left_over(root: Path) -> list[str]:
    """Answer every file below the root, temp files too."""
    return [str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()]


async def stream(size: int) -> AsyncIterator[bytes]:
    for _ in range(0, size, CHUNK):
        yield b"x" * CHUNK


async def test_an_object_is_a_plain_file(filesystem: FilesystemStorage, root: Path) -> None:
    await filesystem.put("a/b c", b"x")
    assert filesystem.path("a/b c") == root / "a" / "b c"
    assert (root / "a" / "b c").read_bytes() == b"x"
    assert left_over(root) == ["a/b c"]


async def test_nothing_is_made_before_the_first_put(filesystem: FilesystemStorage, root: Path) -> None:
    assert await keys(filesystem) == []
    await filesystem.delete("k")
    assert await filesystem.sweep() == 0
    with pytest.raises(ObjectNotFound):
        filesystem.read_now("k", 1)
    assert not root.exists()


async def test_a_temp_file_is_gone_when_the_content_raises_or_the_put_is_cancelled(
    filesystem: FilesystemStorage, root: Path
) -> None:
    for end in [RuntimeError("end"), asyncio.CancelledError()]:

        async def content(end: BaseException = end) -> AsyncIterator[bytes]:
            for turn in range(12):
                yield b"x" * CHUNK
                assert len(left_over(root)) == (turn >= 3)  # a short stream needs no file before its end
            raise end

        with pytest.raises(type(end)):
            await filesystem.put("k", content())
        assert left_over(root) == []


@pytest.mark.parametrize("moment", [0.0, 0.0002, 0.001, 0.003, 0.01])
async def test_a_put_cancelled_at_any_moment_leaves_no_temp_file(
    filesystem: FilesystemStorage, root: Path, moment: float
) -> None:
    task = asyncio.create_task(filesystem.put("k", stream(4 * MIB)))
    await asyncio.sleep(moment)
    task.cancel()
    await asyncio.wait([task])
    filesystem.close()  # waits for what the threads had begun
    await asyncio.sleep(0.02)  # and lets the loop undo it
    assert left_over(root) in ([], ["k"])


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("size", [10, 3 * MIB])
@pytest.mark.parametrize("call", ["fsync", "rename"])
async def test_a_full_disk_leaves_nothing_but_the_old_object(
    filesystem: FilesystemStorage, root: Path, monkeypatch: pytest.MonkeyPatch, code: int, size: int, call: str
) -> None:
    await filesystem.put("dir/k", b"old")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(StorageFull, match="no space left to write 'dir/k'"):
            await filesystem.put("dir/k", stream(size) if size > CHUNK else b"x" * size)
    assert left_over(root) == ["dir/k"]
    assert await read(filesystem, "dir/k") == b"old"


def test_a_write_that_the_kernel_stops_leaves_nothing(tmp_path: Path) -> None:
    program = """
import asyncio, resource, signal, sys
from pathlib import Path
from storage import StorageError, StorageFull
from storage.filesystem import FilesystemStorage
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2_500_000, 2_500_000))
async def content():
    for _ in range(40):
        yield b"x" * 100_000
async def main():
    storage = FilesystemStorage(Path(sys.argv[1]))
    for body in (content(), b"x" * 4_000_000):
        try:
            await storage.put("k", body)
        except StorageError as error:
            assert not isinstance(error, StorageFull) and "File too large" in str(error), error
        else:
            raise AssertionError("it was written")
    storage.close()
asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=60)
    assert left_over(tmp_path) == []


async def test_what_the_disk_refuses_is_an_error_and_never_not_found(
    filesystem: FilesystemStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filesystem.put("k", b"x")
    opened = os.open
    for code in [errno.EACCES, errno.EIO, errno.EMFILE, errno.ESTALE]:

        def refuse(path: Any, flags: int, *rest: Any, code: int = code, **named: Any) -> int:
            if str(path).endswith("/k"):
                raise OSError(code, os.strerror(code), path)
            return opened(path, flags, *rest, **named)

        with monkeypatch.context() as patch:
            patch.setattr(os, "open", refuse)
            calls: list[Callable[[], Any]] = [lambda: filesystem.stat("k"), lambda: filesystem.open("k")]
            for call in calls:
                with pytest.raises(StorageError, match=os.strerror(code)) as caught:
                    await call()
                assert type(caught.value) is StorageError
            with pytest.raises(StorageError, match=os.strerror(code)) as caught:
                filesystem.read_now("k", 10)
            assert type(caught.value) is StorageError


async def test_an_object_and_a_folder_cannot_have_one_name(filesystem: FilesystemStorage, root: Path) -> None:
    await filesystem.put("a", b"x")
    await filesystem.put("b/c", b"y")
    for key in ["a/below", "a/far/below", "b", "n" * 256]:
        with pytest.raises(StorageError):
            await filesystem.put(key, b"z")
        with pytest.raises(StorageError):
            await filesystem.put(key, stream(2 * MIB))
    assert sorted(left_over(root)) == ["a", "b/c"]


async def test_every_new_name_is_synced_in_its_folder_and_every_new_folder_in_its_parent(
    filesystem: FilesystemStorage, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, rename, unlink, mkdir = os.fsync, os.rename, os.unlink, os.mkdir

    def note_fsync(descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        kind = "sync" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file"
        events.append(kind if kind == "sync file" else f"sync {os.path.relpath(path, root)}")
        fsync(descriptor)

    def note_rename(*args: Any, **named: Any) -> None:
        events.append("rename")
        rename(*args, **named)

    def note_unlink(*args: Any, **named: Any) -> None:
        events.append("unlink")
        unlink(*args, **named)

    def note_mkdir(path: Any, *rest: Any, **named: Any) -> None:
        mkdir(path, *rest, **named)
        events.append(f"mkdir {os.path.relpath(path, root)}")

    await filesystem.put("first", b"x")
    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "rename", note_rename)
    monkeypatch.setattr(os, "unlink", note_unlink)
    monkeypatch.setattr(os, "mkdir", note_mkdir)
    await filesystem.put("a/b/k", b"x")
    assert events == ["sync file", "mkdir a", "sync .", "mkdir a/b", "sync a", "rename", "sync a/b"]
    events.clear()
    await filesystem.put("a/b/l", stream(2 * MIB))
    assert events == ["sync file", "rename", "sync a/b"]
    events.clear()
    await filesystem.delete("a/b/l")
    assert events == ["unlink", "sync a/b"]


async def test_delete_takes_folders_that_become_empty_along(filesystem: FilesystemStorage, root: Path) -> None:
    await filesystem.put("uploads/1/part", b"x")
    await filesystem.put("uploads/2/part", b"x")
    await filesystem.delete("uploads/1/part")
    assert not (root / "uploads" / "1").exists()
    await filesystem.delete("uploads/2/part")
    assert not (root / "uploads").exists()
    assert root.exists()
    await filesystem.put("uploads/1/part", b"again")
    assert await read(filesystem, "uploads/1/part") == b"again"


async def test_sweep_removes_old_temp_files_and_nothing_else(filesystem: FilesystemStorage, root: Path) -> None:
    await filesystem.put("k", b"x")
    temp = root / ".chartroom" / "tmp"
    (temp / "old").write_bytes(b"x")
    (temp / "young").write_bytes(b"x")
    long_ago = time.time() - 25 * 3600
    os.utime(temp / "old", (long_ago, long_ago))
    os.utime(root / "k", (long_ago, long_ago))
    assert await filesystem.sweep() == 1
    assert sorted(left_over(root)) == [".chartroom/tmp/young", "k"]
    assert await filesystem.sweep(0) == 1
    assert await keys(filesystem) == ["k"]


async def test_links_that_leave_the_root_are_refused(filesystem: FilesystemStorage, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (tmp_path / "store-too").mkdir()  # its name begins like the root's
    (tmp_path / "store-too" / "secret").write_bytes(b"secret")
    await filesystem.put("real/k", b"x")
    (root / "folder").symlink_to(outside)
    (root / "near").symlink_to("../store-too")
    (root / "file").symlink_to(outside / "secret")
    (root / "real" / "up").symlink_to("../..")
    for key in ["folder/secret", "near/secret", "file", "real/up/outside/secret"]:
        with pytest.raises(StorageError, match="leads out"):
            await filesystem.stat(key)
        with pytest.raises(StorageError, match="leads out"):
            await filesystem.open(key)
        with pytest.raises(StorageError, match="leads out"):
            filesystem.read_now(key, 100)
    for key in ["folder/k", "folder/new/k", "real/up/outside/new/k"]:
        with pytest.raises(StorageError, match="leads out"):
            await filesystem.put(key, b"x")
    with pytest.raises(StorageError, match="leads out"):
        await filesystem.delete("folder/secret")
    assert await keys(filesystem) == ["real/k"]
    assert await keys(filesystem, "folder/") == await keys(filesystem, "real/up/") == []
    assert left_over(outside) == ["secret"]


async def test_links_inside_the_root_are_read_and_circles_do_no_harm(filesystem: FilesystemStorage, root: Path) -> None:
    await filesystem.put("a/k", b"x")
    (root / "b").symlink_to("a")
    (root / "a" / "link").symlink_to("k")
    (root / "a" / "circle").symlink_to("..")
    (root / "self").symlink_to("self")
    (root / "nowhere").symlink_to("nothing")
    assert filesystem.read_now("b/k", 10) == await read(filesystem, "a/link") == b"x"
    assert await keys(filesystem) == ["a/k", "a/link"]
    with pytest.raises(ObjectNotFound):
        await filesystem.stat("nowhere")
    with pytest.raises(StorageError):
        await filesystem.stat("self")


async def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    storage = FilesystemStorage(tmp_path / "link")
    await storage.put("a/k", b"x")
    assert storage.read_now("a/k", 10) == b"x"
    assert (tmp_path / "real" / "a" / "k").exists()
    storage.close()


async def test_what_is_no_object_is_not_shown(filesystem: FilesystemStorage, root: Path) -> None:
    await filesystem.put("k", b"x")
    os.mkfifo(root / "pipe")
    (root / "empty folder").mkdir()
    (root / os.fsdecode(b"\xff not text")).write_bytes(b"x")
    (root / os.fsdecode(b"\xfe")).mkdir()
    (root / os.fsdecode(b"\xfe") / "k").write_bytes(b"x")
    assert await keys(filesystem) == ["k"]
    with pytest.raises(ObjectNotFound):
        filesystem.read_now("pipe", 10)  # and does not wait for somebody to write into it
    with pytest.raises(ObjectNotFound):
        await filesystem.stat("empty folder")


async def test_files_that_another_program_writes_in_place_are_read(filesystem: FilesystemStorage, root: Path) -> None:
    root.mkdir()
    (root / "mychart-1.0.0.tgz").write_bytes(b"first")
    assert filesystem.read_now("mychart-1.0.0.tgz", 100) == b"first"
    (root / "mychart-1.0.0.tgz").write_bytes(b"and longer")
    assert filesystem.read_now("mychart-1.0.0.tgz", 100) == b"and longer"
    assert await keys(filesystem) == ["mychart-1.0.0.tgz"]


async def test_a_file_that_shrinks_while_it_is_read_is_cut_off_and_no_end(
    filesystem: FilesystemStorage, root: Path
) -> None:
    await filesystem.put("k", b"x" * (3 * CHUNK))
    chunks = await filesystem.open("k")
    await anext(chunks)
    os.truncate(root / "k", CHUNK + 10)
    assert len(await anext(chunks)) == 10
    with pytest.raises(StorageUnavailable, match="shorter"):
        await anext(chunks)


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EAGAIN])
async def test_read_now_waits_for_no_disk(
    filesystem: FilesystemStorage, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    await filesystem.put("small", b"x" * 1000)
    await filesystem.put("large", b"x" * MIB)
    preadv = os.preadv

    def answer(descriptor: int, buffers: Any, offset: int, flags: int = 0) -> int:
        if flags:
            raise OSError(code, os.strerror(code))
        return preadv(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", answer)
    # Where the file system cannot say whether it has the bytes at hand, a small file is worth the risk.
    small = b"x" * 1000 if code == errno.EOPNOTSUPP else None
    assert filesystem.read_now("small", 10 * MIB) == small
    assert filesystem.read_now("large", 10 * MIB) is None
    assert filesystem.open_now("small", 10 * MIB) is None


async def test_read_now_tells_of_a_broken_disk(filesystem: FilesystemStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    await filesystem.put("k", b"x" * 1000)

    def fail(*_: Any) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "preadv", fail)
    with pytest.raises(StorageError, match="'k'"):
        filesystem.read_now("k", 10_000)
    assert filesystem.open_now("k", 10_000) is None  # whoever reads it then is told


@pytest.mark.parametrize("size", [1000, MIB])
async def test_where_nobody_can_tell_what_is_in_memory_small_files_are_read(
    filesystem: FilesystemStorage, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    await filesystem.put("k", b"x" * size)
    monkeypatch.setattr(page_cache, "NOWAIT", 0)
    assert filesystem.read_now("k", MIB) == (b"x" * size if size == 1000 else None)
    assert filesystem.open_now("k", MIB) is None
    assert await read(filesystem, "k") == b"x" * size


async def test_read_now_opens_nothing_that_stays_open(filesystem: FilesystemStorage, root: Path) -> None:
    await filesystem.put("a/k", b"x" * 20_000)
    (root / "a" / "out").symlink_to("/etc/hostname")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        filesystem.read_now("a/k", 100_000)
        filesystem.read_now("a/k", 1)
        filesystem.open_now("a/k", 1)
        if (opened := filesystem.open_now("a/k", 100_000)) is not None:
            opened.file.close()
        for key in ["a", "a/none", "a/k/x"]:
            with pytest.raises(ObjectNotFound):
                filesystem.read_now(key, 1)
        with pytest.raises(StorageError):
            filesystem.read_now("a/out", 1)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_what_a_thread_opened_is_closed_where_its_caller_is_cancelled_just_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The result is there, and the caller, cancelled before it could take it, never sees it."""
    threads, closed = Threads(1, "test"), list[str]()
    task = asyncio.ensure_future(threads.run(lambda: "file", undo=closed.append))
    settle = storage.threads._settle

    def settle_and_cancel(*facts: Any) -> None:
        settle(*facts)
        task.cancel()

    monkeypatch.setattr(storage.threads, "_settle", settle_and_cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed == ["file"]
    threads.close()


async def test_two_processes_may_share_a_root(filesystem: FilesystemStorage, root: Path) -> None:
    other = FilesystemStorage(root)

    async def come_and_go(storage: FilesystemStorage, name: str) -> None:
        for _ in range(40):
            await storage.put(f"shared/deep/{name}", b"x")
            await storage.delete(f"shared/deep/{name}")

    pairs = [(filesystem, "a"), (other, "b"), (filesystem, "c"), (other, "d")]
    await asyncio.gather(*[come_and_go(storage, name) for storage, name in pairs])
    assert left_over(root) == []
    other.close()


async def test_an_object_moves_whole_and_its_old_folder_goes(tmp_path: Path) -> None:
    storage = FilesystemStorage(tmp_path)
    assert isinstance(storage, Mover)
    await storage.put("from/here/a", b"new")
    await storage.put("to/there/b", b"old")
    await storage.move("from/here/a", "to/there/b")
    assert await read(storage, "to/there/b") == b"new"
    assert not (tmp_path / "from").exists()
    with pytest.raises(ObjectNotFound):
        await storage.move("from/here/a", "to/there/b")
    assert await read(storage, "to/there/b") == b"new"
    for key in ("../out", "", "a//b"):
        with pytest.raises(ValueError, match="key"):
            await storage.move("to/there/b", key)
    storage.close()


async def test_a_link_that_leads_out_is_not_moved(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"secret")
    storage = FilesystemStorage(tmp_path / "root")
    await storage.put("kept", b"kept")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(StorageError):
        await storage.move("link", "taken")
    assert not (tmp_path / "root" / "taken").exists()
    storage.close()
