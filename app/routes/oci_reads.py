"""Manifests and blobs as answers, at the front: whole, in a range, or unchanged."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from app.db.artifacts import LinkedBlob
from app.db.charts import BlobFacts
from app.domain.access import Action
from app.domain.oci import join_name, parse_digest, parse_reference, render_digest
from app.routes.asgi import Answer, Chunks, RequestHeaders, Scope, find_interruption
from app.routes.errors import REGISTRY_VERSION, Headers
from app.routes.negotiation import describe_span, matches, parse_range
from app.routes.paths import Paths
from app.routes.registry_gate import RegistryGate
from app.services.archives import INLINE
from app.services.readiness import Readiness
from app.services.registry import Registry

_PATH = re.compile(r"/v2/(.+)/(manifests|blobs)/([^/]+)")


class Wanted(NamedTuple):
    """What a path asks for: the OCI name, "manifests" or "blobs", and a tag or digest as it was written."""

    name: str
    kind: str
    reference: str


def parse_wanted(path: str) -> Wanted | None:
    """Answer what a path below /v2 asks for; None if it is no manifest's or blob's."""
    match = _PATH.fullmatch(path)
    return Wanted(match[1], match[2], match[3]) if match and not match[1].endswith("/blobs") else None


@dataclass(slots=True)
class Artifacts:
    """Answers requests for manifests and blobs."""

    registry: Registry
    gate: RegistryGate
    paths: Paths
    readiness: Readiness

    async def answer(self, wanted: Wanted, scope: Scope, headers: RequestHeaders) -> Answer:
        """Answer a GET or HEAD. Raises RegistryError, Unauthorized, and AppError FAULT for bytes that are lost."""
        repository, name = self.paths.parse_name(wanted.name)
        authorization = headers.get(b"authorization", b"").decode("latin-1")
        whole = join_name(repository, name)
        await self.gate.admit(authorization, _address(scope, headers), whole, Action.PULL)
        await self.readiness.wait_readable(find_interruption(scope))
        if wanted.kind == "manifests":
            row = await self.registry.get_manifest(repository, name, parse_reference(wanted.reference))
            fields = _describe(row.digest, private=self.gate.gate.reads_are_private)
            fields.append((b"content-type", row.media_type.encode("latin-1", "replace")))
            return _whole_or_unchanged(row.digest, fields, headers, row.content, None)
        is_head = scope["method"] == "HEAD"
        blob = await self.registry.find_blob(repository, name, parse_digest(wanted.reference), wanted=is_head)
        return await self._answer_blob(blob, headers, is_head=is_head)

    async def _answer_blob(self, blob: LinkedBlob, headers: RequestHeaders, *, is_head: bool) -> Answer:
        fields = _describe(blob.digest, private=self.gate.gate.reads_are_private)
        fields += [(b"accept-ranges", b"bytes"), (b"content-type", b"application/octet-stream")]
        span = parse_range(headers[b"range"], blob.size) if b"range" in headers and not is_head else None
        if span is not None:
            return await self._answer_range(blob, span, fields)
        if is_head:
            return Answer(200, [*fields, (b"content-length", b"%d" % blob.size)], (), blob.size)
        content = self.registry.read_blob_now(blob)
        if content is not None:
            facts = BlobFacts(blob.digest, blob.size) if blob.content is None and blob.size <= INLINE else None
            return _whole_or_unchanged(blob.digest, fields, headers, content, facts)
        fields.append((b"content-length", b"%d" % blob.size))
        return Answer(200, fields, Chunks(await self.registry.open_blob(blob)), blob.size)

    async def _answer_range(self, blob: LinkedBlob, span: tuple[int, int], fields: Headers) -> Answer:
        start, end = span
        about = describe_span(start, end, blob.size)
        if start == end:
            return Answer(416, [REGISTRY_VERSION, *about], (), 0)
        chunks = Chunks(await self.registry.open_blob(blob, start, end - start))
        return Answer(206, [*fields, *about], chunks, end - start)


def _describe(digest: str, *, private: bool) -> Headers:
    text = render_digest(digest).encode()
    cache = b"private, no-cache" if private else b"no-cache"
    return [
        (b"etag", b'"%b"' % text), (b"cache-control", cache), (b"docker-content-digest", text), REGISTRY_VERSION
    ]  # fmt: skip


def _whole_or_unchanged(
    digest: str, fields: Headers, headers: RequestHeaders, content: bytes, blob: BlobFacts | None
) -> Answer:
    none_match = headers.get(b"if-none-match")
    if none_match and matches(none_match, b'"%b"' % render_digest(digest).encode()):
        return Answer(304, [field for field in fields if not field[0].startswith(b"content-")], (), 0)
    fields.append((b"content-length", b"%d" % len(content)))
    return Answer(200, fields, (content,), len(content), blob)


def _address(scope: Scope, headers: RequestHeaders) -> str:
    """Answer the scheme and host that the caller used. A proxy on this machine may name the scheme, as it may for all
    that is not read here (ProxyHeadersMiddleware).
    """
    scheme, said = scope.get("scheme", "http"), headers.get(b"x-forwarded-proto", b"").strip()
    if said in (b"http", b"https") and (scope.get("client") or ("",))[0] == "127.0.0.1":
        scheme = said.decode()
    return f"{scheme}://{headers.get(b'host', b'').decode('latin-1')}"
