"""Reading bytes that must have a digest: whoever copies or checks a blob reads it here."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator

from app.domain.oci import hash_name
from storage import ObjectNotFound, Storage


class Lost(Exception):
    """The bytes are not there as they should be; the text says in what way."""


class Missing(Lost):
    """There is no such object."""


class Damaged(Lost):
    """The object holds other bytes."""


async def read_checked(storage: Storage, key: str, digest: str) -> AsyncGenerator[bytes, None]:
    """Answer an object's bytes; raise Damaged instead of ending when they have another digest, Missing at once.

    A `put` of these chunks leaves nothing when it raises. Raises StorageError.
    """
    algorithm = hash_name(digest)
    found = hashlib.new(algorithm)
    try:
        chunks = await storage.open(key)
    except ObjectNotFound as error:
        raise Missing("missing") from error
    async for chunk in chunks:
        found.update(chunk)
        yield chunk
    if found.hexdigest() != digest:
        raise Damaged(f"damaged: the {algorithm} of its bytes is {found.hexdigest()}")
