"""A cluster of tests, small or real, and what it holds."""

from __future__ import annotations

from tests.kube.api import KubeApi
from tests.kube.real import RealApi

Cluster = KubeApi | RealApi


def size_of(api: Cluster, name: str) -> str:
    found = api.find("configmaps", name)
    assert found is not None
    return str(found["data"]["size"])


def managers_of(api: Cluster) -> set[str]:
    return {field["manager"] for one in api.select("configmaps") for field in one["metadata"]["managedFields"]}


def everything_in(api: Cluster) -> list[str]:
    objects = [one for plural in ("configmaps", "secrets", "pods", "jobs") for one in api.select(plural)]
    return [f"{one['metadata']['name']} {one['metadata']['resourceVersion']}" for one in objects]
