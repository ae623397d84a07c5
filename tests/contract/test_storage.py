"""The storage contract, sentence by sentence, on every backend. What only one backend does is elsewhere.

Longer than 300 lines: it is one contract, to be read beside `storage/protocol.py` from top to bottom.
"""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage import CHUNK, FileOpener, InlineReader, LocalFiles, ObjectNotFound, Presigner
from storage.rules import MAX_KEY, is_key

MIB = 1024 * 1024

ODD_KEYS = [
    ".chartroom/blobs/sha256/ab/" + "ab" * 32,
    "a b/c+d 1.0.0+build.tgz",
    "a%2Fb",
    "a%2fb/%00/%",
    "ünï/çødé/日本語/кириллица",
    "e\u0301 is not \u00e9",
    "\u00e9 is not e\u0301",
    "🚀/👩‍👩‍👧.tgz",
    "...",
    "..a/b../.c/d.",
    "back\\slash\\..\\up",
    "'\"<>&?#;=@:,$![]{}|^`*",
    " leading and trailing ",
    "tab\tbell\a\x01",
    "\u0085\u2028\ufeff",
    "~latest-3/-/api",
    "con/nul/aux.txt",
    ".chartroom/tmporary",
    "org/.chartroom/tmp/x",
    "x" * 255,
    "/".join(["deep"] * 180),
    "é" * 127 + "/" + "z" * 100,
    "UPPER",
    "upper",
]

