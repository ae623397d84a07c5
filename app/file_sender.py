"""Files on their way to a client without passing through this process: the kernel moves them from its page cache.

Copying 200 KB out of the kernel and in again costs as much as everything else that an answer does.
"""

from __future__ import annotations

import asyncio
import os
import socket

from storage import OpenFile

_MORE: int = getattr(socket, "MSG_MORE", 0)
"""Linux: the head waits for the file and leaves in one packet with it: 9 % more answers of 200 KB."""


def send_file(transport: asyncio.Transport, head: bytes, opened: OpenFile, *, tls: bool) -> None:
    """Send a head and a file behind it, then close the file; what the socket does not take the transport sends.

    With TLS that is all of it. Must not be called while the client does not read (the transport has paused its writer).
    """
    size, sent = opened.size, 0
    with opened.file as file:
        if not tls and not transport.get_write_buffer_size():  # else it would overtake what waits there
            sent = _send_now(transport.get_extra_info("socket").fileno(), head, file.fileno(), size)
        if sent == len(head) + size:
            return
        start = max(0, sent - len(head))
        rest = os.pread(file.fileno(), size - start, start)
    if len(rest) == size - start:
        transport.writelines((head[sent:], rest))
    else:  # somebody cut the file meanwhile: the client must not take what came for all of it
        transport.abort()


def _send_now(connection: int, head: bytes, file: int, size: int) -> int:
    """Answer how many bytes of head and file the socket took. Both are given by their descriptors."""
    sent = 0
    # Transports hand out no socket that can send. Naming the kind (it matters not which) saves asking for it.
    borrowed = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=connection)
    try:
        sent = borrowed.send(head, _MORE)
        if sent == len(head):
            sent += os.sendfile(connection, file, 0, size)
    except OSError:  # it is full, or the client is gone: the transport finds out which
        pass
    finally:
        borrowed.detach()
    return sent
