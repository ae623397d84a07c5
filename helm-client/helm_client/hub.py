"""Search in a hub: Artifact Hub, or any server with Monocular's search API, such as Chartroom."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from helm_client.errors import RepositoryUnavailable
from helm_client.transfer import Access, Session

DEFAULT_ENDPOINT = "https://hub.helm.sh"


@dataclass(frozen=True, slots=True)
class HubChart:
    """A chart that a hub knows: a page about it, its newest version, and the URL of its repository."""

    url: str
    version: str
    app_version: str
    description: str
    repository_name: str
    repository_url: str


def search_hub(words: str, endpoint: str = DEFAULT_ENDPOINT, *, access: Access | None = None) -> list[HubChart]:
    """Answer the charts that a hub finds. Raises RepositoryUnavailable."""
    if urlsplit(endpoint).scheme not in ("http", "https"):
        raise RepositoryUnavailable(f"invalid hub endpoint {endpoint!r}: it needs http:// or https://")
    session = Session(endpoint, access or Access())
    url = f"{endpoint.rstrip('/')}/api/chartsvc/v1/charts/search?{urlencode({'q': words})}"
    try:
        with session.get(url) as response:
            document = json.loads(response.read())
        return [_read(one, endpoint) for one in document["data"] or []]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise RepositoryUnavailable(f"{endpoint} does not answer as a hub does") from error
    finally:
        session.close()


def _read(one: dict[str, Any], endpoint: str) -> HubChart:
    attributes, latest = one["attributes"], one["relationships"]["latestChartVersion"]["data"]
    repository = attributes["repo"]
    package = (one.get("artifactHub") or {}).get("packageUrl") or f"{endpoint.rstrip('/')}/charts/{one['id']}"
    return HubChart(
        package, latest["version"], latest.get("app_version") or "", attributes.get("description") or "",
        repository.get("name") or "", repository.get("url") or "",
    )  # fmt: skip
