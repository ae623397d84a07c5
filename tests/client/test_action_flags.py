"""What flags of install and upgrade do to a cluster, and what `status` shows of it."""

from __future__ import annotations

import json

from tests.charts import make_chart
from tests.client.shell import Desk
from tests.kube.api import KubeApi
from tests.kube.cluster import Cluster, size_of

OBJECTS = """apiVersion: v1
kind: ConfigMap
metadata: {name: web-one}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: web-another-one}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {schedulerName: tests, containers: [{name: c, image: i}]}
"""


def test_a_failed_upgrade_may_undo_itself(desk: Desk, api: Cluster) -> None:
    desk.say("install", "cache", "stable/redis")
    for number, flag in enumerate(("--atomic", "--rollback-on-failure")):
        bad = ("--set", "outcome=fail,size=bad", "--timeout", "5s")
        done = desk.client("upgrade", "cache", "stable/redis", *bad, flag)
        assert done.code == 1
        assert "UPGRADE FAILED: " in done.err
        history = json.loads(desk.say("history", "cache", "-o", "json"))
        assert [one["status"] for one in history][-2:] == ["failed", "deployed"]
        assert history[-1]["description"] == f"Rollback to {1 + 2 * number}"
        assert size_of(api, "cache") == "small"


def test_a_field_of_another_manager_is_a_conflict_until_it_is_forced(desk: Desk, api: Cluster) -> None:
    desk.say("install", "cache", "stable/redis")
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cache"}, "data": {"size": "theirs"}}
    api.write("configmaps", "cache", theirs, "somebody")
    done = desk.client("upgrade", "cache", "stable/redis", "--set", "size=ours")
    if desk.major == 4:
        assert done.code == 1
        assert 'conflict with "somebody"' in done.err
        assert size_of(api, "cache") == "theirs"
        desk.say("upgrade", "cache", "stable/redis", "--set", "size=ours", "--force-conflicts")
    assert size_of(api, "cache") == "ours"


def test_what_somebody_else_made_is_taken_only_when_asked(desk: Desk, api: Cluster) -> None:
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cache"}, "data": {"size": "theirs"}}
    api.write("configmaps", "cache", theirs, "somebody")
    done = desk.client("install", "cache", "stable/redis")
    assert done.code == 1
    assert "invalid ownership metadata" in done.err
    force = ["--force-conflicts"] if desk.major == 4 else []
    desk.say("upgrade", "--install", "cache", "stable/redis", "--take-ownership", *force)
    assert size_of(api, "cache") == "small"


def test_descriptions_labels_and_limits_of_the_history_arrive(desk: Desk, api: Cluster) -> None:
    desk.say("install", "cache", "stable/redis", "--description", "the first", "--labels", "team=a,tier=b")
    for number in range(3):
        desk.say("upgrade", "cache", "stable/redis", "--no-hooks", "--history-max", "2", "--set", f"size=s{number}")
    history = json.loads(desk.say("history", "cache", "-o", "json"))
    assert [one["revision"] for one in history] == [3, 4]
    assert [one["name"] for one in json.loads(desk.say("list", "-l", "team=a", "-o", "json"))] == ["cache"]
    assert json.loads(desk.say("list", "-l", "team=b", "-o", "json")) == []
    assert api.select("jobs") == []
    said = desk.say("install", "other", "stable/redis", "--description", "the first", "--wait")
    assert "\nDESCRIPTION: the first\n" in said or desk.major == 3
    assert desk.say("uninstall", "other", "--wait", "--description", "enough", "--keep-history")
    assert json.loads(desk.say("history", "other", "-o", "json"))[-1]["description"] == "enough"


def test_status_shows_what_has_become_of_the_objects(desk: Desk, api: Cluster) -> None:
    path = desk.home / "web-1.0.0.tgz"
    path.write_bytes(make_chart("web", "1.0.0", files={"templates/pod.yaml": OBJECTS}))
    desk.say("install", "web", path, *(["--wait", "--timeout", "30s"] if desk.major == 4 else []))
    said = desk.say("status", "web")
    if isinstance(api, KubeApi):
        assert (
            "\nRESOURCES:\n==> v1/ConfigMap\nNAME      AGE\nweb-one   9d\nweb-another-one   9d\n\n"
            "==> v1/Deployment\nweb   9d\n\n==> v1/Pod(related)\n\n\nTEST SUITE: None\n"
        ) in said
    assert set(json.loads(desk.say("status", "web", "-o", "json"))["info"]["resources"]) == {
        "v1/ConfigMap", "v1/Deployment", "v1/Pod(related)"
    }  # fmt: skip
    for helm in [helm for helm in desk.twins if desk.major == 4]:
        # Helm's kinds come in no order, and the first brings the columns' names.
        theirs = desk.helm(helm, "status", "web").out
        assert sorted(map(str.split, desk.say("status", "web").splitlines())) == sorted(
            map(str.split, theirs.splitlines())
        )
        ours, theirs = desk.say("status", "web", "-o", "json"), desk.helm(helm, "status", "web", "-o", "json").out
        assert ours == theirs
