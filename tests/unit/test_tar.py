"""Odd and broken gzip streams, tar headers and pax records, as Go's archive/tar and compress/gzip take them."""

from __future__ import annotations

import tarfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.archive import read_chart
from app.errors import AppError, Kind
from tests.charts import compress, make_chart, make_tar, patch_header

CHART_YAML = b"name: c\nversion: 1.0.0\n"
CHART = ("c/Chart.yaml", CHART_YAML)
GOOD = make_chart()


def complaint(content: bytes) -> str:
    with pytest.raises(AppError) as caught:
        read_chart(content)
    assert caught.value.kind is Kind.INVALID
    return caught.value.message


def header_of(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def test_a_global_pax_header_is_no_second_root() -> None:
    header = tarfile.TarInfo("pax_global_header")
    header.type, header.size = tarfile.XGLTYPE, 23
    content = b"23 comment=0123456789a\n".ljust(512, b"\0")
    tar = header.tobuf(tarfile.USTAR_FORMAT) + content + make_tar(CHART)
    assert read_chart(compress(tar)).metadata.name == "c"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({124: b"\x80" + len(CHART_YAML).to_bytes(11, "big")}, id="a size in base 256"),
        pytest.param({100: b"   644 \0", 108: b"     0 \0", 136: b" 13727476000"}, id="fields with spaces"),
        pytest.param({108: bytes(16)}, id="empty fields"),
        pytest.param({136: b"\xff" * 12}, id="a time before 1970"),
        pytest.param({257: bytes(8), 329: b"junk"}, id="V7, which has no more fields"),
        pytest.param({156: b"\0"}, id="no type flag"),
        pytest.param({156: b"7"}, id="a contiguous file"),
        pytest.param({257: b"ustar  \0", 345: b"00000000000\0"}, id="GNU with a time of access"),
        pytest.param({0: b"Chart.yaml\0", 257: b"ustar  \0", 345: b"c\0"}, id="GNU with a prefix, as old Go wrote it"),
        pytest.param({0: b"Chart.yaml\0", 345: b"c\0", 508: b"tar\0"}, id="star with a prefix"),
    ],
)
def test_every_form_of_header_is_read(changes: dict[int, bytes]) -> None:
    assert read_chart(compress(patch_header(make_tar(CHART), changes))).metadata.name == "c"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({108: b"00008\0"}, id="no octal digit"),
        pytest.param({124: b"\x81" + bytes(11)}, id="a size beyond 64 bits"),
        pytest.param({124: b"\xff" * 12}, id="a negative size"),
        pytest.param({329: b"junk"}, id="a bad device"),
        pytest.param({476: b"junk", 508: b"tar\0"}, id="a bad time of star"),
    ],
)
def test_bad_fields_are_refused(changes: dict[int, bytes]) -> None:
    assert complaint(compress(patch_header(make_tar(CHART), changes))) == "archive/tar: invalid tar header"


def test_a_checksum_of_signed_bytes_is_accepted() -> None:
    tar = bytearray(patch_header(make_tar(CHART), {265: b"\xe9\0"}))
    tar[148:156] = b"%06o\0 " % (int(tar[148:154], 8) - 256)
    assert read_chart(compress(bytes(tar))).metadata.name == "c"
    tar[265] = 0xEA
    assert complaint(compress(bytes(tar))) == "archive/tar: invalid tar header"


def test_a_directory_is_told_by_type_slash_or_mode() -> None:
    marks: list[tuple[str, dict[int, bytes]]] = [("d", {156: b"5"}), ("d/", {156: b"\0"}), ("d", {100: b"0040755\0"})]
    for name, changes in marks:
        tar = patch_header(make_tar((name, b"")), changes)[:512] + make_tar(CHART)
        assert read_chart(compress(tar)).metadata.name == "c"


def test_a_long_link_name_is_passed_over() -> None:
    tar = header_of("././@LongLink", 5, kind=b"K") + b"link\0".ljust(512, b"\0") + make_tar(CHART)
    assert read_chart(compress(tar)).metadata.name == "c"


def test_a_sparse_file_in_pax_records_is_refused() -> None:
    record = b"22 GNU.sparse.major=1\n"
    tar = header_of("x", len(record), kind=b"x") + record.ljust(512, b"\0") + make_tar(CHART)
    assert complaint(compress(tar)).startswith('chart archive holds a sparse file, "c/Chart.yaml"')


def test_damaged_deflate_data_is_refused() -> None:
    assert complaint(GOOD[:10] + b"\xff" * 50).startswith("flate: corrupt input")


def test_the_end_of_a_tar_may_be_one_block_of_zeros() -> None:
    assert read_chart(compress(make_tar(CHART)[:1536])).metadata.name == "c"
    assert complaint(compress(make_tar(CHART)[:1600])) == "unexpected EOF"


def test_the_time_of_chart_yaml_may_stand_in_a_pax_record() -> None:
    info = tarfile.TarInfo("c/Chart.yaml")
    info.pax_headers = {"mtime": "1600000000.75"}
    info.size = len(CHART_YAML)
    tar = info.tobuf(tarfile.PAX_FORMAT) + CHART_YAML.ljust(512, b"\0")
    assert read_chart(compress(tar)).modified == 1_600_000_000


@pytest.mark.parametrize(
    "record",
    [b"x", b"5 ab\n", b"99 path=x\n", b"7 path\n", b"9 path=x ", b"11 size=1x\n", b"12 mtime=1x\n", b"11 path=\0x\n"],
)
def test_bad_pax_records_are_refused(record: bytes) -> None:
    tar = header_of("x", len(record), kind=b"x") + record.ljust(512, b"\0") + make_tar(CHART)
    assert complaint(compress(tar)) == "archive/tar: invalid tar header"


@given(st.integers(0, 511), st.integers(0, 255))
def test_a_changed_header_is_refused_or_read(at: int, byte: int) -> None:
    tar = bytearray(make_tar(CHART))
    tar[at] = byte
    try:
        read_chart(compress(bytes(tar)))
    except AppError as error:
        assert error.kind is Kind.INVALID  # noqa: PT017


@given(st.binary(max_size=600))
def test_any_bytes_are_refused_or_read(content: bytes) -> None:
    for candidate in (content, compress(content), compress(content.ljust(512, b"\0"))):
        with pytest.raises(AppError) as caught:
            read_chart(candidate)
        assert caught.value.kind is Kind.INVALID


@given(st.integers(0, len(GOOD) - 1))
def test_an_archive_cut_off_anywhere_is_refused_or_whole(length: int) -> None:
    try:
        assert read_chart(GOOD[:length]).metadata.name == "mychart"
    except AppError as error:
        assert error.message in ("EOF", "unexpected EOF")  # noqa: PT017


def test_gzip_headers_may_hold_all_that_gzip_allows() -> None:
    body = GOOD[10:]
    fields = b"\x05\x00extra" + b"name\0" + b"comment\0"
    head = b"\x1f\x8b\x08\x1e" + bytes(6) + fields
    checksum = (zlib.crc32(head) & 0xFFFF).to_bytes(2, "little")
    assert read_chart(head + checksum + body).metadata.name == "mychart"
    assert complaint(head + b"xx" + body) == "gzip: invalid header"
    assert complaint(head[:18]) == "unexpected EOF"
    assert complaint(b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * 600) == "gzip: invalid header"
