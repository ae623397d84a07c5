"""Names that lead elsewhere: tenants, charts, versions and files with dots, slashes, NUL and bytes that are no text."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from tests.api.conftest import Rooms
from tests.api.wire import ask, push, sign
from tests.charts import make_chart
from tests.faults.harm import assert_works, error_of, list_files, read_resident, unharmed
from tests.live import LiveServer, serve
from tests.load.connection import Connection

BAD_TENANTS = [
    "..", "%2e%2e", ".", "%2e", "a/..", "a/../b", "a/%2E%2e/b", "a%2f..%2fb", "..%2f..", "%2e%2e%2f%2e%2e", "a/./b",
    "%00", "a%00b", "%ff", "a%ff%feb", "%ed%a0%80", "%c0%ae%c0%ae", "a%0ab", "a%0d%0ab", "a%7f", "%1b[31m",
    "%C2%85", "%E2%80%A8", "-", "-/x", ".chartroom", ".chartroom/blobs", "a" * 256, "a/" * 600 + "a",
]  # fmt: skip

DOUBLE = ["%252e%252e", "%252e%252e%252fx", "a\\..\\b", "...", "..a", "~latest-03", "blobs", "a b", "é"]
"""Odd, but names like any other: what is decoded twice, or means something elsewhere."""


async def test_tenants_that_lead_elsewhere_are_refused_at_every_door(rooms: Rooms) -> None:
    chart, form = make_chart(), {"content-type": "multipart/form-data; boundary=b"}
    async with rooms() as (client, house), unharmed(client, Path(house.settings.storage)):
        for tenant in BAD_TENANTS:
            for method, target in (
                ("POST", f"/api/{tenant}/charts"),
                ("POST", f"/api/{tenant}/prov"),
                ("GET", f"/api/{tenant}/charts"),
                ("GET", f"/api/{tenant}/charts/mychart/0.1.0"),
                ("DELETE", f"/api/{tenant}/charts/mychart/0.1.0"),
                ("GET", f"/{tenant}/index.yaml"),
                ("HEAD", f"/{tenant}/index.yaml"),
                ("GET", f"/{tenant}/charts/mychart-0.1.0.tgz"),
                ("GET", f"/{tenant}/~latest-3/index.yaml"),
            ):
                for headers in ({}, form) if method == "POST" else ({},):
                    reply = await ask(client, method, target, headers=headers, chunks=[chart])
                    assert reply.status == 400, (method, target)
                    assert reply.headers["content-type"] == "application/json; charset=utf-8"
                    if method != "HEAD":
                        assert list(orjson.loads(reply.body)) == ["error"], (method, target)


async def test_odd_tenants_keep_to_themselves(rooms: Rooms) -> None:
    async with rooms() as (client, house):
        await push(client, make_chart("root"))
        for number, tenant in enumerate(DOUBLE):
            path = "/api/" + tenant.replace(" ", "%20").replace("é", "%C3%A9") + "/charts"
            reply = await ask(client, "POST", path, chunks=[make_chart("odd", f"1.{number}.0")])
            assert (reply.status, reply.body) == (201, b'{"saved":true}'), tenant
            reply = await ask(client, "GET", path)
            assert [entry["version"] for entry in orjson.loads(reply.body)["odd"]] == [f"1.{number}.0"]
        assert list(orjson.loads((await client.get("/api/charts")).content)) == ["root"]
        folder = Path(house.settings.storage)
        assert all(path.startswith(".chartroom/") for path in list_files(folder)), "nothing lies beside our own folder"
        assert list(folder.parent.iterdir()) == [folder]
        await assert_works(client)


async def test_an_encoded_slash_is_a_slash_in_a_tenant_and_nowhere_else(rooms: Rooms) -> None:
    async with rooms() as (client, _house):
        await push(client, make_chart(), to="/api/a%2fb/charts")
        assert (await client.get("/a/b/charts/mychart-0.1.0.tgz")).status_code == 200
        for method, target in (
            ("GET", "/a/b/charts/x%2f..%2fmychart-0.1.0.tgz"),
            ("GET", "/api/a/b/charts/x%2fmychart/0.1.0"),
            ("DELETE", "/api/a/b/charts/mychart/0%2f1.0"),
            ("DELETE", "/api/a/b/charts/mychart/..%2f0.1.0"),
            ("GET", "/charts/..%2f..%2f..%2f.chartroom%2fchartroom.db.tgz"),
            ("GET", "/.chartroom/lease.json"),
            ("GET", "/.chartroom/chartroom.db"),
            ("GET", "/charts/%2e%2e%2f%2e%2e%2fetc%2fpasswd.tgz"),
        ):
            reply = await ask(client, method, target)
            assert reply.status in (400, 404), target
            assert list(orjson.loads(reply.body)) == ["error"]
        assert (await client.get("/a/b/charts/mychart-0.1.0.tgz")).status_code == 200


async def test_nul_and_bytes_that_are_no_text_reach_no_statement(rooms: Rooms) -> None:
    async with rooms() as (client, house), unharmed(client, Path(house.settings.storage)):
        for target in (
            "/charts/%00.tgz", "/charts/a%00-1.0.0.tgz", "/charts/%ff.tgz", "/charts/%ed%a0%80-1.0.0.tgz.prov",
            "/api/charts/%00", "/api/charts/%ff/1.0.0", "/api/charts/mychart/%00", "/api/charts/%ed%b0%80/%ff/values",
            "/api/search?q=%00", "/api/search?q=%ff%ed%a0%80", "/api/chartsvc/v1/charts/search?q=%00%ff",
            "/%00", "/-/%00", "/static/%00", "/?q=%00%ff",
        ):  # fmt: skip
            for method in ("GET", "HEAD", "DELETE", "POST", "PUT"):
                reply = await ask(client, method, target)
                assert reply.status < 500, (method, target, reply.body)


NAMES = ["../x", "..", ".", "a/b", "/a", "a/", "", "a" * 251]
VERSIONS = [
    "../1", "1.0.0/..", "1.0.0+a/b", "1.2.3.4", "1.0.0-01", "abc", "", "1.0.0 ", " 1.0.0", "1.0.0\\n", "1.0.0+é",
    "9" * 5000, "1." + "9" * 40 + ".0", "latest", "1.0.0+..", "-1.0.0", "1e5", "٣.0.0", "1.0.0+" + "b" * 260, "^1", "*",
]  # fmt: skip


async def test_names_and_versions_outside_the_rules_are_refused(rooms: Rooms) -> None:
    fields = [("name: " + f'"{name}"', "version: 1.0.0") for name in NAMES]
    fields += [("name: c", f'version: "{version}"') for version in VERSIONS]
    async with rooms() as (client, house), unharmed(client, Path(house.settings.storage)):
        for lines in fields:
            chart = make_chart("c", files={"Chart.yaml": "\n".join(lines)})
            for answer in (
                await client.post("/api/charts", content=chart),
                await client.post("/api/org/charts?force", files={"chart": ("good-1.0.0.tgz", chart)}),
            ):
                assert answer.status_code == 400, lines
                assert "validation: chart.metadata." in error_of(answer) or "improperly" in error_of(answer), lines


async def test_the_client_s_file_name_is_never_used(rooms: Rooms) -> None:
    async with rooms() as (client, house):
        for number, filename in enumerate(("../../etc/passwd", "/etc/passwd", "..", "\\..\\x", "a\u2028b", "x" * 3000)):
            chart, signature = make_chart(version=f"1.{number}.0"), sign(version=f"1.{number}.0")
            files = {"chart": (filename, chart), "prov": (filename, signature)}
            answer = await client.post("/api/charts", files=files)
            assert answer.status_code == 201
            assert (await client.get(f"/charts/mychart-1.{number}.0.tgz.prov")).status_code == 200
        assert all(path.startswith(".chartroom/") for path in list_files(Path(house.settings.storage)))


async def test_questions_of_any_length_have_an_answer(rooms: Rooms) -> None:
    long = "9" * 5000
    async with rooms() as (client, _house):
        await push(client, make_chart())
        for target, status in (
            (f"/api/charts/mychart/{long}", 404),
            (f"/api/charts/mychart/>{long}", 404),
            ("/api/charts/mychart/" + "1||" * 20_000, 404),
            ("/api/charts/mychart/" + "%3E=1%20" * 3000, 404),
            (f"/api/charts?offset={long}", 400),
            (f"/api/charts?limit={long}", 400),
            (f"/api/search?limit={long}", 400),
            ("/api/search?q=" + "a+" * 5000, 400),
            ("/charts/" + "a" * 100_000 + ".tgz", 404),
            ("/" + "a/" * 50_000 + "index.yaml", 400),
            ("/" + "/" * 100_000 + "index.yaml", 200),
        ):
            reply = await ask(client, "GET", target)
            assert reply.status == status, target[:60]
            assert len(reply.body) < 10_000
        for headers in (
            {"range": f"bytes={long}-{long}"}, {"range": "bytes=" + "0-1," * 5000}, {"if-none-match": '"x",' * 10_000},
            {"accept-encoding": "x;q=0.1," * 5000}, {"accept-encoding": f"gzip;q={long}"},
            {"authorization": "x" * 50_000},
        ):  # fmt: skip
            for target in ("/index.yaml", "/charts/mychart-0.1.0.tgz"):
                reply = await ask(client, "GET", target, headers=headers)
                assert reply.status in (200, 416), headers


# -------------------------------------------------------------------------------- what only a socket can do


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with serve(tmp_path_factory.mktemp("names") / "store") as found:
        yield found


async def test_paths_reach_a_live_server_as_they_are_written(server: LiveServer) -> None:
    """A library would tidy `..` away; a socket does not."""
    with Connection(server.url) as connection:
        for path in ("..", "a/../..", "%2e%2e", "a%2f..%2fb", "%ff"):
            assert connection.get(f"/{path}/index.yaml").status == 400, path
        assert connection.get("/%252e%252e/index.yaml").status == 200
        assert connection.get("//index.yaml").status == 200


def send_until_ended(sender: socket.socket, piece: bytes) -> int:
    """Send the piece again and again, and answer how many bytes went before the connection was ended."""
    sent = 0
    try:
        while sent < 400 * len(piece):
            sent += sender.send(piece)
    except OSError:
        pass
    return sent


async def test_the_head_of_a_request_is_bounded(server: LiveServer) -> None:
    """Without a bound 60 MB of header lines became 1.1 GB of objects."""
    place, begin = urlsplit(server.url), b"GET /index.yaml HTTP/1.1\r\nHost: x\r\n"
    for start, piece in (
        (begin, b"a: b\r\n" * 10_000),
        (begin + b"X-A: ", b"a" * 60_000),
        (b"GET /", b"a" * 60_000),
    ):
        before = read_resident(server)
        with socket.create_connection((place.hostname, place.port), timeout=10) as sender:
            sender.sendall(start)
            assert send_until_ended(sender, piece) < 12_000_000, "what sockets hold may be gone"
        assert read_resident(server) - before < 10
    async with httpx.AsyncClient(base_url=server.url) as client:
        await assert_works(client)
