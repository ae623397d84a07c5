"""Where Helm keeps its files, and what its environment variables say. Read once, at the top; no global state.

The places and variables are Helm's own (`helm env`, helmpath), so that both share one configuration.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from helm_client.homes import CACHE, CONFIG, DATA, find_home, find_repository_cache


@dataclass(frozen=True, slots=True)
class Environment:
    """Helm's places and settings; `variables` is the environment that they were read from."""

    config_home: Path
    cache_home: Path
    data_home: Path
    repository_config: Path
    repository_cache: Path
    registry_config: Path
    content_cache: Path
    kubeconfig: str = ""
    kube_context: str = ""
    kube_apiserver: str = ""
    kube_token: str = ""
    kube_ca_file: str = ""
    kube_as_user: str = ""
    kube_as_groups: tuple[str, ...] = ()
    kube_insecure_skip_tls_verify: bool = False
    kube_tls_server_name: str = ""
    namespace: str = ""
    driver: str = "secret"
    max_history: int = 10
    debug: bool = False
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, variables: Mapping[str, str] | None = None) -> Self:
        """Read the environment: the process's own, unless another is given."""
        env = dict(os.environ if variables is None else variables)
        config, cache, data = (Path(find_home(env, place)) for place in (CONFIG, CACHE, DATA))

        def path(name: str, default: Path) -> Path:
            return Path(env.get(name) or default)

        return cls(
            config_home=config,
            cache_home=cache,
            data_home=data,
            repository_config=path("HELM_REPOSITORY_CONFIG", config / "repositories.yaml"),
            repository_cache=Path(find_repository_cache(env)),
            registry_config=path("HELM_REGISTRY_CONFIG", config / "registry" / "config.json"),
            content_cache=path("HELM_CONTENT_CACHE", cache / "content"),
            kubeconfig=env.get("KUBECONFIG", ""),
            kube_context=env.get("HELM_KUBECONTEXT", ""),
            kube_apiserver=env.get("HELM_KUBEAPISERVER", ""),
            kube_token=env.get("HELM_KUBETOKEN", ""),
            kube_ca_file=env.get("HELM_KUBECAFILE", ""),
            kube_as_user=env.get("HELM_KUBEASUSER", ""),
            kube_as_groups=tuple(filter(None, env.get("HELM_KUBEASGROUPS", "").split(","))),
            kube_insecure_skip_tls_verify=_is_true(env.get("HELM_KUBEINSECURE_SKIP_TLS_VERIFY", "")),
            kube_tls_server_name=env.get("HELM_KUBETLS_SERVER_NAME", ""),
            namespace=env.get("HELM_NAMESPACE", ""),
            driver=env.get("HELM_DRIVER", "").lower() or "secret",
            max_history=_to_int(env.get("HELM_MAX_HISTORY", ""), 10),
            debug=_is_true(env.get("HELM_DEBUG", "")),
            variables=env,
        )

    def with_changes(self, **changes: Any) -> Self:
        """Answer the same with some fields replaced; None and empty text leave a field as it is."""
        return replace(self, **{name: value for name, value in changes.items() if value not in (None, "", ())})


def _is_true(text: str) -> bool:
    return text in {"1", "t", "T", "TRUE", "true", "True"}  # strconv.ParseBool


def _to_int(text: str, default: int) -> int:
    try:
        return int(text)
    except ValueError:
        return default
