"""Real clients at the OCI door: helm, Helm's own code, skopeo, oras-py, and another registry as the peer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.wire import sign
from tests.charts import make_chart
from tests.live import LiveServer, serve
from tests.needs import find_helms, find_program
from tests.oci.client import Registry, digest_of
from tests.oci.registries import run_docker_registry
from tests.stories.sdk import ask_helm

USER = ("tester", "secret")
ARCHIVE = make_chart("mychart", "1.2.3")
PROVENANCE = sign("mychart", "1.2.3")
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
        running.mode = request.param  # type: ignore[attr-defined]
        yield running


def mode_of(server: LiveServer) -> str:
    return str(server.mode)  # type: ignore[attr-defined]


def host_of(server: LiveServer) -> str:
    return server.url.removeprefix("http://")


def run(home: Path, *words: str, fails: bool = False) -> str:
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=60, env={**os.environ, "HOME": str(home)}, check=False
    )
    assert (done.returncode != 0) is fails, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def save_chart(folder: Path) -> Path:
    path = folder / "mychart-1.2.3.tgz"
    path.write_bytes(ARCHIVE)
    path.with_name(f"{path.name}.prov").write_bytes(PROVENANCE)
    return path


def read_index(server: LiveServer, repository: str) -> Any:
    with Registry(server.url, "x", auth=USER) as registry:
        return registry.http.get(f"/{repository}/index.yaml").json()["entries"]


@pytest.mark.parametrize("number", [0, 1])
def test_helm_pushes_and_pulls(server: LiveServer, tmp_path: Path, number: int) -> None:
    helms = find_helms()
    if number >= len(helms):
        pytest.skip("only one helm is here: set HELM3 and HELM4 to test with both")
    helm, place = helms[number], f"oci://{host_of(server)}/helm{number}"
    path = save_chart(tmp_path)
    if mode_of(server) != "open":
        run(tmp_path, helm, "push", str(path), place, "--plain-http", fails=True)
        login = [helm, "registry", "login", host_of(server), "--plain-http", "-u", USER[0], "-p"]
        run(tmp_path, *login, "wrong", fails=True)
        run(tmp_path, *login, USER[1])
    said = run(tmp_path, helm, "push", str(path), place, "--plain-http")
    assert f"Pushed: {host_of(server)}/helm{number}/mychart:1.2.3" in said
    assert [one["version"] for one in read_index(server, f"helm{number}")["mychart"]] == ["1.2.3"]
    for words in (["--version", "1.2.3"], ["--version", "~1.2.0"], []):
        target = tmp_path / f"pulled{len(words)}{words[-1:]}"
        target.mkdir()
        run(tmp_path, helm, "pull", f"{place}/mychart", "--plain-http", "-d", str(target), "--prov", *words)
        assert (target / path.name).read_bytes() == ARCHIVE
        assert (target / f"{path.name}.prov").read_bytes() == PROVENANCE
    assert "name: mychart" in run(tmp_path, helm, "show", "chart", f"{place}/mychart", "--plain-http")
    anonymous = tmp_path / "nobody"
    anonymous.mkdir()
    pull = [helm, "pull", f"{place}/mychart", "--plain-http", "-d", str(anonymous)]
    run(anonymous, *pull, fails=mode_of(server) == "private")
    run(tmp_path, helm, "push", str(path), place, "--plain-http")  # the same once more


def test_helms_own_code_pushes_and_pulls(server: LiveServer, tmp_path: Path) -> None:
    path = save_chart(tmp_path)
    target = tmp_path / "pulled"
    target.mkdir()
    found = ask_helm(
        "push_and_pull", archive=str(path), host=host_of(server), path="sdk", name="mychart",
        login=list(USER) if mode_of(server) != "open" else [], destination=str(target),
    )  # fmt: skip
    assert found["tags"] == ["1.2.3"]
    for number, names in enumerate(found["pulled"]):
        assert "mychart-1.2.3.tgz" in names
        assert (target / str(number) / "mychart-1.2.3.tgz").read_bytes() == ARCHIVE
    assert read_index(server, "sdk")["mychart"]


def test_skopeo_copies_lists_mounts_and_deletes(server: LiveServer, tmp_path: Path) -> None:
    skopeo, place = find_program("skopeo"), f"docker://{host_of(server)}"
    with Registry(server.url, "skopeo/mychart", auth=USER) as registry:
        assert registry.push_chart("1.2.3", ARCHIVE, PROVENANCE).status_code == 201
        before = registry.manifest("1.2.3").content
    known = [] if mode_of(server) == "open" else ["--src-creds", ":".join(USER)]
    readable = known if mode_of(server) == "private" else []
    credentials = [word.replace("--src", "--dest") for word in known]
    out, back = f"oci:{tmp_path / 'layout'}:1.2.3", f"oci:{tmp_path / 'back'}:1.2.3"
    insecure = ["--src-tls-verify=false", "--dest-tls-verify=false"]
    run(tmp_path, skopeo, "copy", *insecure, *readable, f"{place}/skopeo/mychart:1.2.3", out)
    run(tmp_path, skopeo, "copy", *insecure, *credentials, out, f"{place}/copied/mychart:1.2.3")
    run(
        tmp_path, skopeo, "copy", *insecure, *known, *credentials,
        f"{place}/skopeo/mychart:1.2.3", f"{place}/mounted/mychart:1.2.3",
    )  # fmt: skip
    run(tmp_path, skopeo, "copy", *insecure, *readable, f"{place}/mounted/mychart:1.2.3", back)
    assert sorted(os.listdir(tmp_path / "layout/blobs/sha256")) == sorted(os.listdir(tmp_path / "back/blobs/sha256"))
    plain = [word.replace("--src-creds", "--creds") for word in known]
    listed = run(tmp_path, skopeo, "list-tags", "--tls-verify=false", *plain, f"{place}/copied/mychart")
    assert json.loads(listed)["Tags"] == ["1.2.3"]
    for repository in ("copied", "mounted"):
        assert read_index(server, repository)["mychart"][0]["digest"] == digest_of(ARCHIVE).removeprefix("sha256:")
    with Registry(server.url, "mounted/mychart", auth=USER) as registry:
        assert registry.manifest("1.2.3").content == before
    if mode_of(server) != "open":
        run(tmp_path, skopeo, "copy", *insecure, out, f"{place}/denied/mychart:1.2.3", fails=True)
    run(tmp_path, skopeo, "delete", "--tls-verify=false", *plain, f"{place}/copied/mychart:1.2.3")
    assert read_index(server, "copied") == {}


def test_registry_to_registry(oci_server: LiveServer, tmp_path: Path) -> None:
    server = oci_server
    skopeo = find_program("skopeo")
    with Registry(server.url, "peer/mychart") as registry:
        registry.http.post("/api/peer/charts", content=ARCHIVE)
        before = registry.manifest("1.2.3").content
    with run_docker_registry(tmp_path / "registry") as other:
        copy = [skopeo, "copy", "--src-tls-verify=false", "--dest-tls-verify=false"]
        run(tmp_path, *copy, f"docker://{host_of(server)}/peer/mychart:1.2.3", f"docker://{other}/x/mychart:1.2.3")
        run(tmp_path, *copy, f"docker://{other}/x/mychart:1.2.3", f"docker://{host_of(server)}/returned/mychart:1.2.3")
    with Registry(server.url, "returned/mychart") as registry:
        assert registry.manifest("1.2.3").content == before
    assert read_index(server, "returned")["mychart"]


def test_oras_uploads_in_chunks_and_attaches(
    server: LiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    import oras.client
    import oras.oci

    monkeypatch.setattr(time, "sleep", lambda _seconds: None)  # it tries again after minutes
    monkeypatch.chdir(tmp_path)
    backend = "token" if mode_of(server) == "readable" else "basic"
    client = oras.client.OrasClient(hostname=host_of(server), insecure=True, auth_backend=backend)
    client.auth.set_basic_auth(*USER)
    save_chart(tmp_path)
    (tmp_path / "config.json").write_text('{"name":"mychart"}')
    target = f"{host_of(server)}/oras/mychart:1.2.3"
    kinds = {"mychart-1.2.3.tgz": "content.v1.tar+gzip", "mychart-1.2.3.tgz.prov": "provenance.v1.prov"}
    prefix = "application/vnd.cncf.helm.chart"
    client.push(
        target=target, files=[f"{name}:{prefix}.{kind}" for name, kind in kinds.items()], quiet=True,
        manifest_config="config.json:application/vnd.cncf.helm.config.v1+json", disable_path_validation=True,
        do_chunked=True, chunk_size=300,
    )  # fmt: skip
    assert read_index(server, "oras")["mychart"][0]["digest"] == digest_of(ARCHIVE).removeprefix("sha256:")
    assert client.get_tags(target) == ["1.2.3"]
    pulled = client.pull(target=target, outdir=str(tmp_path / "out"))
    assert (tmp_path / "out/mychart-1.2.3.tgz").read_bytes() == ARCHIVE, pulled
    with Registry(server.url, "oras/mychart", auth=USER) as registry:
        content = registry.manifest("1.2.3").content
        subject = oras.oci.Subject("application/vnd.oci.image.manifest.v1+json", digest_of(content), len(content))
        shutil.copy(tmp_path / "config.json", tmp_path / "signature.json")
        client.push(
            target=f"{host_of(server)}/oras/mychart:signature", files=["signature.json:application/x.signature"],
            disable_path_validation=True, quiet=True, subject=subject,
        )  # fmt: skip
        listed = registry.referrers(digest_of(content)).json()["manifests"]
        assert [one["digest"] for one in listed] == [registry.manifest("signature").headers["docker-content-digest"]]
    client.delete_tags(target, ["1.2.3"])
    assert read_index(server, "oras") == {}
