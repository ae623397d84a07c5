"""One chart behind two doors: in by either, out by either, the same bytes; one policy, one set of limits."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from app.domain.artifact import HELM_PROVENANCE
from app.domain.oci import tag_of
from tests.api.wire import sign
from tests.charts import make_chart
from tests.live import LiveServer, serve
from tests.oci.client import Registry, chart_manifest, code_of, descriptor, digest_of, image

CONFIG = b'{"name":"mychart"}'
VERSION = "1.2.3+build.5"
ARCHIVE = make_chart("mychart", VERSION)


@contextmanager
def opened(folder: Path, *, wait_for: str = "/-/ready", **flags: str) -> Iterator[tuple[LiveServer, Registry]]:
    with serve(folder, wait_for=wait_for, **flags) as server, Registry(server.url, "team/mychart") as registry:
        yield server, registry


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[LiveServer, Registry]]:
    """Answer a server of this test alone, and a client for a chart's OCI name there."""
    with opened(tmp_path / "data") as found:
        yield found


def chartroom(*words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "app", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def by_raw_body(registry: Registry, folder: Path) -> None:
    assert registry.http.post("/api/team/charts", content=ARCHIVE).status_code == 201


def by_form(registry: Registry, folder: Path) -> None:
    assert registry.http.post("/api/team/charts", files={"chart": ("c.tgz", ARCHIVE)}).status_code == 201


def by_push(registry: Registry, folder: Path) -> None:
    assert registry.push_chart(tag_of(VERSION), ARCHIVE, config=CONFIG).status_code == 201


def by_import(registry: Registry, folder: Path) -> None:
    source = folder / "source"
    source.mkdir()
    (source / f"mychart-{VERSION}.tgz").write_bytes(ARCHIVE)
    chartroom("import", str(source), "--repo", "team", "--storage", str(folder / "data"))


def from_index(registry: Registry, folder: Path) -> tuple[bytes, str]:
    entry = registry.http.get("/team/index.yaml").json()["entries"]["mychart"][0]
    assert entry["version"] == VERSION
    return registry.http.get(f"/team/{entry['urls'][0]}").content, f"sha256:{entry['digest']}"


def from_tag(registry: Registry, folder: Path) -> tuple[bytes, str]:
    layer = registry.manifest(tag_of(VERSION)).json()["layers"][0]
    return registry.blob(layer["digest"]).content, layer["digest"]


def from_digest(registry: Registry, folder: Path) -> tuple[bytes, str]:
    digest = registry.manifest(tag_of(VERSION), "HEAD").headers["docker-content-digest"]
    manifest = registry.manifest(digest)
    assert digest_of(manifest.content) == digest
    config = registry.blob(manifest.json()["config"]["digest"])
    assert config.json()["name"] == "mychart"
    layer = manifest.json()["layers"][0]
    return registry.blob(layer["digest"]).content, layer["digest"]


def from_export(registry: Registry, folder: Path) -> tuple[bytes, str]:
    chartroom("export", str(folder / "static"), "--storage", str(folder / "data"))
    index = json.loads((folder / "static" / "team" / "index.yaml").read_text())
    entry = index["entries"]["mychart"][0]
    return (folder / "static" / "team" / entry["urls"][0]).read_bytes(), f"sha256:{entry['digest']}"


@pytest.mark.parametrize("put", [by_raw_body, by_form, by_push, by_import])
@pytest.mark.parametrize("get", [from_index, from_tag, from_digest, from_export])
def test_what_comes_in_by_one_door_goes_out_by_both(
    tmp_path: Path, both: tuple[LiveServer, Registry], put: Callable[..., None], get: Callable[..., tuple[bytes, str]]
) -> None:
    _, registry = both
    put(registry, tmp_path)
    assert get(registry, tmp_path) == (ARCHIVE, digest_of(ARCHIVE))


def test_the_same_chart_has_the_same_manifest_everywhere_and_after_a_delete(tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "two"):
        with opened(tmp_path / name) as (_, registry):
            for _ in range(2):
                by_raw_body(registry, tmp_path)
                digests.add(registry.manifest(tag_of(VERSION)).headers["docker-content-digest"])
                registry.http.delete(f"/api/team/charts/mychart/{VERSION}")
                assert registry.manifest(tag_of(VERSION)).status_code == 404
    assert len(digests) == 1


def test_provenance_that_comes_later_makes_a_second_layer(tmp_path: Path, both: tuple[LiveServer, Registry]) -> None:
    _, registry = both
    for put in (by_raw_body, by_push):
        put(registry, tmp_path)
        before = registry.manifest(tag_of(VERSION))
        provenance = sign("mychart", VERSION)
        assert registry.http.post("/api/team/prov", content=provenance).status_code == 201
        after = registry.manifest(tag_of(VERSION))
        layers = {layer["mediaType"]: layer["digest"] for layer in after.json()["layers"]}
        assert (len(layers), layers[HELM_PROVENANCE]) == (2, digest_of(provenance))
        assert after.json()["config"] == before.json()["config"]
        assert registry.blob(layers[HELM_PROVENANCE]).content == provenance
        assert registry.manifest(before.headers["docker-content-digest"]).content == before.content
        registry.http.delete(f"/api/team/charts/mychart/{VERSION}")


def test_a_pushed_provenance_is_the_classic_one_too(both: tuple[LiveServer, Registry]) -> None:
    _, registry = both
    provenance = sign("mychart", VERSION)
    assert registry.push_chart(tag_of(VERSION), ARCHIVE, provenance).status_code == 201
    assert registry.http.get(f"/team/charts/mychart-{VERSION}.tgz.prov").content == provenance


def test_one_policy_of_overwriting(both: tuple[LiveServer, Registry], tmp_path: Path) -> None:
    _, registry = both
    by_raw_body(registry, tmp_path)
    derived = registry.manifest(tag_of(VERSION)).headers["docker-content-digest"]
    again = registry.push_chart(tag_of(VERSION), ARCHIVE, config=CONFIG)
    assert again.status_code == 201  # the same content: the tag moves to what the client pushed
    assert registry.manifest(tag_of(VERSION)).headers["docker-content-digest"] == again.headers["docker-content-digest"]
    assert registry.manifest(derived).status_code == 200
    assert registry.http.post("/api/team/charts", content=ARCHIVE).status_code == 409
    other = make_chart("mychart", VERSION, description="other")
    refused = registry.push_chart(tag_of(VERSION), other)
    assert (refused.status_code, code_of(refused)) == (403, "DENIED")
    assert from_index(registry, tmp_path)[0] == ARCHIVE
    stray = registry.put(tag_of(VERSION), image(CONFIG, kind="application/x.other"))
    assert (stray.status_code, code_of(stray)) == (403, "DENIED")
    assert registry.http.post("/api/team/charts?force", content=other).status_code == 201
    assert from_tag(registry, tmp_path)[0] == other


def test_overwriting_where_it_is_allowed(tmp_path: Path) -> None:
    with opened(tmp_path / "data", CHARTROOM_ALLOW_OVERWRITE="true") as (_, registry):
        by_raw_body(registry, tmp_path)
        other = make_chart("mychart", VERSION, description="other")
        assert registry.push_chart(tag_of(VERSION), other).status_code == 201
        assert from_index(registry, tmp_path)[0] == other
        registry.push_blob(CONFIG)
        assert registry.put(tag_of(VERSION), image(CONFIG, kind="application/x.other")).status_code == 201
        assert registry.http.get("/team/index.yaml").json()["entries"] == {}
        assert registry.http.get(f"/team/charts/mychart-{VERSION}.tgz").status_code == 404


@pytest.mark.parametrize("way", ["classic", "tag", "digest"])
@pytest.mark.parametrize("put", [by_raw_body, by_push])
def test_a_delete_by_either_door_is_seen_at_both(
    tmp_path: Path, both: tuple[LiveServer, Registry], way: str, put: Callable[..., None]
) -> None:
    _, registry = both
    put(registry, tmp_path)
    digest = registry.manifest(tag_of(VERSION)).headers["docker-content-digest"]
    address = {
        "classic": f"/api/team/charts/mychart/{VERSION}",
        "tag": registry.url(f"manifests/{tag_of(VERSION)}"),
        "digest": registry.url(f"manifests/{digest}"),
    }[way]
    assert registry.http.delete(address).status_code in (200, 202)
    assert registry.http.get("/team/index.yaml").json()["entries"] == {}
    assert registry.http.get(f"/team/charts/mychart-{VERSION}.tgz").status_code == 404
    assert registry.manifest(tag_of(VERSION)).status_code == 404
    assert registry.manifest(digest).status_code == (200 if way == "tag" else 404)
    put(registry, tmp_path)  # and it may come again
    assert from_index(registry, tmp_path) == from_tag(registry, tmp_path)


def test_what_is_no_chart_version_is_kept_and_not_listed_and_the_reply_says_why(
    both: tuple[LiveServer, Registry],
) -> None:
    _, registry = both
    latest = registry.push_chart("latest", ARCHIVE)
    assert latest.status_code == 201
    assert "mychart 1.2.3+build.5, pushed as mychart with the tag latest" in latest.headers["warning"]
    other = registry.at("team/other").push_chart(tag_of(VERSION), ARCHIVE)
    assert other.headers["warning"].startswith('299 - "not listed in index.yaml: it is chart mychart')
    double = json.loads(chart_manifest(b"{}", ARCHIVE))
    double["layers"] *= 2
    two = registry.put(tag_of(VERSION), json.dumps(double).encode())
    assert "2 layers" in two.headers["warning"]
    plain = registry.put("plain", image(b"{}"))
    assert (plain.status_code, "warning" in plain.headers) == (201, False)
    assert registry.http.get("/team/index.yaml").json()["entries"] == {}


def test_a_chart_may_have_layers_that_lie_elsewhere(both: tuple[LiveServer, Registry], tmp_path: Path) -> None:
    _, registry = both
    manifest = json.loads(chart_manifest(b"{}", ARCHIVE))
    far = descriptor(b"far", "application/vnd.oci.image.layer.nondistributable.v1.tar", urls=["https://x.test"])
    manifest["layers"].append(far)
    for blob in (b"{}", ARCHIVE):
        registry.push_blob(blob)
    pushed = registry.put(tag_of(VERSION), json.dumps(manifest).encode())
    assert (pushed.status_code, "warning" in pushed.headers) == (201, False)
    assert from_index(registry, tmp_path)[0] == ARCHIVE
    assert registry.http.post("/api/team/prov", content=sign("mychart", VERSION)).status_code == 201
    layers = registry.manifest(tag_of(VERSION)).json()["layers"]
    assert len(layers) == 3
    assert far in layers


@pytest.mark.parametrize(
    ("archive", "why"), [(b"no archive", "chart"), (make_chart("mychart", "x"), "version"), (ARCHIVE[:100], "chart")]
)
def test_a_broken_chart_is_refused_with_the_reason(both: tuple[LiveServer, Registry], archive: bytes, why: str) -> None:
    _, registry = both
    refused = registry.push_chart("1.0.0", archive)
    assert (refused.status_code, code_of(refused)) == (400, "MANIFEST_INVALID")
    assert why in refused.json()["errors"][0]["message"]
    assert registry.manifest("1.0.0").status_code == 404


def test_a_name_that_oci_forbids_stays_classic_only_and_the_reply_says_so(both: tuple[LiveServer, Registry]) -> None:
    _, registry = both
    response = registry.http.post("/api/Team/charts", content=ARCHIVE)
    assert (response.status_code, response.json()) == (201, {"saved": True})
    assert response.headers["warning"].startswith('299 - "not available by OCI')
    assert registry.http.get("/Team/index.yaml").json()["entries"]["mychart"]
    assert "warning" not in registry.http.post("/api/team/charts", content=ARCHIVE).headers


def test_helm_only(tmp_path: Path) -> None:
    with opened(tmp_path / "data", CHARTROOM_OCI_HELM_ONLY="true") as (_, registry):
        registry.push_blob(b"{}")
        refused = registry.put("x", image(b"{}"))
        assert (refused.status_code, code_of(refused)) == (403, "DENIED")
        assert registry.push_chart(tag_of(VERSION), ARCHIVE).status_code == 201


def test_without_the_api_the_door_only_reads(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as (_, registry):
        by_raw_body(registry, tmp_path)
    with opened(tmp_path / "data", CHARTROOM_DISABLE_API="true") as (_, registry):
        assert from_tag(registry, tmp_path)[0] == ARCHIVE
        for refused in (
            registry.start(), registry.put("x", image(b"{}")),
            registry.http.delete(registry.url(f"manifests/{tag_of(VERSION)}")),
        ):  # fmt: skip
            assert (refused.status_code, code_of(refused)) == (403, "DENIED")


def test_without_deletes_nothing_is_deleted(tmp_path: Path) -> None:
    with opened(tmp_path / "data", CHARTROOM_DISABLE_DELETE="true") as (_, registry):
        by_push(registry, tmp_path)
        for path in (f"manifests/{tag_of(VERSION)}", f"blobs/{digest_of(ARCHIVE)}"):
            refused = registry.http.delete(registry.url(path))
            assert (refused.status_code, code_of(refused)) == (405, "UNSUPPORTED")
        assert from_index(registry, tmp_path)[0] == ARCHIVE


def test_the_limits_hold_for_pushes(tmp_path: Path) -> None:
    with opened(tmp_path / "data", CHARTROOM_MAX_UPLOAD_SIZE="5000", CHARTROOM_MAX_STORAGE_OBJECTS="1") as (
        _,
        registry,
    ):
        by_push(registry, tmp_path)
        full = registry.push_chart("2.0.0", make_chart("mychart", "2.0.0"))
        assert (full.status_code, code_of(full)) == (507, "DENIED")
        large = registry.finish(registry.session(), digest_of(bytes(5001)), bytes(5001))
        assert (large.status_code, code_of(large)) == (413, "SIZE_INVALID")
        location = registry.session()
        registry.http.patch(location, content=bytes(3000))
        assert registry.http.patch(location, content=bytes(3000)).status_code == 413


def test_the_limit_of_versions_takes_the_oldest_tag_away(tmp_path: Path) -> None:
    with opened(tmp_path / "data", CHARTROOM_PER_CHART_LIMIT="2") as (_, registry):
        for version in ("1.0.0", "1.1.0", "1.2.0"):
            assert registry.push_chart(version, make_chart("mychart", version)).status_code == 201
        assert registry.tags().json()["tags"] == ["1.1.0", "1.2.0"]
        assert len(registry.http.get("/team/index.yaml").json()["entries"]["mychart"]) == 2


def test_the_door_stands_at_the_root_whatever_the_context_path(tmp_path: Path) -> None:
    with opened(tmp_path / "data", wait_for="/helm/-/ready", CHARTROOM_CONTEXT_PATH="/helm") as (_, registry):
        by_push(registry, tmp_path)
        index = registry.http.get("/helm/team/index.yaml").json()
        assert index["entries"]["mychart"][0]["digest"] == hashlib.sha256(ARCHIVE).hexdigest()
        assert httpx.get(f"{registry.http.base_url}/team/index.yaml").status_code == 404
        common = registry.at("charts/mychart")
        assert common.push_chart(tag_of(VERSION), ARCHIVE).status_code == 201
        assert common.manifest(tag_of(VERSION)).status_code == 200
        assert common.tags().json()["name"] == "charts/mychart"
        assert code_of(common.http.put(common.url("tags/list"))) == "UNSUPPORTED"


def test_a_repository_may_be_called_v2(both: tuple[LiveServer, Registry]) -> None:
    _, registry = both
    assert registry.http.post("/api/v2/charts", content=ARCHIVE).status_code == 201
    assert registry.http.get("/v2/index.yaml").json()["entries"]["mychart"]
    assert registry.http.get(f"/v2/charts/mychart-{VERSION}.tgz").content == ARCHIVE
    assert from_tag(registry.at("v2/mychart"), Path())[0] == ARCHIVE


def test_a_fixed_depth_holds_at_this_door(tmp_path: Path) -> None:
    with opened(tmp_path / "data", CHARTROOM_DEPTH="1") as (_, registry):
        by_push(registry, tmp_path)
        for name in ("mychart", "a/b/mychart"):
            refused = registry.at(name).start()
            assert (refused.status_code, code_of(refused)) == (404, "NAME_UNKNOWN")


def test_everything_comes_back_from_storage(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with opened(data) as (_, registry):
        by_raw_body(registry, tmp_path)
        by_push(registry, tmp_path)
        registry.http.post("/api/team/prov", content=sign("mychart", VERSION))
        registry.push(
            "signature",
            image(b"{}", b"layer", subject=registry.manifest(tag_of(VERSION)).json()["config"]),
            [b"{}", b"layer"],
        )
        registry.push_blob(b"alone")
        before = take_stock(registry)
    (data / ".chartroom" / "chartroom.db").unlink()
    chartroom("reindex", "--storage", str(data))
    chartroom("verify", "--storage", str(data))
    with opened(data) as (_, registry):
        assert take_stock(registry) == before


def take_stock(registry: Registry) -> list[object]:
    tags = registry.tags().json()
    manifests = [registry.manifest(tag) for tag in tags["tags"]]
    blobs = [
        registry.blob(one["digest"]).content
        for manifest in manifests
        for one in (manifest.json()["config"], *manifest.json()["layers"])
    ]
    entries = registry.http.get("/team/index.yaml").json()["entries"]
    return [
        tags, [manifest.content for manifest in manifests], blobs, entries, registry.blob(digest_of(b"alone")).content
    ]  # fmt: skip
