"""Speaking to the application in this process: exact targets, broken bodies, and parcels to send."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

import httpx


class Reply(NamedTuple):
    """What came back. Header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


async def ask(
    client: httpx.AsyncClient,
    method: str,
    target: str,
    *,
    headers: Mapping[str, str] | None = None,
    chunks: Sequence[bytes] = (b"",),
    cut: bool = False,
) -> Reply:
    """Send a request whose target reaches the application as it is written; an HTTP client would tidy it up.

    With `cut` the sender disconnects after the chunks instead of ending the body.
    """
    raw_path, _, query = target.partition("?")
    fields = {"host": "charts.test", **(headers or {})}
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": unquote(raw_path), "raw_path": raw_path.encode(), "root_path": "", "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in fields.items()],
        "client": ("127.0.0.1", 1), "server": ("charts.test", 80),
    }  # fmt: skip
    incoming: list[dict[str, Any]] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    if not cut:
        incoming[-1]["more_body"] = False
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return incoming.pop(0) if incoming else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    transport: Any = client._transport
    await transport.app(scope, receive, send)
    found = {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    return Reply(sent[0]["status"], found, b"".join(message.get("body", b"") for message in sent[1:]))


async def push(client: httpx.AsyncClient, *archives: bytes, to: str = "/api/charts") -> None:
    """Upload archives as raw bodies; each must be taken."""
    for archive in archives:
        response = await client.post(to, content=archive)
        assert (response.status_code, response.text) == (201, '{"saved":true}')


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    """Answer a body that comes in chunks, without Content-Length."""
    for chunk in chunks:
        yield chunk


def sign(name: str = "mychart", version: str = "0.1.0", note: str = "") -> bytes:
    """Answer what looks like a provenance file; nobody here verifies the signature."""
    return (
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n"
        f"apiVersion: v2\nname: {name}\nversion: {version}\n\n...\nfiles:\n  {name}-{version}.tgz: sha256:00{note}\n"
        "-----BEGIN PGP SIGNATURE-----\n\nwsDc\n-----END PGP SIGNATURE-----\n"
    ).encode()
