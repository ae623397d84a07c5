"""What harm must not leave behind: a store's stock before and after, and the form in which a refusal comes."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson

from tests.charts import make_chart
from tests.live import LiveServer
from tests.stories.store import Rows, digest_of, list_index, read_rows

JSON = "application/json; charset=utf-8"

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Stock:
    """Everything that a store holds: files (path to size) but the database's and the lease, rows, the root's index."""

    files: dict[str, int]
    rows: Rows
    index: bytes


def database_url(folder: Path) -> str:
    return f"sqlite:///{folder / '.chartroom' / 'chartroom.db'}"


def list_files(folder: Path) -> dict[str, int]:
    """Return every file below a folder with its size, unfinished writes included, journals of batches left out."""
    found = {}
    for path in folder.rglob("*"):
        if path.name.startswith("chartroom.db") or path.name == "lease.json" or path.parent.name == "journal":
            continue
        with suppress(FileNotFoundError):
            if path.is_file():
                found[str(path.relative_to(folder))] = path.stat().st_size
    return found


async def take_stock(client: httpx.AsyncClient, folder: Path) -> Stock:
    index = await client.get("/index.yaml")
    assert index.status_code == 200, index.text
    return Stock(list_files(folder), read_rows(database_url(folder)), index.content)


@asynccontextmanager
async def unharmed(client: httpx.AsyncClient, folder: Path) -> AsyncIterator[None]:
    """What happens inside leaves nothing in the store, and good requests work afterwards."""
    before = await take_stock(client, folder)
    yield
    assert await take_stock(client, folder) == before
    assert not any(".chartroom/tmp/" in path for path in before.files)
    await assert_works(client)


async def assert_works(client: httpx.AsyncClient, repository: str = "") -> None:
    """Upload a chart that nobody has seen, find it in the index, have it back, delete it."""
    path = f"/{repository}" if repository else ""
    version = f"1.0.{next(_numbers)}"
    content = make_chart("afterwards", version)
    answer = await client.post(f"/api{path}/charts", content=content)
    assert (answer.status_code, answer.text) == (201, '{"saved":true}')
    assert (await list_index(client, repository))[f"afterwards-{version}.tgz"] == digest_of(content)
    assert (await client.get(f"{path}/charts/afterwards-{version}.tgz")).content == content
    assert (await client.delete(f"/api{path}/charts/afterwards/{version}")).status_code == 200


def error_of(response: httpx.Response) -> str:
    """Answer what a refusal says, having checked that it comes in ChartMuseum's form."""
    assert response.headers["content-type"] == JSON, response.text
    body = orjson.loads(response.content)
    assert list(body) == ["error"]
    message: str = body["error"]
    return message


def read_resident(server: LiveServer, field: str = "VmRSS") -> float:
    """Answer the memory of a server of one process in MB: what it holds, or with VmHWM the most it ever held."""
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("the kernel does not say how much memory the process has")


def forget_peak(server: LiveServer) -> None:
    """Let VmHWM begin anew from what the server holds now."""
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[bool]:
    """Mount a file system of that size at the folder, if we may; answer whether it is one."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = os.geteuid() == 0 and _run("mount", "-t", "tmpfs", "-o", f"size={size}", "chartroom-test", str(folder))
    try:
        yield mounted
    finally:
        if mounted:
            _run("umount", "-l", str(folder))


def _run(*command: str) -> bool:
    import subprocess

    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=10).returncode == 0
    except OSError:
        return False
