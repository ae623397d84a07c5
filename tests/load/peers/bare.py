"""The floor: a raw ASGI application that answers one index from memory, with a 304 of its own, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

FOLDER = "BENCH_FOLDER"
"""Environment name that tells a peer in which folder `index.yaml` lies."""

ETAG = b'"0123456789abcdef0123456789abcdef"'

Message = MutableMapping[str, Any]
Application = Callable[[Message, Any, Callable[[Message], Awaitable[None]]], Awaitable[None]]


def read_index() -> bytes:
    """Answer the bytes that are served."""
    return (Path(os.environ[FOLDER]) / "index.yaml").read_bytes()


def build() -> Application:
    """Answer the application."""
    body = read_index()
    known = [(b"etag", ETAG), (b"cache-control", b"no-cache"), (b"vary", b"accept-encoding")]
    full = [(b"content-type", b"application/x-yaml"), (b"content-length", b"%d" % len(body)), *known]

    async def answer(scope: Message, _receive: Any, send: Callable[[Message], Awaitable[None]]) -> None:
        for name, value in scope["headers"]:
            if name == b"if-none-match" and value == ETAG:
                await send({"type": "http.response.start", "status": 304, "headers": known})
                await send({"type": "http.response.body", "body": b""})
                return
        await send({"type": "http.response.start", "status": 200, "headers": full})
        await send({"type": "http.response.body", "body": body})

    return answer
