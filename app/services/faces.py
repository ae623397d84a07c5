"""The OCI face of a chart version: the manifest under the tag of its version, made here or pushed by a client.

Every function works inside of the transaction that changes the chart, and records what it changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.db import artifacts, charts
from app.db.artifacts import BLOB, MANIFEST, Child, ManifestRow
from app.db.charts import BlobFacts, VersionRow
from app.db.repositories import RepositoryRow
from app.db.transaction import Transaction
from app.domain.artifact import HELM_CONFIG, Artifact, File, with_provenance
from app.domain.oci import MANIFEST_TYPE, Manifest, RegistryError, digest_of, read_manifest, render_digest, tag_of
from app.errors import Kind
from app.records import oci as records
from app.services.parcels import Pushed


def put_derived(
    transaction: Transaction, home: RepositoryRow, chart: VersionRow, artifact: Artifact, signed: BlobFacts | None, *,
    tagged: str | None = None,
) -> None:  # fmt: skip
    """Give a chart version that was uploaded its manifest and tag. Its config must be stored already.

    `tagged` is what the tag names until now ("": nothing; None: not known).
    """
    manifest = _make_row(transaction, artifact.digest, artifact.manifest, artifact.annotations)
    children = [Child(artifact.config_digest, BLOB), Child(chart.digest, BLOB)]
    children += [Child(signed.digest, BLOB)] if signed else []
    contents = {artifact.config_digest: artifact.config}
    records.put_manifest(transaction, home, chart.name, manifest, children, contents, are_stored=True)
    tag = tag_of(chart.version)
    records.put_tag(transaction, home, chart.name, tag, artifact.digest, is_new=True, old=tagged)


def add_provenance(transaction: Transaction, home: RepositoryRow, filename: str, signed: BlobFacts) -> None:
    """Give a chart that has got a provenance file the manifest with two layers; the old one stays until collected."""
    chart = charts.find_chart_of(transaction.connection, home.id, filename)
    old = chart and artifacts.find_tagged(transaction.connection, home.id, chart[0], tag_of(chart[1]))
    if chart is None or old is None:
        return
    content = with_provenance(old.content, File(*signed))
    manifest = read_manifest(content, MANIFEST_TYPE)
    row = _make_row(transaction, digest_of(content), content, old.annotations)
    children = list_children(manifest)
    inline = [artifacts.find_blob(transaction.connection, home.id, chart[0], digest) for digest in manifest.needed]
    contents = {blob.digest: blob.content for blob in inline if blob and blob.content is not None}
    records.put_manifest(transaction, home, chart[0], row, children, contents)
    records.put_tag(transaction, home, chart[0], tag_of(chart[1]), row.digest, is_new=True)


def store_pushed(transaction: Transaction, home: RepositoryRow, pushed: Pushed) -> None:
    """Store a client's manifest with its tags. Raises RegistryError MANIFEST_BLOB_UNKNOWN where blobs are missing."""
    connection, name = transaction.connection, pushed.name
    missing = [digest for digest in pushed.needed if artifacts.find_blob(connection, home.id, name, digest) is None]
    if missing:
        raise blobs_unknown(missing)
    if artifacts.find_manifest(connection, home.id, name, pushed.row.digest) is None:
        row = replace(pushed.row, created=transaction.now, untagged=transaction.now)
        records.put_manifest(transaction, home, name, row, pushed.children, {})
    for tag in pushed.tags:
        records.put_tag(transaction, home, name, tag, pushed.row.digest)


def drop(transaction: Transaction, home: RepositoryRow, name: str, version: str, *, keep_manifest: bool) -> None:
    """Take the tag of a version away, and its manifest unless another tag or manifest needs it."""
    digest = artifacts.find_tag(transaction.connection, home.id, name, tag_of(version))
    if digest is None:
        return
    records.remove_tag(transaction, home, name, tag_of(version))
    needed = artifacts.list_tags_of(transaction.connection, home.id, name, digest)
    if not keep_manifest and not needed and not artifacts.is_referenced(transaction.connection, home.id, name, digest):
        records.remove_manifest(transaction, home, name, digest)


def list_children(manifest: Manifest) -> tuple[Child, ...]:
    """Answer all that a manifest refers to, each once."""
    blobs = [manifest.config, *manifest.layers] if manifest.config else []
    found = [Child(one.digest, BLOB) for one in blobs] + [Child(one.digest, MANIFEST) for one in manifest.children]
    return tuple(dict.fromkeys(found))


def blobs_unknown(digests: Sequence[str]) -> RegistryError:
    """Answer the error for a manifest whose blobs are missing."""
    text = "the manifest refers to blobs that this repository does not have; push them first"
    detail = [{"digest": render_digest(digest)} for digest in digests]
    return RegistryError(Kind.NOT_FOUND, "MANIFEST_BLOB_UNKNOWN", text, detail=detail)


def _make_row(transaction: Transaction, digest: str, content: bytes, annotations: bytes) -> ManifestRow:
    return ManifestRow(digest, MANIFEST_TYPE, HELM_CONFIG, "", annotations, content, "derived", transaction.now)
