"""A chart repository behind an http or https URL: its index, and its archives brought to disk."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Self

from helm_client import addresses
from helm_client.errors import DigestMismatch, InvalidIndex, RepositoryUnavailable
from helm_client.index import ChartVersion, Index, read_index
from helm_client.transfer import Access, Progress, Session, unfinished

_ARCHIVE = {"Accept": "application/gzip,application/octet-stream", "Accept-Encoding": "identity"}


class Repository:
    """One repository. Credentials go to its own scheme, host and port only; they may stand in the URL.

    `access` says more about how to reach it. The index is kept and asked for again with its ETag. Close it, or use it
    in a `with` block.
    """

    def __init__(
        self, url: str, username: str | None = None, password: str | None = None, *,
        access: Access | None = None, progress: Progress | None = None,
    ) -> None:  # fmt: skip
        if not addresses.is_fetchable(url):
            raise RepositoryUnavailable(f"{addresses.mask(url)} is no http or https URL")
        access = access or Access()
        access = replace(access, username=username or access.username, password=password or access.password)
        self._session = Session(url, access, progress)
        self.url = self._session.url
        self._known: tuple[str, Index] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the connections go."""
        self._session.close()

    def index(self) -> Index:
        """Fetch the index as it is now. Raises RepositoryUnavailable, InvalidIndex."""
        content, etag = self.fetch_index(self._known[0] if self._known else "")
        if content is None and self._known:
            return self._known[1]
        index = read_index(content or b"")
        self._known = (etag, index) if etag else None
        return index

    def fetch_index(self, etag: str = "") -> tuple[bytes | None, str]:
        """Fetch the bytes of the index and their ETag; None for the bytes when they are still those with `etag`.

        Raises RepositoryUnavailable.
        """
        headers = {"If-None-Match": etag} if etag else {}
        url = addresses.below(self.url, "index.yaml")
        with self._session.get(url, headers, *((304,) if etag else ())) as response:
            found = response.headers.get("ETag", "")
            return (None, etag) if response.status_code == 304 else (response.read(), found)

    def search(self, words: str = "") -> list[ChartVersion]:
        """Answer the charts that have every word; see `Index.search`. Raises as `index` does."""
        return self.index().search(words)

    def versions(self, name: str) -> tuple[ChartVersion, ...]:
        """Answer every version of a chart, newest first. Raises ChartNotFound, and as `index` does."""
        return self.index().get_versions(name)

    def fetch(
        self, name: str, version: str | None = None, destination: str | Path = ".", *, provenance: bool = False
    ) -> Path:
        """Bring an archive, and with `provenance` its .prov file, into a folder; answer the archive's path.

        `version` is exact or a range (`~10.5`); without it, the newest stable one. Raises ChartNotFound,
        DigestMismatch, and as `index` does; OSError.
        """
        return self.fetch_version(self.index().get_version(name, version), destination, provenance=provenance)

    def fetch_version(self, found: ChartVersion, destination: str | Path = ".", *, provenance: bool = False) -> Path:
        """Bring the archive of an entry of the index into a folder; answer its path.

        The archive must have the index's digest, where the index has one. Signatures are not checked here. Files appear
        under their names whole, or not at all. Raises DigestMismatch, InvalidIndex, RepositoryUnavailable; OSError.
        """
        if not found.urls:
            raise InvalidIndex(f"the index has no URL for {found.name} {found.version}")
        url = addresses.chart_url(self.url, found.urls[0])
        return self.fetch_url(url, destination, digest=found.digest, provenance=provenance)

    def fetch_url(self, url: str, destination: str | Path = ".", *, digest: str = "", provenance: bool = False) -> Path:
        """Bring the archive at a URL into a folder; answer its path. `digest` is its sha256, "" if nobody knows.

        Raises as `fetch_version` does.
        """
        target = Path(destination) / addresses.filename_of(url)
        with unfinished(target) as archive, unfinished(target) as signature:
            found, wanted = self._session.save(url, archive, _ARCHIVE), digest.removeprefix("sha256:").lower()
            if wanted and found != wanted:
                raise DigestMismatch(f"{addresses.mask(url)} has sha256 {found}, but the index says {wanted}")
            if provenance:
                self._session.save(addresses.provenance_url(url), signature, _ARCHIVE)
                os.replace(signature, target.with_name(f"{target.name}.prov"))
            os.replace(archive, target)
        return target
