"""What the settings allow, and what one publish may do: each caller of `publish` passes its policy.

The limits are a policy of clients' uploads. What lies in the operator's own store, or is imported, is shown whole.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """What one publish may do; 0 means no limit.

    `overwrite`: other content may be replaced. `replaces`: only this content (a sha256 in hex), which must be there.
    `max_objects`: of archives and provenance files in the repository. `versions_per_chart`: beyond it an old one goes.
    """

    overwrite: bool = False
    replaces: str = ""
    max_objects: int = 0
    versions_per_chart: int = 0


UNLIMITED = Policy()
"""For what is shown whole: followed files and imports. Nothing is overwritten."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings allow clients, over both protocols. Zero means no limit."""

    allow_overwrite: bool = False
    allow_force: bool = True
    allow_delete: bool = True
    max_objects: int = 0
    versions_per_chart: int = 0

    def for_upload(self, *, force: bool = False) -> Policy:
        """Return the policy of a client's upload; `force` says that the client asks to overwrite."""
        overwrite = self.allow_overwrite or (force and self.allow_force)
        return Policy(overwrite, max_objects=self.max_objects, versions_per_chart=self.versions_per_chart)
