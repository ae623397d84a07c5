"""Files that the kernel sends: whole, behind their heads, in their turn, whatever the client does meanwhile."""

from __future__ import annotations

import asyncio
import io
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from app.file_sender import send_file
from storage import OpenFile

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
CONTENT = os.urandom(200_000)


@pytest.fixture
def sendfile_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Answer the sizes that the kernel is asked to send."""
    asked: list[int] = []
    real = os.sendfile

    def note(target: int, source: int, offset: int, count: int) -> int:
        asked.append(count)
        return real(target, source, offset, count)

    monkeypatch.setattr(os, "sendfile", note)
    return asked


def open_file(folder: Path, content: bytes = CONTENT, *, size: int | None = None) -> OpenFile:
    (folder / "file").write_bytes(content)
    return OpenFile(io.FileIO(folder / "file"), len(content) if size is None else size)


def exchange(do: Callable[[asyncio.Transport], None], *, gone: bool = False, pause: float = 0) -> bytes:
    """Do something with one end of a connection; answer what comes out of the other, which waits `pause` seconds."""

    async def run() -> bytes:
        near, far = socket.socketpair()
        for end in (near, far):
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=near)
        if gone:
            far.close()
        do(transport)
        await asyncio.sleep(pause)
        transport.close()
        found = b"" if gone else await read_all(loop, far)
        far.close()
        return found

    return uvloop.run(run())


async def read_all(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> bytes:
    found = b""
    while piece := await asyncio.wait_for(loop.sock_recv(connection, 65536), 5):
        found += piece
    return found


def test_the_kernel_sends_the_file_behind_its_head(tmp_path: Path, sendfile_calls: list[int]) -> None:
    opened = open_file(tmp_path, CONTENT[:10_000])
    assert exchange(lambda transport: send_file(transport, HEAD, opened, tls=False)) == HEAD + CONTENT[:10_000]
    assert sendfile_calls == [10_000]
    assert opened.file.closed


def test_an_empty_file_is_its_head(tmp_path: Path) -> None:
    assert exchange(lambda transport: send_file(transport, HEAD, open_file(tmp_path, b""), tls=False)) == HEAD


def test_what_the_socket_does_not_take_comes_later(tmp_path: Path, sendfile_calls: list[int]) -> None:
    opened = open_file(tmp_path, CONTENT * 20)
    assert exchange(lambda transport: send_file(transport, HEAD, opened, tls=False), pause=0.1) == HEAD + CONTENT * 20
    assert sendfile_calls == [len(CONTENT) * 20]
    assert opened.file.closed


def test_a_file_does_not_overtake_what_waits(tmp_path: Path) -> None:
    def do(transport: asyncio.Transport) -> None:
        transport.write(b"first")
        send_file(transport, HEAD, open_file(tmp_path), tls=False)
        transport.write(b"last")

    assert exchange(do) == b"first" + HEAD + CONTENT + b"last"


def test_a_full_socket_takes_the_whole_answer_later(tmp_path: Path) -> None:
    def do(transport: asyncio.Transport) -> None:
        filler = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
        filler.setblocking(False)
        while True:
            try:
                filled.append(filler.send(bytes(4096)))
            except BlockingIOError:
                break
        filler.close()
        send_file(transport, HEAD, open_file(tmp_path), tls=False)

    filled: list[int] = []
    assert exchange(do) == bytes(sum(filled)) + HEAD + CONTENT


def test_encrypted_connections_get_their_files_from_the_transport(tmp_path: Path, sendfile_calls: list[int]) -> None:
    opened = open_file(tmp_path)
    assert exchange(lambda transport: send_file(transport, HEAD, opened, tls=True)) == HEAD + CONTENT
    assert not sendfile_calls
    assert opened.file.closed


def test_a_file_that_was_cut_ends_the_connection(tmp_path: Path) -> None:
    closing = []

    def do(transport: asyncio.Transport) -> None:
        send_file(transport, HEAD, open_file(tmp_path, CONTENT[:1000], size=2000), tls=False)
        closing.append(transport.is_closing())

    assert len(exchange(do)) < len(HEAD) + 2000
    assert closing == [True]


def test_a_client_that_is_gone_harms_nobody(tmp_path: Path) -> None:
    opened = open_file(tmp_path)
    assert exchange(lambda transport: send_file(transport, HEAD, opened, tls=False), gone=True) == b""
    assert opened.file.closed
