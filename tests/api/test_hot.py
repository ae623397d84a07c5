"""Reads that are asked for again are answered by the connection itself: the same answers, and never an old one."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from uvicorn.server import ServerState

from app.connection import Connection
from tests.api.wire import push, sign
from tests.charts import Files, make_chart
from tests.house import open_house

LARGE: Files = {"icon.png": random.Random(1).randbytes(150_000)}  # too large to be kept in memory

ADDRESSES = [
    "/index.yaml", "/index.yaml?format=yaml", "/~latest-1/index.yaml",
    "/charts/mychart-0.1.0.tgz", "/charts/mychart-0.1.0.tgz.prov", "/charts/mychart-0.0.1.tgz",
]  # fmt: skip


class Wire:
    """A transport that keeps what is written, and says it is full when told so."""

    def __init__(self) -> None:
        self.written = b""
        self.closing = False

    def write(self, data: bytes) -> None:
        self.written += data

    def writelines(self, pieces: tuple[bytes, ...]) -> None:
        self.written += b"".join(pieces)

    def get_extra_info(self, _name: str, default: Any = None) -> Any:
        return default

    def get_write_buffer_size(self) -> int:
        return 1

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


@dataclass
class Exchange:
    """An answer from the wire; `hot` says that no ASGI task was made for it."""

    status: int
    headers: dict[str, str]
    body: bytes
    hot: bool


@dataclass
class Talk:
    """One connection to an application of this process."""

    connection: Connection
    wire: Wire
    state: ServerState = field(default_factory=ServerState)

    async def ask(
        self, target: str, method: str = "GET", version: str = "1.1", body: str = "", **fields: str
    ) -> Exchange:
        """Send a request and answer what came back; underscores in field names stand for hyphens."""
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
        self.wire.written = b""
        self.connection.data_received(f"{method} {target} HTTP/{version}\r\nHost: x\r\n{lines}\r\n{body}".encode())
        hot = not self.state.tasks
        while tasks := list(self.state.tasks):
            await asyncio.gather(*tasks)
        return parse(self.wire.written, hot)


def parse(text: bytes, hot: bool) -> Exchange:
    head, _, body = text.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return Exchange(int(first.split()[1]), headers, body, hot)


@asynccontextmanager
async def talking(folder: Path, **flags: Any) -> AsyncIterator[tuple[Talk, httpx.AsyncClient]]:
    """Open an application that holds a signed chart, and a connection to it."""
    async with open_house(folder, **flags) as (client, _house):
        transport: Any = client._transport
        await push(client, make_chart())
        await push(client, make_chart(version="0.0.1", files=LARGE))
        await client.post("/api/prov", content=sign())
        state, wire = ServerState(), Wire()
        state.default_headers = [(b"date", b"today")]
        config = uvicorn.Config(transport.app, lifespan="off", log_config=None, proxy_headers=False)
        connection = Connection(config, server_state=state, app_state={}, head_seconds=0)
        connection.connection_made(wire)  # type: ignore[arg-type]
        yield Talk(connection, wire, state), client
        connection.connection_lost(None)


@pytest.fixture
async def talk(tmp_path: Path) -> AsyncIterator[Talk]:
    async with talking(tmp_path / "data") as (found, _client):
        yield found


def named(exchange: Exchange) -> dict[str, str]:
    """Answer the header fields but the request id, which differs each time."""
    return {name: value for name, value in exchange.headers.items() if name != "x-request-id"}


@pytest.mark.parametrize("target", ADDRESSES)
@pytest.mark.parametrize("accepted", ["", "gzip", "zstd, gzip", "br"])
async def test_the_second_answer_is_the_first_one_again(talk: Talk, target: str, accepted: str) -> None:
    fields = {"accept_encoding": accepted} if accepted else {}
    first, second = await talk.ask(target, **fields), await warm(talk, target, **fields)
    assert (first.hot, second.hot) == (False, True)
    assert (first.status, named(first), first.body) == (second.status, named(second), second.body)
    assert second.headers["date"] == "today"
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


async def warm(talk: Talk, target: str, **fields: str) -> Exchange:
    """Ask until the answer is hot."""
    for _ in range(4):
        found = await talk.ask(target, **fields)
        if found.hot:
            return found
    raise AssertionError(f"{target} does not become hot")


@pytest.mark.parametrize("target", ADDRESSES)
async def test_what_the_client_has_is_not_sent_again(talk: Talk, target: str) -> None:
    whole = await warm(talk, target)
    for known in (whole.headers["etag"], f'"other", W/{whole.headers["etag"]}', "*"):
        unchanged = await talk.ask(target, if_none_match=known)
        assert (unchanged.status, unchanged.body, unchanged.hot) == (304, b"", True)
        kept = {name: value for name, value in named(whole).items() if not name.startswith("content-")}
        assert named(unchanged) == kept
    assert (await talk.ask(target, if_none_match='"other"')).body == whole.body


async def test_an_index_becomes_hot_for_those_who_have_it_already(talk: Talk) -> None:
    etag = (await talk.ask("/index.yaml")).headers["etag"]
    assert (await warm(talk, "/index.yaml", if_none_match=etag)).status == 304


async def test_the_callers_request_id_comes_back(talk: Talk) -> None:
    await warm(talk, "/index.yaml")
    found = await talk.ask("/index.yaml", x_request_id="mine")
    assert (found.hot, found.headers["x-request-id"]) == (True, "mine")


@pytest.mark.parametrize("target", ADDRESSES)
async def test_a_change_is_seen_by_the_next_read(tmp_path: Path, target: str) -> None:
    async with talking(tmp_path / "data") as (talk, client):
        before = await warm(talk, target)
        for version in ("0.1.0", "0.0.1"):
            assert (await client.delete(f"/api/charts/mychart/{version}")).status_code == 200
        after = await talk.ask(target)
        assert not after.hot
        assert after.status == 404 if "/charts/" in target else after.headers["etag"] != before.headers["etag"]


async def test_other_requests_for_the_same_address_go_the_whole_way(talk: Talk) -> None:
    archive = "/charts/mychart-0.1.0.tgz"
    whole = await warm(talk, archive)
    part = await talk.ask(archive, range="bytes=0-9")
    assert (part.status, part.body, part.hot) == (206, whole.body[:10], False)
    head = await talk.ask(archive, method="HEAD")
    assert (head.status, head.body, head.hot) == (200, b"", False)
    assert (await talk.ask(archive, content_length="3", body="abc")).body == whole.body
    assert (await talk.ask("/index.yaml/")).status == 404
    assert not talk.wire.closing
    old = await talk.ask(archive, version="1.0")
    assert (old.status, old.hot, talk.wire.closing) == (200, False, True)


async def test_a_client_that_wants_to_close_is_closed(talk: Talk) -> None:
    await warm(talk, "/index.yaml")
    found = await talk.ask("/index.yaml", connection="close")
    assert (found.status, found.hot, talk.wire.closing) == (200, False, True)


async def test_requests_that_come_together_are_answered_in_their_order(talk: Talk) -> None:
    archive, index = await warm(talk, "/charts/mychart-0.1.0.tgz"), await warm(talk, "/index.yaml")
    targets = ["/index.yaml", "/health", "/charts/mychart-0.1.0.tgz", "/index.yaml"] * 10
    talk.wire.written = b""
    talk.connection.data_received("".join(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n" for target in targets).encode())
    while tasks := list(talk.state.tasks):
        await asyncio.gather(*tasks)
        await asyncio.sleep(0)
    rest, bodies = talk.wire.written, []
    while rest:
        found = parse(rest, hot=False)
        length = int(found.headers["content-length"])
        bodies.append(found.body[:length])
        rest = found.body[length:]
    assert bodies == [index.body, b'{"healthy":true}', archive.body, index.body] * 10


async def test_a_client_that_does_not_read_is_waited_for(talk: Talk) -> None:
    await warm(talk, "/index.yaml")
    talk.connection.pause_writing()
    talk.wire.written = b""
    talk.connection.data_received(b"GET /index.yaml HTTP/1.1\r\nHost: x\r\n\r\n")
    assert talk.state.tasks
    assert not talk.wire.written
    talk.connection.resume_writing()
    await asyncio.gather(*talk.state.tasks)
    assert talk.wire.written.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_an_archive_that_vanished_is_told_as_ever(tmp_path: Path) -> None:
    async with talking(tmp_path / "data", archive_cache_bytes="0") as (talk, _client):
        await warm(talk, "/charts/mychart-0.1.0.tgz")
        for path in (tmp_path / "data").rglob("*"):
            if path.is_file() and path.read_bytes() == make_chart():
                path.unlink()
        found = await talk.ask("/charts/mychart-0.1.0.tgz")
        assert (found.status, found.hot) == (500, False)
        assert b"missing; tell the operator" in found.body


async def test_an_archive_that_was_cut_is_told_and_not_sent(tmp_path: Path) -> None:
    async with talking(tmp_path / "data") as (talk, _client):
        await warm(talk, "/charts/mychart-0.0.1.tgz")
        for path in (tmp_path / "data").rglob("*"):
            if path.is_file() and path.read_bytes() == make_chart(version="0.0.1", files=LARGE):
                os.truncate(path, 100_000)
        found = await talk.ask("/charts/mychart-0.0.1.tgz")
        assert (found.status, found.hot) == (500, False)
        assert b"damaged; tell the operator" in found.body


async def test_where_reads_need_credentials_nothing_is_hot(tmp_path: Path) -> None:
    async with open_house(tmp_path / "data", basic_auth_user="u", basic_auth_pass="p") as (client, _house):
        transport: Any = client._transport
        client.auth = httpx.BasicAuth("u", "p")
        await push(client, make_chart())
        for _ in range(4):
            await client.get("/index.yaml")
        assert transport.app.hot.answer(b"/index.yaml", {}, None) is None
        assert transport.app.hot.answer(b"/index.yaml", {b"accept-encoding": b"gzip, deflate, br, zstd"}, None) is None


async def test_hot_reads_are_counted_and_written_down(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    async with talking(tmp_path / "data") as (talk, client):
        await warm(talk, "/index.yaml")

        async def count() -> float:
            lines = (await client.get("/metrics")).text.splitlines()
            wanted = 'chartmuseum_requests_total{code="200",handler="/:repo/index.yaml"'
            return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(wanted))

        before = await count()
        for number in range(5):
            assert (await talk.ask("/index.yaml", x_request_id=f"hot-{number}")).hot
        assert await count() == before + 5
        lines = capfdbinary.readouterr().err.splitlines()
        assert sum(b"GET /index.yaml 200" in line and b"hot-" in line for line in lines) == 5
