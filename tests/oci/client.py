"""A client of registries for tests: requests as the specification writes them, and artifacts to push."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import urljoin

import httpx

from app.domain.artifact import HELM_CHART, HELM_CONFIG, HELM_PROVENANCE
from app.domain.oci import INDEX_TYPE, MANIFEST_TYPE

EMPTY = "application/vnd.oci.empty.v1+json"


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def descriptor(content: bytes, kind: str = "application/octet-stream", **more: object) -> dict[str, Any]:
    return {"mediaType": kind, "digest": digest_of(content), "size": len(content), **more}


def image(config: bytes = b"{}", *layers: bytes, kind: str = EMPTY, **more: object) -> bytes:
    """Answer an image manifest; further fields stand as they are."""
    facts = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": descriptor(config, kind)}
    return json.dumps({**facts, "layers": [descriptor(layer) for layer in layers], **more}).encode()


def index(*manifests: bytes, **more: object) -> bytes:
    """Answer an index of image manifests."""
    children = [descriptor(content, MANIFEST_TYPE) for content in manifests]
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": children, **more}).encode()


def chart_manifest(config: bytes, archive: bytes, provenance: bytes | None = None) -> bytes:
    """Answer a manifest as helm writes it, without a media type of its own."""
    layers = [descriptor(archive, HELM_CHART)] + ([descriptor(provenance, HELM_PROVENANCE)] if provenance else [])
    layers.sort(key=lambda layer: str(layer["digest"]))
    return json.dumps({"schemaVersion": 2, "config": descriptor(config, HELM_CONFIG), "layers": layers}).encode()


class Registry:
    """Speaks to one name of a registry."""

    def __init__(self, url: str, name: str, **options: Any) -> None:
        self.name = name
        self.http = httpx.Client(base_url=url, timeout=20, **options)
        self.http.headers["accept-encoding"] = "identity"

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def at(self, name: str) -> Registry:
        """Answer a client for another name, by the same connection."""
        other = Registry.__new__(Registry)
        other.name, other.http = name, self.http
        return other

    def url(self, path: str) -> str:
        return f"/v2/{self.name}/{path}"

    def start(self, **query: str) -> httpx.Response:
        return self.http.post(self.url("blobs/uploads/"), params=query)

    def session(self) -> str:
        """Begin an upload and answer its address."""
        response = self.start()
        assert response.status_code == 202, response.text
        return response.headers["location"]

    def finish(self, location: str, digest: str, content: bytes = b"", **headers: str) -> httpx.Response:
        mark = "&" if "?" in location else "?"
        return self.http.put(f"{location}{mark}digest={digest}", content=content, headers=headers)

    def push_blob(self, content: bytes, algorithm: str = "sha256") -> str:
        """Push a blob the common way and answer its digest."""
        digest = digest_of(content, algorithm)
        response = self.finish(self.session(), digest, content)
        assert response.status_code == 201, response.text
        return digest

    def put(self, reference: str, content: bytes, kind: str = MANIFEST_TYPE, **query: Any) -> httpx.Response:
        return self.http.put(
            self.url(f"manifests/{reference}"), content=content, headers={"content-type": kind}, params=query
        )

    def push(self, reference: str, content: bytes, blobs: Iterable[bytes] = (), kind: str = MANIFEST_TYPE) -> str:
        """Push blobs and a manifest, and answer its digest."""
        for blob in blobs:
            self.push_blob(blob)
        response = self.put(reference, content, kind)
        assert response.status_code == 201, response.text
        return response.headers["docker-content-digest"]

    def push_chart(self, tag: str, archive: bytes, provenance: bytes | None = None, config: bytes = b"{}") -> Any:
        """Push a chart and answer the reply to its manifest."""
        for blob in filter(None, (config, archive, provenance)):
            self.push_blob(blob)
        return self.put(tag, chart_manifest(config, archive, provenance))

    def manifest(self, reference: str, method: str = "GET") -> httpx.Response:
        return self.http.request(method, self.url(f"manifests/{reference}"))

    def blob(self, digest: str, method: str = "GET", **headers: str) -> httpx.Response:
        return self.http.request(method, self.url(f"blobs/{digest}"), headers=headers)

    def tags(self, **query: Any) -> httpx.Response:
        return self.http.get(self.url("tags/list"), params=query)

    def referrers(self, digest: str, **query: str) -> httpx.Response:
        return self.http.get(self.url(f"referrers/{digest}"), params=query)

    def follow(self, response: httpx.Response) -> httpx.Response:
        """Get what a Location or Link header names."""
        target = response.headers.get("location") or response.links["next"]["url"]
        return self.http.get(urljoin(str(response.request.url), target))


def code_of(response: httpx.Response) -> str:
    """Answer the code of an error, having checked that it comes in OCI's form."""
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert list(body) == ["errors"]
    assert set(body["errors"][0]) >= {"code", "message"}
    assert body["errors"][0]["message"]
    return str(body["errors"][0]["code"])
