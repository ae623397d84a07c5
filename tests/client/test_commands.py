"""`helm-client repo`, `search`, `show`, `pull` and `push` against a live server, beside the real helm."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.charts import make_chart
from tests.client.shell import Shell
from tests.live import LiveServer, serve
from tests.needs import find_helms
from tests.upstreams import Answer, fake_repository

CHARTS = [
    make_chart("redis", "10.5.0", appVersion="6.0", description="A store of keys", keywords=["cache"]),
    make_chart("redis", "10.5.7", appVersion="6.0.1", description="A store of keys", keywords=["cache"]),
    make_chart("redis", "11.0.0-rc.1", description="Soon"),
    make_chart("memcached", "3.2.6+meta.1", description="A cache with a description that is longer than fifty"),
    make_chart("odd", "1.0.0", description="yes", home="https://example.com/?a=<b>&c", annotations={"a": "1.0"}),
]  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with serve(tmp_path_factory.mktemp("commands") / "data") as running:
        for chart in CHARTS:
            assert httpx.post(f"{running.url}/api/stable/charts", content=chart).status_code == 201
        yield running


@pytest.fixture
def shell(server: LiveServer, tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    assert shell.say("repo", "add", "stable", f"{server.url}/stable") == (
        '"stable" has been added to your repositories\n'
    )
    return shell


SEARCHES: list[list[str]] = [
    [], ["redis"], ["CACHE"], ["store", "of"], ["-l"], ["redis", "--devel"], ["redis", "-l", "--devel"],
    ["--version", "~10.5.0"], ["-r", "^mem|keys$"], ["--max-col-width", "20"], ["--max-col-width", "0"], ["nothing"],
    ["redis", "-o", "json"], ["-l", "-o", "yaml"], ["nothing", "-o", "json"], ["stable/"], ["a"],
]  # fmt: skip


@pytest.mark.parametrize("words", SEARCHES, ids=" ".join)
def test_search_repo_prints_what_helm_prints(shell: Shell, words: list[str]) -> None:
    for helm in find_helms():
        theirs = shell.helm(helm, "search", "repo", *words)
        ours = shell.client("search", "repo", *words)
        assert (ours.code, ours.out) == (theirs.code, theirs.out)


SHOWN = ["chart", "values", "readme", "crds", "all"]


@pytest.mark.parametrize("what", SHOWN)
@pytest.mark.parametrize("chart", ["redis", "memcached", "odd"])
def test_show_prints_what_helm_prints(shell: Shell, what: str, chart: str) -> None:
    ours = shell.client("show", what, f"stable/{chart}")
    for helm in find_helms():
        theirs = shell.helm(helm, "show", what, f"stable/{chart}")
        assert (ours.code, ours.out) == (theirs.code, theirs.out)


def test_show_takes_folders_archives_and_urls(shell: Shell, server: LiveServer, tmp_path: Path) -> None:
    said = shell.say("show", "chart", "stable/redis")
    archive = tmp_path / "redis-10.5.7.tgz"
    archive.write_bytes(CHARTS[1])
    shell.say("pull", "stable/redis", "--untar", "--untardir", tmp_path / "unpacked")
    places = [archive, tmp_path / "unpacked" / "redis", f"{server.url}/stable/charts/redis-10.5.7.tgz"]
    for place in places:
        assert shell.say("inspect", "chart", place) == said
    assert shell.say("show", "chart", "redis", "--repo", f"{server.url}/stable", "--version", "~10.5") == said


def test_pull_fetches_what_is_asked_for(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "charts"
    folder.mkdir()
    assert shell.say("pull", "stable/redis", "stable/memcached", "-d", folder) == ""
    shell.say("fetch", "stable/redis", "--version", "<10.5.7", "-d", folder)
    shell.say("pull", "stable/redis", "--devel", "-d", folder)
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert found == {
        "redis-10.5.7.tgz": CHARTS[1], "redis-10.5.0.tgz": CHARTS[0], "redis-11.0.0-rc.1.tgz": CHARTS[2],
        "memcached-3.2.6+meta.1.tgz": CHARTS[3],
    }  # fmt: skip
    again = shell.client("pull", "stable/redis", "--untar", "--untardir", folder / "redis-10.5.7.tgz")
    assert again.code == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pull", "redis"], "non-absolute URLs should be in form of repo_name/path_to_chart, got: redis"),
        (["pull", "nope/redis"], "repo nope not found"),
        (["pull", "stable/nope"], "chart \"nope\" matching  not found in stable index. (try 'helm repo update')"),
        (["pull", "stable/redis", "--version", "99"], 'chart "redis" matching 99 not found in stable index.'),
        (["repo", "remove", "nope"], 'no repo named "nope" found'),
        (["repo", "update", "nope"], "no repositories found matching 'nope'.  Nothing will be updated"),
        (["repo", "add", "a/b", "http://127.0.0.1"], "repository name (a/b) contains '/', please specify a different"),
        (["search", "repo", "-r", "("], "error parsing regexp: "),
    ],
)
def test_errors_are_those_of_helm(shell: Shell, words: list[str], said: str, tmp_path: Path) -> None:
    ours = shell.client(*words)
    assert (ours.code, ours.out) == (1, "")
    assert ours.err.startswith(f"Error: {said}"), ours.err
    for helm in find_helms():
        theirs = shell.helm(helm, *words)
        assert theirs.code == 1
        assert f"Error: {said}" in theirs.err or "looks like" in theirs.err, theirs.err


def test_what_we_write_helm_reads_and_the_other_way_round(shell: Shell, server: LiveServer, tmp_path: Path) -> None:
    for number, helm in enumerate(find_helms()):
        assert shell.helm(helm, "repo", "list").out == shell.say("repo", "list")
        shell.helm(helm, "repo", "add", f"theirs{number}", f"{server.url}/stable")
        assert f"theirs{number}/redis" in shell.say("search", "repo")
        shell.say("repo", "add", f"ours{number}", f"{server.url}/stable", "--username", "u", "--password", "p")
        assert f"ours{number}/redis" in shell.helm(helm, "search", "repo").out
        assert shell.helm(helm, "pull", f"ours{number}/redis", "-d", str(tmp_path)).code == 0
        assert shell.helm(helm, "repo", "list", "-o", "json").out == shell.say("repo", "list", "-o", "json")
    config = tmp_path / ".config" / "helm" / "repositories.yaml"
    assert config.stat().st_mode & 0o777 == 0o600


def test_unknown_keys_of_repositories_yaml_stay(shell: Shell, server: LiveServer, tmp_path: Path) -> None:
    config = tmp_path / ".config" / "helm" / "repositories.yaml"
    document = yaml.safe_load(config.read_text())
    document["extra"] = {"kept": True}
    document["repositories"][0]["note"] = "mine"
    config.write_text(yaml.safe_dump(document))
    shell.say("repo", "add", "second", f"{server.url}/stable")
    found = yaml.safe_load(config.read_text())
    assert found["extra"] == {"kept": True}
    assert [one.get("note") for one in found["repositories"]] == ["mine", None]


def test_repositories_come_and_go(shell: Shell, server: LiveServer) -> None:
    url = f"{server.url}/stable"
    again = shell.say("repo", "add", "stable", url)
    assert again == '"stable" already exists with the same configuration, skipping\n'
    other = shell.client("repo", "add", "stable", f"{server.url}/other")
    assert other.err == "Error: repository name (stable) already exists, please specify a different name\n"
    assert shell.say("repo", "add", "stable", f"{server.url}/other", "--force-update").startswith('"stable" has been')
    assert shell.say("search", "repo") == "No results found\n"
    assert shell.client("search", "repo", "--fail-on-no-result").code == 1
    assert shell.say("repo", "rm", "stable") == '"stable" has been removed from your repositories\n'
    assert shell.client("search", "repo").err == "Error: no repositories configured\n"
    assert shell.client("repo", "list").err == "no repositories to show\n"
    assert shell.say("repo", "list", "-o", "json") == "[]\n"


def test_a_push_is_found_after_an_update(shell: Shell, server: LiveServer, tmp_path: Path) -> None:
    archive = tmp_path / "fresh-1.0.0.tgz"
    archive.write_bytes(make_chart("fresh", "1.0.0"))
    assert shell.say("push", archive, "stable") == "Pushing fresh-1.0.0.tgz to stable...\nDone.\n"
    refused = shell.client("push", archive, f"{server.url}/stable")
    assert refused.code == 1
    assert "409: " in refused.err
    assert "give --force to replace it" in refused.err
    shell.say("push", archive, f"{server.url}/stable", "--force")
    assert "fresh" not in shell.say("search", "repo")
    said = shell.say("repo", "update")
    assert said.endswith("Update Complete. ⎈Happy Helming!⎈\n")
    assert "stable/fresh" in shell.say("search", "repo")
    assert httpx.delete(f"{server.url}/api/stable/charts/fresh/1.0.0").status_code == 200
    shell.say("repo", "update", "stable")
    assert "stable/fresh" not in shell.say("search", "repo")


def test_an_update_that_fails_in_part_says_so_and_keeps_the_old(shell: Shell, tmp_path: Path) -> None:
    index = {"apiVersion": "v1", "entries": {"a": [{"name": "a", "version": "1.0.0", "urls": ["a-1.0.0.tgz"]}]}}
    with fake_repository() as upstream:
        upstream.answers["/index.yaml"] = Answer(json.dumps(index).encode(), headers={"ETag": '"1"'})
        shell.say("repo", "add", "other", upstream.url)
        upstream.answers["/index.yaml"] = Answer(b"<html>", headers={"Content-Type": "text/html"})
        done = shell.client("repo", "update")
        assert done.code == 1
        assert f'...Unable to get an update from the "other" chart repository ({upstream.url}):\n\t' in done.out
        assert done.err == f"Error: failed to update the following repositories: [{upstream.url}]\n"
        assert "other/a" in shell.say("search", "repo")
        upstream.answers["/index.yaml"] = Answer(b"", status=304)
        shell.say("repo", "update", "other")
        assert upstream.headers[-1].get("If-None-Match") == '"1"'
        upstream.answers["/index.yaml"] = Answer(json.dumps(index).encode(), fails=2)
        shell.say("repo", "update", "other")


def test_a_wrong_digest_ends_with_code_4_and_leaves_nothing(shell: Shell, tmp_path: Path) -> None:
    entry = {"name": "a", "version": "1.0.0", "urls": ["a-1.0.0.tgz"], "digest": hashlib.sha256(b"other").hexdigest()}
    folder = tmp_path / "empty"
    folder.mkdir()
    with fake_repository() as upstream:
        upstream.answers["/index.yaml"] = Answer(json.dumps({"apiVersion": "v1", "entries": {"a": [entry]}}).encode())
        upstream.answers["/a-1.0.0.tgz"] = Answer(CHARTS[0])
        shell.say("repo", "add", "liar", upstream.url)
        done = shell.client("pull", "liar/a", "-d", folder)
        assert (done.code, done.out) == (4, "")
        assert "but the index says" in done.err
        assert list(folder.iterdir()) == []
        assert shell.client("pull", "liar/a", "--untar", "--untardir", folder).code == 4
        assert list(folder.iterdir()) == []


def test_a_search_parses_an_index_once(shell: Shell, server: LiveServer, tmp_path: Path) -> None:
    cache = tmp_path / ".cache" / "helm" / "repository"
    said = shell.say("search", "repo")
    kept = cache / "helm-client" / "stable.json"
    assert json.loads(kept.read_bytes())["charts"]
    index = cache / "stable-index.yaml"
    index.write_bytes(index.read_bytes().replace(b"memcached", b"cachemem!"))  # as helm would: same length, new file
    assert "cachemem!" in shell.say("search", "repo")
    kept.write_text("{ no JSON")
    assert shell.say("search", "repo") == said.replace("memcached", "cachemem!")


def test_flags_are_read_as_helm_reads_them(shell: Shell, tmp_path: Path) -> None:
    json_list = shell.say("repo", "list", "--output=json")
    assert shell.say("repo", "list", "-ojson") == json_list
    assert shell.say("repo", "list", "--no-headers=false", "--output", "json") == json_list
    assert shell.client("repo", "list", "--no-headers=perhaps").code == 1
    elsewhere = tmp_path / "elsewhere.yaml"
    assert shell.client("repo", "list", "--repository-config", elsewhere).err == "no repositories to show\n"
    assert shell.client("--repository-config", elsewhere, "repo", "list").err == "no repositories to show\n"
    assert shell.client("nope").code == 1
    assert shell.client("pull").code == 1


def test_old_words_still_have_an_answer(shell: Shell) -> None:
    assert shell.say("init", "--client-only").startswith("Nothing to set up")
    assert "chartroom serve" in shell.client("serve").err
    assert shell.say("search", "redis") == shell.say("search", "repo", "redis")
    assert shell.say("inspect", "values", "stable/redis") == shell.say("show", "values", "stable/redis")
    assert shell.say("inspect", "stable/redis") == shell.say("show", "all", "stable/redis")


def test_dead_addresses_are_refused_and_stood_in_for(shell: Shell, server: LiveServer) -> None:
    dead = "https://kubernetes-charts.storage.googleapis.com"
    refused = shell.client("repo", "add", "old", dead)
    assert refused.err == f'Error: repo "{dead}" is no longer available; try "https://charts.helm.sh/stable" instead\n'
    shell.say("repo", "add", "mirror", f"{server.url}/stable", "--replaces", dead)
    from helm_client.repositories import Repositories

    known = Repositories(shell.home / ".config" / "helm" / "repositories.yaml")
    found = known.find_by_url(f"{dead}/")
    assert found is not None
    assert found.name == "mirror"


def test_a_process_of_its_own_completes_and_is_interrupted_cleanly(shell: Shell) -> None:
    done = shell.process("search", "repo", "redis")
    assert (done.code, done.out) == (0, shell.say("search", "repo", "redis"))
    words = {"_HELM_CLIENT_COMPLETE": "bash_complete", "COMP_WORDS": "helm-client pull stable/re", "COMP_CWORD": "2"}
    completed = shell.process(**words)
    assert completed.out == "plain,stable/redis\n"


HUB: list[list[str]] = [[], ["-o", "json"], ["-o", "yaml"], ["--list-repo-url"], ["--max-col-width", "20"]]


@pytest.mark.parametrize("words", HUB, ids=" ".join)
def test_search_hub_prints_what_helm_prints(shell: Shell, server: LiveServer, words: list[str]) -> None:
    for wanted in ("redis", "nothing"):
        command = ["search", "hub", "--endpoint", server.url, wanted, *words]
        ours = shell.client(*command)
        for helm in find_helms():
            theirs = shell.helm(helm, *command)
            assert (ours.code, ours.out) == (theirs.code, theirs.out)


def test_what_is_no_hub_is_said_to_be_none(shell: Shell) -> None:
    assert "it needs http:// or https://" in shell.client("search", "hub", "--endpoint", "hub.example.com", "x").err
    with fake_repository() as upstream:
        upstream.answers["/api/chartsvc/v1/charts/search?q=x"] = Answer(b'{"data": [1]}')
        done = shell.client("search", "hub", "--endpoint", upstream.url, "x")
        assert (done.code, "does not answer as a hub does" in done.err) == (1, True)
