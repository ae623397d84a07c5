"""A small Kubernetes API for tests, over real HTTP: discovery, objects, server-side apply, watches.

with KubeApi() as api:
    api.write_kubeconfig(path)
    ... run helm ...
    assert api.find("configmaps", "web")
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar, Self
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.kube import discovery
from tests.kube.discovery import KINDS, Kind
from tests.kube.protobuf import MAGIC, read_object
from tests.kube.store import Key, Object, Refusal, Store

NAMESPACE = "team"


@dataclass
class Fault:
    """What refuses requests: by method and a pattern of paths, so many times (-1: always)."""

    method: str
    pattern: str
    status: int
    times: int


class KubeApi:
    """A cluster on a loopback port; the namespaces `team`, `default` and `kube-system` are there."""

    def __init__(self) -> None:
        self.namespace = NAMESPACE
        self.store = Store()
        self.kinds = list(KINDS)
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.faults: list[Fault] = []
        self.is_closing = False
        handler = type("Handler", (_Handler,), {"api": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        for name in (NAMESPACE, "default", "kube-system"):
            one = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            self.store.create(("namespaces", "", name), one, "tests")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.is_closing = True
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def write_kubeconfig(self, path: Path) -> None:
        """Write a kubeconfig that leads here, into the namespace `team`."""
        context = {"cluster": "fake", "user": "me", "namespace": NAMESPACE}
        document = {
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
            "users": [{"name": "me", "user": {"token": "t"}}], "contexts": [{"name": "fake", "context": context}],
        }  # fmt: skip
        path.write_text(yaml.safe_dump(document))

    def refuse(self, method: str, pattern: str, status: int, times: int = -1) -> None:
        """Refuse requests from now on."""
        self.faults.append(Fault(method, pattern, status, times))

    def other_namespace(self) -> str:
        """Answer a name for another namespace, which is not there yet."""
        return f"{NAMESPACE}-2"

    def find(self, plural: str, name: str, namespace: str = NAMESPACE) -> Object | None:
        """Answer an object, or None."""
        return self.store.objects.get((plural, namespace, name))

    def select(self, plural: str) -> list[Object]:
        """Answer the objects of a kind in our namespace."""
        return self.store.select(plural, NAMESPACE, "", "")

    def write(self, plural: str, name: str, patch: Object, manager: str) -> None:
        """Apply a patch as another manager of fields, by force."""
        self.store.apply((plural, NAMESPACE, name), patch, manager, force=True)

    def find_fault(self, method: str, path: str) -> int:
        """Answer the status that a request is refused with, 0 for none."""
        for fault in self.faults:
            if fault.times and fault.method == method and re.search(fault.pattern, path):
                fault.times -= 1
                return fault.status
        return 0

    def find_kind(self, words: list[str]) -> tuple[Kind, Key]:
        """Answer the kind that a path names, and the key: plural, namespace, name ("" for a list)."""
        group, version, rest = "", (*words, "")[1], words[2:]
        if words[0] == "apis" and len(words) > 2:
            group, version, rest = words[1], words[2], words[3:]
        namespace = ""
        if len(rest) > 2 and rest[0] == "namespaces":
            namespace, rest = rest[1], rest[2:]
        for kind in self.kinds:
            if rest and (kind.group, kind.version, kind.plural) == (group, version, rest[0]):
                return kind, (kind.plural, namespace, rest[1] if len(rest) > 1 else "")
        raise Refusal(404, "NotFound", "the server could not find the requested resource")

    def add_kind(self, definition: Object) -> None:
        """Let a CustomResourceDefinition have its effect."""
        spec = definition["spec"]
        names = spec["names"]
        for version in spec["versions"]:
            kind = Kind(spec["group"], version["name"], names["kind"], names["plural"], spec["scope"] == "Namespaced")
            self.kinds.append(kind)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or a body waits up to 40 ms for the client to confirm the head
    api: ClassVar[KubeApi]

    def handle_any(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.api.requests.append((self.command, parts.path, query))
        try:
            if status := self.api.find_fault(self.command, parts.path):
                raise Refusal(status, "Forbidden" if status == 403 else "InternalError", "refused by the test")
            if parts.path == "/openapi/v2":
                self._send(200, "application/com.github.proto-openapi.spec.v2.v1.0+protobuf", b"")  # an empty one
                return
            document = discovery.describe(parts.path, self.api.kinds)
            if document is not None:
                self._answer(200, document)
                return
            kind, key = self.api.find_kind(parts.path.strip("/").split("/"))
            if query.get("watch") in ("1", "true"):
                self._watch(kind, key, query)
                return
            self._answer(*self._act(kind, key, query, content))
        except Refusal as refusal:
            status = {
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": str(refusal),
                "reason": refusal.reason, "code": refusal.status,
            }  # fmt: skip
            self._answer(refusal.status, status)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    def _act(self, kind: Kind, key: Key, query: dict[str, str], content: bytes) -> tuple[int, Object]:
        store, manager = self.api.store, query.get("fieldManager") or self._guess_manager()
        if self.command == "GET":
            found = store.get(key) if key[2] else self._list(kind, key, query)
            return 200, _as_table(found) if "as=Table" in self.headers.get("Accept", "") else found
        if self.command == "DELETE":
            return 200, store.delete(key)
        one = read_object(content) if content.startswith(MAGIC) else yaml.load(content, Loader=yaml.CSafeLoader)
        if self.command == "POST":
            key = (key[0], key[1], one["metadata"]["name"])
            one["metadata"].setdefault("namespace", key[1])
            if query.get("dryRun"):
                return 201, one
            return 201, self._note_kind(kind, store.create(key, one, manager))
        if query.get("dryRun"):
            return 200, one
        if self.command == "PUT":
            return 200, store.replace(key, one, manager)
        if "apply-patch" in self.headers.get("Content-Type", ""):
            one["metadata"].setdefault("namespace", key[1])
            made, is_new = store.apply(key, one, manager, force=query.get("force") == "true")
            return (201, self._note_kind(kind, made)) if is_new else (200, made)
        return 200, store.merge(key, one, manager)

    def _note_kind(self, kind: Kind, made: Object) -> Object:
        if kind.kind == "CustomResourceDefinition":
            self.api.add_kind(made)
        return made

    def _guess_manager(self) -> str:
        return self.headers.get("User-Agent", "").partition("/")[0] or "unknown"

    def _list(self, kind: Kind, key: Key, query: dict[str, str]) -> Object:
        labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
        items = self.api.store.select(kind.plural, key[1], labels, fields)
        metadata = {"resourceVersion": str(self.api.store.version)}
        return {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": metadata, "items": items}

    def _watch(self, kind: Kind, key: Key, query: dict[str, str]) -> None:
        self.send_response_only(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            since = int(query.get("resourceVersion") or 0)
            if query.get("sendInitialEvents") == "true":
                since = self._send_all(kind, key, query)
            for event in self.api.store.follow(kind.plural, key[1], since):
                if self.api.is_closing:
                    return
                if event is not None:
                    self.wfile.write(json.dumps({"type": event[0], "object": event[1]}).encode() + b"\n")
                self.wfile.flush()
        except OSError:
            return

    def _send_all(self, kind: Kind, key: Key, query: dict[str, str]) -> int:
        """Begin a watch with what is there, and the mark behind it (WatchList); answer the version of that."""
        found = self._list(kind, key, query)
        version = found["metadata"]["resourceVersion"]
        metadata = {"resourceVersion": version, "annotations": {"k8s.io/initial-events-end": "true"}}
        mark = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
        events = [{"type": "ADDED", "object": one} for one in found["items"]] + [{"type": "BOOKMARK", "object": mark}]
        self.wfile.write(b"".join(json.dumps(event).encode() + b"\n" for event in events))
        self.wfile.flush()
        return int(version)

    def _answer(self, status: int, document: Object) -> None:
        self._send(status, "application/json", json.dumps(document).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep silent."""


def _as_table(found: Object) -> Object:
    """Answer an object or a list for people to read, as the API does for kinds of which it knows no more."""
    columns = [
        {"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0},
        {"name": "Age", "type": "string", "format": "", "description": "", "priority": 0},
        {"name": "Labels", "type": "string", "format": "", "description": "", "priority": 1},
    ]
    listed = found.get("items", [found])
    rows = [{"cells": [one["metadata"]["name"], "9d", None], "object": one} for one in listed]
    metadata = {"resourceVersion": found["metadata"]["resourceVersion"]}
    return {
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": columns,
        "rows": rows,
    }  # fmt: skip
