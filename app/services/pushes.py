"""What happens to a pushed manifest: a chart under its own name and tag is published, all else is kept as it is.

A chart goes the one road in (`Charts.publish`) and is listed in index.yaml by the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.db import artifacts, charts, repositories
from app.db.artifacts import ManifestRow
from app.db.repositories import RepositoryRow
from app.db.transaction import Transaction
from app.domain import oci
from app.domain.artifact import HELM_CONFIG, ChartLayers, find_chart
from app.domain.oci import Manifest, Reference, RegistryError, render_digest, tag_of, version_of
from app.errors import AppError, Kind
from app.services import faces
from app.services.charts import Charts, Outcome
from app.services.ledger import Ledger
from app.services.parcels import Contents, Parcel, Pushed
from app.services.registry import Registry
from app.services.withdrawal import withdraw_in


@dataclass(frozen=True, slots=True)
class Stored:
    """What a manifest came to: its digest in hex, that of its subject or "", its new tags, and what must be said."""

    digest: str
    subject: str
    tags: Sequence[str]
    warning: str = ""


class Pushes:
    """Takes manifests. `helm_only` refuses what is no chart; `limit` is the largest archive in bytes."""

    def __init__(self, registry: Registry, ledger: Ledger, published: Charts, *, helm_only: bool, limit: int) -> None:
        self._registry = registry
        self._ledger = ledger
        self._charts = published
        self._helm_only = helm_only
        self._limit = limit

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
        pushed = Pushed(name, row, faces.list_children(manifest), tuple(manifest.needed), tuple(wanted))
        if isinstance(layers, ChartLayers) and wanted:
            return await self._publish(repository, pushed, layers)
        await self._store(repository, pushed)
        looks_like_one = manifest.config is not None and manifest.config.media_type == HELM_CONFIG
        return Stored(digest, manifest.subject, wanted, _not_listed(str(layers)) if looks_like_one and wanted else "")

    async def _publish(self, repository: str, pushed: Pushed, layers: ChartLayers) -> Stored:
        """Publish a manifest that is a chart's, if it stands under its own name and tag; else store it as it is."""
        digest, subject = pushed.row.digest, pushed.row.subject
        parcel = Parcel(
            await self._read_layer(repository, pushed.name, layers.archive),
            await self._read_layer(repository, pushed.name, layers.provenance) if layers.provenance else None,
            origin="push", pushed=pushed,
        )  # fmt: skip
        contents = await self._read(parcel)
        assert contents[0] is not None
        name, version = contents[0].row.name, contents[0].row.version
        if name != pushed.name or tag_of(version) not in pushed.tags:
            await self._store(repository, pushed)
            why = f"it is chart {name} {version}, pushed as {pushed.name} with the tag {', '.join(pushed.tags)}"
            return Stored(digest, subject, pushed.tags, _not_listed(why))
        policy = self._charts.rules.for_upload()
        done = await self._charts.publish(repository, parcel, policy, contents=contents)
        if done.outcome is Outcome.UNCHANGED:
            await self._charts.claim(repository, done, parcel.origin)
        if done.outcome is Outcome.CONFLICT:
            text = f"{name} {version} is there with other content, and overwriting is not allowed on this server"
            raise AppError(Kind.DENIED, text)
        return Stored(digest, subject, pushed.tags)

    async def _read(self, parcel: Parcel) -> Contents:
        try:
            return await self._charts.read(parcel)
        except AppError as error:
            if error.kind is not Kind.INVALID or isinstance(error, RegistryError):
                raise
            raise RegistryError(
                Kind.INVALID, "MANIFEST_INVALID", f"its chart cannot be taken: {error.message}"
            ) from error

    async def _read_layer(self, repository: str, name: str, layer: oci.Descriptor) -> bytes:
        try:
            blob = await self._registry.find_blob(repository, name, layer.digest)
        except RegistryError as error:
            raise faces.blobs_unknown([layer.digest]) from error
        if self._limit and blob.size > self._limit:
            text = f"the chart is larger than {self._limit} bytes (MAX_UPLOAD_SIZE)"
            raise AppError(Kind.TOO_LARGE, text)
        return b"".join([chunk async for chunk in await self._registry.open_blob(blob)])

    async def _store(self, repository: str, pushed: Pushed) -> None:
        def work(transaction: Transaction) -> None:
            home = repositories.get_or_create(transaction.connection, repository)
            for tag in pushed.tags:
                self._make_way(transaction, home, pushed, tag)
            faces.store_pushed(transaction, home, pushed)

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


def _make_row(digest: str, media_type: str, manifest: Manifest, content: bytes) -> ManifestRow:
    return ManifestRow(
        digest, media_type, manifest.artifact_type, manifest.subject, manifest.annotations, content, "pushed", 0
    )


def _not_listed(why: str) -> str:
    return f"not listed in index.yaml: {why}"
