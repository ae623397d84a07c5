"""What a cluster says of itself: its version, its kinds, and as much OpenAPI as Helm's clients ask for."""

from __future__ import annotations

from typing import Any, NamedTuple


class Kind(NamedTuple):
    """A kind of object: group ("" for the core), version, name, plural, and whether it lives in namespaces."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """`v1`, or `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version


KINDS = [
    Kind("", "v1", "Namespace", "namespaces", namespaced=False), Kind("", "v1", "ConfigMap", "configmaps"),
    Kind("", "v1", "Secret", "secrets"), Kind("", "v1", "Service", "services"), Kind("", "v1", "Pod", "pods"),
    Kind("", "v1", "ServiceAccount", "serviceaccounts"),
    Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"), Kind("", "v1", "Event", "events"),
    Kind("apps", "v1", "Deployment", "deployments"), Kind("apps", "v1", "StatefulSet", "statefulsets"),
    Kind("apps", "v1", "ReplicaSet", "replicasets"), Kind("apps", "v1", "DaemonSet", "daemonsets"),
    Kind("batch", "v1", "Job", "jobs"), Kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    Kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
    Kind("networking.k8s.io", "v1", "Ingress", "ingresses"),
    Kind("rbac.authorization.k8s.io", "v1", "Role", "roles"),
    Kind("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings"),
    Kind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
    Kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False),
]  # fmt: skip

_VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
VERSION = {"major": "1", "minor": "34", "gitVersion": "v1.34.0", "platform": "linux/amd64"}


def describe(path: str, kinds: list[Kind]) -> dict[str, Any] | None:
    """Answer the document under a path of discovery or OpenAPI; None if it is none of those."""
    if path == "/version":
        return VERSION
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    groups = sorted({(kind.group, kind.version) for kind in kinds if kind.group})
    if path == "/apis":
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(*one) for one in groups]}
    if path == "/openapi/v3":
        places = ["api/v1", *(f"apis/{group}/{version}" for group, version in groups)]
        return {"paths": {place: {"serverRelativeURL": f"/openapi/v3/{place}"} for place in places}}
    open_api = path.startswith("/openapi/v3/")
    words = path.removeprefix("/openapi/v3").strip("/").split("/")
    group, version = ("", words[1]) if words[0] == "api" and len(words) == 2 else (*words[1:], "", "")[:2]
    found = [kind for kind in kinds if (kind.group, kind.version) == (group, version)]
    if words[0] not in ("api", "apis") or len(words) != (3 if group else 2) or not found:
        return None
    return _open_api(found) if open_api else _resources(found)


def _group(group: str, version: str) -> dict[str, Any]:
    one = {"groupVersion": f"{group}/{version}", "version": version}
    return {"name": group, "versions": [one], "preferredVersion": one}


def _resources(kinds: list[Kind]) -> dict[str, Any]:
    listed = [
        {
            "name": kind.plural, "singularName": kind.kind.lower(), "namespaced": kind.namespaced, "kind": kind.kind,
            "verbs": _VERBS,
        }
        for kind in kinds
    ]  # fmt: skip
    api_version = kinds[0].api_version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": listed}


def _open_api(kinds: list[Kind]) -> dict[str, Any]:
    """Answer that PATCH takes `fieldValidation`, which is all that is asked."""
    parameter = {"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}
    paths = {}
    for kind in kinds:
        base = f"/apis/{kind.api_version}" if kind.group else "/api/v1"
        about = {"group": kind.group, "version": kind.version, "kind": kind.kind}
        place = f"{base}/namespaces/{{namespace}}/{kind.plural}/{{name}}"
        paths[place] = {"patch": {"parameters": [parameter], "responses": {}, "x-kubernetes-group-version-kind": about}}
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.34.0"}, "paths": paths}
