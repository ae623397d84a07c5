"""A namespace of its own in a real cluster, seen as the tests see the small one.

Pods and Jobs of tests name a scheduler that no cluster has, so that no image is pulled and nothing runs. `Hands`
writes how they end, from the annotation OUTCOME; where nobody else does it (no controller), also what Jobs and
Deployments came to.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import httpx
import yaml
from helm_client import Environment
from helm_client.releases.api import path_of
from helm_client.releases.kubeconfig import load_cluster

from tests.kube.store import OUTCOME, Object

_PREFIXES = {"jobs": "/apis/batch/v1", "gadgets": "/apis/example.com/v1"}
_KEPT = "kube-root-ca.crt"  # a ConfigMap that clusters put into each namespace
_DEFINITIONS = "apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class RealApi:
    """The cluster of a kubeconfig; what tests made there is deleted at the end."""

    def __init__(self, config: dict[str, Any], folder: Path) -> None:
        self._config = config
        self.namespace = f"chartroom-{uuid.uuid4().hex[:8]}"
        self._made = [self.namespace]
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "kubeconfig-of-tests"
        self.write_kubeconfig(path)
        cluster = load_cluster(Environment.read({"KUBECONFIG": str(path), "HOME": str(folder)}))
        verify = cluster.context if cluster.context is not None else True
        self._http = httpx.Client(base_url=cluster.server, headers=cluster.headers, verify=verify, timeout=30)
        self._hands = Hands(self._http, self._made)

    def __enter__(self) -> Self:
        one = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        self._http.post("/api/v1/namespaces", json=one).raise_for_status()
        self._hands.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._hands.stop()
        for namespace in self._made:
            self._http.delete(f"/api/v1/namespaces/{namespace}")
        self._forget_gadgets()
        self._http.close()

    def _forget_gadgets(self) -> None:
        """Delete the kind that a test brings, and wait until the cluster has forgotten it."""
        for _ in range(100):
            if self._http.delete(f"/{_DEFINITIONS}/gadgets.example.com").status_code == 404:
                return
            time.sleep(0.1)

    def write_kubeconfig(self, path: Path) -> None:
        """Write a kubeconfig that leads into our namespace."""
        document = json.loads(json.dumps(self._config))
        for one in document["contexts"]:
            one["context"]["namespace"] = self.namespace
        path.write_text(yaml.safe_dump(document))

    def other_namespace(self) -> str:
        """Answer a name for another namespace, which is not there yet and goes with ours."""
        self._made.append(f"{self.namespace}-2")
        return self._made[-1]

    def find(self, plural: str, name: str, namespace: str = "") -> Object | None:
        """Answer an object, or None."""
        answer = self._http.get(self._path(plural, name, namespace))
        return None if answer.status_code == 404 else answer.raise_for_status().json()

    def select(self, plural: str) -> list[Object]:
        """Answer the objects of a kind in our namespace."""
        answer = self._http.get(self._path(plural)).raise_for_status().json()
        return [one for one in answer["items"] if one["metadata"]["name"] != _KEPT]

    def write(self, plural: str, name: str, patch: Object, manager: str) -> None:
        """Apply a patch as another manager of fields, by force."""
        self._http.patch(
            self._path(plural, name),
            params={"fieldManager": manager, "force": "true"},
            headers={"Content-Type": "application/apply-patch+yaml"},
            content=json.dumps(patch),
        ).raise_for_status()

    def _path(self, plural: str, name: str = "", namespace: str = "") -> str:
        return path_of(_PREFIXES.get(plural, "/api/v1"), plural, namespace or self.namespace, name)


class Hands:
    """Looks every tenth of a second for Pods, Jobs and Deployments that wait, and ends their wait."""

    def __init__(self, http: httpx.Client, namespaces: list[str]) -> None:
        self._http, self._namespaces = http, namespaces
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="hands", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stopped.wait(0.1):
            for namespace in list(self._namespaces):
                with suppress(httpx.HTTPError, KeyError):  # a namespace that is not there yet, or no more
                    self._settle(f"/api/v1/namespaces/{namespace}/pods", _end_pod)
                    self._settle(f"/apis/batch/v1/namespaces/{namespace}/jobs", _end_job)
                    self._settle(f"/apis/apps/v1/namespaces/{namespace}/deployments", _end_deployment)

    def _settle(self, path: str, judge: Any) -> None:
        for one in self._http.get(path).raise_for_status().json()["items"]:
            status = judge(one)
            if status is not None:
                self._http.patch(
                    f"{path}/{one['metadata']['name']}/status",
                    headers={"Content-Type": "application/merge-patch+json"},
                    content=json.dumps({"status": status}),
                )


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _fails(one: Object) -> bool:
    return (one["metadata"].get("annotations") or {}).get(OUTCOME) == "fail"


def _end_pod(one: Object) -> Object | None:
    if one["status"].get("phase") in ("Succeeded", "Failed", "Running"):
        return None
    ends = one["spec"].get("restartPolicy") == "Never"
    conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": _now()}]
    return {"phase": "Failed" if _fails(one) else "Succeeded" if ends else "Running", "conditions": conditions}


def _end_job(one: Object) -> Object | None:
    if one["status"].get("conditions"):
        return None
    early, last = ("FailureTarget", "Failed") if _fails(one) else ("SuccessCriteriaMet", "Complete")
    reason = "BackoffLimitExceeded" if _fails(one) else "CompletionsReached"
    conditions = [
        {"type": kind, "status": "True", "reason": reason, "lastTransitionTime": _now()} for kind in (early, last)
    ]
    status: Object = {"startTime": one["metadata"]["creationTimestamp"], "conditions": conditions}
    if not _fails(one):
        status |= {"succeeded": 1, "completionTime": _now()}
    return status


def _end_deployment(one: Object) -> Object | None:
    wanted, generation = one["spec"].get("replicas", 1), one["metadata"]["generation"]
    if one["status"].get("observedGeneration") == generation:
        return None
    counts = dict.fromkeys(("replicas", "readyReplicas", "updatedReplicas", "availableReplicas"), wanted)
    conditions = [
        {"type": kind, "status": "True", "reason": "NewReplicaSetAvailable", "lastTransitionTime": _now()}
        for kind in ("Available", "Progressing")
    ]
    return {**counts, "observedGeneration": generation, "conditions": conditions}
