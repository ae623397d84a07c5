"""A cluster that only knows Helm's records: enough of the Kubernetes API for everything that reads releases."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import yaml
from helm_client.releases.record import Release, encode


@dataclass
class FakeCluster:
    """A server on a loopback port. `token` "" lets everybody in; `page` is the longest list it answers at once."""

    token: str = ""
    page: int = 1000
    objects: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"secrets": [], "configmaps": []})
    seen: list[str] = field(default_factory=list)
    url: str = ""

    def keep(self, release: Release, kind: str = "secrets", **labels: str) -> None:
        """Keep a record as Helm would."""
        content = encode(release)
        data = base64.b64encode(content.encode()).decode() if kind == "secrets" else content
        own = {"owner": "helm", "name": release.name, "status": release.status, "version": str(release.revision)}
        name = f"sh.helm.release.v1.{release.name}.v{release.revision}"
        metadata = {"name": name, "namespace": release.namespace, "labels": {**own, **labels}}
        one = {"metadata": metadata, "data": {"release": data}}
        self.objects[kind].append({**one, "type": "helm.sh/release.v1"} if kind == "secrets" else one)

    def write_kubeconfig(self, path: Path, **user: Any) -> None:
        """Write a kubeconfig that leads here, in the namespace `team`."""
        document = {
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
            "users": [{"name": "me", "user": user or {"token": self.token}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "me", "namespace": "team"}}],
        }  # fmt: skip
        path.write_text(yaml.safe_dump(document))

    def answer(self, path: str, authorization: str) -> tuple[int, dict[str, Any]]:
        """Answer a GET."""
        self.seen.append(path)
        if self.token and authorization != f"Bearer {self.token}":
            return 401, {"kind": "Status", "apiVersion": "v1", "message": "Unauthorized", "code": 401}
        parts = urlsplit(path)
        words, query = parts.path.strip("/").split("/"), {k: v[0] for k, v in parse_qs(parts.query).items()}
        if words == ["version"]:
            return 200, {"major": "1", "minor": "34", "gitVersion": "v1.34.0"}
        if len(words) == 6 and words[-2] in self.objects:
            for one in self.objects[words[-2]]:
                if (one["metadata"]["namespace"], one["metadata"]["name"]) == (words[3], words[5]):
                    kind = "Secret" if words[-2] == "secrets" else "ConfigMap"
                    return 200, {"kind": kind, "apiVersion": "v1", **one}
        if words[-1] not in self.objects:
            return 404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
        namespace = words[3] if len(words) == 5 else ""
        return 200, self._list(words[-1], namespace, query)

    def _list(self, kind: str, namespace: str, query: dict[str, str]) -> dict[str, Any]:
        wanted = dict(pair.split("=") for pair in query.get("labelSelector", "").split(",") if pair)
        found = [
            one for one in self.objects[kind]
            if namespace in ("", one["metadata"]["namespace"])
            and all(one["metadata"]["labels"].get(label) == value for label, value in wanted.items())
        ]  # fmt: skip
        start, limit = int(query.get("continue", 0)), min(int(query.get("limit", 0)) or self.page, self.page)
        rest = str(start + limit) if start + limit < len(found) else ""
        list_kind = "SecretList" if kind == "secrets" else "ConfigMapList"
        metadata = {"resourceVersion": "1", **({"continue": rest} if rest else {})}
        return {"kind": list_kind, "apiVersion": "v1", "metadata": metadata, "items": found[start : start + limit]}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or a body waits up to 40 ms for the client to confirm the head
    owner: ClassVar[FakeCluster]

    def do_GET(self) -> None:
        status, document = self.owner.answer(self.path, self.headers.get("Authorization", ""))
        body = json.dumps(document).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep silent."""


@contextmanager
def fake_cluster(**settings: Any) -> Iterator[FakeCluster]:
    """Run a cluster for the time of a block."""
    cluster = FakeCluster(**settings)
    handler = type("Handler", (_Handler,), {"owner": cluster})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    cluster.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield cluster
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
