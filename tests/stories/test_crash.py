"""A server that is killed, or told to end, during uploads: what it acknowledged is there, and nothing by half."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from pathlib import Path

import httpx
import pytest

from storage.filesystem import FilesystemStorage
from tests.charts import make_chart
from tests.live import LiveServer, serve
from tests.stories.store import digest_of, list_index, make_numbered, read_chain, read_rows, replay_anew, upload

_UPLOADS = 500
_CLIENTS = 8
_DAY = 24 * 3600


class Shipment:
    """Uploads from several clients at once, until all are done or the server is gone. `acknowledged` has digests."""

    def __init__(self, url: str) -> None:
        self.acknowledged: dict[str, str] = {}
        self.refused: list[str] = []
        self._url = url
        self._numbers = iter(range(_UPLOADS))

    async def run(self) -> None:
        await asyncio.gather(*(self._ship() for _ in range(_CLIENTS)))

    async def _ship(self) -> None:
        async with httpx.AsyncClient(base_url=self._url, timeout=30) as client:
            for number in self._numbers:
                # Every fourth is large: it is read in a thread and sent in several packets.
                files = {"big": os.urandom(300_000).hex()} if number % 4 == 0 else None
                content = make_chart(f"chart{number % 10}", f"1.{number}.0", files=files)
                try:
                    answer = await upload(client, content)
                except httpx.TransportError:
                    return
                if answer.status_code == 201:
                    self.acknowledged[f"chart{number % 10}-1.{number}.0.tgz"] = digest_of(content)
                else:
                    self.refused.append(answer.text)

    async def wait_for(self, count: int) -> None:
        while len(self.acknowledged) < count:
            await asyncio.sleep(0.005)


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


async def assert_whole(url: str, acknowledged: dict[str, str]) -> None:
    """Every acknowledged chart is listed with its digest, and everything that is listed can be had with its digest."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        listed = await list_index(client)
        assert {name: listed.get(name) for name in acknowledged} == acknowledged
        for name, digest in listed.items():
            answer = await client.get(f"/charts/{name}")
            assert (answer.status_code, digest_of(answer.content)) == (200, digest)
        assert (await upload(client, make_chart("afterwards"))).status_code == 201


async def test_a_killed_server_has_every_acknowledged_chart_after_the_restart(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with serve(folder) as server:
        shipment = Shipment(server.url)
        running = asyncio.create_task(shipment.run())
        await shipment.wait_for(150)
        server.kill()
        await running
    assert 150 <= len(shipment.acknowledged) < _UPLOADS
    temporary = folder / ".chartroom" / "tmp"
    temporary.mkdir(exist_ok=True)
    for number in range(3):
        (temporary / f"old{number}").write_bytes(b"half a chart")
        age(temporary / f"old{number}", _DAY + 60)
    (temporary / "young").write_bytes(b"half a chart")
    age(temporary / "young", _DAY - 600)
    with serve(folder) as server:
        await assert_whole(server.url, shipment.acknowledged)
        await until(lambda: not any(temporary.glob("old*")))
        assert (temporary / "young").exists(), "it may still be written"
    await assert_replays(folder, tmp_path)


async def until(reached: object, seconds: float = 5) -> None:
    assert callable(reached)
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "it did not happen"
        await asyncio.sleep(0.02)


async def assert_replays(folder: Path, tmp_path: Path) -> None:
    """The ledger alone brings back the very rows that the database has."""
    storage = FilesystemStorage(folder)
    try:
        await read_chain(storage)
        assert await replay_anew(storage, tmp_path / "anew.db") == read_rows(
            f"sqlite:///{folder / '.chartroom' / 'chartroom.db'}"
        )
    finally:
        storage.close()


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_server_that_is_told_to_end_finishes_what_it_took(tmp_path: Path, workers: str) -> None:
    folder = tmp_path / "store"
    with serve(folder, "--workers", workers) as server:
        shipment = Shipment(server.url)
        running = asyncio.create_task(shipment.run())
        await shipment.wait_for(60)
        assert await asyncio.to_thread(end, server) < 10
        await running
    assert shipment.refused == []
    assert 60 <= len(shipment.acknowledged) < _UPLOADS
    with serve(folder) as server:
        await assert_whole(server.url, shipment.acknowledged)
    await assert_replays(folder, tmp_path)


def end(server: LiveServer) -> float:
    """Tell the server to end and answer how many seconds it took."""
    started = time.monotonic()
    server.stop()
    return time.monotonic() - started


async def test_an_upload_whose_body_is_on_its_way_is_still_taken(tmp_path: Path) -> None:
    content = make_numbered(1)
    with serve(tmp_path / "store") as server:
        reader, writer = await asyncio.open_connection(*address(server))
        writer.write(b"POST /api/charts HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(content))
        writer.write(content[:100])
        await writer.drain()
        await asyncio.sleep(0.2)
        server.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.5)
        writer.write(content[100:])
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        await writer.wait_closed()
        assert answer.startswith(b"HTTP/1.1 201"), answer
        await asyncio.to_thread(server.process.wait, 10)
    with serve(tmp_path / "store") as server:
        await assert_whole(server.url, {"chart1-1.1.0.tgz": digest_of(content)})


async def test_clients_that_stall_do_not_keep_the_server_from_ending(tmp_path: Path) -> None:
    with serve(tmp_path / "store") as server, socket.create_connection(address(server)) as stalled:
        stalled.sendall(b"POST /api/charts HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
        await asyncio.sleep(0.2)
        assert await asyncio.to_thread(end, server) < 10
    with serve(tmp_path / "store") as server:
        await assert_whole(server.url, {})


def address(server: LiveServer) -> tuple[str, int]:
    url = httpx.URL(server.url)
    assert url.port is not None
    return url.host, url.port
