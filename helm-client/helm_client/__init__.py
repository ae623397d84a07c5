"""A thin Helm client: it searches, fetches and pushes charts, and knows releases; repositories it knows by HTTP only.

`Client` is the front, `AsyncClient` the same for asyncio; what can go wrong is one tree, drawn in `helm_client.errors`.
Names are imported when they are first used: the command line starts in a third of the time.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from helm_client.aio import AsyncClient
    from helm_client.client import Client, KnownRepository, Update
    from helm_client.environment import Environment
    from helm_client.errors import (
        ChartNotFound,
        ClusterUnreachable,
        ConfigError,
        DigestMismatch,
        EngineError,
        EngineMissing,
        HelmClientError,
        InvalidChart,
        InvalidIndex,
        NameInUse,
        RegistryError,
        ReleaseConflict,
        ReleaseError,
        ReleaseNotFound,
        ReleaseTimeout,
        RepositoryUnavailable,
        SignatureError,
        VerificationError,
    )
    from helm_client.index import ChartVersion, Index
    from helm_client.releases import Filter, Release, ReleaseStore
    from helm_client.repositories import Entry
    from helm_client.repository import Repository
    from helm_client.search import Match
    from helm_client.transfer import Access
    from helm_client.wanted import Wanted

_PLACES = {
    "Access": "transfer", "AsyncClient": "aio", "ChartVersion": "index", "Client": "client", "Entry": "repositories",
    "Environment": "environment", "Filter": "releases", "Index": "index", "KnownRepository": "client",
    "Match": "search", "Release": "releases", "ReleaseStore": "releases", "Repository": "repository",
    "Update": "client", "Wanted": "wanted",
}  # fmt: skip
"""Where a name comes from, if not from `errors`."""

__all__ = [
    "Access", "AsyncClient", "ChartNotFound", "ChartVersion", "Client", "ClusterUnreachable", "ConfigError",
    "DigestMismatch", "EngineError", "EngineMissing", "Entry", "Environment", "Filter", "HelmClientError", "Index",
    "InvalidChart", "InvalidIndex", "KnownRepository", "Match", "NameInUse", "RegistryError", "Release",
    "ReleaseConflict", "ReleaseError", "ReleaseNotFound", "ReleaseStore", "ReleaseTimeout", "Repository",
    "RepositoryUnavailable", "SignatureError", "Update", "VerificationError", "Wanted",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES.get(name, 'errors')}"), name)
