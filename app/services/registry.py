"""What the OCI door asks and changes: manifests, tags, blobs of an OCI name. No HTTP here.

A manifest that is a Helm chart's, pushed under the tag of its version, goes the one road in (`Charts.publish`) and is
listed in index.yaml by the same transaction. Everything else stays a plain artifact, and the answer says why.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from app.db import artifacts, charts, repositories
from app.db.artifacts import BLOB, MANIFEST, Child, LinkedBlob, ManifestRow
from app.db.charts import BlobFacts
from app.db.repositories import RepositoryRow
from app.db.session import Database
from app.db.transaction import Transaction
from app.domain import oci
from app.domain.artifact import HELM_CONFIG, ChartLayers, find_chart
from app.domain.oci import Manifest, Reference, RegistryError, render_digest, tag_of, version_of
from app.errors import AppError, Kind
from app.services import faces, holdings
from app.services.archives import Archives
from app.services.charts import Charts, Outcome, withdraw_in
from app.services.ledger import Ledger
from app.services.parcels import Parcel, Pushed

_TOUCH_NANOSECONDS = 600 * 10**9
"""How old the last touch of an unused blob must be before a question for it is noted."""

Readable = Callable[[str], bool] | None
"""Which repositories a caller may read: a question, or None for all."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a manifest came to: its digest in hex, that of its subject or "", its new tags, and what must be said."""

    digest: str
    subject: str
    tags: Sequence[str]
    warning: str = ""


