"""Stores that an earlier version wrote open with this one, and show what they showed then.

`tests/data/README.md` says what is in them, and how they were made.
"""

from __future__ import annotations

import json
import sqlite3
import tarfile
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.buckets import open_client
from tests.charts import make_chart
from tests.stories import everything
from tests.stories.everything import LEGACY, ROOT, Known
from tests.stories.stores import Store, Stores, list_files

DATA = Path(__file__).parent.parent / "data" / "store-27bfc88"
KINDS = ("sqlite", "postgres", "bucket")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Return a kind of store. Each test gets every one."""
    return str(request.param)


@pytest.fixture
def store(kind: str, stores: Stores, s3_endpoint: str) -> Store:
    """Return a copy of the store of this kind, which nothing has opened yet."""
    store = stores.make(kind)
    if kind == "bucket":
        unpack("bucket", store.folder)
        fill_bucket(s3_endpoint, store.storage, store.folder / "objects" / "shop")
    else:
        unpack(kind, Path(store.storage))
    if kind == "postgres":
        with psycopg.connect(store.database, autocommit=True) as connection:
            connection.execute((DATA / "postgres.sql").read_bytes())
    return store


def unpack(name: str, folder: Path) -> None:
    with tarfile.open(DATA / f"{name}.tar.gz") as archive:
        archive.extractall(folder, filter="data")


def fill_bucket(endpoint: str, place: str, folder: Path) -> None:
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    with open_client(endpoint) as client:
        for path in folder.rglob("*"):
            if path.is_file():
                client.put_object(Bucket=bucket, Key=f"{prefix}/{path.relative_to(folder)}", Body=path.read_bytes())


def load(kind: str) -> tuple[Known, dict[str, Any], dict[str, Any]]:
    """Return where to look, what the old server showed there, and what its export held."""
    facts = json.loads((DATA / f"{kind}.json").read_bytes())
    return Known(**facts["known"]), facts["seen"], facts["exported"]


def test_it_shows_what_it_showed_then(kind: str, store: Store) -> None:
    known, seen, _ = load(kind)
    with store.serve() as server:
        assert everything.read(server.url, known) == seen
    with store.serve() as server:  # and what the first start wrote is read back
        assert everything.read(server.url, known) == seen
    assert store.command("verify").endswith("clean\n")


def test_what_it_shows_is_what_was_put_in(kind: str) -> None:
    """The expected answers are data: this says that they hold what they are meant to hold."""
    _, seen, exported = load(kind)
    repositories, names, paths = seen["repositories"], seen["names"], seen["paths"]
    assert {path: sorted(found["listed"]) for path, found in repositories.items()} == {
        ROOT: ["mychart", "plain"], "team/web": ["other", "pushed"], "my team/50% off": ["odd"], LEGACY: ["kept"],
    }  # fmt: skip
    assert repositories["team/web"]["listed"]["other"] == ["1.1.0", "1.0.1", "1.0.0", "1.0.0-rc.1"]
    kept = {entry["version"]: entry["created"] for entry in repositories[LEGACY]["entries"]["kept"]}
    assert kept == {"1.0.0": everything.CREATED, "1.2.0": kept["1.2.0"]}
    assert kept["1.2.0"] != everything.CREATED
    assert sum(archive[1] != "404" for found in repositories.values() for archive in found["files"].values()) == 4
    assert names["team/image"]["tags"] == ["latest", "v1", "v2"]
    assert len(names["team/image"]["manifests"]) == 5
    assert [len(found) for found in names["team/image"]["referrers"].values()].count(1) == 1
    assert list(names["team/copy"]["blobs"].values()) == [key.split(":")[1] for key in names["team/copy"]["blobs"]]
    assert sorted(paths.values()) == [200, 404, 404, 404, 404, 404, 404]
    assert len([key for key in exported if key.endswith(".tgz")]) == 14


def test_it_takes_more_and_the_database_can_be_made_anew(kind: str, store: Store) -> None:
    known, seen, _ = load(kind)
    with store.serve() as server:
        answer = httpx.post(f"{server.url}/api/new/charts", content=make_chart("another", "1.0.0"))
        assert answer.status_code == 201, answer.text
        answer = httpx.post(f"{server.url}/api/team/web/charts", content=make_chart("other", "1.1.0", home="https://x"))
        assert answer.status_code == 409, answer.text
    assert store.command("verify").endswith("clean\n")
    store.command("reindex")
    with store.serve() as server:
        assert everything.read(server.url, known) == seen
        assert list_files(server.url, "new") == {"another-1.0.0.tgz"}
    assert store.command("verify").endswith("clean\n")


def test_a_lost_database_comes_back_from_the_ledger_of_then(kind: str, store: Store, stores: Stores) -> None:
    known, seen, _ = load(kind)
    if kind == "postgres":
        store.database = stores.make_database()
    else:
        Path(store.database.removeprefix("sqlite:///")).unlink()
    with store.serve() as server:
        assert everything.read(server.url, known) == seen


def test_an_etag_of_then_is_answered_with_the_index_or_is_still_true(kind: str, store: Store) -> None:
    """Whatever the tag is made of now: with a tag, a client has the index that the tag stands for."""
    with store.serve() as server, httpx.Client(base_url=server.url) as client:
        first = client.get("/index.yaml")
        assert client.get("/index.yaml", headers={"if-none-match": first.headers["etag"]}).status_code == 304
        assert client.post("/api/charts", content=make_chart("another", "1.0.0")).status_code == 201
        second = client.get("/index.yaml", headers={"if-none-match": first.headers["etag"]})
        assert (second.status_code, "another" in second.json()["entries"]) == (200, True)


def test_its_export_is_what_the_old_import_reads(kind: str, store: Store, tmp_path: Path) -> None:
    """27bfc88 reads `index.yaml` and the archives and provenance beside it; its own export is the pattern."""
    *_, exported = load(kind)
    store.command("export", str(tmp_path / "static"))
    assert everything.list_export(tmp_path / "static") == exported


def test_it_can_be_backed_up_and_restored(kind: str, store: Store, stores: Stores) -> None:
    known, seen, _ = load(kind)
    target, other = stores.make_place("folder"), stores.make("sqlite")
    assert store.command("backup", target).endswith("clean\n")
    other.command("restore", target)
    with other.serve() as server:
        assert everything.read(server.url, known) == seen


@pytest.mark.parametrize("way", ["start", "reindex"])
def test_a_commit_that_storage_lacked_is_brought_there(stores: Stores, way: str) -> None:
    store = stores.make("sqlite")
    unpack("outbox", Path(store.storage))
    late = Path(store.storage) / ".chartroom" / "ledger" / "late"
    assert waiting(store) == 1
    assert not late.exists()
    known, seen, _ = load("sqlite")
    if way == "reindex":
        store.command("reindex")
    with store.serve() as server:
        assert list_files(server.url, "late") == {"late-1.0.0.tgz"}
        assert everything.read(server.url, known) == seen
    assert len(list(late.iterdir())) == 1
    assert store.command("verify").endswith("clean\n")


def waiting(store: Store) -> int:
    """Return how many segments wait in the outbox, as 27bfc88 kept it."""
    connection = sqlite3.connect(store.database.removeprefix("sqlite:///"))
    try:
        found = connection.execute("SELECT count(*) FROM outbox").fetchone()
    finally:
        connection.close()
    return int(found[0])
