"""The memory for small blobs: bounded, and of use to readers who come round again."""

from __future__ import annotations

from app.services.blob_pool import BlobPool


def test_what_is_kept_is_bounded() -> None:
    pool = BlobPool(1000)
    for number in range(100):
        pool.put(str(number), b"x" * 100)
        held = [content for digest in map(str, range(100)) if (content := pool.get(digest)) is not None]
        assert len(held) == min(number + 1, 10)
    pool.put("large", b"x" * 1001)
    assert pool.get("large") is None


def test_the_same_blob_is_kept_once() -> None:
    pool = BlobPool(1000)
    for _ in range(20):
        pool.put("one", b"x" * 100)
    pool.put("two", b"y" * 900)
    assert (pool.get("one"), pool.get("two")) == (b"x" * 100, b"y" * 900)


def test_a_circle_larger_than_the_pool_is_served_from_it_for_the_most_part() -> None:
    pool, found = BlobPool(800), 0
    for turn in range(20):
        for number in range(1000):
            if pool.get(str(number)) is not None:
                found += turn > 0
            else:
                pool.put(str(number), b"x")
    assert found > 0.5 * 19 * 1000
