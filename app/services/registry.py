"""What the OCI door asks, mounts and deletes: manifests, tags and blobs of an OCI name. No HTTP here."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable

from sqlalchemy import Connection

from app.db import artifacts, names, repositories
from app.db.artifacts import LinkedBlob, ManifestRow
from app.db.charts import BlobFacts
from app.db.session import Database
from app.db.transaction import Transaction
from app.domain import oci
from app.domain.oci import Reference, RegistryError, version_of
from app.errors import Kind
from app.records import oci as records
from app.services.archives import Archives
from app.services.ledger import Ledger
from app.services.policy import Rules
from app.services.withdrawal import withdraw_in

_TOUCH_NANOSECONDS = 600 * 10**9
"""How old the last touch of an unused blob must be before a question for it is noted."""

Readable = Callable[[str], bool] | None
"""Which repositories a caller may read: a question, or None for all."""


class Registry:
    """The OCI side of the store, but for manifests that are pushed (`pushes.py`)."""

    def __init__(self, database: Database, ledger: Ledger, rules: Rules, archives: Archives) -> None:
        self._database = database
        self._ledger = ledger
        self._rules = rules
        self._archives = archives

    # ------------------------------------------------------------------------------------------ manifests

    async def get_manifest(self, repository: str, name: str, reference: Reference) -> ManifestRow:
        """Answer a manifest. Raises RegistryError MANIFEST_UNKNOWN, NAME_UNKNOWN."""
        return await self._database.read(lambda connection: _get_manifest(connection, repository, name, reference))

    async def remove(self, repository: str, name: str, reference: Reference) -> None:
        """Remove a tag, or a manifest with all its tags; chart versions under them are gone from index.yaml too.

        Raises RegistryError MANIFEST_UNKNOWN, NAME_UNKNOWN; AppError DENIED where the settings forbid deleting.
        """
        self._check_deletes()

        def work(transaction: Transaction) -> None:
            _remove(transaction, repository, name, reference)

        await self._ledger.write(work)

    async def list_tags(self, repository: str, name: str, *, limit: int | None, last: str) -> tuple[list[str], bool]:
        """Answer the tags after `last`, at most `limit`, and whether there are more. Raises NAME_UNKNOWN."""

        def ask(connection: Connection) -> list[str]:
            home = repositories.find(connection, repository)
            if home is None or not names.has_name(connection, home.id, name):
                raise oci.name_unknown(oci.join_name(repository, name))
            most = 1 << 31 if limit is None else limit + 1
            return artifacts.list_tags(connection, home.id, name, after=last, limit=most)

        found = await self._database.read(ask)
        return _cut(found, limit)

    async def list_referrers(self, repository: str, name: str, digest: str, artifact_type: str | None) -> bytes:
        """Answer an index of the manifests that refer to this one, which need not be there; of one type, or all."""

        def ask(connection: Connection) -> list[artifacts.Referrer]:
            home = repositories.find(connection, repository)
            return artifacts.list_referrers(connection, home.id, name, digest) if home else []

        found = await self._database.read(ask)
        chosen = [one for one in found if artifact_type in (None, one.artifact_type)]
        return oci.render_referrers(
            oci.render_descriptor(one.media_type, one.digest, one.size, one.artifact_type, one.annotations)
            for one in chosen
        )

    async def list_names(self, *, limit: int | None, last: str, readable: Readable) -> tuple[list[str], bool]:
        """Answer the OCI names after `last` that the caller may read, sorted, and whether there are more."""
        held = await self._database.read(names.list_names)
        whole = (oci.join_name(path, name) for path, name in held if readable is None or readable(path))
        rest = sorted(name for name in whole if name > last)
        return _cut(rest, limit)

    # ------------------------------------------------------------------------------------------ blobs

    async def find_blob(self, repository: str, name: str, digest: str, *, wanted: bool = False) -> LinkedBlob:
        """Answer a blob that the name may see; `wanted` says that a push relies on it. Raises BLOB_UNKNOWN."""

        def ask(connection: Connection) -> tuple[LinkedBlob, int | None]:
            home = repositories.find(connection, repository)
            blob = home and artifacts.find_blob(connection, home.id, name, digest)
            if home is None or blob is None:
                raise oci.blob_unknown(digest)
            return blob, artifacts.find_touched(connection, home.id, name, digest) if wanted else None

        blob, touched = await self._database.read(ask)
        if touched is not None and time.time_ns() - touched > _TOUCH_NANOSECONDS:
            await self._touch(repository, name, digest)
        return blob

    def read_blob_now(self, blob: LinkedBlob) -> bytes | None:
        """Answer a small blob's bytes if they are at hand without waiting. Raises AppError FAULT if they are lost."""
        return blob.content if blob.content is not None else self._archives.read_now(BlobFacts(blob.digest, blob.size))

    async def open_blob(
        self, blob: LinkedBlob, start: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Answer a blob's bytes in chunks. Raises AppError FAULT if they are lost, StorageUnavailable."""
        if blob.content is not None:
            return _slice(blob.content, start, length)
        return await self._archives.open(BlobFacts(blob.digest, blob.size), start, length)

    async def mount(
        self, repository: str, name: str, digest: str, source: tuple[str, str] | None, readable: Readable
    ) -> bool:
        """Let a name see a blob of another one (None: of any that the caller may read); answer whether it does now."""

        def work(transaction: Transaction) -> bool:
            homes = names.list_homes(transaction.connection, digest)
            allowed = [home for home in homes if readable is None or readable(home[0])]
            if not (source in allowed if source else allowed):
                return False
            path, its_name = source or allowed[0]
            other = repositories.find(transaction.connection, path)
            blob = other and artifacts.find_blob(transaction.connection, other.id, its_name, digest)
            if not blob:
                return False
            home = repositories.get_or_create(transaction.connection, repository)
            records.put_link(transaction, home, name, digest, blob.size)
            return True

        return await self._ledger.write(work)

    async def remove_blob(self, repository: str, name: str, digest: str) -> None:
        """Let a name no longer see a blob. Raises BLOB_UNKNOWN, and DENIED while a manifest refers to it."""
        self._check_deletes()

        def work(transaction: Transaction) -> None:
            home = repositories.find(transaction.connection, repository)
            if home is None or artifacts.find_blob(transaction.connection, home.id, name, digest) is None:
                raise oci.blob_unknown(digest)
            if artifacts.is_referenced(transaction.connection, home.id, name, digest):
                text = "a manifest refers to this blob; delete the manifest first"
                raise RegistryError(Kind.DENIED, "UNSUPPORTED", text)
            records.remove_link(transaction, home, name, digest)

        await self._ledger.write(work)

    # ------------------------------------------------------------------------------------------ inside

    def _check_deletes(self) -> None:
        if not self._rules.allow_delete:
            raise RegistryError(Kind.DENIED, "UNSUPPORTED", "deleting is switched off on this server (DISABLE_DELETE)")

    async def _touch(self, repository: str, name: str, digest: str) -> None:
        def work(transaction: Transaction) -> None:
            home = repositories.find(transaction.connection, repository)
            if home is not None:
                artifacts.touch_link(transaction, home.id, name, digest)

        await self._database.write(work)


def _get_manifest(connection: Connection, repository: str, name: str, reference: Reference) -> ManifestRow:
    home = repositories.find(connection, repository)
    if home is None:
        raise oci.name_unknown(oci.join_name(repository, name))
    if reference.tag:
        found = artifacts.find_tagged(connection, home.id, name, reference.tag)
    else:
        found = artifacts.find_manifest(connection, home.id, name, reference.digest)
    if found is None:
        known = names.has_name(connection, home.id, name)
        raise oci.manifest_unknown(str(reference)) if known else oci.name_unknown(oci.join_name(repository, name))
    return found


def _remove(transaction: Transaction, repository: str, name: str, reference: Reference) -> None:
    connection = transaction.connection
    row = _get_manifest(connection, repository, name, reference)
    home = repositories.get_or_create(connection, repository)
    tags = [reference.tag] if reference.tag else artifacts.list_tags_of(connection, home.id, name, row.digest)
    for tag in tags:
        if not withdraw_in(transaction, repository, name, version_of(tag), keep_manifest=True):
            records.remove_tag(transaction, home, name, tag)
    if not reference.tag:
        records.remove_manifest(transaction, home, name, row.digest)


def _cut(items: list[str], limit: int | None) -> tuple[list[str], bool]:
    """Answer the first items, and whether there are more; a page of none has no next one."""
    return (items, False) if limit is None else (items[:limit], len(items) > limit > 0)


async def _slice(content: bytes, start: int, length: int | None) -> AsyncGenerator[bytes, None]:
    yield content[start:] if length is None else content[start : start + length]
