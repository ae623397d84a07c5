"""Archives that would do harm where they are unpacked: nothing lands outside, and nothing at all."""

from __future__ import annotations

import random
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from helm_client import InvalidChart
from helm_client.archive import MAX_FILE, read_chart, unpack

from tests.charts import compress, make_chart, pack


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


GOOD = ("mychart/Chart.yaml", "apiVersion: v2\nname: mychart\nversion: 0.1.0\n")
HARM: dict[str, bytes] = {
    "absolute": pack(GOOD, ("/tmp/evil", b"x")),
    "parent": pack(GOOD, ("mychart/../../evil", b"x")),
    "parent first": pack(("../evil", b"x"), GOOD),
    "backslashes": pack(GOOD, ("mychart\\..\\..\\evil", b"x")),
    "symlink": pack(GOOD, link("mychart/link", "/etc/passwd")),
    "file through a symlink": pack(GOOD, link("mychart/out", "/tmp"), ("mychart/out/evil", b"x")),
    "hard link": pack(GOOD, link("mychart/link", "/etc/passwd", tarfile.LNKTYPE)),
    "device": pack(GOOD, link("mychart/null", "", tarfile.CHRTYPE)),
    "pipe": pack(GOOD, link("mychart/pipe", "", tarfile.FIFOTYPE)),
    "control characters": pack(GOOD, ("mychart/a\x1b[2Jb", b"x")),
    "two roots": pack(GOOD, ("other/file", b"x")),
    "a large file": pack(GOOD, ("mychart/large", b"\0" * (MAX_FILE + 1))),
    "many large files": pack(GOOD, *((f"mychart/{number}", b"\0" * MAX_FILE) for number in range(21))),
    "many files": pack(GOOD, *((f"mychart/{number}", b"") for number in range(20_001))),
    "no gzip": b"PK\x03\x04 a zip",
    "no tar": compress(b"text\n" * 1000),
    "half": make_chart(files={"random": random.Random(1).randbytes(10_000)})[:5_000],
    "nothing": b"",
}


@pytest.mark.parametrize("harm", HARM)
def test_harm_is_refused_and_leaves_nothing(harm: str, tmp_path: Path) -> None:
    archive, folder = tmp_path / "mychart-0.1.0.tgz", tmp_path / "in"
    archive.write_bytes(HARM[harm])
    with pytest.raises(InvalidChart, match=r"mychart-0\.1\.0\.tgz"):
        unpack(archive, folder)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["in", archive.name]
    if harm != "two roots":
        with pytest.raises(InvalidChart):
            read_chart(archive)


def test_a_bomb_costs_little_memory(tmp_path: Path) -> None:
    archive = tmp_path / "mychart-0.1.0.tgz"
    archive.write_bytes(HARM["many large files"])
    tracemalloc.start()
    try:
        with pytest.raises(InvalidChart, match="too large unpacked"):
            unpack(archive, tmp_path / "in")
        assert tracemalloc.get_traced_memory()[1] < 4 * MAX_FILE
    finally:
        tracemalloc.stop()


def test_a_good_chart_is_unpacked_once(tmp_path: Path) -> None:
    archive = tmp_path / "mychart-0.1.0.tgz"
    archive.write_bytes(make_chart(files={"README.md": "# It\n", "crds/a.yaml": "kind: A\n"}))
    place = unpack(archive, tmp_path / "in")
    assert place == tmp_path / "in" / "mychart"
    assert read_chart(place).files == read_chart(archive).files
    with pytest.raises(InvalidChart, match="already exists"):
        unpack(archive, tmp_path / "in")
