"""A store with something of everything in it, filled and read back through HTTP alone.

`fill` is what clients do, `read` is all that they see. What one server shows, another one on the same store must show.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx

from tests.charts import make_chart
from tests.oci.client import Registry, digest_of, image
from tests.stories.shop import make_provenance

ROOT = ""
WEB = "team/web"
ODD = "my team/50% off"
LEGACY = "legacy"
"""Where files of ChartMuseum may lie, see `list_legacy_files`."""

CREATED = "2018-03-04T05:06:07.123456789Z"
"""What ChartMuseum's index says of one of its files."""


class Known(NamedTuple):
    """What to look at: repositories, OCI names with digests that no tag leads to, and paths that may be gone."""

    repositories: list[str]
    names: dict[str, list[str]]
    paths: list[str]


def fill(url: str) -> Known:
    """Upload, sign, replace, delete, push and mount; return where to look afterwards."""
    with httpx.Client(base_url=url, timeout=30) as client:
        _fill_root(client)
        _fill_web(client)
        odd = make_chart("odd", "1.0.0", description='<b> & "quotes" \u0085 ß')
        _expect(client.post(f"/api/{quote(ODD)}/charts", content=odd), 201)
    untagged = _fill_registry(url)
    names = {"mychart": [], f"{WEB}/other": [], f"{WEB}/pushed": [], **untagged}
    paths = [
        "/charts/mychart-0.4.0.tgz", "/charts/mychart-0.3.0.tgz.prov", "/charts/early-1.0.0.tgz.prov",
        f"/v2/{WEB}/other/manifests/0.9.0", "/v2/mychart/manifests/0.4.0",
    ]  # fmt: skip
    return Known([ROOT, WEB, ODD], names, paths)


def _fill_root(client: httpx.Client) -> None:
    form = {"chart": ("c.tgz", make_chart("mychart", "0.1.0")), "prov": ("p", make_provenance("mychart", "0.1.0"))}
    _expect(client.post("/api/charts", files=form), 201)
    for version in ("0.2.0", "0.3.0", "0.4.0", "1.0.0+build.7", "1.1.0-rc.1"):
        _expect(client.post("/api/charts", content=make_chart("mychart", version)), 201)
    _expect(client.post("/api/prov", content=make_provenance("mychart", "0.2.0")), 201)
    _expect(client.post("/api/prov", content=make_provenance("mychart", "0.3.0")), 201)
    _expect(client.post("/api/prov", content=make_provenance("early", "1.0.0")), 201)
    replaced = make_chart("mychart", "0.3.0", description="replaced", appVersion="3")
    _expect(client.post("/api/charts?force", content=replaced), 201)
    _expect(client.delete("/api/charts/mychart/0.4.0"), 200)


def _fill_web(client: httpx.Client) -> None:
    for version in ("0.9.0", "1.0.0-rc.1", "1.0.0", "1.0.1"):
        content = make_chart("other", version, keywords=["web", version])
        _expect(client.post(f"/api/{WEB}/charts", content=content), 201)
    _expect(client.delete(f"/api/{WEB}/charts/other/0.9.0"), 200)


def _fill_registry(url: str) -> dict[str, list[str]]:
    """Push charts and other artifacts; return the digests without a tag, by name."""
    with Registry(url, f"{WEB}/pushed") as registry:
        chart = make_chart("pushed", "2.0.0")
        prov = make_provenance("pushed", "2.0.0")
        config = b'{"apiVersion":"v2","name":"pushed","version":"2.0.0"}'
        _expect(registry.push_chart("2.0.0", chart, prov, config), 201)
        images = registry.at("team/image")
        one, other = image(b"{}", b"layer one"), image(b"{}", b"layer one", b"layer two")
        first = images.push("v1", one, [b"{}", b"layer one"])
        images.push("latest", one)
        images.push("v2", other, [b"layer two"])
        images.push("latest", other)
        alone = image(b"{}", b"layer one", annotations={"note": "no tag leads here"})
        untagged = images.push(digest_of(alone), alone)
        subject = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": first, "size": len(one)}
        signature = image(b"{}", b"signature", subject=subject, artifactType="application/vnd.example.signature")
        signed = images.push(digest_of(signature), signature, [b"signature"])
        copies = registry.at("team/copy")
        mounted = {"mount": digest_of(b"layer two"), "from": "team/image"}
        _expect(copies.http.post(copies.url("blobs/uploads/"), params=mounted), 201)
        session = copies.session()
        _expect(copies.http.patch(session, content=b"half of a bl"), 202)
    return {"team/image": [untagged, signed], "team/copy": [digest_of(b"layer two")]}


