"""The config and manifest that we make of a chart are those that helm pushes, byte for byte."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
from pathlib import Path

import httpx

from app.domain.archive import read_chart
from app.domain.artifact import Artifact, File, derive, with_provenance
from app.domain.oci import MANIFEST_TYPE, tag_of
from tests.charts import make_chart
from tests.needs import find_helms
from tests.oci.registries import run_docker_registry

_EVERY_FIELD = {
    "description": "a <b> & c \u2028 ü €", "home": "https://x/?a=1&b=2", "sources": ["https://s", "https://t"],
    "keywords": ["k", "l"], "icon": "i", "appVersion": "1", "deprecated": True, "kubeVersion": ">=1.0.0-0",
    "maintainers": [{"name": "N", "email": "e@x", "url": "u"}, {"name": "M"}, {"name": "P", "email": ""}],
    "annotations": {
        "b": "2", "a": "<1>", "empty": "", "org.opencontainers.image.title": "ignored",
        "org.opencontainers.image.url": "mine",
    },
    "dependencies": [
        {
            "name": "d", "version": "1", "repository": "https://r", "condition": "c.e", "tags": ["t"], "alias": "al",
            "import-values": ["x", {"child": "a", "parent": "b"}],
        },
        {"name": "local", "repository": ""},
    ],
    "type": "application",
}  # fmt: skip
_MODIFIED = 1_600_000_000


def make_input() -> list[bytes]:
    odd = [make_chart("odd", "1.2.3+build.1", **_EVERY_FIELD), make_chart("bare"), make_chart("blank", description=" ")]
    folder = os.environ.get("CHARTROOM_TEST_INCUBATOR")
    if not folder:
        return odd
    real = sorted((Path(folder) / "packages").glob("*.tgz"))
    return odd + [path.read_bytes() for path in random.Random(5).sample(real, 25)]


def derive_from(content: bytes, provenance: bytes | None = None) -> Artifact:
    chart = read_chart(content)
    return derive(chart.metadata, chart.modified or _MODIFIED, facts_of(content), provenance and facts_of(provenance))


def facts_of(content: bytes) -> File:
    return File(hashlib.sha256(content).hexdigest(), len(content))


def push(helm: str, registry: str, path: Path) -> None:
    command = [helm, "push", str(path), f"oci://{registry}/charts", "--plain-http"]
    environment = {**os.environ, "TZ": "UTC", "HOME": str(path.parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_config_and_manifest_are_those_of_helm_push(tmp_path: Path) -> None:
    helms = find_helms()
    with run_docker_registry(tmp_path / "registry") as registry:
        for helm in helms:
            for content in make_input():
                chart = read_chart(content)
                path = tmp_path / f"{chart.metadata.name}-{chart.metadata.version}.tgz"
                path.write_bytes(content)
                moment = chart.modified or _MODIFIED
                os.utime(path, (moment, moment))
                push(helm, registry, path)
                place = f"http://{registry}/v2/charts/{chart.metadata.name}"
                ours = derive_from(content)
                found = httpx.get(
                    f"{place}/manifests/{tag_of(chart.metadata.version)}", headers={"accept": MANIFEST_TYPE}
                )
                assert found.content == ours.manifest
                assert httpx.get(f"{place}/blobs/sha256:{ours.config_digest}").content == ours.config


def test_a_provenance_file_becomes_a_second_layer_as_helm_makes_it(tmp_path: Path) -> None:
    helm = find_helms()[0]
    content, provenance = make_chart("signed"), b"anything will do for this test\n"
    path = tmp_path / "signed-0.1.0.tgz"
    path.write_bytes(content)
    path.with_name(f"{path.name}.prov").write_bytes(provenance)
    os.utime(path, (_MODIFIED, _MODIFIED))
    chart = read_chart(content)
    assert chart.modified in (0, _MODIFIED)
    with run_docker_registry(tmp_path / "registry") as registry:
        push(helm, registry, path)
        address = f"http://{registry}/v2/charts/signed/manifests/0.1.0"
        found = httpx.get(address, headers={"accept": MANIFEST_TYPE}).content
    assert found == derive_from(content, provenance).manifest
    assert found == with_provenance(derive_from(content).manifest, facts_of(provenance))
