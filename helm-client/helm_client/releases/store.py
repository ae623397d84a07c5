"""Helm's records in a cluster: Secrets (or ConfigMaps) `sh.helm.release.v1.NAME.vREVISION`, read over the API."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from helm_client.environment import Environment
from helm_client.errors import ClusterUnreachable, ConfigError, ReleaseError, ReleaseNotFound
from helm_client.releases.api import KubernetesApi, path_of
from helm_client.releases.kubeconfig import Cluster, load_cluster
from helm_client.releases.record import Release, decode
from helm_client.releases.resources import Resources, find_resources

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_DRIVERS = {"secret": "secrets", "secrets": "secrets", "configmap": "configmaps", "configmaps": "configmaps"}


@dataclass(frozen=True, slots=True)
class Filter:
    """Which releases, and in which order. No `statuses` means all; `pattern` is a regular expression over names."""

    statuses: frozenset[str] = frozenset()
    pattern: str = ""
    selector: str = ""
    by_date: bool = False
    reverse: bool = False
    limit: int = 256
    offset: int = 0


class ReleaseStore:
    """The releases of one namespace, or of all (`namespace` ""). The cluster is found when it is first asked."""

    def __init__(self, environment: Environment, namespace: str | None = None) -> None:
        self._environment = environment
        self._namespace = namespace
        self._cluster: Cluster | None = None
        if environment.driver not in _DRIVERS:
            raise ConfigError(f"HELM_DRIVER={environment.driver} cannot be read here; secret and configmap can")
        self._kind = _DRIVERS[environment.driver]

    @property
    def cluster(self) -> Cluster:
        """Which cluster is asked. Raises ConfigError, ClusterUnreachable."""
        if self._cluster is None:
            self._cluster = load_cluster(self._environment)
        return self._cluster

    @property
    def namespace(self) -> str:
        """Whose releases these are; "" for all."""
        return self.cluster.namespace if self._namespace is None else self._namespace

    def select(self, wanted: Filter | None = None) -> list[Release]:
        """Answer the last revision of each release that fits (action.List). Raises ClusterUnreachable, ReleaseError."""
        wanted = wanted or Filter()
        try:
            pattern = re.compile(wanted.pattern)
        except re.error as error:
            raise ReleaseError(f"error parsing regexp: {error}: `{wanted.pattern}`") from error
        found = [release for release in self._read(wanted.selector) if pattern.search(release.name)]
        if wanted.statuses != {"superseded"}:
            found = _keep_latest(found)
        if wanted.statuses:
            found = [release for release in found if release.status in wanted.statuses]
        found.sort(key=lambda release: release.updated if wanted.by_date else release.name, reverse=wanted.reverse)
        end = wanted.offset + wanted.limit if wanted.limit else None
        return found[wanted.offset : end]

    def history(self, name: str, limit: int = 256) -> list[Release]:
        """Answer the last `limit` revisions of a release, oldest first. Raises ReleaseNotFound, ClusterUnreachable."""
        _check_name(name)
        found = sorted(self._read(f"name={name}"), key=lambda release: release.revision)
        if not found:
            self._explain_tiller(name)
            raise ReleaseNotFound("release: not found")
        return found[-limit:] if limit else found

    def get(self, name: str, revision: int = 0) -> Release:
        """Answer a revision of a release, 0 for the last. Raises ReleaseNotFound, ClusterUnreachable."""
        for release in reversed(self.history(name, 0)):
            if revision in (0, release.revision):
                return release
        raise ReleaseNotFound("release: not found")

    def find_resources(self, release: Release, *, as_tables: bool = False) -> Resources:
        """Answer what has become of a release's objects; see `helm_client.releases.resources`."""
        return find_resources(self.cluster, release, as_tables=as_tables)

    def _read(self, selector: str) -> Iterator[Release]:
        for item in self._list(self._kind, ",".join(filter(None, ("owner=helm", selector)))):
            content = (item.get("data") or {}).get("release")
            if content is not None:
                data = base64.b64decode(content) if self._kind == "secrets" else content
                yield decode(data, (item.get("metadata") or {}).get("labels") or {})

    def _explain_tiller(self, name: str) -> None:
        """Say so when it is a release of Helm 2, which kept ConfigMaps of its own."""
        try:
            is_old = any(True for _ in self._list("configmaps", f"OWNER=TILLER,NAME={name}", "kube-system"))
        except ClusterUnreachable:  # not everybody may look there
            return
        if is_old:
            raise ReleaseNotFound(
                f"release {name} was made by Helm 2 (Tiller keeps it in kube-system); convert it once with the plugin "
                "helm-2to3, or uninstall and install it again"
            )

    def _list(self, kind: str, selector: str, namespace: str | None = None) -> Iterator[dict[str, Any]]:
        place = path_of("/api/v1", kind, self.namespace if namespace is None else namespace)
        with KubernetesApi(self.cluster) as api:
            yield from api.list(place, selector)


def _keep_latest(releases: Iterable[Release]) -> list[Release]:
    latest: dict[tuple[str, str], Release] = {}
    for release in releases:
        key = (release.namespace, release.name)
        if key not in latest or latest[key].revision < release.revision:
            latest[key] = release
    return list(latest.values())


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > 53:
        raise ReleaseError(f"release name is invalid: {name}")
