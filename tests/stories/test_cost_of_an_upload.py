"""What an upload costs, counted: statements in the database, requests to a bucket, files that stay open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, event

from storage.s3 import S3Storage
from tests.charts import make_chart
from tests.house import open_house
from tests.servers import FaultyProxy, moto_server

_CONTROL = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "PRAGMA", "--")


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """Return what SQLite runs, in every connection that is opened from now on; control of transactions left out."""
    asked: list[str] = []

    def note(text: str) -> None:
        if not text.lstrip().startswith(_CONTROL):
            asked.append(" ".join(text.split()))

    def trace(driver: Any, _record: object) -> None:
        driver.set_trace_callback(note)

    event.listen(Engine, "connect", trace)
    yield asked
    event.remove(Engine, "connect", trace)


async def upload(client: httpx.AsyncClient, version: str, repository: str = "") -> None:
    path = f"/api/{repository}/charts" if repository else "/api/charts"
    answer = await client.post(path, content=make_chart("web", version))
    assert answer.status_code == 201, answer.text


async def test_a_new_version_runs_ten_statements(tmp_path: Path, statements: list[str]) -> None:
    async with open_house(tmp_path) as (client, _house):
        await upload(client, "1.0.0")
        for version in ("1.1.0", "1.2.0"):
            statements.clear()
            await upload(client, version)
            # An index that is asked for, a lease that is renewed: not this upload's.
            own = [text for text in statements if "leases" not in text]
            assert len(own) <= 10, "\n".join(own)
            assert len(set(own)) == len(own), "the same question is asked twice"


async def test_an_upload_to_a_bucket_is_two_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with moto_server() as endpoint, FaultyProxy(endpoint) as proxy:
        httpx.put(f"{endpoint}/charts")
        storage = S3Storage("charts", endpoint=proxy.url, region="us-east-1")
        async with open_house(tmp_path, storage=storage) as (client, _house):
            await upload(client, "1.0.0")
            for version in ("1.1.0", "1.2.0"):
                proxy.seen.clear()
                await upload(client, version)
                seen = [request for request in proxy.seen if "lease.json" not in request]
                assert sorted(request.split("/")[3] for request in seen) == ["blobs", "ledger"], seen
                assert all(request.startswith("PUT ") for request in seen)


async def test_uploads_leave_no_file_open(tmp_path: Path) -> None:
    async with open_house(tmp_path) as (client, _house):
        await upload(client, "1.0.0")
        before = len(list(Path("/proc/self/fd").iterdir()))
        for number in range(50):
            await upload(client, f"1.1.{number}", f"team{number % 7}")
        assert len(list(Path("/proc/self/fd").iterdir())) <= before + 4
