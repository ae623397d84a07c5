"""One HTTP connection, with what uvicorn's lacks: bounds for the head of a request, in bytes and in seconds.

httptools has none: 60 MB of header lines became 1.1 GB of objects, and a client that sends nothing was kept for ever.
Bodies have their bounds in `app/routes/bodies.py`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
"""Bytes of a request line and its headers that may come in more than one piece; nginx takes 32 KiB by default."""

_TOO_LARGE = (b"431 Request Header Fields Too Large", b"the head of the request is larger than %d bytes")
_TOO_SLOW = (b"408 Request Timeout", b"the head of the request did not arrive within %d s (READ_TIMEOUT)")


class Connection(HttpToolsProtocol):
    """A connection whose client has `head_seconds` (0: as long as it wants) to send the head of a request."""

    def __init__(self, *args: Any, head_seconds: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_seconds = head_seconds
        self._is_in_head = True
        self._head_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first head."""
        super().connection_made(transport)
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._drop_deadline()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Note that a head begins."""
        super().on_message_begin()
        self._is_in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """Note that a head is complete."""
        self._is_in_head = False
        if self._deadline is not None:
            self._drop_deadline()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Read what came; a head that goes on and on ends the connection."""
        was_in_head = self._is_in_head
        super().data_received(data)
        if not self._is_in_head or self.transport.is_closing():
            return
        if was_in_head:  # else the piece began with something that is no head
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(_TOO_LARGE, MAX_HEAD_BYTES)
                return
        if self._deadline is None:
            self._set_deadline()

    def _set_deadline(self) -> None:
        if self._head_seconds:
            self._deadline = self.loop.call_later(self._head_seconds, self._end_waiting)

    def _drop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end_waiting(self) -> None:
        self._deadline = None
        if self._head_bytes:
            self._refuse(_TOO_SLOW, int(self._head_seconds))
        else:
            self.transport.close()

    def _refuse(self, answer: tuple[bytes, bytes], limit: int) -> None:
        self._drop_deadline()
        if self.cycle is None or self.cycle.response_complete:  # else it would land inside of another answer
            body = b'{"error":"%b"}' % (answer[1] % limit)
            self.transport.write(
                b"HTTP/1.1 %b\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: %d\r\n"
                b"connection: close\r\n\r\n%b" % (answer[0], len(body), body)
            )
        self.transport.close()
