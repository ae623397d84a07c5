"""The contestants as processes of their own on loopback ports, each ended by its own handle. Ours is `tests.live`."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.live import LiveServer, serve
from tests.load.peers.bare import FOLDER
from tests.servers import free_port, running

ROOT = Path(__file__).parents[2]
_TEMPLATE = Path(__file__).parent / "peers" / "nginx.conf"


@contextmanager
def run_ours(folder: Path, *arguments: str, **environment: str) -> Iterator[LiveServer]:
    """Run `chartroom serve` on a store, ready to be read."""
    with serve(folder, *arguments, **environment) as server:
        yield server


@contextmanager
def run_peer(name: str, folder: Path) -> Iterator[str]:
    """Run a Python peer under the same uvicorn as ours, and answer its address."""
    port = free_port()
    command = [
        sys.executable, "-m", "uvicorn", f"tests.load.peers.{name}:build", "--factory", "--port", str(port),
        "--http", "httptools", "--loop", "uvloop", "--no-access-log", "--log-level", "warning",
    ]  # fmt: skip
    with running(command, port, environment={"PYTHONPATH": str(ROOT), FOLDER: str(folder)}):
        yield f"http://127.0.0.1:{port}"


def has_nginx() -> bool:
    """Answer whether nginx is installed; Debian keeps it where only root looks."""
    return _find_nginx() is not None


def _find_nginx() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def run_nginx(root: Path) -> Iterator[str]:
    """Run nginx with one worker on a folder, and answer its address."""
    program, port = _find_nginx(), free_port()
    assert program is not None
    with tempfile.TemporaryDirectory(prefix="chartroom-nginx-") as folder:
        words = {"folder": folder, "port": str(port), "root": str(root)}
        words["user"] = "user root;" if os.geteuid() == 0 else ""  # its worker must read our folders
        text = _TEMPLATE.read_text()
        for word, value in words.items():
            text = text.replace(f"@{word}@", value)
        config = Path(folder) / "nginx.conf"
        config.write_text(text)
        with running([program, "-p", folder, "-c", str(config), "-e", "stderr"], port):
            yield f"http://127.0.0.1:{port}"


def find_museum() -> str | None:
    """Answer ChartMuseum's program, if it is on PATH."""
    return shutil.which("chartmuseum")


@contextmanager
def run_museum(folder: Path) -> Iterator[str]:
    """Run ChartMuseum on a folder of archives, and answer its address."""
    program, port = find_museum(), free_port()
    assert program is not None
    command = [
        program, f"--port={port}", "--storage=local", f"--storage-local-rootdir={folder}", "--depth=0",
    ]  # fmt: skip
    with running(command, port):
        yield f"http://127.0.0.1:{port}"
