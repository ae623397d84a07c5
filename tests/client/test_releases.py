"""`helm-client list`, `status`, `history` and `get`, beside the real helm, over a cluster that has Helm's records."""

from __future__ import annotations

import json
import os
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helm_client import ClusterUnreachable, ConfigError, ReleaseError, ReleaseNotFound
from helm_client.environment import Environment
from helm_client.releases import Filter, ReleaseStore
from helm_client.releases.kubeconfig import load_cluster
from helm_client.releases.record import Release, coalesce, decode, encode
from helm_client.releases.times import render_time

from tests.client.cluster import FakeCluster, fake_cluster
from tests.client.releases import RELEASES, make_release
from tests.client.shell import Shell
from tests.needs import find_helms
from tests.servers import free_port


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    with fake_cluster() as cluster:
        for release in RELEASES:
            cluster.keep(release)
        yield cluster


@pytest.fixture
def shell(cluster: FakeCluster, tmp_path: Path) -> Shell:
    cluster.write_kubeconfig(tmp_path / "kubeconfig")
    return Shell(tmp_path)


def store(cluster: FakeCluster, tmp_path: Path, namespace: str | None = None, **changes: str) -> ReleaseStore:
    cluster.write_kubeconfig(tmp_path / "kubeconfig")
    environment = Environment.read({"KUBECONFIG": str(tmp_path / "kubeconfig"), "HOME": str(tmp_path), **changes})
    return ReleaseStore(environment, namespace)


ASKED: list[str] = [
    "list", "list -A -o json", "list -o yaml", "list -q", "list -q -o json", "list --uninstalled --failed",
    "list --superseded -d -r", "list --filter ^b", "list --offset 1 -m 1", "list --no-headers", "list -f nope",
    "list -f nope -o yaml", "list -f nope -o json", "list -f nope --no-headers", "list --time-format 2006-01-02",
    "list -n other", "list -l status=failed", "list --pending", "status bad", "status bad -o json",
    "status bad -o yaml", "status web --revision 9", "history web", "history web -o json", "history web -o yaml",
    "history web --max 2", "get values web", "get values web -a", "get values bad", "get values bad -a -o json",
    "get values web -o yaml", "get values bad -o json", "get manifest web", "get notes web", "get notes cache",
    "get hooks web", "get hooks bad", "get metadata web", "get metadata web -o json", "get metadata bad -o yaml",
    "get all web", "get all bad", "get all web --revision 1", "status nope", "history nope", "get values nope",
]  # fmt: skip


@pytest.mark.parametrize("asked", ASKED)
def test_releases_are_told_as_helm_tells_them(shell: Shell, asked: str) -> None:
    helm = next((helm for helm in find_helms() if "v4" in shell.helm(helm, "version", "--short").out), None)
    if helm is None:
        pytest.skip("the words are those of Helm 4")
    theirs, ours = shell.helm(helm, *asked.split()), shell.client(*asked.split())
    assert (ours.code, ours.out, ours.err.strip()) == (theirs.code, theirs.out, theirs.err.strip())


def test_the_words_do_not_need_helm(shell: Shell) -> None:
    assert shell.say("status", "web") == (
        "NAME: web\nLAST DEPLOYED: Sun Jan  4 13:04:05 2026\nNAMESPACE: team\nSTATUS: deployed\nREVISION: 3\n"
        "DESCRIPTION: Upgrade complete\nNOTES:\n1. Look at it:\n  curl http://<host>/\n"
    )
    assert shell.say("ls", "-q", "--all") == "bad\ncache\nweb\nzoned\n"
    assert json.loads(shell.say("status", "web", "-o", "json"))["config"] == {
        "image": {"tag": "2"}, "gone": None, "list": [1, "1"]
    }  # fmt: skip
    assert shell.say("get", "web") == shell.say("get", "all", "web")
    assert shell.client("status", "UPPER").err == "Error: release name is invalid: UPPER\n"


