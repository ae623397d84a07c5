"""Several processes on one store: what one acknowledged, all show at once; nothing is lost or taken twice."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from storage import Storage
from storage.filesystem import FilesystemStorage
from storage.s3 import S3Storage
from tests.buckets import make_bucket
from tests.live import LiveServer, serve
from tests.stories.store import digest_of, list_index, make_numbered, read_chain, upload

_UPLOADS = 200
_CLIENTS = 8
_TIMEOUT = httpx.Timeout(30)


@dataclass
class Fleet:
    """Some servers on one store: where each listens, and the store itself."""

    urls: list[str]
    storage: Storage
    keepalive: int | None = field(default=None)

    @asynccontextmanager
    async def clients(self) -> AsyncIterator[list[httpx.AsyncClient]]:
        limits = httpx.Limits(max_keepalive_connections=self.keepalive)
        clients = [httpx.AsyncClient(base_url=url, timeout=_TIMEOUT, limits=limits) for url in self.urls]
        try:
            yield clients
        finally:
            for client in clients:
                await client.aclose()


@contextmanager
def two_on_sqlite(request: pytest.FixtureRequest, folder: Path) -> Iterator[Fleet]:
    with serve(folder) as one, serve(folder) as other, opened(FilesystemStorage(folder)) as storage:
        yield Fleet([one.url, other.url], storage)


@contextmanager
def two_on_postgres(request: pytest.FixtureRequest, folder: Path) -> Iterator[Fleet]:
    database = ("--database", request.getfixturevalue("postgres_url"))
    with ExitStack() as stack:
        servers = [stack.enter_context(serve(folder, *database)) for _ in range(2)]
        yield Fleet([server.url for server in servers], stack.enter_context(opened(FilesystemStorage(folder))))


@contextmanager
def two_on_postgres_and_a_bucket(request: pytest.FixtureRequest, folder: Path) -> Iterator[Fleet]:
    endpoint = request.getfixturevalue("s3_endpoint")
    bucket, environment = make_bucket(endpoint)
    arguments = ("--storage", f"s3://{bucket}/charts", "--database", request.getfixturevalue("postgres_url"))
    storage = S3Storage(
        bucket, prefix="charts", endpoint=endpoint, region="us-east-1", access_key="testing", secret_key="testing"
    )
    with ExitStack() as stack:
        servers = [stack.enter_context(serve(folder, *arguments, **environment)) for _ in range(2)]
        yield Fleet([server.url for server in servers], stack.enter_context(opened(storage)))


@contextmanager
def two_workers(request: pytest.FixtureRequest, folder: Path) -> Iterator[Fleet]:
    with serve(folder, "--workers", "2") as server, opened(FilesystemStorage(folder)) as storage:
        wait_until_all_are_ready(server)
        yield Fleet([server.url, server.url], storage, keepalive=0)  # each request may meet the other worker


def wait_until_all_are_ready(server: LiveServer) -> None:
    """Wait until each of two workers has said so; an answer on a new connection may be either's."""
    ready = 0
    while ready < 60:
        up = httpx.get(f"{server.url}/-/ready").status_code == 200
        ready = ready + 1 if up else 0
        time.sleep(0.02)


@contextmanager
def opened(storage: FilesystemStorage | S3Storage) -> Iterator[Storage]:
    try:
        yield storage
    finally:
        storage.close()


_FLEETS: list[Callable[[pytest.FixtureRequest, Path], object]] = [
    two_on_sqlite, two_on_postgres, two_on_postgres_and_a_bucket, two_workers,
]  # fmt: skip


@pytest.fixture(params=_FLEETS, ids=lambda make: make.__name__)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield stack.enter_context(request.param(request, tmp_path / "store"))


async def test_every_upload_is_seen_by_the_other_process_at_once_and_none_is_lost(fleet: Fleet) -> None:
    async with fleet.clients() as clients:

        async def client_of(first: int) -> None:
            for number in range(first, _UPLOADS, _CLIENTS):
                mine, other = clients[number % 2], clients[1 - number % 2]
                await upload_and_look(mine, other, number)

        await asyncio.gather(*(client_of(first) for first in range(_CLIENTS)))
        expected = {f"chart{n % 10}-1.{n}.0.tgz": digest_of(make_numbered(n)) for n in range(_UPLOADS)}
        for client in clients:
            assert await list_index(client) == expected
    changes = [change for segment in (await read_chain(fleet.storage))[""] for change in segment.changes]
    assert sum(change["kind"] == "version" for change in changes) == _UPLOADS
    await race_for_one_version(fleet)


async def upload_and_look(mine: httpx.AsyncClient, other: httpx.AsyncClient, number: int) -> None:
    """Upload to one process; the other one's next answer shows it, in the index or as the archive."""
    content = make_numbered(number)
    answer = await upload(mine, content)
    assert answer.status_code == 201, answer.text
    if number % 3:
        index = await other.get("/index.yaml")
        assert f'"urls":["charts/chart{number % 10}-1.{number}.0.tgz"]'.encode() in index.content
    else:
        archive = await other.get(f"/charts/chart{number % 10}-1.{number}.0.tgz")
        assert archive.content == content


async def race_for_one_version(fleet: Fleet) -> None:
    """The same version from several clients at once, same bytes or others: exactly one is taken, and served by all."""
    async with fleet.clients() as clients:
        for number in range(20):
            contents = [make_numbered(500 + number, home=f"https://{n * (number % 2)}.test") for n in range(4)]
            answers = await asyncio.gather(*(upload(clients[n % 2], body) for n, body in enumerate(contents)))
            statuses = [answer.status_code for answer in answers]
            assert sorted(statuses) == [201, 409, 409, 409]
            for client in clients:
                got = await client.get(f"/charts/chart{number % 10}-1.{500 + number}.0.tgz")
                assert got.content == contents[statuses.index(201)]
        for client in clients:
            assert len(await list_index(client)) == _UPLOADS + 20
    changes = [change for segment in (await read_chain(fleet.storage))[""] for change in segment.changes]
    assert sum(change["kind"] == "version" for change in changes) == _UPLOADS + 20


async def test_what_one_process_removes_or_replaces_the_other_does_not_serve_any_more(
    tmp_path: Path, postgres_url: str
) -> None:
    folder = tmp_path / "store"
    database = ("--database", postgres_url)
    with serve(folder, *database) as one, serve(folder, *database) as other:
        async with httpx.AsyncClient(base_url=one.url) as mine, httpx.AsyncClient(base_url=other.url) as theirs:
            for number in range(10):
                filename = f"chart{number}-1.{number}.0.tgz"
                assert (await upload(mine, make_numbered(number))).status_code == 201
                assert (await theirs.get(f"/charts/{filename}")).status_code == 200
                replaced = make_numbered(number, home="https://new.test")
                assert (await upload(theirs, replaced, query="?force")).status_code == 201
                assert (await mine.get(f"/charts/{filename}")).content == replaced
                assert (await list_index(mine))[filename] == digest_of(replaced)
                assert (await mine.delete(f"/api/charts/chart{number}/1.{number}.0")).status_code == 200
                assert (await theirs.get(f"/charts/{filename}")).status_code == 404
                assert await list_index(theirs) == {}
    assert os.listdir(folder) == [".chartroom"]
