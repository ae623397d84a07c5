"""The client against our own server, as its own process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from helm_client import ChartNotFound, Repository, RepositoryUnavailable

from tests.charts import make_chart
from tests.live import LiveServer, serve
from tests.stories.shop import make_provenance

ACCOUNT = {"CHARTROOM_BASIC_AUTH_USER": "user", "CHARTROOM_BASIC_AUTH_PASS": "pass word"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with serve(tmp_path_factory.mktemp("client") / "store", **ACCOUNT) as server:
        yield server


@pytest.fixture
def repository(server: LiveServer) -> Iterator[Repository]:
    with Repository(f"{server.url}/team", "user", "pass word") as repository:
        yield repository


def upload(server: LiveServer, kind: str, content: bytes) -> None:
    answer = httpx.post(f"{server.url}/api/team/{kind}", content=content, auth=("user", "pass word"))
    assert answer.status_code == 201, answer.text


def test_what_was_uploaded_is_found_and_fetched(server: LiveServer, repository: Repository, tmp_path: Path) -> None:
    archive = make_chart("found", "1.0.0+build.1", description="A queue", keywords=["messages"])
    upload(server, "charts", archive)
    upload(server, "charts", make_chart("found", "1.1.0-rc.1"))
    upload(server, "prov", make_provenance("found", "1.0.0+build.1"))
    assert [(chart.name, chart.version) for chart in repository.search("queue messages")] == [
        ("found", "1.0.0+build.1")
    ]
    assert [version.version for version in repository.versions("found")] == ["1.1.0-rc.1", "1.0.0+build.1"]
    path = repository.fetch("found", destination=tmp_path, provenance=True)
    assert (path.name, path.read_bytes()) == ("found-1.0.0+build.1.tgz", archive)
    assert (tmp_path / f"{path.name}.prov").read_bytes() == make_provenance("found", "1.0.0+build.1")


def test_a_chart_pushed_after_the_first_look_is_seen(server: LiveServer, repository: Repository) -> None:
    with pytest.raises(ChartNotFound):
        repository.versions("later")
    upload(server, "charts", make_chart("later", "0.1.0"))
    assert [version.version for version in repository.versions("later")] == ["0.1.0"]


def test_block_yaml_and_json_read_alike(server: LiveServer, repository: Repository) -> None:
    upload(server, "charts", make_chart("alike", "0.1.0", appVersion="1.10", description="1e5", keywords=["y", "08"]))
    with Repository(f"{server.url}/team?format=yaml", "user", "pass word") as as_yaml:
        assert as_yaml.versions("alike") == repository.versions("alike")


def test_nobody_enters_without_the_password(server: LiveServer) -> None:
    with Repository(f"{server.url}/team", "user", "wrong") as stranger:
        with pytest.raises(RepositoryUnavailable) as caught:
            stranger.index()
        assert caught.value.status == 401