BAD_KEYS = [
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "../a",
    "a/../b",
    "a/../../../etc/passwd",
    "a/..",
    "./a",
    "a/.",
    "a/./b",
    "\0",
    "a\0b",
    "\ud800",
    "a/\udcff",
    ".chartroom/tmp",
    ".chartroom/tmp/0123",
    "x/" * (MAX_KEY // 2) + "x",
    "é/" * (MAX_KEY // 3) + "xx",
]


async def read(storage: Any, key: str, start: int = 0, length: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in await storage.open(key, start, length)])


async def keys(storage: Any, prefix: str = "") -> list[str]:
    return sorted([found.key async for found in storage.scan(prefix)])


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk


class OwnError(OSError):
    """An error of the content: an OSError, to see that no backend takes it for one of its own."""


async def broken(good: int, size: int = 64 * 1024) -> AsyncIterator[bytes]:
    for _ in range(good):
        yield b"x" * size
    raise OwnError("the sender went away")


# ---------------------------------------------------------------------------------------------- keys


async def test_any_unicode_may_stand_in_a_key(storage: Any) -> None:
    for key in ODD_KEYS:
        await storage.put(key, key.encode())
        assert await read(storage, key) == key.encode()
        assert (await storage.stat(key)).key == key
        assert await keys(storage) == [key]
        await storage.delete(key)
        assert await keys(storage) == []


async def test_a_newline_may_stand_in_a_key(storage: Any) -> None:
    if isinstance(storage, Presigner):
        return  # moto's routes end at a newline; Amazon's do not
    await storage.put("a\nb/c\n", b"x")
    assert await keys(storage) == ["a\nb/c\n"]


async def test_odd_keys_do_not_meet_each_other(storage: Any) -> None:
    await asyncio.gather(*[storage.put(key, key.encode()) for key in ODD_KEYS])
    assert await keys(storage) == sorted(ODD_KEYS)
    for key in ODD_KEYS:
        assert await read(storage, key) == key.encode()


async def test_other_keys_are_refused_by_every_method(storage: Any) -> None:
    for key in BAD_KEYS:
        calls: list[Callable[[], Any]] = [
            partial(storage.put, key, b"x"),
            partial(storage.put, key, stream(b"x")),
            partial(storage.stat, key),
            partial(storage.open, key),
            partial(storage.delete, key),
        ]
        if isinstance(storage, InlineReader):
            calls.append(partial(storage.read_now, key, 100))
        if isinstance(storage, LocalFiles):
            calls.append(partial(storage.path, key))
        if isinstance(storage, Presigner):
            calls.append(partial(storage.presign, key, 60))
        for call in calls:
            with pytest.raises(ValueError, match="not a storage key"):
                await call()
    assert await keys(storage) == []


@given(st.text(max_size=40))
@settings(deadline=None)
def test_the_rule_for_keys_is_the_one_that_is_written(text: str) -> None:
    segments = text.split("/")
    written = not any(segment in {"", ".", ".."} or "\0" in segment for segment in segments)
    assert is_key(text) == (written and segments[:2] != [".chartroom", "tmp"])


@given(st.text(min_size=1, max_size=30).filter(is_key), st.binary(max_size=100))
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_key_it_is_what_was_put_comes_back(filesystem: Any, key: str, content: bytes) -> None:
    async def go() -> None:
        await filesystem.put(key, content)
        assert await read(filesystem, key) == content
        assert await keys(filesystem) == [key]
        await filesystem.delete(key)

    asyncio.run(go())


# ---------------------------------------------------------------------------------------------- put


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, MIB, 3 * MIB + 7])
async def test_an_object_has_the_bytes_that_were_put(storage: Any, size: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"z" * (size % 256)
    await storage.put("as/bytes", content)
    await storage.put("as/stream", stream(content[: size // 3], b"", content[size // 3 :], b""))
    assert await read(storage, "as/bytes") == await read(storage, "as/stream") == content
    assert (await storage.stat("as/stream")).size == (await storage.stat("as/bytes")).size == size


async def test_a_stream_without_chunks_is_an_empty_object(storage: Any) -> None:
    await storage.put("empty", stream())
    assert await read(storage, "empty") == b""
    assert (await storage.stat("empty")).size == 0


async def test_put_replaces(storage: Any) -> None:
    await storage.put("k", b"a much longer first content")
    await storage.put("k", b"second")
    assert await read(storage, "k") == b"second"
    await storage.put("k", stream(b"thi", b"rd"))
    assert await read(storage, "k") == b"third"
    assert await keys(storage) == ["k"]


@pytest.mark.parametrize("good", [0, 1, 40, 200])
async def test_a_put_whose_content_raises_leaves_nothing(storage: Any, good: int) -> None:
    with pytest.raises(OwnError, match="went away"):
        await storage.put("dir/new", broken(good))
    assert await keys(storage) == []
    with pytest.raises(ObjectNotFound):
        await storage.stat("dir/new")


@pytest.mark.parametrize("good", [0, 1, 200])
async def test_a_put_whose_content_raises_leaves_the_old_object(storage: Any, good: int) -> None:
    await storage.put("k", b"old")
    with pytest.raises(OwnError):
        await storage.put("k", broken(good))
    assert await read(storage, "k") == b"old"


async def test_a_cancelled_put_leaves_nothing(storage: Any) -> None:
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(160):
            yield b"x" * 64 * 1024
        begun.set()
        await asyncio.Event().wait()
        yield b""

    task = asyncio.create_task(storage.put("k", endless()))
    await asyncio.wait_for(begun.wait(), 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await keys(storage) == []


async def test_readers_see_the_old_object_or_the_new_one_whole(storage: Any) -> None:
    versions = [bytes([letter]) * (CHUNK + 1000 * letter) for letter in range(65, 71)]
    await storage.put("k", versions[0])
    writing = True

    async def reader() -> int:
        seen = 0
        while writing:
            content = await read(storage, "k")
            assert content in versions
            assert (await storage.stat("k")).size in map(len, versions)
            if isinstance(storage, InlineReader):
                assert storage.read_now("k", MIB) in [*versions, None]
            seen += 1
            await asyncio.sleep(0)  # the memory backend never waits
        return seen

    readers = [asyncio.create_task(reader()) for _ in range(4)]
    for turn in range(18):
        content = versions[turn % len(versions)]
        await storage.put("k", content if turn % 2 else stream(content[:7], content[7:]))
        await asyncio.sleep(0)
    writing = False
    assert min(await asyncio.gather(*readers)) > 0


async def test_of_several_writers_at_once_one_wins_whole(storage: Any) -> None:
    versions = [bytes([letter]) * (100_000 + letter) for letter in range(65, 81)]
    await asyncio.gather(*[storage.put("dir/k", content) for content in versions])
    assert await read(storage, "dir/k") in versions
    assert await keys(storage) == ["dir/k"]


async def test_puts_and_deletes_in_one_folder_do_not_disturb_each_other(storage: Any) -> None:
    async def come_and_go(name: str) -> None:
        for _ in range(12):
            await storage.put(f"a/b/{name}", name.encode())
            assert await read(storage, f"a/b/{name}") == name.encode()
            await storage.delete(f"a/b/{name}")

    await asyncio.gather(*[come_and_go(f"n{number}") for number in range(8)])
    assert await keys(storage) == []


# ---------------------------------------------------------------------------------------------- stat


async def test_stat_tells_size_and_time(storage: Any) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)  # S3 counts whole seconds
    await storage.put("k", b"12345")
    found = await storage.stat("k")
    assert (found.key, found.size) == ("k", 5)
    assert found.modified.utcoffset() == timedelta(0)
    assert before <= found.modified <= datetime.now(UTC) + timedelta(seconds=2)
    assert [item async for item in storage.scan()] == [found]


async def test_what_is_not_there_is_not_found(storage: Any) -> None:
    await storage.put("dir/k", b"x")
    for key in ["k", "k/l", "dir", "dir/k/l", "di", "x" * 300]:
        with pytest.raises(ObjectNotFound):
            await storage.stat(key)
        with pytest.raises(ObjectNotFound):
            await storage.open(key)
        with pytest.raises(ObjectNotFound):
            await storage.open(key, 5, 0)
        if isinstance(storage, InlineReader):
            with pytest.raises(ObjectNotFound):
                storage.read_now(key, 100)


# ---------------------------------------------------------------------------------------------- open


async def test_open_answers_a_range_cut_to_the_object(storage: Any) -> None:
    content = b"0123456789"
    await storage.put("k", content)
    for start, length in product([0, 1, 9, 10, 11, 5000], [None, 0, 1, 9, 10, 5000]):
        expected = content[start:] if length is None else content[start : start + length]
        assert await read(storage, "k", start, length) == expected, (start, length)


async def test_an_empty_object_has_no_bytes_in_any_range(storage: Any) -> None:
    await storage.put("k", b"")
    for start, length in [(0, 1), (0, None), (3, None), (0, 0), (7, 7)]:
        assert await read(storage, "k", start, length) == b""


async def test_negative_numbers_are_no_range(storage: Any) -> None:
    await storage.put("k", b"x")
    for start, length in [(-1, None), (0, -1), (-5, -5)]:
        with pytest.raises(ValueError, match="range"):
            await storage.open("k", start, length)


async def test_ranges_across_chunks_are_exact(storage: Any) -> None:
    content = b"".join(number.to_bytes(4, "big") for number in range(300_000))
    await storage.put("k", content)
    for start, length in [(CHUNK - 1, 2), (1, CHUNK), (CHUNK, CHUNK), (CHUNK + 5, None), (3, 3 * CHUNK + 1)]:
        expected = content[start:] if length is None else content[start : start + length]
        assert await read(storage, "k", start, length) == expected


async def test_no_chunk_is_empty_or_larger_than_agreed(storage: Any) -> None:
    await storage.put("k", b"x" * (2 * CHUNK + 1))
    sizes = [len(chunk) async for chunk in await storage.open("k")]
    assert sum(sizes) == 2 * CHUNK + 1
    assert all(0 < size <= CHUNK for size in sizes)


@pytest.mark.parametrize("steps", [0, 1, 2])
async def test_a_reader_may_stop_whenever_it_wants(storage: Any, steps: int) -> None:
    await storage.put("k", b"x" * (4 * CHUNK))
    for _ in range(30):  # what each left open would come to light as a warning
        chunks = await storage.open("k")
        for _ in range(steps):
            await anext(chunks)
        await chunks.aclose()


@pytest.mark.parametrize("change", ["replaced", "deleted"])
async def test_a_reader_keeps_the_object_it_opened(storage: Any, change: str) -> None:
    content = b"a" * (8 * CHUNK)
    await storage.put("k", content)
    chunks = await storage.open("k")
    got = await anext(chunks)
    await (storage.put("k", b"b" * 9 * CHUNK) if change == "replaced" else storage.delete("k"))
    assert got + b"".join([chunk async for chunk in chunks]) == content


async def test_large_objects_pass_through_bounded_memory(storage: Any) -> None:
    if not isinstance(storage, (LocalFiles, Presigner)):
        return  # the memory backend holds its objects: that is what it is for
    size = 40 * MIB

    async def content() -> AsyncIterator[bytes]:
        for _ in range(size // CHUNK):
            yield bytes(CHUNK)

    await storage.put("warm", b"")  # what is imported on first use does not count
    tracemalloc.start()
    try:
        await storage.put("large", content())
        got = 0
        async for chunk in await storage.open("large"):
            got += len(chunk)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert got == size
    assert peak < 28 * MIB  # three parts of an upload to S3, and a little


# ---------------------------------------------------------------------------------------------- delete


async def test_delete_removes_and_may_be_repeated(storage: Any) -> None:
    await storage.put("a/k", b"x")
    await storage.put("a/l", b"y")
    await storage.delete("a/k")
    await storage.delete("a/k")
    await storage.delete("never/there")
    await storage.delete("a/l/below")
    await storage.delete("a")
    assert await keys(storage) == ["a/l"]
    with pytest.raises(ObjectNotFound):
        await storage.open("a/k")


# ---------------------------------------------------------------------------------------------- scan


PREFIXES = [
    ("", ["org1/a", "org1/a.prov", "org1/sub/c", "org10/b", "top", "öl/x"]),
    ("org1", ["org1/a", "org1/a.prov", "org1/sub/c", "org10/b"]),
    ("org1/", ["org1/a", "org1/a.prov", "org1/sub/c"]),
    ("org1/a", ["org1/a", "org1/a.prov"]),
    ("org1/s", ["org1/sub/c"]),
    ("org1/sub/", ["org1/sub/c"]),
    ("org1/sub/c", ["org1/sub/c"]),
    ("org1/sub/c/", []),
    ("o", ["org1/a", "org1/a.prov", "org1/sub/c", "org10/b"]),
    ("ö", ["öl/x"]),
    ("none", []),
    ("none/at/all", []),
    ("/", []),
    ("/org1", []),
    ("..", []),
    ("../", []),
    ("org1/../", []),
    ("org1/../org1", []),
    ("org1//", []),
    (".", []),
    ("./org1", []),
    ("\0", []),
    ("org1/\0", []),
    ("x" * 2000, []),
    ("x/" * 1000, []),
    (".chartroom/tmp/", []),
]


async def test_scan_answers_what_starts_with_the_prefix(storage: Any) -> None:
    for key in ["org1/a", "org1/a.prov", "org1/sub/c", "org10/b", "top", "öl/x"]:
        await storage.put(key, key.encode())
    for prefix, expected in PREFIXES:
        found = [item async for item in storage.scan(prefix)]
        assert sorted(item.key for item in found) == expected, prefix
        assert all(item.size == len(item.key.encode()) for item in found)


async def test_scan_never_shows_unfinished_writes(storage: Any) -> None:
    seen: list[list[str]] = []

    async def content() -> AsyncIterator[bytes]:
        for turn in range(40):
            if turn % 13 == 0:
                seen.append(await keys(storage))
                seen.append(await keys(storage, ".chartroom"))
            yield b"x" * CHUNK

    await storage.put(".chartroom/k", content())
    assert seen == [[]] * 8
    assert await keys(storage) == [".chartroom/k"]


async def test_a_scan_may_be_left_early_and_survives_changes(storage: Any) -> None:
    for number in range(30):
        await storage.put(f"d{number % 3}/{number:03}", b"x")
    scan = storage.scan()
    first = await anext(scan)
    for number in range(0, 30, 2):
        await storage.delete(f"d{number % 3}/{number:03}")
    rest = [item.key async for item in scan]
    found = [first.key, *rest]
    assert len(set(found)) == len(found)
    assert {f"d{number % 3}/{number:03}" for number in range(1, 30, 2)} <= set(found)
    left = storage.scan()
    await anext(left)
    await left.aclose()


# ---------------------------------------------------------------------------------- optional powers


async def test_read_now_answers_the_whole_object_up_to_the_limit(storage: Any) -> None:
    if not isinstance(storage, InlineReader):
        return
    await storage.put("k", b"12345")
    await storage.put("empty", b"")
    assert storage.read_now("k", 5) == b"12345"
    assert storage.read_now("k", 4) is None
    assert storage.read_now("empty", 0) == b""
    await storage.put("k", b"replaced")
    assert storage.read_now("k", 100) == b"replaced"
    await storage.delete("k")
    with pytest.raises(ObjectNotFound):
        storage.read_now("k", 100)


async def test_open_now_hands_out_what_is_at_hand(storage: Any) -> None:
    if not isinstance(storage, FileOpener):
        return
    await storage.put("k", b"12345")
    assert storage.open_now("k", 4) is None
    opened = storage.open_now("k", 5)
    assert opened is not None
    await storage.put("k", b"replaced")
    with opened.file as file:
        assert (file.read(), opened.size) == (b"12345", 5)
    await storage.delete("k")
    with pytest.raises(ObjectNotFound):
        storage.open_now("k", 100)
