"""A chart repository over HTTP: an index.yaml, and archives at the URLs it lists.

httpx is imported at the first request. Nothing is decoded that Helm would not decode: an archive is what the server
stored, whatever Content-Encoding it claims (Helm: getter.HTTPGetter, DisableCompression).
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from app.domain.foreign import Listed, list_foreign_index, url_filename
from app.errors import AppError, Kind
from app.upstream.protocol import Offer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

MAX_INDEX = 512 * 1024 * 1024
"""Bytes of the largest index that is read."""

_MAX_PROVENANCE = 1024 * 1024
_SIGNED = ".prov"
_TIMEOUT, _CONNECT = 60.0, 10.0  # seconds
_WAITS = (0.5, 2.0)  # seconds before a second and a third try
_PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))
_ABSENT = frozenset((401, 403, 404, 405, 410))  # what hosts answer for a provenance file that they do not have
_SHA256 = re.compile("[0-9a-f]{64}")


class _Passing(Exception):
    """A failure that another try may mend."""


class HelmRepository:
    """The repository at `url`, with or without its `/index.yaml`; `user:password@` in it stays with its own host."""

    def __init__(self, url: str, *, agent: str = "chartroom", connections: int = 16) -> None:
        self._url = url
        self._agent = agent
        self._connections = connections
        self._opened: httpx.AsyncClient | None = None

    async def list_offers(self) -> list[Offer]:
        """Answer what the index lists, each URL resolved against the index's own final one (RFC 3986, section 5).

        Raises AppError INVALID when there is no index, UNAVAILABLE when the server does not answer.
        """
        address = self._index_url()
        try:
            final, content = await self._fetch(address, MAX_INDEX, decoded=True)
            listed = await asyncio.to_thread(list_foreign_index, content)
        except ValueError as error:
            raise AppError(Kind.INVALID, f"{mask(address)}: {error}") from error
        except AppError as error:
            raise AppError(error.kind, f"{mask(address)}: {error.message}") from error
        return list({offer.address: offer for offer in (_offer(final, one) for one in listed)}.values())

    async def read_archive(self, offer: Offer, limit: int) -> bytes:
        """Answer an archive's bytes as they lie on the server. Raises AppError."""
        return (await self._fetch(offer.address, limit))[1]

    async def read_provenance(self, offer: Offer) -> bytes | None:
        """Answer what lies beside the archive, whatever it is; None where the server has nothing. Raises AppError."""
        parts = urlsplit(offer.address)
        try:
            return (await self._fetch(parts._replace(path=parts.path + _SIGNED).geturl(), _MAX_PROVENANCE))[1]
        except AppError as error:
            if error.kind in (Kind.NOT_FOUND, Kind.TOO_LARGE):
                return None
            raise

    async def close(self) -> None:
        """Close every connection."""
        if self._opened is not None:
            await self._opened.aclose()

    def _index_url(self) -> str:
        parts = urlsplit(self._url)
        if parts.path.endswith("/index.yaml"):
            return self._url
        return parts._replace(path=parts.path.rstrip("/") + "/index.yaml").geturl()

    async def _fetch(self, url: str, limit: int, *, decoded: bool = False) -> tuple[str, bytes]:
        """Answer the final URL and the body; try again after failures that pass."""
        for wait in (*_WAITS, None):
            try:
                return await self._fetch_once(url, limit, decoded)
            except _Passing as error:
                if wait is None:
                    raise AppError(Kind.UNAVAILABLE, str(error)) from error
                await asyncio.sleep(wait)
        raise AssertionError("unreachable")

    async def _fetch_once(self, url: str, limit: int, decoded: bool) -> tuple[str, bytes]:
        content = bytearray()
        async with self._request(url, decoded) as response:
            _check_status(response.status_code)
            async for chunk in response.aiter_bytes() if decoded else response.aiter_raw():
                content += chunk
                if len(content) > limit:
                    raise AppError(Kind.TOO_LARGE, f"it is larger than {limit} bytes, the limit")
            return str(response.url), bytes(content)

    @asynccontextmanager
    async def _request(self, url: str, decoded: bool) -> AsyncIterator[httpx.Response]:
        import httpx

        headers = {} if decoded else {"Accept-Encoding": "identity"}
        try:
            async with self._client().stream("GET", url, headers=headers, auth=self._credentials(url)) as response:
                yield response
        except (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.DecodingError, httpx.InvalidURL) as error:
            raise AppError(Kind.INVALID, str(error)) from error
        except httpx.TransportError as error:
            raise _Passing(str(error) or type(error).__name__) from error

    def _client(self) -> httpx.AsyncClient:
        import httpx

        if self._opened is None:
            self._opened = httpx.AsyncClient(
                follow_redirects=True, timeout=httpx.Timeout(_TIMEOUT, connect=_CONNECT),
                limits=httpx.Limits(max_connections=self._connections), headers={"User-Agent": self._agent},
            )  # fmt: skip
        return self._opened

    def _credentials(self, url: str) -> tuple[str, str] | None:
        """Answer the user and password of the repository for URLs of its own host only; others must not see them."""
        import httpx

        own, other = httpx.URL(self._url), httpx.URL(url)
        same = (own.scheme, own.host, own.port) == (other.scheme, other.host, other.port)
        return (own.username, own.password) if own.username and same else None


def mask(url: str) -> str:
    """Answer a URL without the password in it, for messages."""
    return re.sub(r"//[^/@]*@", "//***@", url, count=1)


def _offer(index_url: str, listed: Listed) -> Offer:
    name = url_filename(listed.url)
    digest = listed.digest.lower()
    return Offer(
        "", name if name.endswith(".tgz") else "", _resolve(index_url, listed.url), listed.created,
        digest if _SHA256.fullmatch(digest) else "",
    )  # fmt: skip


def _resolve(index_url: str, url: str) -> str:
    """Answer the absolute URL; one that cannot be is answered as it is, and refused when it is asked for."""
    import httpx

    try:
        return str(httpx.URL(index_url).join(url))
    except httpx.InvalidURL:
        return url


def _check_status(status: int) -> None:
    if status == 200:
        return
    if status in _PASSING:
        raise _Passing(f"the server answers {status}")
    kind = Kind.NOT_FOUND if status in _ABSENT else Kind.INVALID
    hint = "; write the address as https://user:password@host/..." if status == 401 else ""
    raise AppError(kind, f"the server answers {status}{hint}")
