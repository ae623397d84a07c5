"""Which cluster and namespace an Environment means, and how a process of Helm's is told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from helm_client.environment import Environment

_IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def find_namespace(environment: Environment) -> str:
    """Answer the namespace: the one asked for, else of the kubeconfig's context, else the pod's own, else default."""
    if environment.namespace:
        return environment.namespace
    configs = [config for path in _list_files(environment) if (config := _read_config(path))]
    current = environment.kube_context or next(filter(None, (config.get("current-context") for config in configs)), "")
    for config in configs:
        for entry in config.get("contexts") or []:
            if isinstance(entry, dict) and entry.get("name") == current:
                return str((entry.get("context") or {}).get("namespace") or "default")
    if not configs and "KUBERNETES_SERVICE_HOST" in environment.variables:
        return _find_pod_namespace(environment)
    return "default"


def make_variables(environment: Environment) -> dict[str, str]:
    """Answer the environment of a process of Helm's. Secrets travel in it, where no other user can read them."""
    said = {
        "HELM_CONFIG_HOME": environment.config_home,
        "HELM_CACHE_HOME": environment.cache_home,
        "HELM_DATA_HOME": environment.data_home,
        "HELM_REPOSITORY_CONFIG": environment.repository_config,
        "HELM_REPOSITORY_CACHE": environment.repository_cache,
        "HELM_REGISTRY_CONFIG": environment.registry_config,
        "HELM_CONTENT_CACHE": environment.content_cache,
        "HELM_NAMESPACE": find_namespace(environment),
        "HELM_DRIVER": environment.driver,
        "HELM_MAX_HISTORY": environment.max_history,
        "KUBECONFIG": environment.kubeconfig,
        "HELM_KUBECONTEXT": environment.kube_context,
        "HELM_KUBEAPISERVER": environment.kube_apiserver,
        "HELM_KUBETOKEN": environment.kube_token,
        "HELM_KUBECAFILE": environment.kube_ca_file,
        "HELM_KUBEASUSER": environment.kube_as_user,
        "HELM_KUBEASGROUPS": ",".join(environment.kube_as_groups),
        "HELM_KUBEINSECURE_SKIP_TLS_VERIFY": "true" if environment.kube_insecure_skip_tls_verify else "",
        "HELM_KUBETLS_SERVER_NAME": environment.kube_tls_server_name,
    }
    variables = {name: value for name, value in environment.variables.items() if name not in said}
    return variables | {name: str(value) for name, value in said.items() if str(value)} | {"HELM_DEBUG": "false"}


def make_settings(environment: Environment) -> dict[str, Any]:
    """Answer what helm-python-sdk's configuration takes; it reads no HELM_KUBE variable."""
    named = environment.kubeconfig
    from_flag = named and named != environment.variables.get("KUBECONFIG") and os.pathsep not in named
    settings = {
        "kubeconfig_path": named if from_flag else "",
        "kube_context": environment.kube_context,
        "kube_token": environment.kube_token,
        "kube_apiserver": environment.kube_apiserver,
        "kube_ca_file": environment.kube_ca_file,
        "kube_tls_server_name": environment.kube_tls_server_name,
        "kube_insecure_skip_tls_verify": environment.kube_insecure_skip_tls_verify,
        "kube_as_user": environment.kube_as_user,
        "kube_as_groups": list(environment.kube_as_groups),
        "namespace": find_namespace(environment),
        "storage_driver": environment.driver,
    }
    return {name: value for name, value in settings.items() if value}


def _list_files(environment: Environment) -> list[Path]:
    if environment.kubeconfig:
        return [Path(name) for name in environment.kubeconfig.split(os.pathsep) if name]
    return [Path(environment.variables.get("HOME") or Path.home()) / ".kube" / "config"]


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}  # Helm says what is wrong with it, if it is needed
    return config if isinstance(config, dict) else {}


def _find_pod_namespace(environment: Environment) -> str:
    if environment.variables.get("POD_NAMESPACE"):
        return environment.variables["POD_NAMESPACE"]
    try:
        return _IN_CLUSTER.read_text(encoding="utf-8").strip() or "default"
    except OSError:
        return "default"
