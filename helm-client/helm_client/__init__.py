"""A thin Helm client; it knows chart repositories only by HTTP."""

from helm_client.errors import ChartNotFound, DigestMismatch, HelmClientError, InvalidIndex, RepositoryUnavailable
from helm_client.index import ChartVersion, Index
from helm_client.repository import Repository

__all__ = [
    "ChartNotFound", "ChartVersion", "DigestMismatch", "HelmClientError", "Index", "InvalidIndex", "Repository",
    "RepositoryUnavailable",
]  # fmt: skip
