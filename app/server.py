"""The server process: migrations first, then listening, with one process or several."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from functools import partial

import structlog
import uvicorn
from sqlalchemy.exc import DBAPIError
from uvicorn.supervisors import Multiprocess

import migrations
from app.connection import Connection
from app.errors import AppError, Kind
from app.logs import configure_logs
from app.main import create_app
from app.routes.front import Front
from app.services.database_file import refuse_damaged
from app.settings import FolderPlace, Settings
from app.wiring import METRICS_FOLDER, build_storage

GRACE_SECONDS = 8
"""How long a stopping server waits for requests it took; Kubernetes and our own promise end at 10."""

_CHECKED_BYTES = 32 * 1024 * 1024
"""Up to this size a SQLite file is read through before a start; a larger one is found damaged when it is used."""


def run(settings: Settings) -> None:
    """Serve until told to stop. Raises AppError INVALID when it cannot listen."""
    configure_logs(level=settings.level, as_json=settings.log_json)
    _migrate(settings)
    listener = _listen(settings)
    settings = settings.model_copy(update={"port": listener.getsockname()[1]})
    _greet(settings)
    if settings.workers == 1:
        uvicorn.Server(_config(settings)).run(sockets=[listener])
        return
    with tempfile.TemporaryDirectory(prefix="chartroom-metrics-") as folder:
        os.environ[METRICS_FOLDER] = folder
        config = _config(settings)
        Multiprocess(config, sockets=[listener]).run()


def _config(settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        partial(build_app, settings), factory=True, workers=settings.workers,
        http=partial(Connection, head_seconds=settings.read_timeout),  # type: ignore[arg-type]  # it is only called
        loop="uvloop", lifespan="on", ws="none",
        access_log=False, log_config=None, server_header=False, proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        ssl_certfile=settings.tls_cert or None, ssl_keyfile=settings.tls_key or None,
        ssl_ca_certs=settings.tls_ca_cert or None,
        ssl_cert_reqs=ssl.CERT_REQUIRED if settings.tls_ca_cert else ssl.CERT_NONE,
    )  # fmt: skip


def build_app(settings: Settings) -> Front:
    """Answer the application of one server process."""
    configure_logs(level=settings.level, as_json=settings.log_json)  # a spawned process starts without
    _end_with_parent()
    return create_app(settings)


def _end_with_parent() -> None:
    """Let a worker end when the process that started it has: one that was killed cannot tell its workers to."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def _migrate(settings: Settings) -> None:
    """Bring the tables to this version, in a process of its own: Alembic need not stay in memory."""
    url = settings.database_url()
    asyncio.run(refuse_damaged(url, partial(build_storage, settings), limit=_CHECKED_BYTES))
    try:
        if migrations.is_current(url):
            return
    except DBAPIError as error:
        raise AppError(Kind.INVALID, f"the database does not answer: {error.orig}") from error
    code = "import sys, migrations; migrations.upgrade(sys.stdin.read())"
    done = subprocess.run([sys.executable, "-c", code], input=url, text=True, stderr=subprocess.PIPE, check=False)  # noqa: S603
    if done.returncode:
        reason = done.stderr.strip().rpartition("\n")[2]
        raise AppError(Kind.INVALID, f"the database cannot be prepared: {reason}")


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise AppError(
            Kind.INVALID, f"cannot listen on {where}: {error.strerror}; choose another port with --port"
        ) from error
    if settings.write_timeout and hasattr(socket, "TCP_USER_TIMEOUT"):
        # Connections inherit it: the kernel ends those whose client takes nothing for so long (tcp(7)).
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, settings.write_timeout * 1000)
    listener.set_inheritable(True)
    return listener


def _greet(settings: Settings) -> None:
    place = settings.storage_place()
    where = str(place.path) if isinstance(place, FolderPlace) else f"s3://{place.bucket}/{place.prefix}"
    address = settings.public_address()
    if settings.log_json:  # who reads lines of JSON does not want prose among them
        structlog.get_logger(__name__).info("serving", address=address, storage=where)
        return
    sys.stdout.write(
        f"Chartroom serves {address}\n"
        f"Charts lie in   {where}\n\n"
        f"  curl --data-binary @mychart-0.1.0.tgz {address}/api/charts\n"
        f"  helm repo add chartroom {address}\n\n"
    )
    sys.stdout.flush()
