"""A thin Helm client; it knows chart repositories only by HTTP.

Names are imported when they are first used: the command line starts in a third of the time.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from helm_client.repository import Repository
    from helm_client.transfer import Access

__all__ = [
    "Access", "ChartNotFound", "ChartVersion", "ClusterUnreachable", "ConfigError", "DigestMismatch", "EngineError",
    "EngineMissing", "HelmClientError", "Index", "InvalidChart", "InvalidIndex", "NameInUse", "RegistryError",
    "ReleaseConflict", "ReleaseError", "ReleaseNotFound", "ReleaseTimeout", "Repository", "RepositoryUnavailable",
    "SignatureError", "VerificationError",
]  # fmt: skip

_PLACES = {"Access": "transfer", "ChartVersion": "index", "Index": "index", "Repository": "repository"}
"""Where a name comes from, if not from `errors`."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES.get(name, 'errors')}"), name)
