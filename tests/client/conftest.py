"""A repository `stable` with two charts, and users who have it: by helm-python-sdk, by helm 3 and by helm 4."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.charts import make_chart
from tests.client.shell import Desk, Shell
from tests.kube.api import KubeApi
from tests.kube.controlplane import run_control_plane
from tests.kube.real import RealApi
from tests.kube.store import OUTCOME
from tests.live import LiveServer, serve
from tests.needs import find_helms, missing

_MAP = """apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data: {size: "{{ .Values.size }}", revision: "{{ .Release.Revision }}"}
"""
_HOOK = """apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .Release.Name }}-before
  annotations: {"helm.sh/hook": pre-upgrade, %s: "{{ .Values.outcome }}"}
spec: {template: {spec: {schedulerName: tests, restartPolicy: Never, containers: [{name: c, image: i}]}}}
"""
_TEST = """apiVersion: v1
kind: Pod
metadata:
  name: {{ .Release.Name }}-test
  annotations: {"helm.sh/hook": test, %s: "{{ .Values.outcome }}"}
spec: {schedulerName: tests, restartPolicy: Never, containers: [{name: c, image: i}]}
"""
FILES = {
    "values.yaml": "size: small\noutcome: pass\n", "templates/map.yaml": _MAP, "templates/pod.yaml": None,
    "templates/hook.yaml": _HOOK % OUTCOME, "templates/test.yaml": _TEST % OUTCOME,
    "templates/NOTES.txt": "{{ .Release.Name }} is {{ .Values.size }}.\n",
}  # fmt: skip

REAL = [name for name in ("KUBEBUILDER_ASSETS", "CHARTROOM_TEST_KUBECONFIG") if os.environ.get(name)]
"""Variables that name a real Kubernetes API: the suite of releases runs there, too."""


@pytest.fixture(scope="module")
def stable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with serve(tmp_path_factory.mktemp("actions") / "data") as running:
        for name in ("memcached", "redis"):
            for version in ("1.0.0", "1.1.0"):
                chart = make_chart(name, version, files=FILES, appVersion="6.0")
                assert httpx.post(f"{running.url}/api/stable/charts", content=chart).status_code == 201
        yield running


@pytest.fixture(params=["sdk", "helm 3", "helm 4"])
def desk(request: pytest.FixtureRequest, stable: LiveServer, tmp_path: Path) -> Desk:
    backend, helm = str(request.param).partition(" ")[::2]
    wanted = f"v{helm or 4}."
    said = {path: Shell(tmp_path).helm(path, "version", "--short").out for path in find_helms()}
    twins = tuple(path for path, version in said.items() if wanted in version)
    if backend == "sdk":
        if find_spec("helm_python") is None:
            missing("helm-sdk")
        desk = Desk(tmp_path, backend, twins=twins)
    elif twins:
        desk = Desk(tmp_path, "binary", twins[0], twins, int(helm))
    else:
        pytest.skip(f"needs helm {helm}")
    desk.say("repo", "add", "stable", f"{stable.url}/stable")
    return desk


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A kubeconfig for the API that KUBEBUILDER_ASSETS holds."""
    with run_control_plane(Path(os.environ["KUBEBUILDER_ASSETS"]), tmp_path_factory.mktemp("kube")) as config:
        yield config


@pytest.fixture(params=["small", *REAL])
def api(request: pytest.FixtureRequest, desk: Desk) -> Iterator[KubeApi | RealApi]:
    """A cluster in whose namespace the desk's user works."""
    if request.param == "small":
        cluster: KubeApi | RealApi = KubeApi()
    elif request.param == "KUBEBUILDER_ASSETS":
        cluster = RealApi(request.getfixturevalue("control_plane"), desk.home)
    else:
        path = Path(os.environ["CHARTROOM_TEST_KUBECONFIG"])
        cluster = RealApi(yaml.safe_load(path.read_bytes()), desk.home)
    with cluster:
        cluster.write_kubeconfig(desk.home / "kubeconfig")
        yield cluster
