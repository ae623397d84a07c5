"""Which cluster, and who is asking: kubeconfig files as kubectl and helm read them, or the pod's own account.

Of several files the first word wins for each name. Flags and Helm's variables come before all of them.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from helm_client.environment import Environment
from helm_client.errors import ClusterUnreachable, ConfigError

_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_PLUGIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """How to reach a Kubernetes API: its URL, how to trust it (None: plain http), who we are, which namespace."""

    server: str
    context: ssl.SSLContext | None
    namespace: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)


def load_cluster(environment: Environment) -> Cluster:
    """Find the cluster. Raises ConfigError for files that cannot be read, ClusterUnreachable without any."""
    document = _load_files(environment)
    name = environment.kube_context or document.get("current-context") or ""
    if environment.kube_context and name not in document["contexts"]:
        raise ConfigError(f'context "{name}" does not exist')
    context = document["contexts"].get(name) or {}
    cluster = dict(document["clusters"].get(context.get("cluster")) or {})
    user = dict(document["users"].get(context.get("user")) or {})
    if not cluster and not environment.kube_apiserver and (_POD / "token").exists():
        cluster, user, context = _read_pod()
    _lay_flags_over(cluster, user, environment)
    server = cluster.get("server") or ""
    if not server:
        raise ClusterUnreachable(
            "kubernetes cluster unreachable: no cluster is configured; set KUBECONFIG, or give --kubeconfig or "
            "--kube-apiserver"
        )
    server = server if "://" in server else f"https://{server}"
    namespace = environment.namespace or context.get("namespace") or "default"
    headers, user = _authenticate(user, cluster)
    tls = _make_context(cluster, user) if server.startswith("https") else None
    return Cluster(server.rstrip("/"), tls, namespace, headers)


def find_namespace(environment: Environment) -> str:
    """Answer the namespace that Helm would take, without asking anybody who we are. A broken file names none."""
    if environment.namespace:
        return environment.namespace
    try:
        document = _load_files(environment)
    except ConfigError:
        return "default"
    name = environment.kube_context or document.get("current-context") or ""
    context = document["contexts"].get(name) or {}
    if not document["clusters"] and not environment.kube_apiserver and (_POD / "token").exists():
        _, _, context = _read_pod()
    return str(context.get("namespace") or "default")


def _load_files(environment: Environment) -> dict[str, Any]:
    home = Path(environment.variables.get("HOME") or Path.home())
    paths = [Path(path) for path in environment.kubeconfig.split(os.pathsep) if path] or [home / ".kube" / "config"]
    merged: dict[str, Any] = {"clusters": {}, "users": {}, "contexts": {}}
    for path in paths:
        if not path.exists():
            continue
        try:
            document = yaml.safe_load(path.read_bytes()) or {}
            merged.setdefault("current-context", document.get("current-context") or None)
            for kind, singular in (("clusters", "cluster"), ("users", "user"), ("contexts", "context")):
                for one in document.get(kind) or ():
                    merged[kind].setdefault(one["name"], _resolve(one.get(singular) or {}, path.parent))
        except (OSError, yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise ConfigError(f"the kubeconfig {path} cannot be read: {error}") from error
        if merged["current-context"] is None:
            del merged["current-context"]
    return merged


def _resolve(fields: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Answer fields whose files are named from the folder of the kubeconfig."""
    files = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
    return {key: str(folder / value) if key in files and value else value for key, value in fields.items()}


def _read_pod() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    host = f"[{host}]" if ":" in host else host
    cluster = {"server": f"https://{host}:{port}", "certificate-authority": str(_POD / "ca.crt")} if host else {}
    namespace = _POD / "namespace"
    context = {"namespace": namespace.read_text().strip()} if namespace.exists() else {}
    return cluster, {"tokenFile": str(_POD / "token")}, context


