"""A chart repository behind an http or https URL: its index, and its archives brought to disk."""

from __future__ import annotations

import hashlib
import os
import secrets
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit, urlunsplit

import httpx

from helm_client import addresses
from helm_client.errors import DigestMismatch, InvalidIndex, RepositoryUnavailable
from helm_client.index import ChartVersion, Index, read_index

_ARCHIVE = {"Accept": "application/gzip,application/octet-stream", "Accept-Encoding": "identity"}


class Repository:
    """One repository. Credentials go to its own scheme, host and port only; they may stand in the URL.

    `ca_file` names the only authorities to trust (PEM); `timeout` is in seconds, for each step of a request. The
    index is kept and asked for again with its ETag. Close it, or use it in a `with` block.
    """

    def __init__(
        self, url: str, username: str | None = None, password: str | None = None, *,
        ca_file: str | Path | None = None, timeout: float = 30.0,
    ) -> None:  # fmt: skip
        if not addresses.is_fetchable(url):
            raise RepositoryUnavailable(f"{addresses.mask(url)} is no http or https URL")
        parts = urlsplit(url)
        self.url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        username, password = username or unquote(parts.username or ""), password or unquote(parts.password or "")
        self._auth = httpx.BasicAuth(username, password) if username and password else None
        verify = ssl.create_default_context(cafile=str(ca_file)) if ca_file else True
        self._client = httpx.Client(timeout=timeout, verify=verify, follow_redirects=True, max_redirects=10)
        self._known: tuple[str, Index] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()

    def index(self) -> Index:
        """Fetch the index as it is now. Raises RepositoryUnavailable, InvalidIndex."""
        headers = {"If-None-Match": self._known[0]} if self._known else {}
        with self._get(addresses.below(self.url, "index.yaml"), headers) as response:
            if response.status_code == 304 and self._known:
                return self._known[1]
            index, etag = read_index(response.read()), response.headers.get("ETag")
        self._known = (etag, index) if etag else None
        return index

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

        `version` is exact; without it, the newest stable one. The archive must have the index's digest, where the
        index has one. Signatures are not checked yet. Files appear under their names whole, or not at all.
        Raises ChartNotFound, DigestMismatch, and as `index` does; OSError.
        """
        found = self.index().get_version(name, version)
        if not found.urls:
            raise InvalidIndex(f"the index has no URL for {name} {found.version}")
        url = addresses.chart_url(self.url, found.urls[0])
        target = Path(destination) / addresses.filename_of(url)
        with _unfinished(target) as archive, _unfinished(target) as signature:
            digest, wanted = self._save(url, archive), found.digest.removeprefix("sha256:").lower()
            if wanted and digest != wanted:
                raise DigestMismatch(f"{addresses.mask(url)} has sha256 {digest}, but the index says {wanted}")
            if provenance:
                self._save(addresses.provenance_url(url), signature)
                os.replace(signature, target.with_name(f"{target.name}.prov"))
            os.replace(archive, target)
        return target

    def _save(self, url: str, path: Path) -> str:
        """Write what a URL holds to a new file, unchanged; answer its sha256."""
        digest = hashlib.sha256()
        with self._get(url, _ARCHIVE) as response, path.open("xb") as file:
            for chunk in response.iter_raw():
                digest.update(chunk)
                file.write(chunk)
        return digest.hexdigest()

    @contextmanager
    def _get(self, url: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        auth, where = self._auth if addresses.same_origin(self.url, url) else None, addresses.mask(url)
        try:
            with self._client.stream("GET", url, headers=headers, auth=auth) as response:
                if response.status_code != 200 and not (response.status_code == 304 and "If-None-Match" in headers):
                    refused = RepositoryUnavailable(f"{where} answers {response.status_code}")
                    refused.status = response.status_code
                    raise refused
                yield response
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RepositoryUnavailable(f"{where}: {str(error) or type(error).__name__}") from error


@contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """Answer a name beside a file to write under first; what is left there at the end goes."""
    path = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
