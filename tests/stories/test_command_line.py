"""The command line as a person types it: each command a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from tests.charts import make_chart
from tests.live import serve
from tests.stories.shop import entries_of, write_charts

COMMANDS = ["serve", "worker", "migrate", "check-config", "import", "export", "reindex", "verify", "gc"]


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `chartroom` with these arguments."""
    command = [sys.executable, "-m", "app", *map(str, arguments)]
    own = {name: value for name, value in os.environ.items() if not name.startswith("CHARTROOM_")}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={**own, **environment}, check=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    done = run(command, "--help", COLUMNS="200")
    assert done.returncode == 0
    assert "--storage" in done.stdout
    assert "--database" in done.stdout


def test_the_commands_of_a_store_follow_each_other(tmp_path: Path) -> None:
    store, database = tmp_path / "store", f"sqlite:///{tmp_path / 'charts.db'}"
    place = ("--storage", store, "--database", database)
    write_charts(tmp_path / "old" / "org", "0.1.0", "0.2.0")
    (tmp_path / "old" / "broken-1.0.0.tgz").write_bytes(b"no archive")
    done = run("import", tmp_path / "old", "--repo", "mirror", *place)
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.startswith("2 created, 0 unchanged, 1 refused, 0 provenance files\nrefused: broken-1.0.0.tgz: ")
    done = run("export", tmp_path / "out", *place)
    assert (done.returncode, done.stdout) == (0, "2 repositories: 4 files written, 0 kept, 0 removed\n")
    done = run("reindex", *place)
    assert done.returncode == 0
    assert done.stdout.startswith("1 repositories, 1 charts, 2 versions, 0 provenance files, from ")
    done = run("gc", "--dry-run", *place)
    assert done.returncode == 0
    assert done.stdout.startswith(
        "0 blobs of 0 bytes, 0 manifests, 0 unfinished uploads, 0 links that nothing used would"
    )
    done = run("verify", *place)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "clean")
    next((store / ".chartroom" / "blobs").rglob("*/*/*")).unlink()
    done = run("verify", "--repair", *place)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (4, "1 things are wrong")
    assert run("migrate", *place).returncode == 0


def test_an_import_beside_a_running_server_is_served_at_once(tmp_path: Path) -> None:
    write_charts(tmp_path / "old", *(f"0.{number}.0" for number in range(20)))
    with serve(tmp_path / "store") as server:
        assert httpx.get(f"{server.url}/index.yaml").json()["entries"] == {}
        assert run("import", tmp_path / "old", "--storage", tmp_path / "store").returncode == 0
        assert len(entries_of(httpx.get(f"{server.url}/index.yaml").content)) == 20
        assert run("verify", "--storage", tmp_path / "store").returncode == 0
        done = run("reindex", "--storage", tmp_path / "store")
        assert done.returncode == 2
        assert "in use by another process" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("import", "/no/such/folder"), "there is no folder /no/such/folder"),
        (("import", "http://127.0.0.1:9/"), "http://127.0.0.1:9/index.yaml: "),
        (("import", ".", "--repo", "a/../b"), 'repository path "a/../b"'),
        (("verify", "--database", "postgresql://nobody:secret@127.0.0.1:9/x"), "the database cannot be opened: "),
        (("reindex", "--database", "postgresql://nobody:secret@127.0.0.1:9/x"), "the database cannot be opened: "),
        (("migrate", "--database", "sqlite:////proc/no/such.db"), "the database /proc/no/such.db cannot be opened: "),
        (("export", "out", "--storage", "/proc/version"), "/proc/version"),
    ],
)
def test_what_a_person_can_mend_is_said_in_one_line(tmp_path: Path, arguments: tuple[str, ...], text: str) -> None:
    place = () if "--storage" in arguments else ("--storage", tmp_path / "store")
    done = run(*arguments, *place)
    assert done.returncode == 2, done.stderr
    assert text in done.stderr
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr


def test_the_worker_follows_chartmuseums_files_until_it_is_told_to_end(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    command = [sys.executable, "-m", "app", "worker", "--storage", str(store)]
    environment = {**os.environ, "CHARTROOM_CACHE_INTERVAL": "100ms"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as worker:
        assert worker.stdout is not None
        assert "is at work" in worker.stdout.readline()
        with serve(store, CHARTROOM_CACHE_INTERVAL="0") as server:
            write_charts(store, "0.1.0")
            for _ in range(100):
                if httpx.get(f"{server.url}/charts/mychart-0.1.0.tgz").status_code == 200:
                    break
            assert len(entries_of(httpx.get(f"{server.url}/index.yaml").content)) == 1
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(10) == 0


def test_chartmuseums_gen_index_prints_the_index_of_what_lies_there(tmp_path: Path) -> None:
    write_charts(tmp_path, "0.1.0")
    flags = ("--storage=local", f"--storage-local-rootdir={tmp_path}", "--gen-index")
    done = run(*flags, "--json-index=false")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("apiVersion: v1\n")
    assert list(yaml.safe_load(done.stdout)["entries"]) == ["mychart"]
    (tmp_path / "other-1.0.0.tgz").write_bytes(make_chart("other", "1.0.0"))  # a later run sees what came since
    assert sorted(entries_of(run(*flags).stdout.encode())) == ["mychart-0.1.0", "other-1.0.0"]
