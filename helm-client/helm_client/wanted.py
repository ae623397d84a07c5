"""Which chart somebody means. Not here: how it is fetched (client.py)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from helm_client.errors import ChartNotFound
from helm_client.transfer import Access


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which chart: `reference` is `repository/chart`, an http(s) URL of an archive, `oci://...`, or with `repo_url` a
    name in the repository there. `version` is exact or a range, "" for the newest stable one.
    """

    reference: str
    version: str = ""
    repo_url: str = ""
    access: Access = field(default_factory=Access)
    plain_http: bool = False

    def find_local(self) -> Path | None:
        """Answer where the chart lies on this machine; None if the reference leads elsewhere.

        Raises ChartNotFound for a path, absolute or with a dot first, where nothing is.
        """
        path = Path(self.reference)
        if self.repo_url:
            return None
        if path.exists():
            return path
        if path.is_absolute() or self.reference.startswith("."):
            raise ChartNotFound(f'path "{self.reference}" not found')
        return None
