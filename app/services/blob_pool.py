"""Small blobs in memory: opening their files costs as much as sending them."""

from __future__ import annotations

import random


class BlobPool:
    """Small blobs by digest, at most `memory` bytes of them.

    What has to go is drawn by lot: somebody who reads everything once, in order, takes little of what others ask for
    again, and a circle a little larger than the pool is still served from it for the most part.
    """

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._blobs: dict[str, bytes] = {}
        self._digests: list[str] = []
        self._held = 0

    def get(self, digest: str) -> bytes | None:
        """Answer a blob's bytes, or None."""
        return self._blobs.get(digest)

    def put(self, digest: str, content: bytes) -> None:
        """Keep a blob."""
        if digest in self._blobs:
            return
        self._blobs[digest] = content
        self._digests.append(digest)
        self._held += len(content)
        while self._held > self._memory:
            drawn = random.randrange(len(self._digests))  # noqa: S311  # no secret
            self._digests[drawn], self._digests[-1] = self._digests[-1], self._digests[drawn]
            self._held -= len(self._blobs.pop(self._digests.pop()))
