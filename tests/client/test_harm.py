"""What becomes of the client's work when a server, an index, the network or the user's patience fails."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from helm_client import Access, Repository, RepositoryUnavailable

from tests.charts import make_chart
from tests.client.shell import Desk, Shell
from tests.kube.api import KubeApi
from tests.upstreams import Answer, FakeRepository, fake_repository

ARCHIVE = make_chart("mychart", "0.1.0", files={"big.bin": os.urandom(2 * 1024 * 1024)})
CLIENT = [sys.executable, "-m", "helm_client"]


def entry(url: str = "mychart-0.1.0.tgz", **changes: Any) -> dict[str, Any]:
    own = {"name": "mychart", "version": "0.1.0", "apiVersion": "v2", "urls": [url]}
    return {**own, "digest": hashlib.sha256(ARCHIVE).hexdigest(), **changes}


def index(*entries: Any, name: str = "mychart") -> Answer:
    return Answer(json.dumps({"apiVersion": "v1", "entries": {name: entries}}).encode())


@pytest.fixture
def upstream() -> Iterator[FakeRepository]:
    with fake_repository() as server:
        server.answers["/index.yaml"] = index(entry())
        server.answers["/mychart-0.1.0.tgz"] = Answer(ARCHIVE)
        yield server


@pytest.fixture
def api(desk: Desk) -> Iterator[KubeApi]:
    with KubeApi() as api:
        api.write_kubeconfig(desk.home / "kubeconfig")
        yield api


@pytest.fixture
def shell(upstream: FakeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell = Shell(tmp_path / "home")
    shell.home.mkdir()
    place = tmp_path / "work"
    place.mkdir()
    monkeypatch.chdir(place)
    shell.say("repo", "add", "far", upstream.url)
    return shell


def files_here() -> list[str]:
    return sorted(os.listdir())


# ------------------------------------------------------------------------------------------ the server


def test_a_download_that_is_cut_is_told_and_leaves_nothing(shell: Shell, upstream: FakeRepository) -> None:
    upstream.answers["/mychart-0.1.0.tgz"].cut = 100_000
    done = shell.client("pull", "far/mychart", "--untar")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"Error: {upstream.url}/mychart-0.1.0.tgz: peer closed connection")
    assert files_here() == []


def test_a_busy_server_is_asked_again(shell: Shell, upstream: FakeRepository) -> None:
    upstream.answers["/mychart-0.1.0.tgz"].fails = 2
    shell.say("pull", "far/mychart")
    assert files_here() == ["mychart-0.1.0.tgz"]
    assert upstream.seen.count("/mychart-0.1.0.tgz") == 3
    upstream.answers["/mychart-0.1.0.tgz"].fails = 3
    assert "answers 503" in shell.client("pull", "far/mychart").err


def test_a_server_that_stalls_is_given_up(shell: Shell, upstream: FakeRepository, tmp_path: Path) -> None:
    upstream.answers["/index.yaml"].stall = 10
    done = shell.client("repo", "add", "slow", upstream.url, "--timeout", "300ms")
    assert done.code == 1
    assert "timed out" in done.err
    assert shell.say("repo", "list", "-o", "json").count('"name"') == 1
    done = shell.client("repo", "update", "--timeout", "300ms")
    assert done.code == 1
    assert "Unable to get an update" in done.out + done.err
    assert shell.say("search", "repo", "mychart").count("0.1.0") == 1  # what was known stays known
    upstream.answers["/mychart-0.1.0.tgz"].stall = 10
    archive, access = f"{upstream.url}/mychart-0.1.0.tgz", Access(timeout=0.3)
    with Repository(upstream.url, access=access) as repository, pytest.raises(RepositoryUnavailable, match="timed out"):
        repository.fetch_url(archive, tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><html>Sign in</html>", b"- a\n- b\n", b"\x1f\x8bnoise", b""])
def test_what_is_no_index_is_said_to_be_none(shell: Shell, upstream: FakeRepository, page: bytes) -> None:
    upstream.answers["/index.yaml"] = Answer(page)
    done = shell.client("repo", "add", "other", upstream.url)
    assert done.code == 1
    assert "is not a valid chart repository" in done.err
    assert shell.client("repo", "update").code == 1
    assert "mychart" in shell.say("search", "repo", "mychart")


def test_a_page_instead_of_an_archive_is_a_wrong_digest(shell: Shell, upstream: FakeRepository) -> None:
    upstream.answers["/mychart-0.1.0.tgz"] = Answer(b"<html>Sign in</html>")
    done = shell.client("pull", "far/mychart")
    assert (done.code, files_here()) == (4, [])
    assert "has sha256" in done.err


# ------------------------------------------------------------------------------------------ the index


@pytest.mark.parametrize(
    "url",
    [
        "../../../outside.tgz", "charts/..%2f..%2foutside.tgz", "/etc/passwd", "file:///etc/passwd", "a/b/..", "",
        "http://127.0.0.1:1/x.tgz", "javascript:alert(1)", "x\x00y.tgz", "..", "%2e%2e/%2e%2e/outside.tgz",
    ],
)  # fmt: skip
def test_urls_of_an_index_lead_nowhere_else(shell: Shell, upstream: FakeRepository, url: str) -> None:
    upstream.answers["/index.yaml"] = index(entry(url))
    shell.say("repo", "update")
    before = sorted(path for path in shell.home.parent.rglob("*"))
    done = shell.client("pull", "far/mychart")
    assert done.code in (1, 4), done
    assert done.err.startswith("Error: "), done
    assert sorted(path for path in shell.home.parent.rglob("*")) == before


def test_entries_that_are_none_do_not_spoil_the_rest(shell: Shell, upstream: FakeRepository) -> None:
    odd: list[Any] = [
        None, 7, "text", [], {}, {"name": "mychart"}, entry(version="not a version"), entry(version=None),
        entry(name="../evil", version="9.9.9"), entry(version="9" * 400), entry(urls="no list", version="0.0.9"),
        entry(description="\x1b[31mred\x1b[0m \u202e backwards\nsecond line", version="0.0.8"),
    ]  # fmt: skip
    upstream.answers["/index.yaml"] = index(*odd, entry())
    shell.say("repo", "update")
    assert "far/mychart\t0.1.0" in shell.say("search", "repo", "mychart")
    said = shell.say("search", "repo", "mychart", "--versions")
    assert "\x1b" not in said
    assert "../evil" not in said
    shell.say("pull", "far/mychart")
    assert files_here() == ["mychart-0.1.0.tgz"]


# ------------------------------------------------------------------------------------------ the user


@contextmanager
def running(
    shell: Shell, *words: str, stdout: int | None = None, stderr: int | None = None, **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([*CLIENT, *words], env={**shell.environment, **variables}, stdout=stdout, stderr=stderr)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_until(is_so: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


@pytest.mark.parametrize("words", [[], ["--untar"]])
def test_an_interrupted_download_leaves_nothing(shell: Shell, upstream: FakeRepository, words: list[str]) -> None:
    upstream.answers["/mychart-0.1.0.tgz"].stall = 1_000_000
    places = {"TMPDIR": str(shell.home)}
    before = sorted(shell.home.rglob("*"))
    with running(shell, "pull", "far/mychart", *words, stderr=subprocess.PIPE, **places) as process:
        wait_until(lambda: [*Path().rglob("*.part"), *shell.home.rglob("*.part")])
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert (process.returncode, said.decode().strip()) == (130, "interrupted")
    assert files_here() == []
    assert sorted(shell.home.rglob("*")) == before


def test_an_interrupted_upgrade_ends_and_can_be_undone(desk: Desk, api: KubeApi) -> None:
    desk.say("install", "cache", "stable/redis")
    api.store.delays = True  # the hook before the upgrade does not end
    with running(desk, "upgrade", "cache", "stable/redis", stderr=subprocess.PIPE) as process:
        wait_until(lambda: api.find("jobs", "cache-before"))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert said.decode().split("\n")[-4:] == [
        "`helm-client status cache` says how far it came; `rollback` and `uninstall` work from there",
        "", "interrupted", "",
    ]  # fmt: skip
    assert json.loads(desk.say("list", "-o", "json"))[0]["status"] in ("pending-upgrade", "failed")
    api.store.delays = False
    assert desk.say("rollback", "cache", "1") == "Rollback was a success! Happy Helming!\n"


def test_a_reader_that_goes_away_is_no_error(shell: Shell) -> None:
    read, write = os.pipe()
    os.close(read)
    with running(shell, "show", "all", "far/mychart", stdout=write, stderr=subprocess.PIPE) as process:
        os.close(write)
        _, said = process.communicate(timeout=20)
    assert b"Traceback" not in said
    assert said == b""


def on_terminal(shell: Shell, *words: str, env: dict[str, str] | None = None) -> tuple[str, str]:
    """Run the client with a terminal for stderr; answer what came there, and stdout."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*CLIENT, *words], env={**shell.environment, **(env or {})}, stderr=theirs, stdout=subprocess.PIPE
    )
    os.close(theirs)
    said, end = b"", time.monotonic() + 30
    while time.monotonic() < end:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            said += piece
        elif process.poll() is not None:
            break
    out, _ = process.communicate(timeout=10)
    os.close(ours)
    return said.decode(), out.decode()


def test_a_terminal_sees_how_long_a_change_takes(desk: Desk, api: KubeApi) -> None:
    desk.say("install", "cache", "stable/redis")
    api.store.delays = True
    said, out = on_terminal(desk, "upgrade", "cache", "stable/redis", "--timeout", "3s")
    assert "\rupgrade cache: 1 s\rupgrade cache: 2 s" in said
    assert out == ""


def test_a_terminal_sees_how_far_it_is(shell: Shell, upstream: FakeRepository) -> None:
    upstream.answers["/mychart-0.1.0.tgz"].pace = 0.2
    said, _ = on_terminal(shell, "pull", "far/mychart")
    assert "mychart-0.1.0.tgz: " in said
    assert " of 2.0 MiB (" in said
    assert said.endswith("\r")
    os.unlink("mychart-0.1.0.tgz")
    said, _ = on_terminal(shell, "pull", "far/mychart", "--quiet")
    assert said == ""
    done = shell.process("pull", "far/mychart")
    assert done.err.startswith("mychart-0.1.0.tgz: 2.0 MiB in ")
    assert done.err.count("\n") == 1
