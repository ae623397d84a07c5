"""The client and 1,234 real charts: on our server behind a password, on a plain web server, beside the real helm."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.client.shell import Shell
from tests.keys import make_key
from tests.live import LiveServer, serve
from tests.needs import find_helms, find_incubator
from tests.servers import static_server
from tests.stories.shop import run_export, run_import
from tests.upstreams import Answer, fake_repository

ACCOUNT = {"CHARTROOM_BASIC_AUTH_USER": "user", "CHARTROOM_BASIC_AUTH_PASS": "pass word"}
SIGN_IN = ("--username", "user", "--password", "pass word")
SHOWN = 25


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    folder, store = find_incubator(), tmp_path_factory.mktemp("real") / "store"
    said = asyncio.run(run_import(store, folder))
    assert said.code == 0, said.lines[-5:]
    with serve(store, **ACCOUNT) as running:
        yield running


@pytest.fixture
def shell(server: LiveServer, tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    assert shell.client("repo", "add", "real", server.url).code == 1
    shell.say("repo", "add", "real", server.url, *SIGN_IN)
    return shell


@pytest.mark.parametrize("words", [[], ["-l"], ["-l", "--devel", "-o", "json"], ["kafka"], ["-r", "^c.*k"]])
def test_searches_of_real_charts_print_what_helm_prints(shell: Shell, words: list[str]) -> None:
    ours = shell.say("search", "repo", *words)
    assert ours.count("real/") >= {"": 55, "-l": 1200}.get(" ".join(words), 1)
    for helm in find_helms():
        assert shell.helm(helm, "search", "repo", *words).out == ours


def test_real_charts_are_shown_as_helm_shows_them(shell: Shell) -> None:
    rows = json.loads(shell.say("search", "repo", "-l", "-o", "json"))
    helm = find_helms()[-1]
    for row in random.Random(7).sample(rows, SHOWN):
        words = ("show", "all", row["name"], "--version", row["version"])
        ours, theirs = shell.client(*words), shell.helm(helm, *words)
        assert (ours.code, ours.out) == (theirs.code, theirs.out), words


def test_a_real_chart_is_signed_pushed_verified_deleted_and_gone(
    shell: Shell, server: LiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = make_key(tmp_path)
    monkeypatch.chdir(tmp_path)
    shell.say("pull", "real/kafka", "--untar")
    chart = yaml.safe_load((tmp_path / "kafka" / "Chart.yaml").read_text())
    assert chart["name"] == "kafka"
    words = ("--version", "99.0.0", "--sign", "--key", "Chart Signer", "--keyring", keys["secret"])
    shell.say("package", "kafka", *words)
    archive = tmp_path / "kafka-99.0.0.tgz"
    assert shell.say("push", archive, "real") == "Pushing kafka-99.0.0.tgz to real...\nDone.\n"
    assert "99.0.0" not in shell.say("search", "repo", "kafka")
    shell.say("repo", "update")
    assert "real/kafka\t99.0.0" in shell.say("search", "repo", "kafka").replace(" ", "")
    (tmp_path / "in").mkdir()
    told = shell.say("pull", "real/kafka", "--verify", "--keyring", keys["public"], "-d", tmp_path / "in")
    assert told.startswith("Signed by: Chart Signer")
    assert (tmp_path / "in" / archive.name).read_bytes() == archive.read_bytes()
    deleted = httpx.delete(f"{server.url}/api/charts/kafka/99.0.0", auth=("user", "pass word"))
    assert deleted.status_code == 200
    shell.say("repo", "update")
    assert "99.0.0" not in shell.say("search", "repo", "kafka", "-l")
    gone = shell.client("pull", "real/kafka", "--version", "99.0.0")
    assert (gone.code, "not found in real index" in gone.err) == (1, True)


def test_the_same_charts_come_from_a_plain_web_server(server: LiveServer, tmp_path: Path) -> None:
    shell, folder = Shell(tmp_path), find_incubator()
    assert asyncio.run(run_import(tmp_path / "store", folder)).code == 0
    assert asyncio.run(run_export(tmp_path / "store", tmp_path / "site")).code == 0
    with static_server(tmp_path / "site") as url, fake_repository() as moved:
        shell.say("repo", "add", "plain", url)
        said = shell.say("search", "repo", "-l")
        assert said.count("plain/") >= 1200
        shell.say("pull", "plain/kafka", "--version", "~0.20.0", "-d", tmp_path)
        (archive,) = tmp_path.glob("kafka-0.20.*.tgz")
        assert archive.read_bytes() == (folder / "packages" / archive.name).read_bytes()
        archive.unlink()
        moved.answers["/index.yaml"] = Answer(status=302, headers={"Location": f"{url}/index.yaml"})
        moved.answers[f"/charts/{archive.name}"] = Answer(
            status=301, headers={"Location": f"{url}/charts/{archive.name}"}
        )
        shell.say("pull", "kafka", "--repo", moved.url, "--version", "~0.20.0", "-d", tmp_path)
        assert archive.read_bytes() == (folder / "packages" / archive.name).read_bytes()
