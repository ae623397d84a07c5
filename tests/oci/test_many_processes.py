"""Uploads that move from process to process, outlive a restart, and lie in a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.wire import sign
from tests.buckets import make_bucket
from tests.charts import make_chart
from tests.live import serve
from tests.oci.client import Registry, digest_of
from tests.postgres import PostgresServer
from tests.servers import moto_server

CHUNKS = [bytes([number]) * 300_000 for number in range(1, 6)]
WHOLE = b"".join(CHUNKS)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Iterator[tuple[Registry, Registry]]:
    """Run two servers on one bucket and one Postgres database; answer a client of each."""
    folder, name = tmp_path_factory.mktemp("hosts"), postgres.create()
    with moto_server() as endpoint:
        bucket, environment = make_bucket(endpoint)
        arguments = ["--storage", f"s3://{bucket}/charts", "--database", postgres.url(name)]
        with (
            serve(folder / "one", *arguments, **environment) as one,
            serve(folder / "two", *arguments, **environment) as two,
            Registry(one.url, "team/mychart") as first,
            Registry(two.url, "team/mychart") as second,
        ):
            yield first, second
    postgres.drop(name)


def test_a_restart_does_not_end_an_upload(tmp_path: Path) -> None:
    location, offset = "", 0
    for number, chunk in enumerate(CHUNKS):
        with serve(tmp_path / "data") as server, Registry(server.url, "mychart") as registry:
            location = location or registry.session()
            assert registry.http.get(location).headers["range"] == f"0-{max(0, offset - 1)}"
            span = f"{offset}-{offset + len(chunk) - 1}"
            sent = registry.http.patch(location, content=chunk, headers={"content-range": span})
            assert sent.status_code == 202
            offset += len(chunk)
            if number % 2:
                server.kill()
            if number == len(CHUNKS) - 1:
                assert registry.finish(location, digest_of(WHOLE)).status_code == 201
                assert registry.blob(digest_of(WHOLE)).content == WHOLE
    assert not [path for path in (tmp_path / "data/.chartroom/uploads").rglob("*") if path.is_file()]


def test_workers_take_turns_in_one_upload(tmp_path: Path) -> None:
    with serve(tmp_path / "data", "--workers", "2") as server:
        location, offset = "", 0
        for chunk in CHUNKS:
            with Registry(server.url, "mychart") as registry:  # a connection of its own, to either worker
                location = location or registry.session()
                span = f"{offset}-{offset + len(chunk) - 1}"
                sent = registry.http.patch(location, content=chunk, headers={"content-range": span})
                assert sent.status_code == 202
                offset += len(chunk)
        with Registry(server.url, "mychart") as registry:
            assert registry.finish(location, digest_of(WHOLE)).status_code == 201
        for _ in range(8):
            with Registry(server.url, "mychart") as registry:
                assert registry.blob(digest_of(WHOLE)).content == WHOLE


def test_hosts_take_turns_in_one_upload_to_a_bucket(hosts: tuple[Registry, Registry]) -> None:
    location, offset = hosts[0].session(), 0
    for number, chunk in enumerate(CHUNKS):
        span = f"{offset}-{offset + len(chunk) - 1}"
        sent = hosts[number % 2].http.patch(location, content=chunk, headers={"content-range": span})
        assert sent.status_code == 202
        offset += len(chunk)
    assert hosts[0].finish(location, digest_of(WHOLE)).status_code == 201
    assert hosts[1].blob(digest_of(WHOLE)).content == WHOLE
    archive = make_chart("mychart", "1.0.0")
    assert hosts[0].push_chart("1.0.0", archive).status_code == 201
    assert hosts[1].http.get("/team/charts/mychart-1.0.0.tgz").content == archive
    assert hosts[1].manifest("1.0.0").status_code == 200
    assert hosts[1].http.post("/api/team/prov", content=sign("mychart", "1.0.0")).status_code == 201
    assert len(hosts[0].manifest("1.0.0").json()["layers"]) == 2
    assert hosts[0].http.delete("/api/team/charts/mychart/1.0.0").status_code == 200
    assert hosts[1].manifest("1.0.0").status_code == 404


@pytest.mark.parametrize("size", [0, 1, 12_000_000])
def test_large_and_small_blobs_in_a_bucket(hosts: tuple[Registry, Registry], size: int) -> None:
    first, second = hosts
    content = bytes(size)
    assert first.push_blob(content) == digest_of(content)
    assert second.blob(digest_of(content)).content == content
