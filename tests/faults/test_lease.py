"""The lease on the store: files that lie, folders that cannot be written, and what it costs in a bucket."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import orjson
import pytest

from tests.buckets import make_bucket
from tests.charts import make_chart
from tests.faults.places import until
from tests.live import LiveServer, find_free_port, serve, wait_until_up
from tests.servers import FaultyProxy

LEASE = ".chartroom/lease.json"
OTHER = "0123456789abcdef"


def post(server: LiveServer, name: str) -> httpx.Response:
    return httpx.post(f"{server.url}/api/charts", content=make_chart(name), timeout=20)


def ready(server: LiveServer) -> dict[str, object]:
    answer = httpx.get(f"{server.url}/-/ready", timeout=20)
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = orjson.loads(answer.content)
    return found


def write_lease(folder: Path, content: bytes) -> Path:
    path = folder / LEASE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# ------------------------------------------------------------------------------------------ files that lie


@pytest.mark.parametrize(
    "expires",
    [
        b"9e18", b"1e308", b"1" + b"0" * 400, b"NaN", b"Infinity", b"-1", b"-1e300", b'"4102444800"', b"null", b"true",
        b"[]", b"4102444800",
    ],
)  # fmt: skip
def test_a_lease_that_cannot_be_true_is_replaced_and_said_so(tmp_path: Path, expires: bytes) -> None:
    path = write_lease(tmp_path / "store", b'{"catalogue":"%b","expires":%b}' % (OTHER.encode(), expires))
    with serve(tmp_path / "store", wait_for="/health") as server:
        assert post(server, "mine").status_code == 201
        facts = orjson.loads(path.read_bytes())
        assert facts["catalogue"] != OTHER
        assert 0 < facts["expires"] - time.time() <= 30
        log = server.log.read_text()
    assert "the store's lease is not valid: it is replaced" in log
    assert str(path) in log


def test_a_lease_of_two_lease_times_is_obeyed_and_one_of_more_is_not(tmp_path: Path) -> None:
    facts = {"catalogue": OTHER, "expires": time.time() + 55}
    write_lease(tmp_path / "store", orjson.dumps(facts))
    with serve(tmp_path / "store", wait_for="/health") as server:
        answer = post(server, "mine")
        assert answer.status_code == 503
        reason = answer.json()["error"]
        state = ready(server)
        asked = httpx.get(f"{server.url}/-/ready?write")
        assert httpx.get(f"{server.url}/index.yaml").status_code == 200
    assert f"its lease {tmp_path / 'store' / LEASE} is held by catalogue {OTHER} until 20" in reason
    assert "stop it" in reason
    assert state == {"ready": True, "writes": False, "reason": reason}
    assert (asked.status_code, asked.json()["error"]) == (503, reason)
    write_lease(tmp_path / "store", orjson.dumps({**facts, "expires": time.time() + 75}))
    with serve(tmp_path / "store", wait_for="/health") as server:
        assert post(server, "mine").status_code == 201


def test_who_is_refused_learns_host_and_process_of_the_one_who_writes(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with serve(folder) as first, serve(folder, "--database", f"sqlite:///{tmp_path}/second.db") as second:
        assert post(first, "mine").status_code == 201
        facts = orjson.loads((folder / LEASE).read_bytes())
        assert facts["process"] == first.process.pid
        reason = post(second, "other").json()["error"]
        assert f"held by catalogue {facts['catalogue']} on host {facts['host']}, process {facts['process']} " in reason
        first.stop()
        assert not (folder / LEASE).exists(), "a clean end gives it back"
        assert until(lambda: post(second, "other").status_code == 201) < 10


# ------------------------------------------------------------------------------ folders that cannot be written


@contextmanager
def serve_obedient(folder: Path, *arguments: str, lease: str = "0s") -> Iterator[LiveServer]:
    """Run a server whom permissions concern: where we are root, without the right to pass over them."""
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.fail("as root this test needs setpriv (util-linux), or it proves nothing")
    port = find_free_port()
    change = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    command = [*change, sys.executable, "-m", "app", "serve", "--port", str(port), "--storage", str(folder), *arguments]
    log = folder.parent / f"server-{port}.log"
    folder.mkdir(exist_ok=True)
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, stdout=stream, stderr=stream, start_new_session=True, env={**os.environ, "CHARTROOM_LEASE": lease}
        )
    server = LiveServer(f"http://127.0.0.1:{port}", process, log)
    try:
        wait_until_up(server, "/health")
        yield server
    finally:
        allow_writes(folder, allowed=True)
        if process.poll() is None:
            server.stop()


def allow_writes(folder: Path, *, allowed: bool) -> None:
    """Give or take the right to write to a folder and all folders below; a database beside it stays as it is."""
    for path, _folders, _files in os.walk(folder):
        os.chmod(path, 0o755 if allowed else 0o555)


def test_a_folder_that_cannot_be_written_says_so_and_writing_resumes_by_itself(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    said = f"the storage folder {folder} cannot be written: Permission denied; let user id "
    with serve_obedient(folder, "--database", f"sqlite:///{tmp_path}/chartroom.db", lease="6s") as server:
        assert post(server, "before").status_code == 201
        allow_writes(folder, allowed=False)
        answer = post(server, "during")
        assert (answer.status_code, answer.json()["error"][: len(said)]) == (503, said), "at once, by the upload itself"
        until(lambda: ready(server)["writes"] is False)
        state, answer = ready(server), post(server, "during")
        assert str(state["reason"]).startswith(said)
        assert answer.status_code == 503
        assert answer.json()["error"].startswith(said)
        assert "another" not in answer.json()["error"]
        assert httpx.get(f"{server.url}/-/ready?write").status_code == 503
        assert list(httpx.get(f"{server.url}/api/charts").json()) == ["before"]
        assert httpx.get(f"{server.url}/charts/before-0.1.0.tgz").content == make_chart("before")
        time.sleep(7)  # longer than the lease
        assert post(server, "during").json()["error"].startswith(said)
        allow_writes(folder, allowed=True)
        assert until(lambda: ready(server)["writes"] is True) < 10
        assert post(server, "after").status_code == 201
        assert server.log.read_text().count("the right to write cannot be renewed") == 1, "once, not at every look"


def test_a_server_that_starts_on_a_folder_it_cannot_write_reads(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    database = ("--database", f"sqlite:///{tmp_path}/chartroom.db")
    with serve_obedient(folder, *database) as server:
        assert post(server, "before").status_code == 201
    allow_writes(folder, allowed=False)
    with serve_obedient(folder, *database) as server:
        assert list(httpx.get(f"{server.url}/api/charts", timeout=20).json()) == ["before"]
        answer = post(server, "during")
        assert answer.status_code == 503
        assert answer.json()["error"].startswith(f"the storage folder {folder} cannot be written: Permission denied")
        assert ready(server)["reason"] == answer.json()["error"]
        allow_writes(folder, allowed=True)
        assert until(lambda: post(server, "after").status_code == 201) < 10


def test_a_database_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with serve_obedient(folder, lease="6s") as server:
        assert post(server, "before").status_code == 201
        files = sorted((folder / ".chartroom").glob("chartroom.db*"))
        allow_writes(folder, allowed=False)
        for file in files:
            os.chmod(file, 0o444)
        answer = post(server, "during")
        assert answer.status_code == 503
        assert "cannot be written" in answer.json()["error"]
        until(lambda: ready(server)["writes"] is False)
        assert list(httpx.get(f"{server.url}/api/charts").json()) == ["before"]
        for file in files:
            os.chmod(file, 0o644)
        allow_writes(folder, allowed=True)
        assert until(lambda: post(server, "after").status_code == 201) < 10


# ------------------------------------------------------------------------------------------------ in a bucket


def count(proxy: FaultyProxy, word: str) -> int:
    return sum(word in request for request in proxy.seen)


@contextmanager
def hosts(
    endpoint: str, folder: Path, number: int, *arguments: str, lease: str
) -> Iterator[tuple[FaultyProxy, list[LiveServer]]]:
    """Run some servers on one bucket, behind a proxy that counts."""
    with FaultyProxy(endpoint) as proxy, ExitStack() as stack:
        bucket, environment = make_bucket(endpoint)
        environment |= {"CHARTROOM_STORAGE_AMAZON_ENDPOINT": proxy.url, "CHARTROOM_LEASE": lease}
        storage = ("--storage", f"s3://{bucket}/charts", *arguments)
        yield (
            proxy,
            [stack.enter_context(serve(folder / f"host{at}", *storage, **environment)) for at in range(number)],
        )


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_lease_in_a_bucket_costs_two_requests_a_minute(
    request: pytest.FixtureRequest, tmp_path: Path, s3_endpoint: str, kind: str
) -> None:
    """Ours lasts 90 s. Here it lasts 9, so that a minute is 6 s: whatever number of hosts, two requests in 6 s."""
    url = f"sqlite:///{tmp_path}/one.db" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    number = 1 if kind == "sqlite" else 3
    with hosts(s3_endpoint, tmp_path, number, "--database", url, lease="9s") as (proxy, servers):
        for at, server in enumerate(servers):
            assert post(server, f"chart{at}").status_code == 201
        proxy.seen.clear()
        minutes = 4
        time.sleep(6 * minutes)
        asked = count(proxy, "lease.json")
        assert 2 * (minutes - 2) <= asked <= 2 * minutes, proxy.seen
        for at, server in enumerate(servers):
            assert ready(server) == {"ready": True, "writes": True}
            assert post(server, f"later{at}").status_code == 201
        for server in servers[:-1]:
            server.stop()
        assert post(servers[-1], "last").status_code == 201
        proxy.seen.clear()
        servers[-1].stop()
        assert count(proxy, "DELETE") == 1, "the last one gives the lease back"


def test_the_lease_of_a_bucket_is_named_by_its_address(tmp_path: Path, s3_endpoint: str) -> None:
    first = f"sqlite:///{tmp_path}/first.db"
    with hosts(s3_endpoint, tmp_path, 1, "--database", first, lease="9s") as (proxy, servers):
        bucket = next(part.split()[1].split("/")[1] for part in proxy.seen if "lease.json" in part)
        environment = {
            "CHARTROOM_STORAGE_AMAZON_ENDPOINT": proxy.url, "CHARTROOM_LEASE": "9s",
            "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing",
        }  # fmt: skip
        arguments = ("--storage", f"s3://{bucket}/charts", "--database", f"sqlite:///{tmp_path}/second.db")
        with serve(tmp_path / "second", *arguments, **environment) as second:
            reason = post(second, "other").json()["error"]
            assert f"its lease s3://{bucket}/charts/{LEASE} is held by catalogue " in reason
            servers[0].kill()
            took = until(lambda: post(second, "other").status_code == 201, 30)
            assert took < 9 + 3, "not later than the lease ends"
