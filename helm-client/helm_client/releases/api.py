"""GET requests to a cluster's Kubernetes API. Not here: which cluster, and who asks (kubeconfig.py)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self
from urllib.parse import quote

import httpx

from helm_client.errors import ClusterUnreachable
from helm_client.releases.kubeconfig import Cluster
from helm_client.transfer import USER_AGENT

_PAGE = 500
_SECONDS = 30.0


class KubernetesApi:
    """The API of one cluster, over connections of its own. Use it in a `with` block."""

    def __init__(self, cluster: Cluster) -> None:
        self._server = cluster.server
        self._http = httpx.Client(
            headers={"User-Agent": USER_AGENT, **cluster.headers}, verify=cluster.context or True, timeout=_SECONDS
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._http.close()

    def get(
        self, path: str, query: Mapping[str, str] | None = None, accept: str = "application/json"
    ) -> dict[str, Any]:
        """Answer the document at a path. Raises ClusterUnreachable, with `status` when there was an answer."""
        url = f"{self._server}{path}"
        try:
            response = self._http.get(url, params=query, headers={"Accept": accept})
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ClusterUnreachable(f"Kubernetes cluster unreachable: Get {url!r}: {error}") from error
        try:
            document = response.json()
        except ValueError:
            document = None
        if response.status_code == 200 and isinstance(document, dict):
            return document
        reason = document.get("message") if isinstance(document, dict) else None
        refused = ClusterUnreachable(reason or f"{url} answers {response.status_code}")
        refused.status = response.status_code
        raise refused

    def list(self, path: str, selector: str) -> Iterator[dict[str, Any]]:
        """Answer the objects at a path that have labels (`key=value,...`), page by page. Raises as `get` does."""
        query = {"labelSelector": selector, "limit": str(_PAGE)}
        while True:
            page = self.get(path, query)
            yield from page.get("items") or ()
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return
            query["continue"] = token


def path_of(prefix: str, plural: str, namespace: str = "", name: str = "") -> str:
    """Answer the path of objects: `prefix` is `/api/v1` or `/apis/GROUP/VERSION`; no namespace means all, or none."""
    place = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
    return f"{prefix}{place}/{plural}" + (f"/{quote(name, safe='')}" if name else "")
