"""Releases from first install to last word: by helm-python-sdk and by helm 3 and 4, in a small cluster."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from importlib.util import find_spec

import pytest
import yaml
from helm_client import AsyncClient, Client, Environment, NameInUse, ReleaseNotFound, Wanted
from helm_client.engine import Values

from tests.charts import make_chart
from tests.client.shell import Desk, Done
from tests.kube.api import KubeApi
from tests.kube.cluster import Cluster, everything_in, managers_of, size_of
from tests.needs import find_helms, missing


def test_a_release_lives_and_goes(desk: Desk, api: Cluster) -> None:
    values = desk.home / "values.yaml"
    values.write_text("size: medium\n")
    said = desk.say("install", "cache", "stable/redis", "--version", "1.0.0", "-f", values)
    assert said.startswith("NAME: cache\nLAST DEPLOYED: ")
    assert "\nSTATUS: deployed\nREVISION: 1\n" in said
    assert said.endswith("NOTES:\ncache is medium.\n")
    desk.say("install", "--name", "words", "stable/memcached", "--set", "size=tiny")
    assert (size_of(api, "cache"), size_of(api, "words")) == ("medium", "tiny")
    assert managers_of(api) == {"helm"}
    rows = json.loads(desk.say("list", "-o", "json"))
    assert [(row["name"], row["revision"], row["chart"]) for row in rows] == [
        ("cache", "1", "redis-1.0.0"), ("words", "1", "memcached-1.1.0")
    ]  # fmt: skip
    assert desk.say("status", "cache").endswith("NOTES:\ncache is medium.\n")
    said = desk.say("upgrade", "cache", "stable/redis", "--reuse-values", "--set-string", "extra=1")
    assert said.startswith('Release "cache" has been upgraded. Happy Helming!\nNAME: cache\n')
    assert yaml.safe_load(desk.say("get", "values", "cache", "-o", "yaml")) == {"size": "medium", "extra": "1"}
    assert desk.say("rollback", "cache", "1") == "Rollback was a success! Happy Helming!\n"
    history = json.loads(desk.say("history", "cache", "-o", "json"))
    assert [(one["revision"], one["status"], one["description"]) for one in history] == [
        (1, "superseded", "Install complete"), (2, "superseded", "Upgrade complete"), (3, "deployed", "Rollback to 1")
    ]  # fmt: skip
    assert desk.say("uninstall", "cache", "--keep-history") == 'release "cache" uninstalled\n'
    assert json.loads(desk.say("list", "--uninstalled", "-o", "json"))[0]["name"] == "cache"
    assert desk.say("delete", "--purge", "words") == 'release "words" uninstalled\n'
    assert api.select("configmaps") == []


def test_an_upgrade_may_install_and_names_may_be_made(desk: Desk, api: Cluster) -> None:
    fresh = api.other_namespace()
    said = desk.say("upgrade", "--install", "new", "stable/redis", "--create-namespace", "-n", fresh)
    assert said.startswith('Release "new" does not exist. Installing it now.\nNAME: new\n')
    assert api.find("configmaps", "new", fresh)
    said = desk.say("install", "stable/redis", "--generate-name", "-o", "json")
    assert json.loads(said)["name"].startswith("redis-1")
    assert desk.client("install", "stable/redis").err == (
        "Error: INSTALLATION FAILED: must either provide a name or specify --generate-name\n"
    )


def test_a_dry_run_and_a_diff_change_nothing(desk: Desk, api: Cluster) -> None:
    desk.say("install", "cache", "stable/redis", "--version", "1.0.0")
    before = everything_in(api)
    said = desk.say("diff", "cache", "stable/redis", "--set", "size=large")
    assert '-data: {size: "small", revision: "1"}\n' in said
    assert '+data: {size: "large", revision: "2"}\n' in said
    assert desk.say("upgrade", "cache", "stable/redis", "--dry-run", "--set", "size=large")
    assert everything_in(api) == before
    desk.say("upgrade", "cache", "stable/redis", "--set", "size=huge")
    assert '+data: {size: "huge", revision: "2"}\n' in desk.say("diff", "cache", "--from", "1")


def test_a_hook_that_fails_fails_the_upgrade_and_says_so(desk: Desk, api: Cluster) -> None:
    desk.say("install", "cache", "stable/redis")
    failed = desk.client("upgrade", "cache", "stable/redis", "--set", "outcome=fail", "--timeout", "5s")
    assert (failed.code, failed.out) == (1, "")
    assert "Error: UPGRADE FAILED: " in failed.err
    assert json.loads(desk.say("list", "--failed", "-o", "json"))[0]["revision"] == "2"
    assert desk.say("rollback", "cache") == "Rollback was a success! Happy Helming!\n"
    assert size_of(api, "cache") == "small"


def test_tests_are_run_and_their_failure_told(desk: Desk, api: Cluster) -> None:
    desk.say("install", "good", "stable/redis")
    assert "Phase:          Succeeded\n" in desk.say("test", "good", "--timeout", "10s")
    desk.say("install", "bad", "stable/redis", "--set", "outcome=fail")
    failed = desk.client("test", "bad", "--timeout", "5s")
    assert failed.code == 1
    assert "Error: " in failed.err


def test_what_cannot_be_is_said_in_helms_words(desk: Desk, api: Cluster) -> None:
    desk.say("install", "cache", "stable/redis")
    cases = {
        ("install", "cache", "stable/redis"): "a name that is still in use",
        ("upgrade", "nope", "stable/redis"): "has no deployed releases",
        ("rollback", "nope"): "release: not found",
        ("uninstall", "nope"): "release: not found",
        ("install", "other", "stable/nope"): 'INSTALLATION FAILED: chart "nope" matching  not found in stable index',
        ("install", "UPPER", "stable/redis"): "invalid release name",
        ("install", "other", "./nope"): 'Error: INSTALLATION FAILED: path "./nope" not found',
        ("upgrade", "cache", "./nope"): 'Error: path "./nope" not found',
        ("show", "chart", "/nope"): 'Error: path "/nope" not found',
    }
    for words, reason in cases.items():
        done = desk.client(*words)
        assert done.code == 1
        assert reason in done.err, (words, done.err)
    assert desk.say("uninstall", "nope", "--ignore-not-found") != ""


def test_a_kind_that_the_cluster_does_not_know_is_named(desk: Desk, api: Cluster) -> None:
    odd = "apiVersion: example.com/v1\nkind: Gadget\nmetadata: {name: g}\n"
    path = desk.home / "odd-1.0.0.tgz"
    path.write_bytes(make_chart("odd", "1.0.0", files={"templates/pod.yaml": odd}))
    done = desk.client("install", "odd", path)
    assert done.code == 1
    assert 'no matches for kind "Gadget" in version "example.com/v1"' in done.err
    schema = {"openAPIV3Schema": {"type": "object"}}
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"kind": "Gadget", "plural": "gadgets", "singular": "gadget"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }  # fmt: skip
    path.write_bytes(make_chart("odd", "1.0.0", files={"templates/pod.yaml": odd, "crds/g.yaml": json.dumps(crd)}))
    desk.say("install", "odd", path)
    assert api.find("gadgets", "g")


def test_of_two_upgrades_at_once_one_wins_whole(desk: Desk, api: Cluster) -> None:
    desk.say("install", "cache", "stable/redis")
    done: list[Done] = []

    def run(size: str) -> None:
        code = (
            f"from helm_client.cli.app import main; main(['upgrade', 'cache', 'stable/redis', '--set', 'size={size}'])"
        )
        import subprocess
        import sys

        ended = subprocess.run(
            [sys.executable, "-c", code], env=desk.environment, capture_output=True, text=True, timeout=60, check=False
        )
        done.append(Done(ended.returncode, ended.stdout, ended.stderr))

    threads = [threading.Thread(target=run, args=(size,)) for size in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won = [one for one in done if one.code == 0]
    assert won
    for lost in done:
        assert lost.code == 0 or "UPGRADE FAILED: " in lost.err
    history = json.loads(desk.say("history", "cache", "-o", "json"))
    assert [one["revision"] for one in history] == list(range(1, len(won) + 2))
    assert [one["status"] for one in history].count("deployed") == 1
    assert size_of(api, "cache") in ("one", "two")


def test_helm_s_own_releases_are_ours_and_ours_are_helm_s(desk: Desk, api: Cluster) -> None:
    for number, helm in enumerate(find_helms()):
        name = f"both{number}"
        theirs = desk.helm(helm, "install", name, "stable/redis", "--version", "1.0.0")
        assert theirs.code == 0, theirs
        desk.say("upgrade", name, "stable/redis", "--set", "size=ours")
        assert size_of(api, name) == "ours"
        theirs = desk.helm(helm, "rollback", name, "1")
        assert theirs.code == 0, theirs
        assert size_of(api, name) == "small"
        listed = desk.helm(helm, "history", name, "-o", "json").out
        assert listed == desk.say("history", name, "-o", "json")
        desk.say("uninstall", name)


def test_a_release_of_the_sdk_is_upgraded_by_the_others_and_rolled_back_by_it(desk: Desk, api: Cluster) -> None:
    if find_spec("helm_python") is None:
        missing("helm-sdk")
    sdk = Desk(desk.home, "sdk")
    sdk.say("install", "both", "stable/redis", "--version", "1.0.0", "--set", "size=first")
    desk.say("upgrade", "both", "stable/redis", "--reset-values")
    assert size_of(api, "both") == "small"
    sdk.say("rollback", "both", "1")
    assert size_of(api, "both") == "first"
    assert [one["status"] for one in json.loads(desk.say("history", "both", "-o", "json"))] == [
        "superseded", "superseded", "deployed"
    ]  # fmt: skip


def test_a_cluster_that_refuses_is_named(desk: Desk, api: Cluster) -> None:
    if isinstance(api, KubeApi):
        api.refuse("POST", "/secrets", 403)
        done = desk.client("install", "cache", "stable/redis")
        assert done.code == 1
        assert "INSTALLATION FAILED: " in done.err
    os.unlink(desk.home / "kubeconfig")
    done = desk.client("list")
    assert done.code == 1
    assert "kubernetes cluster unreachable" in done.err


def test_a_program_does_the_same_sync_and_async(desk: Desk, api: Cluster) -> None:
    client = Client(Environment.read(desk.environment))
    releases = client.releases(api.namespace)
    made = releases.install("web", Wanted("stable/redis", "1.0.0"), Values(inline={"size": "large"}))
    assert (made.name, made.revision, made.status, made.notes.strip()) == ("web", 1, "deployed", "web is large.")
    assert size_of(api, "web") == "large"
    with pytest.raises(NameInUse):
        releases.install("web", Wanted("stable/redis"))
    with pytest.raises(ReleaseNotFound):
        releases.uninstall("nope")

    async def go_on() -> None:
        others = AsyncClient(client.environment).releases(api.namespace)
        changed = await others.upgrade("web", Wanted("stable/redis"), Values(expressions=(("set", "size=huge"),)))
        assert (changed.revision, size_of(api, "web")) == (2, "huge")
        assert (await others.rollback("web")).revision == 3
        await others.uninstall("web")

    asyncio.run(go_on())
    assert releases.select() == []
