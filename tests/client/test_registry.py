"""The client at OCI registries: ours in three modes, the reference one, helm beside it, and registries that lie."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from helm_client import ChartNotFound, ConfigError, DigestMismatch, RegistryError
from helm_client.environment import Environment
from helm_client.registry import Credentials, Registry, pull_chart, push_chart
from helm_client.registry.auth import parse_challenge
from helm_client.registry.credentials import Login

from tests.api.wire import sign
from tests.charts import make_chart
from tests.client.shell import Shell
from tests.live import LiveServer, serve
from tests.needs import find_helms
from tests.oci.registries import run_docker_registry
from tests.upstreams import Answer, FakeRepository, fake_repository

ODD = {
    "description": "Tags & <angles>", "home": "https://example.com", "sources": ["https://a", "https://b"],
    "keywords": ["k"], "maintainers": [{"name": "Ann", "email": "a@example.com"}, {"name": "Bo", "url": "https://bo"}],
    "annotations": {"b": "2", "a": "1", "org.opencontainers.image.title": "mine"}, "appVersion": "1.0",
    "dependencies": [{"name": "dep", "version": "~1", "repository": "https://c", "tags": ["t"]}], "deprecated": True,
}  # fmt: skip
USER = ("tester", "sec:ret")
MODES: dict[str, dict[str, str]] = {
    "open": {},
    "private": {"CHARTROOM_BASIC_AUTH_USER": USER[0], "CHARTROOM_BASIC_AUTH_PASS": USER[1]},
    "readable": {
        "CHARTROOM_BASIC_AUTH_USER": USER[0], "CHARTROOM_BASIC_AUTH_PASS": USER[1],
        "CHARTROOM_AUTH_ANONYMOUS_GET": "true",
    },
}  # fmt: skip


@pytest.fixture(scope="module", params=MODES)
def server(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    with serve(tmp_path_factory.mktemp(request.param) / "data", **MODES[request.param]) as running:
        yield running


@pytest.fixture
def shell(server: LiveServer, tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    host = server.url.removeprefix("http://")
    said = shell.client("registry", "login", host, "-u", USER[0], "-p", USER[1], "--plain-http")
    assert (said.code, said.out) == (0, "Login Succeeded\n")
    return shell


def save(folder: Path, name: str, version: str, *, signed: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}.tgz"
    path.write_bytes(make_chart(name, version, **ODD))
    if signed:
        path.with_name(f"{path.name}.prov").write_bytes(sign(name, version))
    return path


def test_what_is_pushed_is_pulled_by_version_range_tag_and_digest(
    shell: Shell, server: LiveServer, tmp_path: Path
) -> None:
    place = f"oci://{server.url.removeprefix('http://')}/team"
    sent = {}
    for version in ("1.0.0+b.1", "1.2.0", "2.0.0-rc.1"):
        path = save(tmp_path / "out", "mychart", version, signed=version == "1.2.0")
        sent[version] = path.read_bytes()
        said = shell.say("push", path, place, "--plain-http")
        assert said.startswith(f"Pushed: {place[6:]}/mychart:{version.replace('+', '_')}\nDigest: sha256:")
    digest = said.partition("Digest: ")[2].strip()
    asked = {
        "": "1.2.0", "^1": "1.2.0", "1.0.0+b.1": "1.0.0+b.1", "~1.0": "1.0.0+b.1", ">0.0.0-0": "2.0.0-rc.1"
    }  # fmt: skip
    for number, (wanted, version) in enumerate(asked.items()):
        folder = tmp_path / f"in{number}"
        folder.mkdir()
        words = ["--version", wanted] if wanted else []
        said = shell.say("pull", f"{place}/mychart", "--plain-http", "-d", folder, *words)
        assert said.startswith(f"Pulled: {place[6:]}/mychart:{version.replace('+', '_')}\nDigest: sha256:")
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == {f"mychart-{version}.tgz": sent[version]}
    shell.say("pull", f"{place}/mychart:1.2.0", "--plain-http", "--prov", "-d", tmp_path)
    assert (tmp_path / "mychart-1.2.0.tgz.prov").read_bytes() == sign("mychart", "1.2.0")
    shell.say("pull", f"{place}/mychart@{digest}", "--plain-http", "-d", tmp_path)
    assert (tmp_path / f"mychart@{digest.replace(':', '-')}.tgz").read_bytes() == sent["2.0.0-rc.1"]
    missing = shell.client("pull", f"{place}/mychart", "--version", "^9", "--plain-http")
    assert missing.err == "Error: could not locate a version matching provided version string ^9\n"
    assert "not found" in shell.client("pull", f"{place}/mychart", "--version", "9.0.0", "--plain-http").err
    assert shell.client("pull", f"{place}/nope", "--plain-http").code == 1
    assert "description: Tags & <angles>" in shell.say("show", "chart", f"{place}/mychart", "--plain-http")


def test_helm_and_we_say_and_send_the_same(shell: Shell, server: LiveServer, tmp_path: Path) -> None:
    place = f"oci://{server.url.removeprefix('http://')}/both"
    for number, helm in enumerate(find_helms()):
        path = save(tmp_path, f"same{number}", "1.0.0+x", signed=True)
        theirs = shell.helm(helm, "push", path, place, "--plain-http")
        assert theirs.code == 0, theirs
        said = theirs.out or theirs.err  # helm 3 says it on stderr
        assert shell.say("push", path, place, "--plain-http") in said
        for words in ([], ["--version", "1.0.0+x"], ["--version", "~1"]):
            command = ["pull", f"{place}/same{number}", "--plain-http", "--prov", "-d", str(tmp_path), *words]
            theirs = shell.helm(helm, *command)
            assert shell.say(*command) in (theirs.out or theirs.err)


def test_we_push_to_the_reference_registry_and_helm_pulls(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "home")
    shell.home.mkdir()
    with run_docker_registry(tmp_path / "registry") as url:
        place = f"oci://{url.removeprefix('http://')}/charts"
        path = save(tmp_path, "mychart", "1.0.0", signed=True)
        said = shell.say("push", path, place, "--plain-http")
        for helm in find_helms():
            assert (shell.helm(helm, "push", path, place, "--plain-http").out or said) == said
            done = shell.helm(helm, "pull", f"{place}/mychart", "--plain-http", "-d", str(shell.home))
            assert done.code == 0
            assert (shell.home / path.name).read_bytes() == path.read_bytes()
            (shell.home / path.name).unlink()
        shell.say("pull", f"{place}/mychart", "--plain-http", "--prov", "-d", shell.home)
        assert (shell.home / f"{path.name}.prov").exists()


def test_logins_are_shared_with_helm(tmp_path: Path) -> None:
    with serve(tmp_path / "data", **MODES["private"]) as server:
        host = server.url.removeprefix("http://")
        path = save(tmp_path, "mychart", "1.0.0")
        for number, helm in enumerate(find_helms()):
            shell = Shell(tmp_path / str(number))
            shell.home.mkdir()
            assert shell.client("push", path, f"oci://{host}/x", "--plain-http").code == 1
            done = shell.helm(helm, "registry", "login", host, "-u", USER[0], "-p", USER[1], "--plain-http")
            assert done.code == 0, done
            shell.say("push", path, f"oci://{host}/x", "--plain-http")
            assert shell.say("registry", "logout", host) == f"Removing login credentials for {host}\n"
            assert shell.helm(helm, "pull", f"oci://{host}/x/mychart", "--plain-http").code == 1
            shell.say("registry", "login", host, "-u", USER[0], "-p", USER[1], "--plain-http")
            done = shell.helm(helm, "pull", f"oci://{host}/x/mychart", "--plain-http", "-d", str(shell.home))
            assert done.code == 0, done
        wrong = shell.client("registry", "login", host, "-u", USER[0], "-p", "wrong", "--plain-http")
        assert (wrong.code, "401" in wrong.err) == (1, True)
        assert shell.client("registry", "logout", "other:1").err == "Error: not logged in to other:1\n"


# ------------------------------------------------------------------------------------------ registries that lie


ARCHIVE = make_chart("mychart", "1.0.0")


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def manifest_of(archive: bytes, **changes: object) -> bytes:
    layer = {
        "mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip", "digest": digest_of(archive),
        "size": len(archive), **changes,
    }  # fmt: skip
    config = {"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": digest_of(b"{}"), "size": 2}
    return json.dumps({"schemaVersion": 2, "config": config, "layers": [layer]}).encode()


@pytest.fixture
def liar() -> Iterator[FakeRepository]:
    with fake_repository() as server:
        server.answers["/v2/x/mychart/manifests/1.0.0"] = Answer(manifest_of(ARCHIVE))
        server.answers[f"/v2/x/mychart/blobs/{digest_of(ARCHIVE)}"] = Answer(ARCHIVE)
        yield server


def pull(server: FakeRepository, folder: Path, version: str = "1.0.0") -> Path:
    (folder / "in").mkdir(exist_ok=True)
    environment = Environment.read({"HOME": str(folder)})
    return pull_chart(
        environment, f"oci://{server.host}/x/mychart", folder / "in", version=version, plain_http=True
    ).path


def test_a_fair_registry_is_believed(liar: FakeRepository, tmp_path: Path) -> None:
    assert pull(liar, tmp_path).read_bytes() == ARCHIVE


@pytest.mark.parametrize("content", [b"other bytes", ARCHIVE[:-1], ARCHIVE + b"more"])
def test_other_bytes_are_not_kept(liar: FakeRepository, tmp_path: Path, content: bytes) -> None:
    liar.answers[f"/v2/x/mychart/blobs/{digest_of(ARCHIVE)}"] = Answer(content)
    with pytest.raises(DigestMismatch):
        pull(liar, tmp_path)
    assert list((tmp_path / "in").iterdir()) == []


def test_a_manifest_must_have_the_digest_that_is_said(liar: FakeRepository, tmp_path: Path) -> None:
    wrong = {"Docker-Content-Digest": digest_of(b"other")}
    liar.answers["/v2/x/mychart/manifests/1.0.0"] = Answer(manifest_of(ARCHIVE), headers=wrong)
    with pytest.raises(DigestMismatch):
        pull(liar, tmp_path)


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        (b"{", "no JSON"), (b"{}", "another kind"), (manifest_of(ARCHIVE, mediaType="image/png"), "no layer has one"),
        (b" " * (4 * 1024 * 1024 + 1), "more than 4 MiB"),
        (manifest_of(ARCHIVE).replace(b"helm.config", b"other.config"), "not that of a Helm chart"),
    ],
    ids=["broken", "empty", "image", "endless", "artifact"],
)  # fmt: skip
def test_what_is_no_chart_is_said_to_be_none(liar: FakeRepository, tmp_path: Path, manifest: bytes, said: str) -> None:
    liar.answers["/v2/x/mychart/manifests/1.0.0"] = Answer(manifest)
    with pytest.raises(RegistryError, match=said):
        pull(liar, tmp_path)


def test_pages_of_tags_are_followed_here_and_not_elsewhere(liar: FakeRepository, tmp_path: Path) -> None:
    first = "/v2/x/mychart/tags/list"
    tags = Answer(b'{"tags":["0.1.0","latest"]}', headers={"Link": f'<{first}?last=a>; rel="next"'})
    liar.answers[first] = tags
    liar.answers[f"{first}?last=a"] = Answer(b'{"tags":["1.0.0","v9.0.0"]}')
    assert pull(liar, tmp_path, "").read_bytes() == ARCHIVE
    liar.answers[f"{first}?last=a"] = tags  # a circle
    with pytest.raises(RegistryError, match="never comes to an end"):
        pull(liar, tmp_path, "^1")
    liar.answers[first] = Answer(b'{"tags":[]}', headers={"Link": '<http://127.0.0.2/tags>; rel="next"'})
    with pytest.raises(RegistryError, match="points to another host"):
        pull(liar, tmp_path, "")
    liar.answers[first] = Answer(b'{"tags":null}')
    with pytest.raises(ChartNotFound, match="could not locate a version"):
        pull(liar, tmp_path, "")


def test_a_password_is_not_told_to_a_place_that_cannot_be_meant() -> None:
    with fake_repository() as server:
        for realm in ("ftp://elsewhere/token", "nonsense"):
            challenge = {"WWW-Authenticate": f'Bearer realm="{realm}",service="x"'}
            server.answers["/v2/"] = Answer(b"", status=401, headers=challenge)
            registry = Registry(server.host, login=Login("u", "p"), plain_http=True)
            with registry, pytest.raises(RegistryError, match="asks for a token"):
                registry.ping()
        server.answers["/v2/"] = Answer(b"", status=401)
        with Registry(server.host, plain_http=True) as registry, pytest.raises(RegistryError, match="does not say"):
            registry.ping()


def test_challenges_are_read() -> None:
    found = parse_challenge('Bearer realm="https://a/token",service="b c",scope="repository:x:pull,push"')
    assert found == ("bearer", "https://a/token", "b c", "repository:x:pull,push")
    assert parse_challenge('basic realm="x"') == ("basic", "x", "", "")
    assert parse_challenge("Negotiate abc") is None


# ------------------------------------------------------------------------------------------ where passwords lie


def test_passwords_are_kept_for_the_user_alone_and_other_keys_stay(tmp_path: Path) -> None:
    path = tmp_path / "registry" / "config.json"
    path.parent.mkdir()
    path.write_text('{"other": 1, "auths": {"kept": {"auth": "dTpw"}}}')
    credentials = Credentials(path)
    credentials.store("host:1", Login("me", "pass:word"))
    assert credentials.find("host:1") == Login("me", "pass:word")
    assert credentials.find("kept") == Login("u", "p")
    assert credentials.find("host") is None
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text())["other"] == 1
    assert credentials.remove("host:1")
    assert not credentials.remove("host:1")
    path.write_text("[]")
    with pytest.raises(ConfigError, match="no mapping"):
        credentials.find("host:1")


def test_docker_s_own_file_and_helpers_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = tmp_path / "docker-credential-own"
    helper.write_text('#!/bin/sh\nread host\n[ "$host" = kept ] && echo \'{"Username":"h","Secret":"s"}\'\n')
    helper.chmod(helper.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / ".docker").mkdir()
    token = base64.b64encode(b"u:p").decode()
    document = {"auths": {"https://plain/v1/": {"auth": token}}, "credHelpers": {"kept": "own"}}
    (tmp_path / ".docker" / "config.json").write_text(json.dumps(document))
    credentials = Credentials.of(Environment.read({"HOME": str(tmp_path)}))
    assert credentials.find("plain") == Login("u", "p")
    assert credentials.find("kept") == Login("h", "s")
    assert credentials.find("unknown") is None


def test_a_push_of_what_is_no_chart_sends_nothing(liar: FakeRepository, tmp_path: Path) -> None:
    path = tmp_path / "x-1.0.0.tgz"
    path.write_bytes(b"no archive")
    from helm_client import InvalidChart

    with pytest.raises(InvalidChart):
        push_chart(Environment.read({"HOME": str(tmp_path)}), path, f"oci://{liar.host}/x", plain_http=True)
    assert liar.seen == []
