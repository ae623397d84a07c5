"""What a hostile archive may cost: sizes, counts, depths and bombs."""

from __future__ import annotations

import resource
import sys
import tarfile
import time

import pytest

from app.domain.archive import read_chart, read_files
from app.errors import AppError, Kind
from tests.charts import compress, make_bomb, make_chart, make_tar, pack, patch_header

MEBIBYTE = 1024 * 1024
CHART = ("c/Chart.yaml", b"name: c\nversion: 1.0.0\n")


def complaint(content: bytes) -> str:
    with pytest.raises(AppError) as caught:
        read_chart(content)
    assert caught.value.kind is Kind.INVALID
    return caught.value.message


def most_memory() -> int:
    """Answer the most bytes that this process has ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def header_of(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def test_a_file_over_five_mebibytes_is_refused() -> None:
    message = complaint(pack(CHART, ("c/big", bytes(5 * MEBIBYTE + 1))))
    assert message == 'decompressed chart file "c/big" is larger than the maximum file size 5242880'


def test_a_file_of_five_mebibytes_is_accepted() -> None:
    assert read_chart(pack(CHART, ("c/big", bytes(5 * MEBIBYTE)))).metadata.name == "c"


def test_a_hundred_mebibytes_are_refused() -> None:
    files = [(f"c/{n}", bytes(5 * MEBIBYTE)) for n in range(20)]
    assert complaint(pack(CHART, *files)) == "decompressed chart is larger than the maximum file size 104857600"


def test_a_chart_and_its_subcharts_share_a_hundred_mebibytes() -> None:
    half = pack(("s/Chart.yaml", b"name: s\nversion: 1.0.0"), *[(f"s/{n}", bytes(5 * MEBIBYTE)) for n in range(11)])
    assert read_chart(pack(CHART, ("c/charts/a-1.tgz", half))).metadata.name == "c"
    message = complaint(pack(CHART, ("c/charts/a-1.tgz", half), ("c/charts/b-1.tgz", half)))
    assert message == (
        "error unpacking subchart b-1.tgz in c: decompressed chart is larger than the maximum file size 104857600"
    )


def test_subcharts_nested_without_end_are_refused() -> None:
    content = make_chart("c")
    for _ in range(40):
        content = make_chart("c", files={"charts/c-1.tgz": content})
    assert "subcharts are nested more than 32 deep" in complaint(content)


def test_files_that_are_no_chart_are_judged_by_the_limits_alone() -> None:
    assert read_files(pack(("c/x", b"y"))) == {"x": b"y"}
    with pytest.raises(AppError, match="larger than the maximum file size"):
        read_files(pack(("c/x", bytes(5 * MEBIBYTE + 1))))


def test_many_empty_gzip_members_are_refused() -> None:
    assert complaint(compress(b"") * 20_000) == "gzip: more than 10000 members; compress the chart as one"


def test_many_pax_records_are_refused() -> None:
    records = b"".join(b"%d %s=\n" % (len(key) + 4, key) for key in (b"%04d" % n for n in range(2000)))
    tar = header_of("x", len(records), kind=b"x") + records + bytes(-len(records) % 512) + make_tar(CHART)
    assert "more than 1000 pax records" in complaint(compress(tar))


ZEROS = bytes(10 * MEBIBYTE)

BOMBS = [
    ("zeros", b"", ZEROS, "no files in chart archive"),
    ("one file", header_of("c/x", 10**10), ZEROS, "decompressed chart is larger than the maximum file size 104857600"),
    (
        "a directory with content",
        patch_header(header_of("c/x", 10**10), {100: b"0040755\0"}),
        ZEROS,
        "decompressed chart is larger than the maximum file size 104857600",
    ),
    (
        "files in the limit",
        b"",
        header_of("c/x", 5 * MEBIBYTE) + bytes(5 * MEBIBYTE),
        "decompressed chart is larger than the maximum file size 104857600",
    ),
    (
        "templates in the limit",
        b"",
        header_of("c/templates/x", 5 * MEBIBYTE) + bytes(5 * MEBIBYTE),
        "decompressed chart is larger than the maximum file size 104857600",
    ),
    (
        "empty files",
        b"",
        header_of("c/x", 0) * 2048,
        "decompressed chart is larger than the maximum file size 104857600",
    ),
    ("a long name", header_of("././@LongLink", 10**10, kind=b"L"), ZEROS, "archive/tar: header field too long"),
    ("a pax header", header_of("x", 10**10, kind=b"x"), ZEROS, "archive/tar: header field too long"),
]


@pytest.mark.parametrize(("head", "block", "message"), [pytest.param(*bomb, id=title) for title, *bomb in BOMBS])
def test_a_bomb_of_ten_gigabytes_is_stopped_early(head: bytes, block: bytes, message: str) -> None:
    bomb = make_bomb(head, block, 10**10 // len(block))
    assert len(bomb) < 64 * MEBIBYTE
    before, began = most_memory(), time.monotonic()
    assert complaint(bomb) == message
    assert most_memory() - before < 32 * MEBIBYTE
    assert time.monotonic() - began < 5
