"""HTTP as this package speaks it: credentials that stay at home, tries that are repeated, files that are whole.

One `Session` is one server. Credentials go to its own scheme, host and port; with `pass_credentials` elsewhere, too.
"""

from __future__ import annotations

import hashlib
import os
import random
import secrets
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import httpx

from helm_client import addresses
from helm_client.errors import ConfigError, RepositoryUnavailable

Progress = Callable[[str, int, int], None]
"""Called with what is being fetched, how many bytes have come, and how many there are (0: unknown)."""

USER_AGENT = "helm-client/0.1"

_AGAIN = {429, 500, 502, 503, 504}
_LONGEST_WAIT = 10.0
"""Seconds between two tries, at most, whatever Retry-After says."""


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a server. Empty text means none; `timeout` is in seconds, for each step of a request.

    `ca_file` names the only authorities to trust (PEM); `cert_file` and `key_file` say who we are. `tries` counts the
    first one, too: a try is repeated when there was no answer, or 429, 500, 502, 503 or 504.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    insecure_skip_tls_verify: bool = False
    pass_credentials: bool = False
    timeout: float = 30.0
    tries: int = 3


class Session:
    """Requests to one server and to where it points. `progress` hears of every file."""

    def __init__(self, url: str, access: Access, progress: Progress | None = None) -> None:
        parts = urlsplit(url)
        self.url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        username = access.username or unquote(parts.username or "")
        password = access.password or unquote(parts.password or "")
        self.auth = httpx.BasicAuth(username, password) if username and password else None
        self._access = access
        self._progress = progress
        self._client = httpx.Client(
            timeout=access.timeout, verify=make_context(access), follow_redirects=True, max_redirects=10,
            headers={"User-Agent": USER_AGENT},
        )  # fmt: skip

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()

    @contextmanager
    def get(self, url: str, headers: Mapping[str, str] | None = None, *also: int) -> Iterator[httpx.Response]:
        """GET a URL: 200, or one of the statuses in `also`. Raises RepositoryUnavailable."""
        with self.send("GET", url, headers) as response:
            if response.status_code != 200 and response.status_code not in also:
                raise refused(url, response)
            yield response

    @contextmanager
    def send(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, *, content: Any = None
    ) -> Iterator[httpx.Response]:
        """Send a request, again where that may help, and answer whatever comes. Raises RepositoryUnavailable."""
        home = self._access.pass_credentials or addresses.same_origin(self.url, url)
        tries = self._access.tries if method in ("GET", "HEAD") else 1
        try:
            request = self._client.build_request(method, url, headers=dict(headers or {}), content=content)
            response = self._try(request, self.auth if home else None, tries)
            try:
                yield response
            finally:
                response.close()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            where = addresses.mask(url)
            raise RepositoryUnavailable(f"{where}: {str(error) or type(error).__name__}") from error

    def _try(self, request: httpx.Request, auth: httpx.Auth | None, tries: int) -> httpx.Response:
        for number in range(1, tries + 1):
            try:
                response = self._client.send(request, auth=auth, stream=True)
            except httpx.TransportError:
                if number == tries:
                    raise
                _pause(number, "")
            else:
                if response.status_code not in _AGAIN or number == tries:
                    return response
                response.close()
                _pause(number, response.headers.get("Retry-After", ""))
        raise AssertionError("a session tries once at least")

    def save(self, url: str, path: Path, headers: Mapping[str, str] | None = None) -> str:
        """Write what a URL holds to a new file, unchanged; answer its sha256 in hex. Raises RepositoryUnavailable."""
        digest, name = hashlib.sha256(), urlsplit(url).path.rpartition("/")[2]
        with self.get(url, headers) as response, path.open("xb") as file:
            come, length = 0, response.headers.get("Content-Length", "")
            for chunk in response.iter_raw():
                digest.update(chunk)
                file.write(chunk)
                come += len(chunk)
                if self._progress is not None:
                    self._progress(name, come, int(length) if length.isdecimal() else 0)
        return digest.hexdigest()


def refused(url: str, response: httpx.Response) -> RepositoryUnavailable:
    """Answer the error for a status that was not asked for."""
    error = RepositoryUnavailable(f"{addresses.mask(url)} answers {response.status_code}")
    error.status = response.status_code
    return error


@contextmanager
def unfinished(target: Path) -> Iterator[Path]:
    """Answer a name beside a file to write under first; what is left there at the end goes."""
    path = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a file so that readers see the old or the new bytes, and nobody else ever sees a secret one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with unfinished(path) as part:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
        os.replace(part, path)


def _pause(number: int, retry_after: str) -> None:
    wanted = float(retry_after) if retry_after.isdecimal() else 0.25 * 2**number * (0.5 + random.random())  # noqa: S311
    time.sleep(min(wanted, _LONGEST_WAIT))


def make_context(access: Access) -> ssl.SSLContext | bool:
    """Answer whom to trust and who we are in TLS, as httpx's `verify`. Raises ConfigError."""
    if not (access.ca_file or access.cert_file or access.insecure_skip_tls_verify):
        return True
    try:
        context = ssl.create_default_context(cafile=access.ca_file or None)
        if access.insecure_skip_tls_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if access.cert_file:
            context.load_cert_chain(access.cert_file, access.key_file or None)
    except OSError as error:
        raise ConfigError(f"the certificates cannot be read: {error}") from error
    return context
