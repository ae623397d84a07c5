"""A server that has just been started: who asks early waits for the store, and nobody is sent away without need."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.charts import make_chart
from tests.live import LiveServer, serve
from tests.oci.client import digest_of

_STARTS = 8
"""Starts of each kind; 100 of each were counted when this was written."""

_MANY = 1500
"""Old charts whose import takes long enough to be seen."""


def post(server: LiveServer, number: int) -> httpx.Response:
    return httpx.post(f"{server.url}/api/charts", content=make_chart("early", f"1.{number}.0"), timeout=20)


@pytest.mark.parametrize("kind", ["fresh", "unchanged", "killed"])
def test_who_waits_for_health_may_upload_at_once(tmp_path: Path, kind: str) -> None:
    answers = []
    for number in range(_STARTS):
        with serve(tmp_path / "store", wait_for="/health") as server:
            answers.append(post(server, number))
            if kind == "killed":
                server.kill()
        if kind == "fresh":
            shutil.rmtree(tmp_path / "store")
    assert [(answer.status_code, answer.text) for answer in answers] == [(201, '{"saved":true}')] * _STARTS


def test_every_way_in_waits_for_the_store(tmp_path: Path) -> None:
    """Asked at the first moment: reads of both protocols, listings, search, the page, pushes and deletes."""
    folder, blob = tmp_path / "store", b"some bytes"
    archive = make_chart("known", "1.0.0")
    with serve(folder) as server:
        httpx.post(f"{server.url}/api/charts", content=archive).raise_for_status()
    asks: list[Callable[[LiveServer], httpx.Response]] = [
        *(
            lambda server, path=path: httpx.get(f"{server.url}{path}", timeout=20)  # type: ignore[misc]
            for path in (
                "/index.yaml", "/~latest-1/index.yaml", "/charts/known-1.0.0.tgz", "/api/charts", "/api/charts/known",
                "/api/charts/known/1.0.0/values", "/api/search?q=known", "/api/chartsvc/v1/charts/search?q=known", "/",
                "/v2/_catalog", "/v2/known/tags/list", "/v2/known/manifests/1.0.0",
            )
        ),
        lambda server: httpx.post(f"{server.url}/api/charts", files={"chart": ("c", make_chart("form"))}, timeout=20),
        lambda server: httpx.post(
            f"{server.url}/v2/known/blobs/uploads/?digest={digest_of(blob)}", content=blob, timeout=20
        ),
    ]  # fmt: skip
    for _ in range(3):
        with serve(folder, wait_for="/health") as server, ThreadPoolExecutor(len(asks)) as pool:
            answers = list(pool.map(lambda ask: ask(server), asks))
            server.kill()
        for answer in answers:
            assert answer.status_code in (200, 201, 409), (answer.request.url, answer.text)
        assert answers[2].content == archive
        assert "known" in answers[6].text
        assert "known" in answers[8].text


# ---------------------------------------------------------------------------------------- while it is being opened


def fill_old_folder(folder: Path, number: int) -> None:
    """Lay down charts as ChartMuseum keeps them; importing 400 takes some seconds."""
    folder.mkdir(parents=True)
    for at in range(number):
        (folder / f"old{at}-1.0.0.tgz").write_bytes(make_chart(f"old{at}", "1.0.0"))


def wait_for_import(server: LiveServer) -> None:
    """Wait until the server says that it imports."""
    deadline = time.monotonic() + 20
    while "importing" not in (answer := httpx.get(f"{server.url}/-/ready", timeout=5)).text:
        assert time.monotonic() < deadline, answer.text
        assert answer.status_code == 503, "it was over before it was seen: more charts are needed"
        time.sleep(0.01)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_server_killed_while_it_opens_holds_up_nothing(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    """Neither the lease in the store nor the lock on the opening outlives the process."""
    folder = tmp_path / "store"
    fill_old_folder(folder, _MANY)
    database = ("--database", request.getfixturevalue("postgres_url")) if kind == "postgres" else ()
    for _ in range(2):
        with serve(folder, *database, wait_for="/health") as server:
            wait_for_import(server)
            server.kill()
    with serve(folder, *database, wait_for="/health") as server:
        began = time.monotonic()
        wait_for_import(server)
        assert time.monotonic() - began < 5, "it begins at once, and does not wait for a lock to expire"
        assert until_written(server, 30) < 30
        assert len(httpx.get(f"{server.url}/api/charts", timeout=20).json()) == _MANY + 1
        assert "another process" not in server.log.read_text()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_that_is_told_to_end_while_it_imports_ends_in_time(tmp_path: Path, workers: str) -> None:
    folder = tmp_path / "store"
    fill_old_folder(folder, _MANY)
    with serve(folder, "--workers", workers, wait_for="/health") as server, ThreadPoolExecutor(4) as pool:
        wait_for_import(server)
        waiting = [pool.submit(post, server, number) for number in range(1, 5)]
        time.sleep(0.3)
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 10
        for answer in [future.result() for future in waiting if future.exception() is None]:
            assert answer.status_code in (201, 503)
    with serve(folder, wait_for="/health") as server:
        until_written(server, 30)
        assert len(httpx.get(f"{server.url}/api/charts", timeout=20).json()) == _MANY + 1


def until_written(server: LiveServer, seconds: float) -> float:
    began = time.monotonic()
    while (answer := post(server, 0)).status_code == 503:
        assert time.monotonic() < began + seconds, answer.text
        assert answer.headers["retry-after"] == "5"
    assert answer.status_code == 201, answer.text
    return time.monotonic() - began


def test_while_old_charts_are_imported_requests_wait_and_old_files_are_served(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    fill_old_folder(folder, _MANY)
    with serve(folder, wait_for="/health") as server, ThreadPoolExecutor(3) as pool:
        wait_for_import(server)
        waiting = [
            pool.submit(httpx.get, f"{server.url}/index.yaml", timeout=30),
            pool.submit(httpx.get, f"{server.url}/charts/absent-1.0.0.tgz", timeout=30),
            pool.submit(post, server, 1),
        ]
        began = time.monotonic()
        assert httpx.get(f"{server.url}/charts/old7-1.0.0.tgz").content == make_chart("old7", "1.0.0")
        for path in ("/health", "/metrics", "/info"):
            assert httpx.get(f"{server.url}{path}").status_code == 200
        assert httpx.get(f"{server.url}/-/ready").status_code == 503
        assert time.monotonic() - began < 2, "none of these waits"
        index, absent, upload = [answer.result() for answer in waiting]
        if time.monotonic() - began < 9:
            assert (index.status_code, absent.status_code, upload.status_code) == (200, 404, 201)
            assert index.text.count('"digest"') >= _MANY, "the whole index or none"
        else:  # a machine under load: then they were told to come again
            assert {index.status_code, absent.status_code, upload.status_code} <= {200, 201, 404, 503}
