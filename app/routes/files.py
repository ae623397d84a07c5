"""Archives and provenance files as answers: whole, in a range, unchanged, or elsewhere."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from app.db.charts import BlobFacts
from app.errors import AppError, Kind
from app.routes.asgi import Answer, Chunks, RequestHeaders
from app.routes.errors import Headers
from app.routes.negotiation import describe_span, matches, parse_range
from app.services.archives import INLINE, Archives
from app.services.readiness import Readiness
from storage import StorageError


@dataclass(slots=True)
class Files:
    """Answers requests for files. `never_change` says that nothing can be overwritten or deleted here."""

    archives: Archives
    readiness: Readiness
    private: bool = False
    never_change: bool = False

    async def answer(
        self, repository: str, filename: str, headers: RequestHeaders, interruption: asyncio.Future[None] | None = None
    ) -> Answer:
        """Return a read of `filename` in a repository. Until the store can be read, old files are sent, or it waits.

        Raises AppError NOT_FOUND, FAULT, UNAVAILABLE, StorageUnavailable.
        """
        if not self.readiness.ready:
            old = await self._find_old_file(repository, filename, interruption)
            if old is not None:
                return old
        blob = self.archives.find_now(repository, filename) or await self.archives.find(repository, filename)
        if blob is None:
            raise AppError(Kind.NOT_FOUND, "object not found")
        etag = b'"sha256:%b"' % blob.digest.encode()
        shared: Headers = [(b"etag", etag), (b"cache-control", self._cache_control()), (b"accept-ranges", b"bytes")]
        none_match = headers.get(b"if-none-match")
        if none_match and matches(none_match, etag):
            return Answer(304, shared, (), 0)
        location = self.archives.presign(blob)
        if location is not None:
            return Answer(307, [(b"location", location.encode()), (b"cache-control", b"no-store")], (), 0)
        shared.append((b"content-type", _content_type(filename)))
        wanted = headers.get(b"range")
        span = parse_range(wanted, blob.size) if wanted and headers.get(b"if-range", etag) == etag else None
        if span is not None:
            return await self._answer_range(blob, span, shared)
        shared.append((b"content-length", b"%d" % blob.size))
        content = self.archives.read_now(blob)
        if content is not None:
            return Answer(200, shared, (content,), blob.size, blob)
        if blob.size <= INLINE:
            return Answer(200, shared, (await self.archives.read(blob),), blob.size, blob)
        return Answer(200, shared, Chunks(await self.archives.open(blob)), blob.size)

    async def _find_old_file(
        self, repository: str, filename: str, interruption: asyncio.Future[None] | None
    ) -> Answer | None:
        """Return a file as ChartMuseum left it, if it is to be imported; None once the store can be read."""
        readiness = self.readiness
        await readiness.wait_known(interruption)  # a moment; longer while the database does not answer
        if not readiness.ready and readiness.first_import is not False:
            with suppress(AppError, StorageError):
                size, chunks = await readiness.open_old_file(repository, filename)
                kind = (b"content-type", _content_type(filename))
                return Answer(200, [kind, (b"content-length", b"%d" % size)], Chunks(chunks), size)
        await readiness.wait_readable(interruption)
        return None

    async def _answer_range(self, blob: BlobFacts, span: tuple[int, int], fields: Headers) -> Answer:
        start, end = span
        length = end - start
        about = describe_span(start, end, blob.size)
        if not length:
            return Answer(416, about, (), 0)
        return Answer(206, [*fields, *about], Chunks(await self.archives.open(blob, start, length)), length)

    def _cache_control(self) -> bytes:
        scope = b"private, " if self.private else b""
        return scope + (b"max-age=31536000, immutable" if self.never_change else b"no-cache")


def _content_type(filename: str) -> bytes:
    return b"application/pgp-signature" if filename.endswith(".prov") else b"application/x-tar"