class Registry:
    """The OCI side of the store. `helm_only` refuses what is no chart; `limit` is the largest archive in bytes."""

    def __init__(
        self, database: Database, ledger: Ledger, published: Charts, archives: Archives, *, helm_only: bool, limit: int
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._charts = published
        self._archives = archives
        self._helm_only = helm_only
        self._limit = limit

    # ------------------------------------------------------------------------------------------ manifests

    async def get_manifest(self, repository: str, name: str, reference: Reference) -> ManifestRow:
        """Answer a manifest. Raises RegistryError MANIFEST_UNKNOWN, NAME_UNKNOWN."""
        return await self._database.read(lambda connection: _get_manifest(connection, repository, name, reference))

    async def put_manifest(
        self, repository: str, name: str, reference: Reference, media_type: str, content: bytes, *,
        tags: Sequence[str] = (),
    ) -> Stored:  # fmt: skip
        """Store a manifest, under its digest and with tags. Raises RegistryError, AppError as `publish` does."""
        manifest = oci.read_manifest(content, media_type)
        digest = oci.digest_of(content, oci.hash_name(reference.digest) if reference.digest else "sha256")
        if reference.digest and reference.digest != digest:
            text = f"the manifest's digest is {render_digest(digest)}, not {reference}; nothing was stored"
            raise RegistryError(Kind.INVALID, "DIGEST_INVALID", text)
        wanted = list(dict.fromkeys([reference.tag, *tags] if reference.tag else tags))
        layers = find_chart(manifest)
        if self._helm_only and isinstance(layers, str):
            raise AppError(
                Kind.DENIED, f"this server takes Helm charts only (OCI_HELM_ONLY), and this is none: {layers}"
            )
        row = _make_row(digest, media_type, manifest, content)
        pushed = Pushed(name, row, _children_of(manifest), tuple(wanted))
        if isinstance(layers, ChartLayers) and wanted:
            return await self._publish(repository, pushed, manifest, layers)
        await self._store(repository, pushed, manifest)
        looks_like_one = manifest.config is not None and manifest.config.media_type == HELM_CONFIG
        return Stored(digest, manifest.subject, wanted, _not_listed(str(layers)) if looks_like_one and wanted else "")

    async def remove(self, repository: str, name: str, reference: Reference) -> None:
        """Remove a tag, or a manifest with all its tags; chart versions under them are gone from index.yaml too.

        Raises RegistryError MANIFEST_UNKNOWN, NAME_UNKNOWN; AppError DENIED where the settings forbid deleting.
        """
        if not self._charts.rules.allow_delete:
            raise RegistryError(Kind.DENIED, "UNSUPPORTED", "deleting is switched off on this server (DISABLE_DELETE)")

        def work(transaction: Transaction) -> None:
            _remove(transaction, repository, name, reference)

        await self._ledger.write(work)

    async def list_tags(self, repository: str, name: str, *, limit: int | None, last: str) -> tuple[list[str], bool]:
        """Answer the tags after `last`, at most `limit`, and whether there are more. Raises NAME_UNKNOWN."""

        def ask(connection: Connection) -> list[str]:
            home = repositories.find(connection, repository)
            if home is None or not artifacts.has_name(connection, home.id, name):
                raise oci.name_unknown(oci.join_name(repository, name))
            most = 1 << 31 if limit is None else limit + 1
            return artifacts.list_tags(connection, home.id, name, after=last, limit=most)

        found = await self._database.read(ask)
        return (found, False) if limit is None else (found[:limit], len(found) > limit > 0)

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
        held = await self._database.read(artifacts.list_names)
        names = sorted(oci.join_name(path, name) for path, name in held if readable is None or readable(path))
        rest = [name for name in names if name > last]
        return (rest, False) if limit is None else (rest[:limit], len(rest) > limit > 0)

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
            homes = artifacts.list_homes(transaction.connection, digest)
            allowed = [home for home in homes if readable is None or readable(home[0])]
            if not (source in allowed if source else allowed):
                return False
            path, its_name = source or allowed[0]
            other = repositories.find(transaction.connection, path)
            blob = other and artifacts.find_blob(transaction.connection, other.id, its_name, digest)
            if not blob:
                return False
            home = repositories.get_or_create(transaction.connection, repository)
            holdings.put_link(transaction, home, name, digest, blob.size)
            return True

        return await self._ledger.write(work)

    async def remove_blob(self, repository: str, name: str, digest: str) -> None:
        """Let a name no longer see a blob. Raises BLOB_UNKNOWN, and DENIED while a manifest refers to it."""
        if not self._charts.rules.allow_delete:
            raise RegistryError(Kind.DENIED, "UNSUPPORTED", "deleting is switched off on this server (DISABLE_DELETE)")

        def work(transaction: Transaction) -> None:
            home = repositories.find(transaction.connection, repository)
            if home is None or artifacts.find_blob(transaction.connection, home.id, name, digest) is None:
                raise oci.blob_unknown(digest)
            if artifacts.is_referenced(transaction.connection, home.id, name, digest):
                text = "a manifest refers to this blob; delete the manifest first"
                raise RegistryError(Kind.DENIED, "UNSUPPORTED", text)
            holdings.remove_link(transaction, home, name, digest)

        await self._ledger.write(work)

    # ------------------------------------------------------------------------------------------ inside

    async def _publish(self, repository: str, pushed: Pushed, manifest: Manifest, layers: ChartLayers) -> Stored:
        """Publish a manifest that is a chart's, if it stands under its own name and tag; else store it as it is."""
        digest = pushed.row.digest
        parcel = Parcel(
            await self._read_layer(repository, pushed.name, layers.archive),
            await self._read_layer(repository, pushed.name, layers.provenance) if layers.provenance else None,
            origin="push", pushed=pushed,
        )  # fmt: skip
        name, version = await self._judge(parcel)
        if name != pushed.name or tag_of(version) not in pushed.tags:
            await self._store(repository, pushed, manifest)
            why = f"it is chart {name} {version}, pushed as {pushed.name} with the tag {', '.join(pushed.tags)}"
            return Stored(digest, manifest.subject, pushed.tags, _not_listed(why))
        done = await self._charts.publish(repository, parcel)
        if done.outcome is Outcome.CONFLICT:
            text = f"{name} {version} is there with other content, and overwriting is not allowed on this server"
            raise AppError(Kind.DENIED, text)
        return Stored(digest, manifest.subject, pushed.tags)

    async def _judge(self, parcel: Parcel) -> tuple[str, str]:
        try:
            return await self._charts.read_name(parcel)
        except AppError as error:
            if error.kind is not Kind.INVALID or isinstance(error, RegistryError):
                raise
            raise RegistryError(
                Kind.INVALID, "MANIFEST_INVALID", f"its chart cannot be taken: {error.message}"
            ) from error

    async def _read_layer(self, repository: str, name: str, layer: oci.Descriptor) -> bytes:
        try:
            blob = await self.find_blob(repository, name, layer.digest)
        except RegistryError as error:
            raise faces.blobs_unknown([layer.digest]) from error
        if self._limit and blob.size > self._limit:
            text = f"the chart is larger than {self._limit} bytes (MAX_UPLOAD_SIZE)"
            raise AppError(Kind.TOO_LARGE, text)
        return b"".join([chunk async for chunk in await self.open_blob(blob)])

    async def _store(self, repository: str, pushed: Pushed, manifest: Manifest) -> None:
        def work(transaction: Transaction) -> None:
            home = repositories.get_or_create(transaction.connection, repository)
            for tag in pushed.tags:
                self._make_way(transaction, home, pushed, tag)
            faces.store_pushed(transaction, home, pushed, manifest.needed)

        await self._ledger.write(work)

    def _make_way(self, transaction: Transaction, home: RepositoryRow, pushed: Pushed, tag: str) -> None:
        """Take a chart version from under a tag that something else wants. Raises AppError DENIED if it must stay."""
        version = charts.find_version(transaction.connection, home.id, pushed.name, version_of(tag))
        held = version and artifacts.find_tag(transaction.connection, home.id, pushed.name, tag)
        if version is None or held is None or held == pushed.row.digest:
            return
        if not self._charts.rules.allow_overwrite:
            text = (
                f"the tag {tag} is chart {pushed.name} {version.version}, and overwriting is not allowed on this server"
            )
            raise AppError(Kind.DENIED, text)
        withdraw_in(transaction, home.path, pushed.name, version.version)

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
        known = artifacts.has_name(connection, home.id, name)
        raise oci.manifest_unknown(str(reference)) if known else oci.name_unknown(oci.join_name(repository, name))
    return found


def _remove(transaction: Transaction, repository: str, name: str, reference: Reference) -> None:
    connection = transaction.connection
    row = _get_manifest(connection, repository, name, reference)
    home = repositories.get_or_create(connection, repository)
    tags = [reference.tag] if reference.tag else artifacts.list_tags_of(connection, home.id, name, row.digest)
    for tag in tags:
        version = charts.find_version(connection, home.id, name, version_of(tag))
        if version is not None:
            withdraw_in(transaction, repository, name, version.version, keep_manifest=True)
        holdings.remove_tag(transaction, home, name, tag)
    if not reference.tag:
        holdings.remove_manifest(transaction, home, name, row.digest)


def _make_row(digest: str, media_type: str, manifest: Manifest, content: bytes) -> ManifestRow:
    return ManifestRow(
        digest, media_type, manifest.artifact_type, manifest.subject, manifest.annotations, content, "pushed", 0
    )


def _children_of(manifest: Manifest) -> tuple[Child, ...]:
    blobs = [manifest.config, *manifest.layers] if manifest.config else []
    found = [Child(one.digest, BLOB) for one in blobs] + [Child(one.digest, MANIFEST) for one in manifest.children]
    return tuple(dict.fromkeys(found))


def _not_listed(why: str) -> str:
    return f"not listed in index.yaml: {why}"


async def _slice(content: bytes, start: int, length: int | None) -> AsyncGenerator[bytes, None]:
    yield content[start:] if length is None else content[start : start + length]
