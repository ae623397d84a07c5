"""Releases: what Helm keeps of them in the cluster, read without Helm."""

from helm_client.releases.record import Hook, Release
from helm_client.releases.store import Filter, ReleaseStore

__all__ = ["Filter", "Hook", "Release", "ReleaseStore"]
