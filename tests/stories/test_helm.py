"""What a person does with helm, done with the real one: every major that this machine has."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.charts import make_chart
from tests.keys import make_key
from tests.live import LiveServer, serve
from tests.needs import find_helms

_SECONDS = 60


@dataclass(frozen=True)
class Helm:
    """One helm with a home of its own."""

    program: str
    home: Path

    def try_run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run it and answer what came of it."""
        homes = {name: str(self.home / name) for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")}
        environment = {**os.environ, **homes, "HOME": str(self.home)}
        return subprocess.run(
            [self.program, *words], capture_output=True, text=True, timeout=_SECONDS, env=environment, check=False
        )

    def run(self, *words: str) -> str:
        """Run it and answer what it printed; it must succeed."""
        done = self.try_run(*words)
        assert done.returncode == 0, f"helm {' '.join(words)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def search(self, *words: str) -> list[tuple[str, str]]:
        """Answer name and version of what `helm search repo` finds."""
        found = json.loads(self.run("search", "repo", *words, "-o", "json"))
        return [(row["name"], row["version"]) for row in found]


@pytest.fixture(params=[0, 1], ids=["helm", "another helm"])
def helm(request: pytest.FixtureRequest, tmp_path: Path) -> Helm:
    helms = find_helms()
    if request.param >= len(helms):
        pytest.skip("only one helm is here: set HELM3 and HELM4 to test with both")
    return Helm(helms[request.param], tmp_path / "home")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    with serve(tmp_path / "store") as running:
        yield running


def _push(server: LiveServer, archive: bytes, path: str = "/api/charts") -> None:
    answer = httpx.post(f"{server.url}{path}", content=archive)
    assert answer.status_code == 201, answer.text


def test_a_chart_is_added_found_fetched_rendered_and_gone_again(helm: Helm, server: LiveServer, tmp_path: Path) -> None:
    helm.run("repo", "add", "mine", server.url)
    assert helm.search("mine/") == []
    template = {"templates/map.yaml": b"kind: ConfigMap\napiVersion: v1\nmetadata: {name: {{ .Release.Name }}}\n"}
    archive = make_chart("web", "1.2.0", files=template)
    _push(server, archive)
    _push(server, make_chart("web", "1.3.0-rc.1", files=template))
    _push(server, make_chart("web", "1.1.0+build.7", files=template))
    helm.run("repo", "update")
    assert helm.search("mine/") == [("mine/web", "1.2.0")]
    every = helm.search("mine/", "-l", "--devel")
    assert every == [("mine/web", version) for version in ("1.3.0-rc.1", "1.2.0", "1.1.0+build.7")]
    helm.run("pull", "mine/web", "--version", "~1.2", "-d", str(tmp_path))
    assert (tmp_path / "web-1.2.0.tgz").read_bytes() == archive
    helm.run("pull", "mine/web", "--version", "1.1.0+build.7", "-d", str(tmp_path))
    assert "name: web" in helm.run("show", "chart", "mine/web")
    assert "kind: ConfigMap" in helm.run("template", "rel", "mine/web")
    assert "kind: ConfigMap" in helm.run("template", "rel", "web", "--repo", server.url)
    assert httpx.delete(f"{server.url}/api/charts/web/1.2.0").json() == {"deleted": True}
    helm.run("repo", "update")
    assert helm.search("mine/") == [("mine/web", "1.1.0+build.7")]


def test_a_signed_chart_verifies(helm: Helm, server: LiveServer, tmp_path: Path) -> None:
    keyring = make_key(tmp_path)
    helm.run("create", str(tmp_path / "signed"))
    words = ("--sign", "--key", "Chart Signer", "--keyring", str(keyring["secret"]), "-d", str(tmp_path))
    helm.run("package", str(tmp_path / "signed"), *words)
    archive = tmp_path / "signed-0.1.0.tgz"
    files = {"chart": archive.read_bytes(), "prov": Path(f"{archive}.prov").read_bytes()}
    answer = httpx.post(f"{server.url}/api/charts", files={name: (name, body) for name, body in files.items()})
    assert answer.status_code == 201, answer.text
    helm.run("repo", "add", "mine", server.url)
    out = tmp_path / "out"
    out.mkdir()
    helm.run("pull", "mine/signed", "--verify", "--keyring", str(keyring["public"]), "-d", str(out))
    assert (out / "signed-0.1.0.tgz").read_bytes() == files["chart"]
    # Provenance that does not fit the bytes is found out by the client.
    _push(server, make_chart("signed", "0.1.0"), "/api/charts?force")
    _push(server, files["prov"], "/api/prov")
    refused = helm.try_run("pull", "mine/signed", "--verify", "--keyring", str(keyring["public"]), "-d", str(out))
    assert refused.returncode != 0


def test_a_slim_view_is_a_repository_of_its_own(helm: Helm, server: LiveServer, tmp_path: Path) -> None:
    for minor in range(5):
        _push(server, make_chart("web", f"1.{minor}.0"), "/api/team/charts")
    helm.run("repo", "add", "slim", f"{server.url}/team/~latest-3")
    assert [version for _, version in helm.search("slim/", "-l")] == ["1.4.0", "1.3.0", "1.2.0"]
    helm.run("pull", "slim/web", "--version", "1.2.0", "-d", str(tmp_path))


def test_the_hub_search_finds_what_was_pushed(helm: Helm, server: LiveServer) -> None:
    _push(server, make_chart("web", "1.0.0", description="A site", appVersion="7"))
    found = json.loads(helm.run("search", "hub", "site", "--endpoint", server.url, "-o", "json"))
    assert [(row["version"], row["app_version"], row["description"]) for row in found] == [("1.0.0", "7", "A site")]
    assert found[0]["url"].startswith(server.url)
    assert json.loads(helm.run("search", "hub", "nothing-like-it", "--endpoint", server.url, "-o", "json")) == []


def test_dependencies_come_from_the_repository(helm: Helm, server: LiveServer, tmp_path: Path) -> None:
    _push(server, make_chart("base", "2.1.0"))
    chart = tmp_path / "app"
    chart.mkdir()
    dependency = f"dependencies: [{{name: base, version: ^2.0.0, repository: '{server.url}'}}]\n"
    (chart / "Chart.yaml").write_text(f"apiVersion: v2\nname: app\nversion: 0.1.0\n{dependency}")
    helm.run("dependency", "update", str(chart))
    assert (chart / "charts" / "base-2.1.0.tgz").exists()


def test_a_private_server_wants_the_password(helm: Helm, tmp_path: Path) -> None:
    secret = {"CHARTROOM_BASIC_AUTH_USER": "ann", "CHARTROOM_BASIC_AUTH_PASS": "s3cret"}
    with serve(tmp_path / "store", **secret) as server:
        answer = httpx.post(f"{server.url}/api/charts", content=make_chart(), auth=("ann", "s3cret"))
        assert answer.status_code == 201
        assert helm.try_run("repo", "add", "mine", server.url).returncode != 0
        helm.run("repo", "add", "mine", server.url, "--username", "ann", "--password", "s3cret")
        helm.run("pull", "mine/mychart", "-d", str(tmp_path))
