"""Ropes: however the charts changed, the body is the one that rendering them from scratch gives."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Sequence

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from app.domain import rope as ropes
from app.domain.rope import Body, Bucket, Piece, Rope

_HEAD, _TAIL = b"{\n", b"\n}\n"
_NAMES = st.text("aAbz-é😀", min_size=1, max_size=3)

Store = dict[str, list[bytes]]


def render(name: str, entries: Sequence[bytes]) -> bytes:
    return name.encode() + b":" + b"|".join(entries)


def in_order(store: Store, start: str = "", end: str | None = None) -> list[tuple[str, list[bytes]]]:
    """Answer the charts in a span of names, as the database does: bytewise, which is also how Python orders text."""
    return [(name, store[name]) for name in sorted(store) if name >= start and (end is None or name < end)]


def make_rope(store: Store, separator: bytes = b",\n") -> Rope:
    rope = Rope(render, separator)
    rope.fill(in_order(store))
    return rope


def whole(body: Body) -> bytes:
    content = b"".join(body.pieces)
    assert len(content) == body.length
    return content


def expected(store: Store, separator: bytes = b",\n") -> bytes:
    return _HEAD + separator.join(render(name, entries) for name, entries in in_order(store)) + _TAIL


def change(rope: Rope, store: Store, name: str, size: int) -> None:
    """Give a chart other content, or remove it where `size` is 0, and tell the rope."""
    if size:
        store[name] = [bytes([97 + size % 26]) * size]
    else:
        store.pop(name, None)
    start, end = rope.span(name)
    rope.replace(start, in_order(store, start, end))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ropes, "TARGET", 24)


@given(
    first=st.dictionaries(_NAMES, st.integers(1, 40)),
    changes=st.lists(st.tuples(_NAMES, st.integers(0, 40)), max_size=30),
    separator=st.sampled_from([b",\n", b""]),
)
def test_any_changes_give_the_bytes_of_rendering_from_scratch(
    first: dict[str, int], changes: list[tuple[str, int]], separator: bytes
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ropes, "TARGET", 24)
        store: Store = {name: [b"x" * size] for name, size in first.items()}
        rope = make_rope(store, separator)
        for name, size in changes:
            change(rope, store, name, size)
            assert whole(rope.body(_HEAD, _TAIL)) == expected(store, separator)
            assert [bucket.first for bucket in rope.buckets] == sorted(bucket.first for bucket in rope.buckets)
        raw = whole(rope.body(_HEAD, _TAIL))
        assert gzip.decompress(whole(rope.gzip_body(_HEAD, _TAIL))) == raw
        assert unpack_zstd(whole(rope.zstd_body(_HEAD, _TAIL))) == raw


def unpack_zstd(content: bytes) -> bytes:
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(content), read_across_frames=True) as reader:
        return reader.read()


@given(st.lists(st.binary(max_size=400), max_size=8), st.binary(max_size=50), st.binary(max_size=50))
def test_both_compressed_forms_unpack_to_the_body(parts: list[bytes], head: bytes, tail: bytes) -> None:
    rope = Rope(render, b"", [Bucket(str(number), Piece(part)) for number, part in enumerate(parts)])
    raw = whole(rope.body(head, tail))
    assert raw == head + b"".join(parts) + tail
    packed = whole(rope.gzip_body(head, tail))
    assert gzip.decompress(packed) == raw
    reader = zlib.decompressobj(31)  # one member, and nothing after it: Go and browsers take no more
    assert (reader.decompress(packed), reader.eof, reader.unused_data) == (raw, True, b"")
    assert unpack_zstd(whole(rope.zstd_body(head, tail))) == raw


def test_an_empty_rope_is_head_and_tail() -> None:
    rope = make_rope({})
    assert whole(rope.body(_HEAD, _TAIL)) == _HEAD + _TAIL
    assert rope.span("any") == ("", None)
    store: Store = {}
    change(rope, store, "first", 5)
    assert whole(rope.body(_HEAD, _TAIL)) == expected(store)


@pytest.mark.usefixtures("small")
def test_spans_cover_every_name_once() -> None:
    rope = make_rope({name: [b"x" * 30] for name in "dhm"})
    assert [rope.span(name) for name in ("", "a", "d", "e", "h", "hh", "m", "z")] == [
        ("", "h"), ("", "h"), ("", "h"), ("", "h"), ("h", "m"), ("h", "m"), ("m", None), ("m", None),
    ]  # fmt: skip


@pytest.mark.usefixtures("small")
def test_a_change_touches_one_bucket_and_keeps_what_the_others_have_compressed() -> None:
    store: Store = {name: [b"x" * 30] for name in "dhm"}
    rope = make_rope(store)
    rope.gzip_body(_HEAD, _TAIL)
    before = [bucket.piece for bucket in rope.buckets]
    change(rope, store, "h", 31)
    after = [bucket.piece for bucket in rope.buckets]
    assert (after[0] is before[0], after[1] is before[1], after[2] is before[2]) == (True, False, True)


@pytest.mark.usefixtures("small")
def test_a_bucket_that_grows_splits_and_one_that_empties_vanishes() -> None:
    store: Store = {name: [b"x" * 30] for name in "dhm"}
    rope = make_rope(store)
    for name in ("e", "f", "g"):
        change(rope, store, name, 30)
    assert [bucket.first for bucket in rope.buckets] == ["d", "e", "f", "g", "h", "m"]
    change(rope, store, "f", 0)
    assert [bucket.first for bucket in rope.buckets] == ["d", "e", "g", "h", "m"]
    change(rope, store, "ff", 30)
    assert whole(rope.body(_HEAD, _TAIL)) == expected(store)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("separator", [b",\n", b""])
def test_the_first_bucket_may_vanish(separator: bytes) -> None:
    store: Store = {name: [b"x" * 30] for name in "dhm"}
    rope = make_rope(store, separator)
    for name in "dhm":
        change(rope, store, name, 0)
        assert whole(rope.body(_HEAD, _TAIL)) == expected(store, separator)
    change(rope, store, "a", 3)
    assert whole(rope.body(_HEAD, _TAIL)) == expected(store, separator)


@pytest.mark.parametrize("make", [Rope.body, Rope.gzip_body, Rope.zstd_body])
def test_a_small_body_is_joined_and_a_large_one_is_not(make: Callable[[Rope, bytes, bytes], Body]) -> None:
    small = make(make_rope({"a": [b"x"], "b": [b"y"]}), _HEAD, _TAIL)
    assert len(small.joined_if_small().pieces) == 1
    assert whole(small.joined_if_small()) == whole(small)
    large = Body([b"x" * ropes.TARGET, b"y"], ropes.TARGET + 1)
    assert large.joined_if_small() is large


def test_a_bucket_ends_after_the_chart_that_fills_it() -> None:
    store: Store = {f"c{number:03}": [b"x" * 10_000] for number in range(40)}
    rope = make_rope(store)
    sizes = [len(bucket.piece.raw) for bucket in rope.buckets]
    assert len(sizes) == 3
    assert all(ropes.TARGET <= size < ropes.TARGET + 10_010 for size in sizes[:-1])


def test_weight_counts_the_compressed_forms_too() -> None:
    rope = make_rope({"a": [b"x" * 1000]})
    plain = rope.weight
    packed = len(rope.buckets[0].piece.deflated[0]) + len(rope.buckets[0].piece.zstd)
    assert rope.weight == plain + packed
