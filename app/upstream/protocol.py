"""What every source of other people's charts can do: list what it has, and read one archive or provenance file.

Nothing here knows our own store; whether an archive is wanted is decided above.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Offer:
    """One archive that a source has, or a provenance file alone (`archive` False).

    `repository` is the path below the place it is taken to ("" is that place itself), `filename` the archive's ("" if
    the source does not say), `address` where the source has it. `created` is in ns since 1970, `digest` 64 hex digits
    or "". `signed` says whether a provenance file lies beside it; None: nobody knows before asking.
    """

    repository: str
    filename: str
    address: str
    created: int | None = None
    digest: str = ""
    signed: bool | None = None
    archive: bool = True


class Upstream(Protocol):
    """A source of charts."""

    async def list_offers(self) -> list[Offer]:
        """Answer everything there is. Raises AppError, StorageError when the source cannot be read at all."""
        ...

    async def read_archive(self, offer: Offer, limit: int) -> bytes:
        """Answer an archive's bytes. Raises AppError TOO_LARGE beyond `limit` bytes, AppError, StorageError."""
        ...

    async def read_provenance(self, offer: Offer) -> bytes | None:
        """Answer the provenance file's bytes, None if there is none. Raises AppError, StorageError."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
