"""A real Kubernetes API: etcd and kube-apiserver from the folder KUBEBUILDER_ASSETS, on free loopback ports.

No controller, no scheduler and no kubelet run beside it: `tests/kube/real.py` does what tests need of them.
"""

from __future__ import annotations

import base64
import secrets
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.servers import free_port

_START_SECONDS = 120.0
_STOP_SECONDS = 20.0


@contextmanager
def run_control_plane(assets: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """Run both programs for the time of a block; answer a kubeconfig for a user who may do everything."""
    folder.mkdir(parents=True, exist_ok=True)
    etcd, peer, port = free_port(), free_port(), free_port()
    store = f"http://127.0.0.1:{etcd}"
    keeper = [
        str(assets / "etcd"), f"--data-dir={folder / 'etcd'}", f"--listen-client-urls={store}",
        f"--advertise-client-urls={store}", f"--listen-peer-urls=http://127.0.0.1:{peer}", "--unsafe-no-fsync",
    ]  # fmt: skip
    token = secrets.token_hex(16)
    (folder / "tokens.csv").write_text(f'{token},tests,tests,"system:masters"\n')
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (folder / "accounts.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    server = [
        str(assets / "kube-apiserver"), f"--etcd-servers={store}", "--bind-address=127.0.0.1",
        f"--secure-port={port}", f"--cert-dir={folder}", f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount", "--allow-privileged=true",
        "--service-cluster-ip-range=10.0.0.0/24", "--service-account-issuer=https://localhost",
        f"--service-account-key-file={folder / 'accounts.key'}",
        f"--service-account-signing-key-file={folder / 'accounts.key'}",
    ]  # fmt: skip
    url = f"https://127.0.0.1:{port}"
    with _running(keeper, folder / "etcd.log"), _running(server, folder / "apiserver.log") as process:
        _await_ready(url, token, process, folder)
        authority = base64.b64encode((folder / "apiserver.crt").read_bytes()).decode()
        yield {
            "apiVersion": "v1", "kind": "Config", "current-context": "tests",
            "clusters": [{"name": "tests", "cluster": {"server": url, "certificate-authority-data": authority}}],
            "users": [{"name": "tests", "user": {"token": token}}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
        }  # fmt: skip


@contextmanager
def _running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_ready(url: str, token: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    headers = {"Authorization": f"Bearer {token}"}
    while True:
        try:
            certificate = ssl.create_default_context(cafile=folder / "apiserver.crt")
            if httpx.get(f"{url}/readyz", headers=headers, verify=certificate).status_code == 200:
                return
        except (OSError, httpx.TransportError):
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"kube-apiserver did not start:\n{(folder / 'apiserver.log').read_text()[-3000:]}")
        time.sleep(0.2)
