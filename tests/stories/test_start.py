"""A server that has just been started: who asks early waits for the store, and nobody is sent away without need."""

from __future__ import annotations

import shutil
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
