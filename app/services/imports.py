"""Charts from elsewhere, taken in whole: what a source offers goes through `publish`, and what was refused is named.

Taking in is idempotent: what is there already is counted as unchanged. Nothing here knows where a source lies.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

from sqlalchemy import Connection

from app.db import charts as rows
from app.db import repositories
from app.db.charts import BlobFacts
from app.db.session import Database
from app.domain.names import parse_repository, split_view
from app.errors import AppError, Kind
from app.services.charts import Charts, Outcome, Published
from app.services.parallel import for_each
from app.services.parcels import Parcel
from app.services.policy import UNLIMITED, Policy
from app.services.readiness import Readiness
from app.upstream.protocol import Offer, Upstream
from storage import StorageError

_REFUSALS = frozenset((Kind.INVALID, Kind.CONFLICT, Kind.TOO_LARGE, Kind.NOT_FOUND))
_MANY = 500
"""Archives from which on other processes read them: their start costs as much as reading a thousand."""

_TRIES = 5  # a server on the same store may hold the database for a moment
_SIGNATURE = b"-----BEGIN PGP SIGNATURE-----"

Notify = Callable[["Tally"], None]
T = TypeVar("T")


class Refusal(NamedTuple):
    """What was not taken in, and why."""

    address: str
    reason: str


@dataclass(slots=True)
class Tally:
    """What an import came to, in archives; `provenance` counts provenance files that are new here."""

    offered: int = 0
    created: int = 0
    replaced: int = 0
    unchanged: int = 0
    provenance: int = 0
    refused: list[Refusal] = field(default_factory=list)
    hidden: dict[str, str] = field(default_factory=dict)  # repository -> why clients may not reach it
    seen: int = 0

    def count(self, outcome: Outcome) -> None:
        """Add one archive."""
        if outcome is Outcome.CREATED:
            self.created += 1
        elif outcome is Outcome.REPLACED:
            self.replaced += 1
        else:
            self.unchanged += 1


class Imports:
    """Takes charts in, `parallel` at once, archives of up to `limit` bytes.

    `depth` and `context_path` are the server's, to tell which repositories its routes hide.
    """

    def __init__(
        self, database: Database, charts: Charts, readiness: Readiness, *,
        parallel: int, limit: int, depth: int | None, context_path: str,
    ) -> None:  # fmt: skip
        self._database = database
        self._charts = charts
        self._readiness = readiness
        self._parallel = parallel
        self._limit = limit
        self._depth = depth
        self._context_path = context_path

    async def run(self, upstream: Upstream, repository: str, *, notify: Notify) -> Tally:
        """Take in everything that a source offers, below `repository`; `notify` is called after each archive.

        Raises AppError, StorageError when the source cannot be listed or our own store fails; what was taken in by
        then stays, and a second run goes on from there.
        """
        offers = await upstream.list_offers()
        tally = Tally(offered=len(offers))
        if len(offers) >= _MANY:
            self._charts.expect_many()

        async def take(offer: Offer) -> None:
            await self._take(upstream, repository, offer, tally)
            tally.seen += 1
            notify(tally)

        await for_each(self._parallel, take, offers)
        tally.refused.sort()
        return tally

    async def _take(self, upstream: Upstream, repository: str, offer: Offer, tally: Tally) -> None:
        address = offer.address
        try:
            path = parse_repository("/".join(filter(None, (repository, offer.repository))))
            self._note_hidden(path, tally)
            filename = offer.filename
            if offer.archive:
                published = await self._take_archive(upstream, path, offer)
                if published.outcome is Outcome.UNCHANGED:
                    self._readiness.check_writable()
                    await self._charts.claim(path, published, "import")
                tally.count(published.outcome)
                filename, address = published.filename, f"{address}.prov"
            if await self._take_provenance(upstream, path, filename, offer):
                tally.provenance += 1
        except _Refused as refused:
            tally.refused.append(Refusal(address, str(refused)))
        except AppError as error:
            if error.kind not in _REFUSALS:
                raise
            tally.refused.append(Refusal(address, error.message))

    async def _take_archive(self, upstream: Upstream, path: str, offer: Offer) -> Published:
        if offer.digest:
            known, _ = await self._find_known(path, offer.filename)
            if known is not None and known.digest == offer.digest:
                return Published(Outcome.UNCHANGED, filename=offer.filename, digest=offer.digest)
        content = await _fetched(upstream.read_archive(offer, self._limit))
        digest = hashlib.sha256(content).hexdigest()
        if offer.digest not in ("", digest):
            raise _Refused(f"its sha256 is {digest}, but the index says {offer.digest}")
        parcel = Parcel(archive=content, filename=offer.filename or None, created=offer.created, origin="import")
        return await self._publish(path, parcel)

    async def _take_provenance(self, upstream: Upstream, path: str, filename: str, offer: Offer) -> bool:
        """Take in the provenance file, if there is one; answer whether it is new here."""
        if offer.signed is None and (await self._find_known(path, filename))[1] is not None:
            return False  # there is one already: the other server need not be asked again
        if offer.signed is False:
            return False
        content = await _fetched(upstream.read_provenance(offer))
        if content is None:
            return False
        if _SIGNATURE not in content:
            if offer.signed is None:
                return False  # a server's page for "not found", sent with status 200
            raise _Refused("the provenance file holds no PGP signature")
        published = await self._publish(path, Parcel(provenance=content, filename=filename, origin="import"))
        return published.outcome is Outcome.CREATED

    async def _publish(self, path: str, parcel: Parcel) -> Published:
        """Publish, and overwrite only what differs: the same content again must stay unchanged."""
        published = await self._try_publish(path, parcel, UNLIMITED)
        if published.outcome is Outcome.CONFLICT and self._charts.rules.allow_overwrite:
            published = await self._try_publish(path, parcel, replace(UNLIMITED, overwrite=True))
        if published.outcome is Outcome.CONFLICT:
            what = f"{published.name} {published.version}" if published.name else "provenance"
            raise _Refused(f"other content is stored as {what}; delete it first, or set ALLOW_OVERWRITE")
        return published

    async def _try_publish(self, path: str, parcel: Parcel, policy: Policy) -> Published:
        for left in reversed(range(_TRIES)):
            try:
                self._readiness.check_writable()
                return await self._charts.publish(path, parcel, policy)
            except AppError as error:
                if error.kind is not Kind.UNAVAILABLE or not left:
                    raise
                await asyncio.sleep(error.retry_after or 1)
        raise AssertionError("unreachable")

    async def _find_known(self, path: str, filename: str) -> tuple[BlobFacts | None, BlobFacts | None]:
        """Answer what is stored under a file name already: the archive, its provenance."""

        def work(connection: Connection) -> tuple[BlobFacts | None, BlobFacts | None]:
            found = repositories.find(connection, path)
            if found is None:
                return None, None
            return rows.find_archive(connection, found.id, filename), rows.find_provenance(
                connection, found.id, filename
            )

        return await self._database.read(work)

    def _note_hidden(self, path: str, tally: Tally) -> None:
        if path not in tally.hidden:
            hider = find_hider(path, depth=self._depth, context_path=self._context_path)
            if hider:
                tally.hidden[path] = hider


class _Refused(Exception):
    """One archive or provenance file cannot be taken in; its text says why."""


async def _fetched(reading: Awaitable[T]) -> T:
    """Answer what a source was asked for; its failure is a refusal of that one file."""
    try:
        return await reading
    except (AppError, StorageError) as error:
        raise _Refused(str(error)) from error


def find_hider(repository: str, *, depth: int | None, context_path: str) -> str | None:
    """Answer why clients cannot reach all of a repository at its own address, None if they can.

    The server's exact routes win over repositories, and slim views over repositories named like one.
    """
    first = repository.partition("/")[0]
    if first == "-":
        return "paths below /-/ are the server's own"
    if first == "api":
        return "paths below /api/ are the API's first"
    if first == "v2" and not context_path:
        return "paths below /v2/ are the OCI registry's first"
    if split_view(repository)[1] is not None:
        return "its last segment names a slim view of the repository above it"
    segments = repository.count("/") + 1 if repository else 0
    if depth is not None and segments != depth:
        return f"the server is set to repositories of depth {depth}"
    return None
