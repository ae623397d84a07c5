"""Files on their way to a client without passing through this process: the kernel moves them from its page cache.

Copying 200 KB out of the kernel and in again costs as much as everything else that an answer does.
"""

from __future__ import annotations

import asyncio
import os
import socket

from storage import OpenFile

_MORE: int = getattr(socket, "MSG_MORE", 0)  # Linux: the head waits for the file, and leaves in one packet with it


class FileSender:
    """Sends files over one connection, whose `transport` sends everything else; with TLS it has to send these, too."""

    def __init__(self, transport: asyncio.Transport, *, tls: bool) -> None:
        self._transport = transport
        self._tls = tls
        self._socket: socket.socket | None = None

    def send(self, head: bytes, opened: OpenFile) -> None:
        """Send a head and a file behind it, then close the file; what the socket does not take the transport sends.

        Must not be called while the client does not read (the transport has paused its writer).
        """
        transport, size, sent = self._transport, opened.size, 0
        with opened.file as file:
            if not self._tls and not transport.get_write_buffer_size():  # else it would overtake what waits there
                sent = self._send_now(head, file.fileno(), size)
            if sent == len(head) + size:
                return
            start = max(0, sent - len(head))
            rest = os.pread(file.fileno(), size - start, start)
            if len(rest) == size - start:
                transport.writelines((head[sent:], rest))
            else:  # somebody cut the file meanwhile: the client must not take what came for all of it
                transport.abort()

    def close(self) -> None:
        """Let the socket go."""
        if self._socket is not None:
            self._socket.close()

    def _send_now(self, head: bytes, descriptor: int, size: int) -> int:
        """Answer how many bytes of head and file the socket took."""
        if self._socket is None:  # transports hand out no socket that can send, so this is a second handle of it
            self._socket = socket.socket(fileno=os.dup(self._transport.get_extra_info("socket").fileno()))
            self._socket.setblocking(False)
        sent = 0
        try:
            sent = self._socket.send(head, _MORE)
            if sent == len(head):
                sent += os.sendfile(self._socket.fileno(), descriptor, 0, size)
        except OSError:  # it is full, or the client is gone: the transport finds out which
            pass
        return sent
