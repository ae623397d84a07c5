"""ASGI as the doors use it: its types, an answer in pieces, and how pieces are sent and counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.db.charts import BlobFacts
from app.routes.errors import Headers

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

RequestHeaders = dict[bytes, bytes]
"""Headers by lower-case name; of several with one name the last."""

START, BODY = "http.response.start", "http.response.body"

INTERRUPTION = "chartroom.interruption"
"""Where a scope holds a function without arguments: it returns a future that is done when the client has left, or the
server is told to stop, so that waiting for something else is of no use."""

_BATCH = 128 * 1024
"""Bytes sent in one go where a body comes in smaller pieces."""


def find_interruption(scope: Scope) -> asyncio.Future[None] | None:
    """Return a future that is done when a request need not wait any longer; None where nothing tells."""
    find = scope.get(INTERRUPTION)
    future: asyncio.Future[None] | None = find() if find is not None else None
    return future


class Chunks:
    """A body that comes from storage while it is sent."""

    def __init__(self, chunks: AsyncGenerator[bytes, None]) -> None:
        self.chunks = chunks


class Answer(NamedTuple):
    """A response: its pieces are sent one by one, `length` is what the header says.

    `blob` names the bytes where they can be had again without waiting.
    """

    status: int
    headers: Headers
    pieces: Sequence[bytes] | Chunks
    length: int
    blob: BlobFacts | None = None


@dataclass(slots=True)
class Watch:
    """Stands between the application and the server: adds the request id, counts bytes."""

    _send: Send
    request_id: bytes
    _receive: Receive
    status: int = 500
    sent: int = 0
    received: int = 0

    async def send(self, message: Message) -> None:
        """Send a message on, with the request id if it is the first one."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", self.request_id)]
        else:
            self.sent += len(message.get("body", b""))
        await self._send(message)

    async def receive(self) -> Message:
        """Answer the next message of the request."""
        message = await self._receive()
        self.received += len(message.get("body", b""))
        return message


async def send_pieces(send: Send, pieces: Sequence[bytes] | Chunks) -> None:
    """Send a body piece by piece; a client that reads slowly holds one piece in memory, not the body."""
    if isinstance(pieces, Chunks):
        async for piece in pieces.chunks:
            await send({"type": BODY, "body": piece, "more_body": True})
    else:
        for piece in pieces:
            await send({"type": BODY, "body": piece, "more_body": True})
    await send({"type": BODY, "body": b""})


def join_small(pieces: Sequence[bytes], *, batch: int = _BATCH) -> Sequence[bytes]:
    """Join pieces until they have `batch` bytes, so that a body is not sent in crumbs; large ones stay as they are."""
    batches: list[bytes] = []
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= batch:
            batches.append(b"".join(waiting) if len(waiting) > 1 else piece)
            waiting, size = [], 0
    if waiting:
        batches.append(b"".join(waiting))
    return batches
