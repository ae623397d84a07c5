"""The client against a repository that answers what a test writes down."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from helm_client import ChartNotFound, DigestMismatch, InvalidIndex, Repository, RepositoryUnavailable

from tests.charts import make_chart
from tests.servers import free_port
from tests.upstreams import Answer, FakeRepository, fake_repository

ARCHIVE = make_chart()
DIGEST = hashlib.sha256(ARCHIVE).hexdigest()
BASIC = "Basic " + base64.b64encode(b"user:word").decode()


def index(*urls: str, digest: str = DIGEST) -> Answer:
    entry = {"name": "mychart", "version": "0.1.0", "urls": urls, "digest": digest}
    body = json.dumps({"apiVersion": "v1", "entries": {"mychart": [entry]}}).encode()
    return Answer(body, headers={"ETag": '"one"'})


@pytest.fixture
def upstream() -> Iterator[FakeRepository]:
    with fake_repository() as server:
        server.answers["/index.yaml"] = index("charts/mychart-0.1.0.tgz")
        server.answers["/charts/mychart-0.1.0.tgz"] = Answer(ARCHIVE)
        yield server


@pytest.fixture
def repository(upstream: FakeRepository) -> Iterator[Repository]:
    with Repository(upstream.url) as repository:
        yield repository


def test_an_archive_is_fetched_under_its_name(repository: Repository, tmp_path: Path) -> None:
    path = repository.fetch("mychart", destination=tmp_path)
    assert (path, path.read_bytes()) == (tmp_path / "mychart-0.1.0.tgz", ARCHIVE)
    assert list(tmp_path.iterdir()) == [path]


def test_the_index_is_asked_for_by_its_etag(upstream: FakeRepository, repository: Repository) -> None:
    first = repository.index()
    upstream.answers["/index.yaml"] = Answer(status=304)
    assert repository.index() is first
    assert [headers.get("If-None-Match") for headers in upstream.headers] == [None, '"one"']


def test_a_wrong_digest_leaves_nothing(upstream: FakeRepository, repository: Repository, tmp_path: Path) -> None:
    upstream.answers["/charts/mychart-0.1.0.tgz"] = Answer(b"other bytes")
    with pytest.raises(DigestMismatch, match=DIGEST):
        repository.fetch("mychart", "0.1.0", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("digest", ["", f"sha256:{DIGEST}", DIGEST.upper()])
def test_a_digest_may_be_absent_or_spelled_otherwise(
    upstream: FakeRepository, repository: Repository, tmp_path: Path, digest: str
) -> None:
    upstream.answers["/index.yaml"] = index("charts/mychart-0.1.0.tgz", digest=digest)
    assert repository.fetch("mychart", destination=tmp_path).read_bytes() == ARCHIVE


def test_provenance_comes_beside_the_archive(upstream: FakeRepository, repository: Repository, tmp_path: Path) -> None:
    upstream.answers["/charts/mychart-0.1.0.tgz.prov"] = Answer(b"signed")
    repository.fetch("mychart", destination=tmp_path, provenance=True)
    assert (tmp_path / "mychart-0.1.0.tgz.prov").read_bytes() == b"signed"


def test_without_the_provenance_asked_for_nothing_is_kept(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(RepositoryUnavailable, match=r"tgz\.prov answers 404"):
        repository.fetch("mychart", destination=tmp_path, provenance=True)
    assert list(tmp_path.iterdir()) == []


def test_the_query_of_the_repository_goes_with_every_request(tmp_path: Path) -> None:
    with fake_repository() as server:
        server.answers["/index.yaml?token=1"] = index("charts/mychart-0.1.0.tgz")
        server.answers["/charts/mychart-0.1.0.tgz?token=1"] = Answer(ARCHIVE)
        with Repository(f"{server.url}?token=1") as repository:
            assert repository.fetch("mychart", destination=tmp_path).name == "mychart-0.1.0.tgz"


def test_credentials_go_to_the_repository_and_nowhere_else(tmp_path: Path) -> None:
    with fake_repository("user:word") as server, fake_repository() as other:
        server.answers["/index.yaml"] = index(f"{other.url}/mychart-0.1.0.tgz")
        other.answers["/mychart-0.1.0.tgz"] = Answer(ARCHIVE)
        with Repository(server.url, "user", "word") as repository:
            repository.fetch("mychart", destination=tmp_path)
        assert [headers.get("Authorization") for headers in server.headers] == [BASIC]
        assert [headers.get("Authorization") for headers in other.headers] == [None]


def test_a_redirect_to_another_host_loses_the_credentials(tmp_path: Path) -> None:
    with fake_repository("user:word") as server, fake_repository() as other:
        moved = Answer(status=307, headers={"Location": f"{other.url}/elsewhere"})
        server.answers |= {"/index.yaml": index("mychart-0.1.0.tgz"), "/mychart-0.1.0.tgz": moved}
        other.answers["/elsewhere"] = Answer(ARCHIVE)
        with Repository(f"http://user:word@{server.host}") as repository:
            assert repository.url == server.url
            assert repository.fetch("mychart", destination=tmp_path).name == "mychart-0.1.0.tgz"
        assert [headers.get("Authorization") for headers in other.headers] == [None]


def test_no_credentials_are_said_to_be_missing() -> None:
    with fake_repository("user:word") as server, Repository(server.url) as repository:
        with pytest.raises(RepositoryUnavailable, match="answers 401") as caught:
            repository.index()
        assert caught.value.status == 401


def test_an_encoding_that_nobody_asked_for_is_not_undone(
    upstream: FakeRepository, repository: Repository, tmp_path: Path
) -> None:
    upstream.answers["/charts/mychart-0.1.0.tgz"] = Answer(ARCHIVE, headers={"Content-Encoding": "gzip"})
    assert repository.fetch("mychart", destination=tmp_path).read_bytes() == ARCHIVE


def test_a_body_that_is_cut_leaves_nothing(upstream: FakeRepository, repository: Repository, tmp_path: Path) -> None:
    upstream.answers["/charts/mychart-0.1.0.tgz"] = Answer(ARCHIVE, cut=100)
    with pytest.raises(RepositoryUnavailable, match=r"mychart-0\.1\.0\.tgz: "):
        repository.fetch("mychart", destination=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_entry_without_a_url_cannot_be_fetched(
    upstream: FakeRepository, repository: Repository, tmp_path: Path
) -> None:
    upstream.answers["/index.yaml"] = index()
    with pytest.raises(InvalidIndex, match=r"no URL for mychart 0\.1\.0"):
        repository.fetch("mychart", destination=tmp_path)


def test_a_chart_that_is_not_there_is_named(repository: Repository) -> None:
    with pytest.raises(ChartNotFound, match="no chart other"):
        repository.versions("other")


def test_a_server_that_is_not_there_is_named() -> None:
    address = f"http://127.0.0.1:{free_port()}"
    with Repository(f"{address}/?token=1") as repository, pytest.raises(RepositoryUnavailable) as caught:
        repository.index()
    assert str(caught.value).startswith(f"{address}/index.yaml: ")
    assert caught.value.status is None


@pytest.mark.parametrize("url", ["", "charts", "ftp://h", "oci://h/charts", "http://", "http://h:port"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(RepositoryUnavailable, match="no http or https URL"):
        Repository(url)
