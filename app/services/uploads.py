"""Blobs on their way in at the OCI door: sessions that outlive a restart and move from worker to worker.

Each request that brings bytes puts them into storage as a part of its own; only then does the session's row move its
offset, from the value that was read to the next one (compare and set). Nothing of a session lies in this process.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterable
from functools import partial
from uuid import uuid4

import structlog

from app.db import garbage, repositories, uploads
from app.db.session import Database
from app.db.transaction import Transaction
from app.db.uploads import Part, UploadRow
from app.domain.ledger import blob_key
from app.domain.oci import RegistryError, hash_name, render_digest, upload_unknown
from app.errors import Kind
from app.records import oci as records
from app.services.ledger import Ledger
from storage import Composer, Mover, ObjectNotFound, Storage, StorageError, StorageFull

_FOLDER = ".chartroom/uploads/"

_log = structlog.get_logger(__name__)


class OutOfOrder(RegistryError):
    """Bytes that do not follow those which came before; `session` says where the upload stands."""

    def __init__(self, session: UploadRow) -> None:
        text = f"the next byte of this upload is {session.offset}; ask for its state and go on from there"
        super().__init__(Kind.INVALID, "BLOB_UPLOAD_INVALID", text)
        self.session = session


class Uploads:
    """The upload sessions of every repository."""

    def __init__(self, database: Database, storage: Storage, ledger: Ledger) -> None:
        self._database = database
        self._storage = storage
        self._ledger = ledger

    async def start(self, repository: str, name: str) -> UploadRow:
        """Begin a session for a blob of the OCI name `name` in a repository."""
        uuid = str(uuid4())

        def work(transaction: Transaction) -> UploadRow:
            row = UploadRow(uuid, repository, name, 0, (), transaction.now)
            uploads.create(transaction, row)
            return row

        return await self._database.write(work)

    async def find(self, repository: str, name: str, uuid: str) -> UploadRow:
        """Answer a session. Raises RegistryError NOT_FOUND (BLOB_UPLOAD_UNKNOWN)."""
        row = await self._database.read(lambda connection: uploads.find(connection, uuid))
        if row is None or (row.repository, row.name) != (repository, name):
            raise upload_unknown(uuid)
        return row

    async def append(self, session: UploadRow, start: int | None, chunks: AsyncIterable[bytes]) -> UploadRow:
        """Add bytes that begin at `start` (None: where the upload stands); answer the session as it is then.

        Raises OutOfOrder when they begin elsewhere, or when another request has moved the session meanwhile.
        """
        if start is not None and start != session.offset:
            raise OutOfOrder(session)
        part = await self._put_part(session, chunks)
        moved = session._replace(
            offset=session.offset + part.size, parts=(*session.parts, part), touched=time.time_ns()
        )
        advance = partial(uploads.advance, new=moved, old_offset=session.offset)
        if not await self._database.write(advance):
            await self._storage.delete(part.key)
            raise OutOfOrder(await self.find(session.repository, session.name, session.uuid))
        return moved

    async def finish(self, session: UploadRow, digest: str, start: int | None, chunks: AsyncIterable[bytes]) -> None:
        """Add the last bytes, if any, and make all of them the blob with this digest.

        Raises OutOfOrder as `append` does; RegistryError DIGEST_INVALID when they are other bytes: the session is over.
        """
        if session.offset == 0 and start in (None, 0):  # all at once, as helm does: straight to its place
            await self.put_whole(session.repository, session.name, digest, chunks, uuid=session.uuid)
            return
        session = await self.append(session, start, chunks)
        found = await self._hash(session, hash_name(digest))
        if found != digest:
            await self.cancel(session)
            raise _mismatch(digest, found)
        await self._claim(digest)
        await self._gather(session, blob_key(digest))
        await self._link(session.repository, session.name, digest, session.offset, session.uuid)
        await self._drop_parts(session)

    async def put_whole(
        self, repository: str, name: str, digest: str, chunks: AsyncIterable[bytes], *, uuid: str = ""
    ) -> None:
        """Store a blob that comes in one request; the session `uuid`, if any, is over then. Raises DIGEST_INVALID."""
        meter = _Meter(hash_name(digest), wanted=digest)
        await self._claim(digest)
        await self._storage.put(blob_key(digest), meter.measure(chunks))
        await self._link(repository, name, digest, meter.size, uuid)

    async def cancel(self, session: UploadRow) -> None:
        """Forget a session and what it brought."""
        await self._database.write(lambda transaction: uploads.remove(transaction, session.uuid))
        await self._drop_parts(session)

    async def sweep(self, older_than_seconds: float, *, dry_run: bool = False) -> int:
        """Forget the sessions that nobody touched for so long, and parts without a session.

        Answers how many went, or with `dry_run` would go.
        """
        before = time.time_ns() - int(older_than_seconds * 1e9)
        stale = await self._database.read(lambda connection: uploads.list_stale(connection, before))
        for session in stale if not dry_run else ():
            await self.cancel(session)
        orphans = 0
        async for stat in self._storage.scan(_FOLDER):
            if stat.modified.timestamp() * 1e9 < before and not await self._is_known(stat.key):
                orphans += 1
                if not dry_run:
                    await self._storage.delete(stat.key)
        return len(stale) + orphans

    # ------------------------------------------------------------------------------------------ inside

    async def _put_part(self, session: UploadRow, chunks: AsyncIterable[bytes]) -> Part:
        key = f"{_FOLDER}{session.uuid}/{session.offset:020d}-{secrets.token_hex(4)}"
        meter = _Meter("sha256")
        await self._storage.put(key, meter.measure(chunks))
        return Part(key, meter.size, meter.digest)

    async def _claim(self, digest: str) -> None:
        """Make sure that no collection takes the bytes that are about to be written."""
        condemned = await self._database.read(lambda connection: garbage.list_condemned(connection, [digest]))
        if condemned:
            await self._database.write(partial(garbage.pardon, digests=condemned))

    async def _hash(self, session: UploadRow, algorithm: str) -> str:
        if algorithm == "sha256" and len(session.parts) == 1:
            return session.parts[0].sha256
        found = hashlib.new(algorithm)
        async for chunk in self._read_parts(session):
            found.update(chunk)
        return found.hexdigest()

    async def _gather(self, session: UploadRow, key: str) -> None:
        """Make one object of all parts. A stream came as one part: it is only called something else."""
        parts = [part for part in session.parts if part.size]
        try:
            if len(parts) == 1 and isinstance(self._storage, Mover):
                await self._storage.move(parts[0].key, key)
            elif isinstance(self._storage, Composer):
                await self._compose(session, key, self._storage)
            else:
                await self._storage.put(key, self._read_parts(session))
        except ObjectNotFound:
            await self._storage.stat(key)  # it was gathered already, and then the server was ended

    async def _compose(self, session: UploadRow, key: str, composer: Composer) -> None:
        """Let the bucket copy the parts; where it does not know how to, their bytes pass through here once more."""
        try:
            await composer.compose([(part.key, part.size) for part in session.parts], key)
        except (ObjectNotFound, StorageFull):
            raise
        except StorageError as error:
            _log.warning("parts of an upload could not be copied in the bucket", why=str(error))
            await self._storage.put(key, self._read_parts(session))

    async def _read_parts(self, session: UploadRow) -> AsyncGenerator[bytes, None]:
        for part in session.parts:
            async for chunk in await self._storage.open(part.key):
                yield chunk

    async def _link(self, repository: str, name: str, digest: str, size: int, uuid: str) -> None:
        def work(transaction: Transaction) -> None:
            home = repositories.get_or_create(transaction.connection, repository)
            records.put_link(transaction, home, name, digest, size)
            if uuid:
                uploads.remove(transaction, uuid)

        await self._ledger.write(work)

    async def _drop_parts(self, session: UploadRow) -> None:
        for part in session.parts:
            await self._storage.delete(part.key)

    async def _is_known(self, key: str) -> bool:
        uuid = key.removeprefix(_FOLDER).partition("/")[0]
        return await self._database.read(lambda connection: uploads.find(connection, uuid)) is not None


class _Meter:
    """Measures and hashes chunks that pass; with `wanted` it raises DIGEST_INVALID instead of ending on other bytes."""

    def __init__(self, algorithm: str, wanted: str = "") -> None:
        self._hash = hashlib.new(algorithm)
        self._wanted = wanted
        self.size = 0

    @property
    def digest(self) -> str:
        """The hex digest of what has passed."""
        return self._hash.hexdigest()

    async def measure(self, chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
        """Pass chunks on. A `put` of them leaves nothing when this raises."""
        async for chunk in chunks:
            self.size += len(chunk)
            self._hash.update(chunk)
            yield chunk
        if self._wanted and self.digest != self._wanted:
            raise _mismatch(self._wanted, self.digest)


def _mismatch(wanted: str, found: str) -> RegistryError:
    text = (
        f"the digest of the bytes that came is {render_digest(found)}, not {render_digest(wanted)}; nothing was stored"
    )
    return RegistryError(Kind.INVALID, "DIGEST_INVALID", text)
