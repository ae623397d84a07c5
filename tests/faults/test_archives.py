"""Hostile archives over HTTP: bombs, links, devices, odd paths and YAML that grows. None costs more than its size."""

from __future__ import annotations

import asyncio
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.conftest import Rooms
from tests.charts import compress, make_bomb, make_chart, make_link, make_tar, pack
from tests.faults.harm import error_of, forget_peak, read_resident, small_disk, unharmed
from tests.live import LiveServer, serve

MEBIBYTE = 1024 * 1024
GIGABYTES = 10**10
CHART = ("c/Chart.yaml", "name: c\nversion: 1.0.0\n")


def header_of(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


# ------------------------------------------------------------------------------------------------- bombs

ZEROS = bytes(10 * MEBIBYTE)
TOO_LARGE = "decompressed chart is larger than the maximum file size 104857600"
BOMBS = {
    "zeros": (b"", ZEROS, "no files in chart archive"),
    "one file": (header_of("c/x", GIGABYTES), ZEROS, TOO_LARGE),
    "files in the limit": (b"", header_of("c/templates/x", 5 * MEBIBYTE) + bytes(5 * MEBIBYTE), TOO_LARGE),
    "a long name": (header_of("././@LongLink", GIGABYTES, kind=b"L"), ZEROS, "archive/tar: header field too long"),
    "a pax header": (header_of("x", GIGABYTES, kind=b"x"), ZEROS, "archive/tar: header field too long"),
}


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    """Answer a folder for temporary files with room for an upload, and none for what it expands to (if we may)."""
    with tempfile.TemporaryDirectory() as folder, small_disk(Path(folder), "24m"):
        yield Path(folder)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, scratch: Path) -> Iterator[LiveServer]:
    with serve(tmp_path_factory.mktemp("archives") / "store", TMPDIR=str(scratch)) as found:
        yield found


