"""`helm-client create`, `lint`, `package`, `verify`, `dependency`, `template` and `pull --verify`, beside helm."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
import yaml

from tests.charts import make_chart
from tests.client.shell import Desk, Shell
from tests.keys import make_key
from tests.live import LiveServer
from tests.needs import find_helms

CHOICES = [
    [], ["--set", "replicaCount=3"], ["--set-json", 'podAnnotations={"a":"b"}'], ["--skip-tests"], ["--include-crds"],
    ["--set-string", "image.tag=1"], ["-s", "templates/service.yaml"], ["--no-hooks"], ["--is-upgrade"],
    ["--kube-version", "1.29"], ["--set", "autoscaling.enabled=true,ingress.enabled=true"],
    ["--set-literal", "fullnameOverride=a,b"], ["--set", "imagePullSecrets[0].name=x"],
]  # fmt: skip


@pytest.fixture
def folder(desk: Desk) -> Path:
    said = desk.say("create", desk.home / "mychart")
    assert said == f"Creating {desk.home / 'mychart'}\n"
    return desk.home / "mychart"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_key(tmp_path_factory.mktemp("keys"))


@pytest.mark.parametrize("words", CHOICES, ids=" ".join)
def test_template_prints_what_helm_prints(desk: Desk, folder: Path, words: list[str]) -> None:
    ours = desk.client("template", "web", folder, *words)
    assert ours.code in (0, 1)
    for helm in desk.twins:
        theirs = desk.helm(helm, "template", "web", folder, *words)
        assert (ours.code, ours.out) == (theirs.code, theirs.out)


def test_a_starter_is_taken_by_name_or_place(desk: Desk, folder: Path) -> None:
    (folder / "templates" / "mine.yaml").write_text("name: <CHARTNAME>\n")
    starter = desk.home / ".local" / "share" / "helm" / "starters" / "mine"
    starter.parent.mkdir(parents=True)
    folder.rename(starter)
    for number, place in enumerate(("mine", str(starter))):
        desk.say("create", desk.home / f"made{number}", "--starter", place)
        assert (desk.home / f"made{number}" / "templates" / "mine.yaml").read_text() == f"name: made{number}\n"
    assert desk.client("create", desk.home / "not", "--starter", "nope").code == 1


def test_values_are_laid_over_each_other_as_helm_does_it(desk: Desk, folder: Path) -> None:
    (folder / "templates" / "all.yaml").write_text("values: {{ toJson .Values.given | quote }}\n")
    (folder / "one.yaml").write_text("given: {a: [{x: 1, y: 2}, {x: 3}], b: {c: 1}, big: 12345678901}\n")
    (folder / "two.yaml").write_text("given: {b: {d: null, e: 5}}\n")
    (folder / "text").write_text("from a file\n")
    words = [
        "-f", f"{folder}/one.yaml,{folder}/two.yaml", "--set", "given.a[0].x=7,given.list={p,q}", "--set-file",
        f"given.f={folder}/text", "--set-string", "given.n=00123", "--set-json", 'given.j=[1,{"k":null}]', "-s",
        "templates/all.yaml",
    ]  # fmt: skip
    ours = desk.say("template", "web", folder, *words)
    for helm in desk.twins:
        assert desk.helm(helm, "template", "web", folder, *words).out == ours


def test_lint_prints_what_helm_prints(desk: Desk, folder: Path) -> None:
    for words in ([], ["--strict"], ["--quiet"]):
        ours = desk.client("lint", folder, *words)
        for helm in desk.twins:
            theirs = desk.helm(helm, "lint", folder, *words)
            assert (ours.code, ours.out) == (theirs.code, theirs.out)
    (folder / "templates" / "broken.yaml").write_text("{{ .Values.a.b.c }}\n")
    broken = desk.client("lint", folder)
    assert broken.code == 1
    assert "[ERROR] templates/" in broken.out
    assert broken.err == "Error: 1 chart(s) linted, 1 chart(s) failed\n"


def test_a_signed_package_is_verified_and_a_changed_one_is_not(
    desk: Desk,
    folder: Path,
    keys: dict[str, Path],
    stable: LiveServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(desk.home)
    words = ["package", folder, "-d", desk.home, "--version", "1.2.3", "--sign", "--key", "Chart Signer"]
    said = desk.say(*words, "--keyring", keys["secret"])
    archive = desk.home / "mychart-1.2.3.tgz"
    assert said == f"Successfully packaged chart and saved it to: {archive}\n"
    told = desk.say("verify", archive, "--keyring", keys["public"])
    for helm in find_helms():
        done = desk.helm(helm, "verify", str(archive), "--keyring", str(keys["public"]))
        assert (done.code, done.out) == (0, told)
    desk.say("push", archive, "stable", "--force")
    desk.say("repo", "update")
    (desk.home / "in").mkdir()
    pulled = desk.say("pull", "stable/mychart", "--verify", "--keyring", keys["public"], "-d", desk.home / "in")
    assert pulled == told
    assert sorted(path.name for path in (desk.home / "in").iterdir()) == [archive.name, f"{archive.name}.prov"]
    archive.write_bytes(make_chart("mychart", "1.2.3"))
    changed = desk.client("verify", archive, "--keyring", keys["public"])
    assert (changed.code, changed.out) == (4, "")
    desk.say("push", archive, "stable", "--force")
    desk.say("repo", "update")
    (desk.home / "empty").mkdir()
    refused = desk.client("pull", "stable/mychart", "--verify", "--keyring", keys["public"], "-d", desk.home / "empty")
    assert refused.code in (1, 4)  # the server drops the provenance of bytes that were replaced
    assert list((desk.home / "empty").iterdir()) == []
    assert httpx.delete(f"{stable.url}/api/stable/charts/mychart/1.2.3").status_code == 200


def depend(folder: Path, *dependencies: dict[str, str]) -> None:
    path = folder / "Chart.yaml"
    chart = yaml.safe_load(path.read_text())
    chart["dependencies"] = list(dependencies)
    path.write_text(yaml.safe_dump(chart))


def test_dependencies_are_fetched_and_listed_as_helm_does(
    desk: Desk,
    folder: Path,
    stable: LiveServer,
) -> None:
    url = f"{stable.url}/stable"
    wanted = {"redis": "~1.0", "memcached": "1.x"}
    depend(folder, *({"name": name, "version": version, "repository": url} for name, version in wanted.items()))
    missing = desk.client("template", "web", folder)
    assert missing.code == 1
    assert "missing in charts/ directory: redis, memcached" in missing.err
    listed = desk.say("dependency", "list", folder)
    for helm in find_helms():
        assert desk.helm(helm, "dependency", "list", folder).out == listed
    assert "missing" in listed
    desk.say("dep", "update", folder)
    assert sorted(path.name for path in (folder / "charts").iterdir()) == ["memcached-1.1.0.tgz", "redis-1.0.0.tgz"]
    lock = (folder / "Chart.lock").read_text()
    listed = desk.say("dependency", "list", folder)
    for helm in find_helms():
        assert desk.helm(helm, "dependency", "list", folder).out == listed
        assert desk.helm(helm, "dependency", "build", folder).code == 0
    for path in (folder / "charts").iterdir():
        path.unlink()
    desk.say("dependency", "build", folder)
    assert len(list((folder / "charts").iterdir())) == 2
    assert (folder / "Chart.lock").read_text() == lock
    assert "kind: ConfigMap" in desk.say("template", "web", folder)


def test_a_dead_address_is_stood_in_for(desk: Desk, folder: Path, stable: LiveServer) -> None:
    dead = "https://kubernetes-charts-incubator.storage.googleapis.com"
    desk.say("repo", "add", "mirror", f"{stable.url}/stable", "--replaces", dead)
    depend(folder, {"name": "redis", "version": "1.1.0", "repository": dead})
    desk.say("dependency", "update", folder)
    assert [path.name for path in (folder / "charts").iterdir()] == ["redis-1.1.0.tgz"]
    assert dead in (folder / "Chart.lock").read_text()


def test_without_an_engine_one_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    shell = Desk(tmp_path, "binary")
    chart = tmp_path / "a-1.0.0.tgz"
    chart.write_bytes(make_chart("a", "1.0.0"))
    done = shell.client("template", "x", chart)
    assert (done.code, done.out) == (1, "")
    assert done.err == "Error: this needs Helm's engine: pip install 'helm-client[install]', or put helm on PATH\n"
    assert shell.client("show", "chart", chart).code == 0


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_strays_and_odd_dependencies_are_listed_as_helm_does(shell: Shell) -> None:
    folder = shell.home / "mychart"
    (folder / "charts" / "unpacked").mkdir(parents=True)
    wanted = [
        {"name": name, "version": "^1.0", "repository": "https://example.com"}
        for name in ("ok", "wrong", "unpacked", "gone")
    ]  # fmt: skip
    chart = {"apiVersion": "v2", "name": "mychart", "version": "1.0.0", "dependencies": wanted}
    (folder / "Chart.yaml").write_text(json.dumps(chart))
    (folder / "charts" / "unpacked" / "Chart.yaml").write_text("apiVersion: v2\nname: unpacked\nversion: 1.2.0\n")
    for name, version in (("ok", "1.5.0"), ("wrong", "2.0.0"), ("stray", "1.0.0")):
        (folder / "charts" / f"{name}-{version}.tgz").write_bytes(make_chart(name, version))
    ours = shell.say("dependency", "list", folder)
    for helm in find_helms():
        assert shell.helm(helm, "dependency", "list", folder).out == ours
    (folder / "charts" / "gone-1.0.0.tgz").write_bytes(b"no archive")
    assert "corrupt" in shell.say("dependency", "list", folder)


def test_an_index_is_made_as_helm_makes_it(shell: Shell) -> None:
    folder = shell.home / "charts"
    (folder / "below").mkdir(parents=True)
    for name, version in (("a", "1.0.0"), ("a", "1.10.0"), ("a", "1.2.0"), ("b", "0.1.0+x")):
        chart = make_chart(name, version, description="yes", appVersion="1.0", keywords=["k"], deprecated=name == "b")
        (folder / f"{name}-{version}.tgz").write_bytes(chart)
    (folder / "below" / "c-1.0.0.tgz").write_bytes(make_chart("c", "1.0.0"))
    (folder / "none-1.0.0.tgz").write_bytes(b"no archive")
    old = {"apiVersion": "v1", "entries": {"d": [{"name": "d", "version": "1.0.0", "urls": ["https://d/d-1.0.0.tgz"]}]}}
    (folder / "old.yaml").write_text(yaml.safe_dump(old))
    words = ["repo", "index", str(folder), "--url", "https://charts.example.com/x"]
    for more in ([], ["--merge", str(folder / "old.yaml")]):
        shell.say(*words, *more)
        ours = (folder / "index.yaml").read_text()
        for helm in find_helms():
            assert shell.helm(helm, *words, *more).code == 0
            theirs = (folder / "index.yaml").read_text()
            assert _without_times(ours) == _without_times(theirs)
    shell.say("repo", "index", folder, "--json")
    assert sorted(json.loads((folder / "index.json").read_text())["entries"]) == ["a", "b", "c"]


def _without_times(text: str) -> list[str]:
    """Answer the lines of an index without times, and without the zero time that helm writes for none."""
    return [line for line in text.splitlines() if not line.strip(" -").startswith(("created:", "generated:"))]