def test_lists_come_in_pages(tmp_path: Path) -> None:
    with fake_cluster(page=3) as cluster:
        for number in range(10):
            cluster.keep(make_release(f"web{number}"))
        found = store(cluster, tmp_path).select(Filter(limit=0))
        assert [release.name for release in found] == [f"web{number}" for number in range(10)]
        assert len([path for path in cluster.seen if "continue=" in path]) == 3


def test_config_maps_are_read_where_helm_keeps_them_there(cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.keep(make_release("mapped"), kind="configmaps")
    found = store(cluster, tmp_path, HELM_DRIVER="configmap").select()
    assert [release.name for release in found] == ["mapped"]
    with pytest.raises(ConfigError, match="HELM_DRIVER=sql"):
        store(cluster, tmp_path, HELM_DRIVER="sql")


def test_releases_of_helm_2_are_recognised(cluster: FakeCluster, shell: Shell) -> None:
    labels = {"OWNER": "TILLER", "NAME": "old"}
    cluster.objects["configmaps"].append({"metadata": {"name": "old.v1", "namespace": "kube-system", "labels": labels}})
    done = shell.client("status", "old")
    assert done.code == 1
    assert done.err.startswith("Error: release old was made by Helm 2")


def test_users_labels_are_theirs_alone(cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.keep(make_release("labelled"), team="payments", modifiedAt="1")
    found = store(cluster, tmp_path).get("labelled")
    assert found.labels == {"team": "payments"}
    assert found.all_labels["owner"] == "helm"


@pytest.mark.parametrize("content", ["", "no base64!", "aGVsbG8=", "H4sIAAAA", "W10="])
def test_what_is_no_record_is_said_to_be_none(content: str) -> None:
    with pytest.raises(ReleaseError, match="record of a release"):
        decode(content, {})


def test_a_record_survives_the_way_there_and_back() -> None:
    release = make_release("web", 2)
    assert decode(encode(release), release.all_labels) == release
    plain = json.dumps(release.document).encode()
    import base64

    assert decode(base64.b64encode(plain), {}) == Release(release.document)


def test_values_are_laid_over_each_other_as_helm_does_it() -> None:
    defaults = {"a": {"b": 1, "c": {"d": 2}}, "list": [1, 2], "gone": {"x": 1}, "kept": None}
    given = {"a": {"c": {"d": None, "e": 3}}, "list": [3], "gone": None, "new": {"y": None}}
    assert coalesce(given, defaults) == {
        "a": {"b": 1, "c": {"e": 3}}, "list": [3], "kept": None, "new": {"y": None}
    }  # fmt: skip


@pytest.mark.parametrize(
    ("layout", "shown"),
    [
        ("", "2026-03-05 14:07:09.012 +0530 +0530"), ("2006-01-02T15:04:05Z07:00", "2026-03-05T14:07:09+05:30"),
        ("Mon Jan _2 3:04PM", "Thu Mar  5 2:07PM"), ("02.01.06 15:04:05.000 Z0700", "05.03.26 14:07:09.012 +0530"),
    ],
)  # fmt: skip
def test_times_are_written_in_gos_layouts(layout: str, shown: str) -> None:
    assert render_time("2026-03-05T14:07:09.012+05:30", layout) == shown


# ------------------------------------------------------------------------------------------ which cluster


def environment(tmp_path: Path, *documents: dict[str, Any], **changes: str) -> Environment:
    paths = []
    for number, document in enumerate(documents):
        paths.append(tmp_path / f"config{number}")
        paths[-1].write_text(json.dumps(document))
    return Environment.read({"KUBECONFIG": os.pathsep.join(map(str, paths)), "HOME": str(tmp_path), **changes})


def config(name: str, server: str, user: dict[str, Any] | None = None, **cluster: Any) -> dict[str, Any]:
    return {
        "current-context": name, "clusters": [{"name": name, "cluster": {"server": server, **cluster}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": f"{name}-space"}}],
        "users": [{"name": name, "user": user or {"token": f"{name}-token"}}],
    }  # fmt: skip


def test_the_first_of_several_files_wins(tmp_path: Path) -> None:
    one, two = config("one", "http://one:1/"), config("two", "http://two:2")
    found = load_cluster(environment(tmp_path, one, two))
    assert (found.server, found.namespace, found.headers["Authorization"]) == (
        "http://one:1", "one-space", "Bearer one-token"
    )  # fmt: skip
    found = load_cluster(environment(tmp_path, one, two, HELM_KUBECONTEXT="two", HELM_NAMESPACE="mine"))
    assert (found.server, found.namespace) == ("http://two:2", "mine")
    with pytest.raises(ConfigError, match='context "three" does not exist'):
        load_cluster(environment(tmp_path, one, HELM_KUBECONTEXT="three"))


def test_helms_variables_come_before_the_file(tmp_path: Path) -> None:
    variables = {
        "HELM_KUBEAPISERVER": "http://other:9", "HELM_KUBETOKEN": "t", "HELM_KUBEASUSER": "jane",
        "HELM_KUBEASGROUPS": "a,b",
    }  # fmt: skip
    found = load_cluster(environment(tmp_path, config("one", "https://one:1"), **variables))
    assert found.server == "http://other:9"
    assert found.headers == {"Authorization": "Bearer t", "Impersonate-User": "jane", "Impersonate-Group": "a,b"}


def test_users_are_known_by_token_file_password_or_plugin(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")
    by_file = config("one", "http://one", {"tokenFile": "token"})
    assert load_cluster(environment(tmp_path, by_file)).headers["Authorization"] == "Bearer from-file"
    by_password = config("one", "http://one", {"username": "u", "password": "p"})
    assert load_cluster(environment(tmp_path, by_password)).headers["Authorization"] == "Basic dTpw"
    plugin = tmp_path / "plugin"
    plugin.write_text('#!/bin/sh\n[ -n "$KUBERNETES_EXEC_INFO" ] && echo "{\\"status\\":{\\"token\\":\\"$1$OWN\\"}}"\n')
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    ask = {"command": str(plugin), "args": ["pl"], "env": [{"name": "OWN", "value": "ug"}]}
    assert load_cluster(environment(tmp_path, config("one", "http://one", {"exec": ask}))).headers == {
        "Authorization": "Bearer plug"
    }
    missing = {"exec": {"command": str(tmp_path / "none"), "installHint": "install it"}}
    with pytest.raises(ConfigError, match="install it"):
        load_cluster(environment(tmp_path, config("one", "http://one", missing)))


def test_certificates_that_cannot_be_read_are_said_to_be(tmp_path: Path) -> None:
    broken = config("one", "https://one", **{"certificate-authority-data": "bm9uZQ=="})
    with pytest.raises(ConfigError, match="certificates in the kubeconfig"):
        load_cluster(environment(tmp_path, broken))
    trusting = config("one", "https://one", **{"insecure-skip-tls-verify": True})
    found = load_cluster(environment(tmp_path, trusting))
    assert found.context is not None
    assert found.context.verify_mode is ssl.CERT_NONE


def test_a_cluster_that_is_not_there_or_refuses_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterUnreachable, match="set KUBECONFIG"):
        load_cluster(environment(tmp_path, {}))
    away = ReleaseStore(environment(tmp_path, config("one", f"http://127.0.0.1:{free_port()}")))
    with pytest.raises(ClusterUnreachable, match="Kubernetes cluster unreachable"):
        away.select()
    with fake_cluster(token="right") as cluster:
        cluster.write_kubeconfig(tmp_path / "kubeconfig", token="wrong")
        with pytest.raises(ClusterUnreachable, match="Unauthorized") as caught:
            ReleaseStore(Environment.read({"KUBECONFIG": str(tmp_path / "kubeconfig")})).get("web")
        assert caught.value.status == 401
    with fake_cluster() as cluster, pytest.raises(ReleaseNotFound, match="release: not found"):
        store(cluster, tmp_path).history("web")
