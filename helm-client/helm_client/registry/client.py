"""One OCI registry: manifests, blobs and tags, by the distribution specification. What a chart is, `charts` knows."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import urljoin, urlsplit

import httpx

from helm_client.errors import DigestMismatch, RegistryError
from helm_client.registry.auth import Authenticator
from helm_client.registry.credentials import Login
from helm_client.transfer import USER_AGENT, Access, Progress, make_context

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
MAX_MANIFEST = 4 * 1024 * 1024
MAX_TAG_PAGES = 1000
_CHUNK = 256 * 1024
_LINK = re.compile(r'<([^>]*)>\s*;\s*rel="?next"?')


class Descriptor(NamedTuple):
    """A blob or manifest: media type, `sha256:...`, size in bytes."""

    media_type: str
    digest: str
    size: int


class Registry:
    """A registry at `host` (`name` or `name:port`). `plain_http` speaks http, and nothing else does.

    All methods raise RegistryError with the registry's own reason.
    """

    def __init__(
        self, host: str, access: Access | None = None, login: Login | None = None, *, plain_http: bool = False,
        progress: Progress | None = None,
    ) -> None:  # fmt: skip
        access = access or Access()
        self.host = host
        self.origin = f"{'http' if plain_http else 'https'}://{host}"
        self._http = httpx.Client(
            timeout=access.timeout, verify=make_context(access), headers={"User-Agent": USER_AGENT},
            follow_redirects=True, max_redirects=10,
        )  # fmt: skip
        if access.username and access.password:
            login = Login(access.username, access.password)
        self._auth = Authenticator(self._http, self.origin, login)
        self._progress = progress

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._http.close()

    def ping(self) -> None:
        """Ask whether the registry lets us in, as a login does."""
        with self._send("GET", "/v2/", "") as response:
            _expect(response, 200)

    def list_tags(self, name: str) -> list[str]:
        """Answer every tag of a name, in the registry's order."""
        tags: list[str] = []
        path = f"/v2/{name}/tags/list"
        for _ in range(MAX_TAG_PAGES):
            with self._send("GET", path, _pull(name)) as response:
                _expect(response, 200)
                document = _read_json(response)
            tags += [tag for tag in document.get("tags") or () if isinstance(tag, str)]
            following = _LINK.search(response.headers.get("Link", ""))
            if following is None:
                return tags
            path = self._own_path(urljoin(f"{self.origin}{path}", following[1]))
        raise RegistryError(f"{self.host} never comes to an end of its tags")

    def get_manifest(self, name: str, reference: str) -> tuple[dict[str, Any], Descriptor]:
        """Answer a manifest by tag or digest, and its descriptor; its bytes are checked against the digest."""
        with self._send("GET", f"/v2/{name}/manifests/{reference}", _pull(name), {"Accept": MANIFEST_TYPE}) as response:
            if response.status_code == 404:
                raise not_found(f"{self.host}/{name}:{reference}: not found")
            _expect(response, 200)
            content = _read_bounded(response)
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        said = reference if ":" in reference else response.headers.get("Docker-Content-Digest", digest)
        if said.startswith("sha256:") and said != digest:
            raise DigestMismatch(f"the manifest of {self.host}/{name}:{reference} is {digest}, not {said}")
        media_type = response.headers.get("Content-Type", "").partition(";")[0]
        try:
            return json.loads(content), Descriptor(media_type, digest, len(content))
        except ValueError as error:
            raise RegistryError(f"the manifest of {self.host}/{name}:{reference} is no JSON") from error

    def save_blob(self, name: str, blob: Descriptor, path: Path) -> None:
        """Write a blob to a new file. Raises DigestMismatch when digest or size are others than they must be."""
        digest, come = hashlib.sha256(), 0
        with self._send("GET", f"/v2/{name}/blobs/{blob.digest}", _pull(name)) as response:
            _expect(response, 200)
            with path.open("xb") as file:
                for chunk in response.iter_raw():
                    come += len(chunk)
                    if come > blob.size:
                        break
                    digest.update(chunk)
                    file.write(chunk)
                    if self._progress is not None:
                        self._progress(name, come, blob.size)
        found = f"sha256:{digest.hexdigest()}"
        if come != blob.size or found != blob.digest:
            raise DigestMismatch(f"a blob of {self.host}/{name} is {found} ({come} bytes), not {blob.digest}")

    def has(self, name: str, kind: str, digest: str) -> bool:
        """Answer whether a name has a blob (`kind` "blobs") or manifest ("manifests")."""
        path, headers = f"/v2/{name}/{kind}/{digest}", {"Accept": MANIFEST_TYPE}
        with self._send("HEAD", path, _push(name), headers) as response:
            return response.status_code == 200

    def push_blob(self, name: str, digest: str, content: bytes) -> None:
        """Push a blob in one piece, unless it is there."""
        if self.has(name, "blobs", digest):
            return
        with self._send("POST", f"/v2/{name}/blobs/uploads/", _push(name)) as response:
            _expect(response, 202)
            location = urljoin(str(response.url), response.headers.get("Location", ""))
        path = self._own_path(location)
        path += ("&" if urlsplit(path).query else "?") + f"digest={digest.replace(':', '%3A')}"
        with self._send("PUT", path, _push(name), {"Content-Type": "application/octet-stream"}, content) as response:
            _expect(response, 201)

    def push_manifest(self, name: str, reference: str, content: bytes) -> None:
        """Push a manifest under a tag or its digest."""
        path = f"/v2/{name}/manifests/{reference}"
        with self._send("PUT", path, _push(name), {"Content-Type": MANIFEST_TYPE}, content) as response:
            _expect(response, 201)

    @contextmanager
    def _send(
        self, method: str, path: str, scope: str, headers: Mapping[str, str] | None = None, content: bytes = b""
    ) -> Iterator[httpx.Response]:
        """Send a request, with credentials once they are asked for."""
        url, fields = f"{self.origin}{path}", dict(headers or {})
        try:
            known = self._auth.header(scope)
            response = self._try(method, url, fields, known, content)
            if response.status_code == 401:
                challenge = response.headers.get_list("WWW-Authenticate")
                response.close()
                known = self._auth.answer(challenge[0] if challenge else "", scope)
                response = self._try(method, url, fields, known, content)
            try:
                yield response
            finally:
                response.close()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RegistryError(f"{self.host}: {str(error) or type(error).__name__}") from error

    def _try(
        self, method: str, url: str, headers: Mapping[str, str], authorization: str | None, content: bytes
    ) -> httpx.Response:
        fields = {**headers, "Authorization": authorization} if authorization else dict(headers)
        request = self._http.build_request(method, url, headers=fields, content=content or None)
        return self._http.send(request, stream=True)

    def _own_path(self, url: str) -> str:
        """Answer path and query of an address of this registry. Raises RegistryError for another one's."""
        parts = urlsplit(url)
        if f"{parts.scheme}://{parts.netloc}" != self.origin:
            raise RegistryError(f"{self.host} points to another host: {parts.scheme}://{parts.netloc}")
        return parts.path + (f"?{parts.query}" if parts.query else "")