def list_legacy_files() -> dict[str, bytes]:
    """Return files as ChartMuseum leaves them, by their key; one of them is no chart."""
    index = (
        "apiVersion: v1\nentries:\n  kept:\n"
        f"  - {{name: kept, version: 1.0.0, created: {CREATED}, urls: [kept-1.0.0.tgz]}}\n"
    )
    return {
        f"{LEGACY}/kept-1.0.0.tgz": make_chart("kept", "1.0.0"),
        f"{LEGACY}/kept-1.0.0.tgz.prov": make_provenance("kept", "1.0.0"),
        f"{LEGACY}/kept-1.1.0.tgz": make_chart("kept", "1.1.0"),
        f"{LEGACY}/kept-1.2.0.tgz": make_chart("kept", "1.2.0"),
        f"{LEGACY}/broken-1.0.0.tgz": b"this is no archive",
        f"{LEGACY}/index-cache.yaml": index.encode(),
        "plain-3.0.0.tgz": make_chart("plain", "3.0.0"),
    }


def delete_legacy(url: str, known: Known) -> Known:
    """Delete one of the charts that a file brought; return where to look afterwards."""
    with httpx.Client(base_url=url, timeout=30) as client:
        _expect(client.delete(f"/api/{LEGACY}/charts/kept/1.1.0"), 200)
    paths = [f"/{LEGACY}/charts/kept-1.1.0.tgz", f"/{LEGACY}/charts/broken-1.0.0.tgz"]
    names = {**known.names, f"{LEGACY}/kept": [], "plain": []}
    return Known([*known.repositories, LEGACY], names, [*known.paths, *paths])


def read(url: str, known: Known) -> dict[str, Any]:
    """Return all that clients see, as plain JSON."""
    with httpx.Client(base_url=url, timeout=30, headers={"accept-encoding": "identity"}) as client:
        return {
            "repositories": {path: _read_repository(client, path) for path in known.repositories},
            "names": {name: _read_name(client, name, digests) for name, digests in known.names.items()},
            "paths": {path: client.get(path).status_code for path in known.paths},
        }


def _read_repository(client: httpx.Client, path: str) -> dict[str, Any]:
    base = f"/{quote(path)}" if path else ""
    answer = _expect(client.get(f"{base}/index.yaml"), 200)
    again = client.get(f"{base}/index.yaml", headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304, again
    entries = answer.json()["entries"]
    files = {}
    for entry in (entry for versions in entries.values() for entry in versions):
        archive = _expect(client.get(f"{base}/{entry['urls'][0]}"), 200)
        assert hashlib.sha256(archive.content).hexdigest() == entry["digest"]
        files[entry["urls"][0]] = [entry["digest"], _hash(client.get(f"{base}/{entry['urls'][0]}.prov"))]
    listed = _expect(client.get(f"/api/{quote(path)}/charts" if path else "/api/charts"), 200).json()
    versions = {name: [one["version"] for one in found] for name, found in listed.items()}
    return {"entries": entries, "files": files, "listed": versions}


def _read_name(client: httpx.Client, name: str, digests: Iterable[str]) -> dict[str, Any]:
    answer = client.get(f"/v2/{name}/tags/list")
    tags = answer.json().get("tags", []) if answer.status_code == 200 else []
    manifests, blobs, referrers = {}, {}, {}
    for reference in [*tags, *digests]:
        answer = client.get(f"/v2/{name}/manifests/{reference}")
        if answer.status_code != 200:  # then it is the digest of a blob
            blobs[reference] = _hash(client.get(f"/v2/{name}/blobs/{reference}"))
            continue
        digest = answer.headers["docker-content-digest"]
        manifests[reference] = [digest, answer.headers["content-type"], _hash(answer)]
        manifest = answer.json()
        for one in [manifest["config"], *manifest["layers"]]:
            blobs[one["digest"]] = _hash(client.get(f"/v2/{name}/blobs/{one['digest']}"))
        referrers[digest] = _expect(client.get(f"/v2/{name}/referrers/{digest}"), 200).json()["manifests"]
    return {"tags": tags, "manifests": manifests, "blobs": blobs, "referrers": referrers}


def _hash(answer: httpx.Response) -> str:
    """Return the digest of what was answered, or its status if that is not 200."""
    if answer.status_code != 200:
        return str(answer.status_code)
    return hashlib.sha256(answer.content).hexdigest()


def _expect(answer: httpx.Response, status: int) -> httpx.Response:
    assert answer.status_code == status, (answer.request.method, answer.request.url, answer.status_code, answer.text)
    return answer


def list_export(folder: Path) -> dict[str, Any]:
    """Return what a static copy holds: archives and provenance by digest, indexes as they are read."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        key = str(path.relative_to(folder))
        if path.name == "index.yaml":
            found[key] = json.loads(path.read_bytes())["entries"]
        elif path.is_file() and path.name.endswith((".tgz", ".prov")):
            found[key] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found
