"""Which cluster and namespace an Environment means, and how a process of Helm's is told."""

from __future__ import annotations

import os
from typing import Any

from helm_client.environment import Environment
from helm_client.releases.kubeconfig import find_namespace


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
