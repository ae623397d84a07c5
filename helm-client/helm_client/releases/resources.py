"""What has become of a release's objects in the cluster, as `helm status` asks for it (pkg/kube, Client.Get).

Objects that are gone, or that we may not see, are left out. Not here: how they are printed (cli/report.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from helm_client.errors import ClusterUnreachable
from helm_client.releases.api import KubernetesApi, path_of
from helm_client.releases.kubeconfig import Cluster
from helm_client.releases.record import Release

RELATED_PODS = "v1/Pod(related)"
"""Under this name come the pods that an object's selector finds: a PodList, or a Table of them."""

_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io"
_SELECTING = {"ReplicaSet", "Deployment", "StatefulSet", "DaemonSet", "Job", "ReplicationController"}

Object = dict[str, Any]
Resources = dict[str, list[Object]]


def find_resources(cluster: Cluster, release: Release, *, as_tables: bool = False) -> Resources:
    """Answer the objects of a release by version and kind (`v1/ConfigMap`), in the manifest's order.

    With `as_tables` each is a Table of the API (meta.k8s.io/v1), made for people to read. Raises nothing: a cluster
    that cannot be asked has no objects.
    """
    with KubernetesApi(cluster) as api:
        return _Finder(api, release.namespace, f"{_TABLE},application/json" if as_tables else "application/json").find(
            _read_manifest(release.manifest)
        )


def _read_manifest(manifest: str) -> Iterator[Object]:
    try:
        for document in yaml.load_all(manifest, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(document, dict):
                items = document.get("items") if str(document.get("kind", "")).endswith("List") else None
                yield from (one for one in items or [document] if isinstance(one, dict))
    except yaml.YAMLError:  # Helm applied what came before, and so much is shown
        return


class _Finder:
    """Asks for objects one by one; what a group has for kinds is asked once."""

    def __init__(self, api: KubernetesApi, namespace: str, accept: str) -> None:
        self._api, self._namespace, self._accept = api, namespace, accept
        self._kinds: dict[str, dict[str, Object]] = {}
        self._seen: list[Object] = []

    def find(self, wanted: Iterator[Object]) -> Resources:
        found: Resources = {}
        for one in wanted:
            try:
                self._find_one(one, found)
            except ClusterUnreachable as error:
                if error.status is None:  # nobody answers: do not wait for each object
                    break
        return found

    def _find_one(self, one: Object, found: Resources) -> None:
        version, kind = str(one.get("apiVersion") or ""), str(one.get("kind") or "")
        metadata = one.get("metadata") or {}
        prefix = f"/apis/{version}" if "/" in version else f"/api/{version}"
        known = self._list_kinds(prefix).get(kind)
        if known is None or not metadata.get("name"):
            return
        namespace = str(metadata.get("namespace") or self._namespace) if known.get("namespaced") else ""
        path = path_of(prefix, known["name"], namespace, str(metadata["name"]))
        there = self._api.get(path, accept=self._accept)
        found.setdefault(f"{version.rpartition('/')[2]}/{kind}", []).append(there)
        self._find_pods(one, namespace, found)

    def _list_kinds(self, prefix: str) -> dict[str, Object]:
        if prefix not in self._kinds:
            self._kinds[prefix] = {}  # a group that cannot be asked has none
            listed = self._api.get(prefix).get("resources") or ()
            self._kinds[prefix] = {one["kind"]: one for one in listed if "/" not in one["name"]}
        return self._kinds[prefix]

    def _find_pods(self, one: Object, namespace: str, found: Resources) -> None:
        if one["kind"] not in _SELECTING:
            return
        selector = (one.get("spec") or {}).get("selector") or {}
        labels = selector if one["kind"] == "ReplicationController" else selector.get("matchLabels")
        if not labels or labels in self._seen:
            return
        self._seen.append(labels)
        query = {"labelSelector": ",".join(f"{key}={value}" for key, value in sorted(labels.items()))}
        answer = self._api.get(path_of("/api/v1", "pods", namespace), query, self._accept)
        found.setdefault(RELATED_PODS, []).append(answer)
