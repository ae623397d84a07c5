"""Pushing a chart to a repository that takes ChartMuseum's API: `POST {context}/api{repository}/charts`."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from helm_client import addresses
from helm_client.errors import RepositoryUnavailable
from helm_client.transfer import Access, Progress, Session, refused

_CHUNK = 256 * 1024


def push(
    path: Path, url: str, access: Access | None = None, *, force: bool = False, context_path: str | None = None,
    progress: Progress | None = None,
) -> None:  # fmt: skip
    """Push an archive, and the provenance file beside it if there is one, to the repository at `url`.

    `context_path` is where the server's own root lies below the host; by default the index's serverInfo says so.
    Raises RepositoryUnavailable with the server's own reason; OSError.
    """
    session = Session(url, access or Access(), progress)
    try:
        if context_path is None:
            context_path = _find_context_path(session)
        files = {"chart": path}
        provenance = path.with_name(f"{path.name}.prov")
        if provenance.exists():
            files["prov"] = provenance
        boundary = secrets.token_hex(16)
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        address = api_url(session.url, context_path) + ("?force" if force else "")
        with session.send("POST", address, headers, content=_render(files, boundary, progress)) as response:
            if response.status_code != 201:
                raise _explain(address, response.status_code, response.read(), refused(address, response))
    finally:
        session.close()


def api_url(repository: str, context_path: str = "") -> str:
    """Answer the URL that takes charts for a repository: `api` comes behind the context path, before the tenant."""
    parts = urlsplit(repository)
    context = "/" + context_path.strip("/") if context_path.strip("/") else ""
    tenant = parts.path.rstrip("/").removeprefix(context)
    return urlunsplit(parts._replace(path=f"{context}/api{tenant}/charts", query="", fragment=""))


def _find_context_path(session: Session) -> str:
    """Read serverInfo.contextPath from the index, as the cm-push plugin does; "" without one."""
    from helm_client.index import read_server_info

    with session.get(addresses.below(session.url, "index.yaml")) as response:
        return str(read_server_info(response.read()).get("contextPath") or "")


def _render(files: dict[str, Path], boundary: str, progress: Progress | None) -> Iterator[bytes]:
    for field, path in files.items():
        disposition = f'form-data; name="{field}"; filename="{path.name}"'
        yield f"--{boundary}\r\nContent-Disposition: {disposition}\r\n\r\n".encode()
        size, sent = path.stat().st_size, 0
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
                sent += len(chunk)
                if progress is not None:
                    progress(path.name, sent, size)
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def _explain(url: str, status: int, body: bytes, error: RepositoryUnavailable) -> RepositoryUnavailable:
    try:
        reason = json.loads(body)["error"]
    except (ValueError, LookupError, TypeError):
        reason = ""
    text = f"{status}: {reason}" if reason else str(error)
    hint = ": give --force to replace it" if status == 409 and reason else ""
    found = RepositoryUnavailable(f"could not push to {addresses.mask(url)}: {text}{hint}")
    found.status = status
    return found