def _lay_flags_over(cluster: dict[str, Any], user: dict[str, Any], environment: Environment) -> None:
    if environment.kube_apiserver:
        cluster["server"] = environment.kube_apiserver
    if environment.kube_ca_file:
        cluster.pop("certificate-authority-data", None)
        cluster["certificate-authority"] = environment.kube_ca_file
    if environment.kube_insecure_skip_tls_verify:
        cluster["insecure-skip-tls-verify"] = True
    if environment.kube_tls_server_name:
        cluster["tls-server-name"] = environment.kube_tls_server_name
    if environment.kube_token:
        user.clear()
        user["token"] = environment.kube_token
    if environment.kube_as_user:
        user["as"] = environment.kube_as_user
    if environment.kube_as_groups:
        user["as-groups"] = list(environment.kube_as_groups)


def _authenticate(user: dict[str, Any], cluster: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Answer the headers that say who is asking, and the user with what a credential plugin adds."""
    if user.get("exec"):
        user = {**user, **_run_plugin(user["exec"], cluster)}
    elif user.get("auth-provider"):
        raise ConfigError("auth-provider in a kubeconfig went with Kubernetes 1.26; use a credential plugin (exec)")
    headers = {}
    token = user.get("token") or ""
    if user.get("tokenFile") and not token:
        token = Path(user["tokenFile"]).read_text().strip()
    if token:
        headers["Authorization"] = f"Bearer {token}"
    elif user.get("username"):
        pair = f"{user['username']}:{user.get('password', '')}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    if user.get("as"):
        headers["Impersonate-User"] = user["as"]
        if user.get("as-groups"):
            headers["Impersonate-Group"] = ",".join(user["as-groups"])
    return headers, user


def _run_plugin(plugin: dict[str, Any], cluster: dict[str, Any]) -> dict[str, Any]:
    """Ask a credential plugin (client.authentication.k8s.io) for a token or a certificate. Raises ConfigError."""
    version = plugin.get("apiVersion") or "client.authentication.k8s.io/v1"
    spec: dict[str, Any] = {"interactive": False}
    if plugin.get("provideClusterInfo"):
        spec["cluster"] = {key: cluster[key] for key in ("server", "certificate-authority-data") if key in cluster}
    info = json.dumps({"apiVersion": version, "kind": "ExecCredential", "spec": spec})
    own = {one["name"]: one["value"] for one in plugin.get("env") or ()}
    try:
        done = subprocess.run(  # noqa: S603 - the user's own kubeconfig names it
            [plugin["command"], *(plugin.get("args") or ())], capture_output=True, check=True, timeout=_PLUGIN_SECONDS,
            env={**os.environ, **own, "KUBERNETES_EXEC_INFO": info},
        )  # fmt: skip
        status = json.loads(done.stdout)["status"]
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode("utf-8", "replace").strip()
        raise ConfigError(f"the credential plugin {plugin['command']} failed: {reason or error}") from error
    except (OSError, subprocess.SubprocessError, ValueError, LookupError, TypeError) as error:
        hint = f" ({plugin['installHint']})" if plugin.get("installHint") else ""
        raise ConfigError(
            f"the credential plugin {plugin.get('command')} gave no credentials: {error}{hint}"
        ) from error
    names = {"token": "token", "clientCertificateData": "certificate", "clientKeyData": "key"}
    return {name: status[key] for key, name in names.items() if status.get(key)}


def _make_context(cluster: dict[str, Any], user: dict[str, Any]) -> ssl.SSLContext:
    try:
        data = base64.b64decode(cluster.get("certificate-authority-data") or "").decode() or None
        context = ssl.create_default_context(cafile=cluster.get("certificate-authority"), cadata=data)
        if cluster.get("insecure-skip-tls-verify"):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        _load_certificate(context, user)
    except (OSError, ValueError) as error:
        raise ConfigError(f"the certificates in the kubeconfig cannot be used: {error}") from error
    return context


def _load_certificate(context: ssl.SSLContext, user: dict[str, Any]) -> None:
    """Let the context show our certificate; Python takes it from files only."""
    with tempfile.TemporaryDirectory(prefix="helm-client-") as folder:
        files: dict[str, str | None] = {}
        for name in ("certificate", "key"):
            data = base64.b64decode(user.get(f"client-{name}-data") or "") or str(user.get(name) or "").encode()
            files[name] = user.get(f"client-{name}")
            if data:
                files[name] = place = os.path.join(folder, name)
                with open(os.open(place, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                    file.write(data)
        if files["certificate"]:
            context.load_cert_chain(files["certificate"], files["key"])