@pytest.fixture
async def live(server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        yield client


@pytest.mark.parametrize("title", BOMBS)
async def test_a_bomb_of_ten_gigabytes_costs_what_its_first_pieces_cost(
    server: LiveServer, live: httpx.AsyncClient, scratch: Path, title: str
) -> None:
    head, block, message = BOMBS[title]
    bomb = make_bomb(head, block, GIGABYTES // len(block))
    assert len(bomb) < 20 * MEBIBYTE
    async with unharmed(live, server.log.parent / "store"):
        forget_peak(server)
        before, began = read_resident(server), time.monotonic()
        for body in ({"content": bomb}, {"files": {"chart": ("c.tgz", bomb)}}):
            answer = await live.post("/api/charts", **body)  # type: ignore[arg-type]
            assert (answer.status_code, error_of(answer)) == (400, message)
        assert time.monotonic() - began < 10
        # Ten times: the body while it arrives, as a whole, and what its reader holds of it.
        assert read_resident(server, "VmHWM") - before < 64
        assert list(scratch.iterdir()) == []


async def test_a_bomb_in_a_subchart_is_one_too(rooms: Rooms) -> None:
    inner = make_bomb(b"", header_of("s/x", 5 * MEBIBYTE) + bytes(5 * MEBIBYTE), 200)
    nested = pack(CHART, ("c/charts/s-1.tgz", inner))
    async with rooms() as (client, house), unharmed(client, Path(house.settings.storage)):
        answer = await client.post("/api/charts", content=nested)
        assert answer.status_code == 400
        assert error_of(answer) == f"error unpacking subchart s-1.tgz in c: {TOO_LARGE}"


async def test_charts_nested_without_end_are_refused(rooms: Rooms) -> None:
    content = make_chart("c")
    for _ in range(40):
        content = make_chart("c", files={"charts/c-1.tgz": content})
    async with rooms() as (client, house), unharmed(client, Path(house.settings.storage)):
        answer = await client.post("/api/charts", content=content)
        assert answer.status_code == 400
        assert "subcharts are nested more than 32 deep" in error_of(answer)


# ------------------------------------------------------------------------------------------------ members

SPECIAL = {
    b"1": "hard link",
    b"2": "symbolic link",
    b"3": "character device",
    b"4": "block device",
    b"6": "named pipe",
}
ODD_PATHS = [
    "../x", "c/../x", "c/../../x", "/etc/passwd", "c//etc/passwd", "//c/x", "./../x", "c/./../../x", "..", "C:/x",
    "c\\..\\..\\x", "c\\..\\x", "\\\\server\\x", "C:\\x", "c/C:/x", "flat",
]  # fmt: skip


async def test_members_that_could_lie_elsewhere_are_refused(rooms: Rooms) -> None:
    async with rooms() as (client, house), unharmed(client, Path(house.settings.storage)):
        for kind, words in SPECIAL.items():
            for target in ("/etc/passwd", "../../x", "Chart.yaml"):
                content = make_chart("c", extra=[make_link("c/templates/link", kind, target)])
                answer = await client.post("/api/charts", content=content)
                assert answer.status_code == 400
                assert error_of(answer).startswith(f'chart archive holds a {words}, "c/templates/link": ')
                assert error_of(answer).endswith("; put the file itself there")
        for path in ODD_PATHS:
            for content in (pack((path, "x"), CHART), make_chart("c", extra=[(path, b"x")])):
                answer = await client.post("/api/charts", content=content)
                assert answer.status_code == 400, path
                assert error_of(answer).startswith("chart "), path


async def test_two_roots_are_refused_with_both_their_names(rooms: Rooms) -> None:
    two = pack(CHART, ("d/Chart.yaml", "name: d\nversion: 1.0.0\n"))
    async with rooms() as (client, house), unharmed(client, Path(house.settings.storage)):
        answer = await client.post("/api/charts", content=two)
        assert answer.status_code == 400
        assert error_of(answer) == (
            'chart archive has two roots, "c" and "d": one archive holds one chart below one directory; '
            "package each alone"
        )


# --------------------------------------------------------------------------------------------------- YAML

FIELDS = "name: c\nversion: 1.0.0\n"
LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
GROWING = {
    "aliases": LAUGHS,
    "an alias of itself": "x: &x [*x]\n",
    "flow without end": "x: " + "[" * 100_000 + "\n",
    "flow nested deeply": "x: " + "[" * 50_000 + "]" * 50_000 + "\n",
    "maps nested deeply": "x: " + "{a: " * 20_000 + "}" * 20_000 + "\n",
    "blocks nested deeply": "x:\n" + "".join(" " * n + "a:\n" for n in range(1, 1500)),
    "millions of values": "x: [" + "a," * 2_000_000 + "]\n",
    "millions of keys": "x: 1\n" * 900_000,
}


@pytest.mark.parametrize("title", GROWING)
async def test_yaml_that_grows_is_refused_in_either_file(rooms: Rooms, title: str) -> None:
    text = GROWING[title]
    async with rooms() as (client, house), unharmed(client, Path(house.settings.storage)):
        for filename, content in (("Chart.yaml", FIELDS + text), ("values.yaml", text)):
            began = time.process_time()
            answer = await client.post("/api/charts", content=make_chart("c", files={filename: content}))
            assert answer.status_code == 400
            assert error_of(answer).startswith(f"cannot load {filename}: error converting YAML to JSON: yaml: ")
            assert time.process_time() - began < 5


@pytest.mark.parametrize("digits", [5000, 200_000])
async def test_numbers_too_long_for_any_type_are_text(rooms: Rooms, digits: int) -> None:
    """So it is in Go; Python refuses to read more than 4300 digits."""
    async with rooms() as (client, _house):
        for number, text in enumerate(("9" * digits, "1_" + "0_" * digits + "0", "0x" + "f" * digits)):
            fields = f"name: c\nversion: 1.{number}.0\nappVersion: {text}\n"
            files = {"Chart.yaml": fields, "values.yaml": f"x: {text}\n"}
            answer = await client.post("/api/charts", content=make_chart("c", files=files))
            assert (answer.status_code, answer.text) == (201, '{"saved":true}')
            assert (await client.get(f"/api/charts/c/1.{number}.0")).json()["appVersion"] == text


async def longest_stop(work: Awaitable[httpx.Response]) -> tuple[httpx.Response, float]:
    """Answer what came of it, and for how many seconds the event loop stood still at most."""
    loop, longest = asyncio.get_running_loop(), 0.0
    task = asyncio.ensure_future(work)
    while not task.done():
        before = loop.time()
        await asyncio.sleep(0.001)
        longest = max(longest, loop.time() - before)
    return await task, longest


@pytest.mark.parametrize("filename", ["Chart.yaml", "values.yaml"])
async def test_a_small_archive_that_takes_long_to_read_keeps_nobody_waiting(rooms: Rooms, filename: str) -> None:
    """22 KB of gzip can hold 5 MB of YAML, which takes half a second to read."""
    slow = make_chart("c", files={filename: FIELDS + "x: [" + "a," * 2_400_000 + "]\n"})
    assert len(slow) < 32 * 1024
    async with rooms() as (client, house), unharmed(client, Path(house.settings.storage)):
        answer, longest = await longest_stop(client.post("/api/charts", content=slow))
        assert answer.status_code == 400
        assert longest < 0.2


async def test_many_subcharts_share_one_limit_of_yaml(rooms: Rooms) -> None:
    """Each below every limit of a file, together they could be minutes of work for a few kilobytes."""
    one = "# words without a meaning\n" * 15_000
    pair = {"Chart.yaml": FIELDS, "values.yaml": one}
    files = {f"charts/s{number}/{name}": text for number in range(60) for name, text in pair.items()}
    bomb = make_chart("c", files=files)
    assert len(bomb) < 200_000
    async with rooms() as (client, house), unharmed(client, Path(house.settings.storage)):
        answer = await client.post("/api/charts", content=bomb)
        assert answer.status_code == 400
        assert "bytes together; make them smaller" in error_of(answer)


async def test_charts_of_the_real_world_s_oddness_are_taken(rooms: Rooms) -> None:
    """What ChartMuseum takes is taken: refusing more than it does would break those who move."""
    windows = compress(make_tar(("c\\Chart.yaml", "name: win\nversion: 1.0.0\n"), ("c\\values.yaml", "a: 1\n")))
    taken = [
        make_chart("bom", files={"Chart.yaml": b"\xef\xbb\xbfname: bom\nversion: 1.0.0\n"}),
        make_chart("trailing") + bytes(1000),
        make_chart("Upper-Case", top="other"),
        make_chart("lenient", "1"),
        make_chart("lenient", "v1.0.0"),
        make_chart("lenient", "01.0.0"),
        windows,
    ]
    async with rooms() as (client, _house):
        for content in taken:
            answer = await client.post("/api/charts", content=content)
            assert (answer.status_code, answer.text) == (201, '{"saved":true}')