def not_found(text: str) -> RegistryError:
    """Answer the error for what a registry does not have."""
    error = RegistryError(text)
    error.status = 404
    return error


def _pull(name: str) -> str:
    return f"repository:{name}:pull"


def _push(name: str) -> str:
    return f"repository:{name}:pull,push"


def _expect(response: httpx.Response, status: int) -> None:
    if response.status_code == status:
        return
    reason = ""
    if response.request.method != "HEAD":
        try:
            first = json.loads(_read_bounded(response))["errors"][0]
            reason = ": ".join(filter(None, (str(first.get("code", "")), str(first.get("message", "")))))
        except (ValueError, LookupError, TypeError, AttributeError):
            reason = ""
    where = f"{response.request.method} {str(response.url).partition('?')[0]}"
    error = RegistryError(f"{where}: status {response.status_code}" + (f": {reason}" if reason else ""))
    error.status = response.status_code
    raise error


def _read_bounded(response: httpx.Response) -> bytes:
    content = bytearray()
    for chunk in response.iter_bytes(_CHUNK):
        content += chunk
        if len(content) > MAX_MANIFEST:
            raise RegistryError(f"the answer of {response.url.host} has more than {MAX_MANIFEST >> 20} MiB")
    return bytes(content)


def _read_json(response: httpx.Response) -> dict[str, Any]:
    try:
        document = json.loads(_read_bounded(response))
    except ValueError as error:
        raise RegistryError(f"the answer of {response.url.host} is no JSON") from error
    return document if isinstance(document, dict) else {}
