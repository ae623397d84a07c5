"""One HTTP connection, with what uvicorn's lacks: hot answers, and bounds for the head of a request.

A read whose answer is at hand is answered as soon as its head is complete, without the way through ASGI.

httptools knows no bounds: 60 MB of header lines became 1.1 GB of objects, and a client that sends nothing was kept
for ever. Bodies have their bounds in `app/routes/bodies.py`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.file_sender import send_file
from app.routes.asgi import INTERRUPTION
from app.routes.hot import Hot
from storage import OpenFile

MAX_HEAD_BYTES = 64 * 1024
"""Bytes of a request line and its headers that may come in more than one piece; nginx takes 32 KiB by default."""

_TOO_LARGE = (b"431 Request Header Fields Too Large", b"the head of the request is larger than %d bytes")
_TOO_SLOW = (b"408 Request Timeout", b"the head of the request did not arrive within %d s (READ_TIMEOUT)")

_ONE_WRITE = 64 * 1024
"""Bytes of a body that is copied behind its head: that costs less than a second piece to write."""


class _Idle:
    """Stands for the exchange before the first, as uvicorn knows exchanges: it is over."""

    response_complete = True
    message_event = asyncio.Event()


class Connection(HttpToolsProtocol):
    """A connection whose client has `head_seconds` (0: as long as it wants) to send the head of a request.

    The application may have an attribute `hot`: it is asked before the application is.
    """

    def __init__(self, *args: Any, head_seconds: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_seconds = head_seconds
        self._is_in_head = True
        self._head_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._hot: Hot | None = getattr(self.app, "hot", None)
        self._interruption: asyncio.Future[None] | None = None
        self._is_over = False
        self.cycle = _Idle()  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first head."""
        super().connection_made(transport)
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._drop_deadline()
        self._interrupt()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Finish the request that has begun, but let it wait for nothing any more."""
        self._interrupt()
        super().shutdown()

    def _interrupt(self) -> None:
        self._is_over = True
        if self._interruption is not None and not self._interruption.done():
            self._interruption.set_result(None)

    def _get_interruption(self) -> asyncio.Future[None]:
        if self._interruption is None:
            self._interruption = self.loop.create_future()
            if self._is_over:
                self._interruption.set_result(None)
        return self._interruption

    def on_message_begin(self) -> None:
        """Note that a head begins."""
        super().on_message_begin()
        self.scope[INTERRUPTION] = self._get_interruption  # type: ignore[literal-required]
        self._is_in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """Note that a head is complete."""
        self._is_in_head = False
        if self._deadline is not None:
            self._drop_deadline()
        if self._hot is None or not self._answer_now(self._hot):
            super().on_headers_complete()

    def _answer_now(self, hot: Hot) -> bool:
        """Write the answer to a request whose head is complete, if it is at hand; False if ASGI must answer."""
        parser, transport = self.parser, self.transport
        if (
            parser.get_method() != b"GET"
            or not self.cycle.response_complete  # answers leave in the order of their requests
            or not parser.should_keep_alive()
            or parser.get_http_version() != "1.1"
            or self.flow.write_paused  # the client does not read: ASGI waits for it
            or transport.is_closing()
        ):
            return False
        ready = hot.answer(self.url, dict(self.headers), self.client)
        if ready is None:
            return False
        status, lines, body = ready
        usual = b"".join([b"%b: %b\r\n" % field for field in self.server_state.default_headers])
        head = b"%b%b%b\r\n" % (STATUS_LINE[status], usual, lines)
        if isinstance(body, OpenFile):
            send_file(transport, head, body, tls=self.scheme == "https")
        elif len(body) <= _ONE_WRITE:
            transport.write(head + body)
        else:
            transport.writelines((head, body))
        self.on_response_complete()
        return True

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
