"""The tables, and nothing that runs. The database is an index over storage and can be rebuilt from it.

Times are whole nanoseconds since 1970 UTC (Helm's indexes carry nanoseconds). Digests are lower-case hex without a
prefix: 64 characters are sha256, 128 (blobs and manifests of OCI) sha512. JSON that clients get is kept as the very
bytes they get, so that a read is a copy.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeEngine

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Names are compared bytewise everywhere (the index is sorted so), whatever a Postgres database's locale says.
Name: TypeEngine[str] = Text().with_variant(Text(collation="C"), "postgresql")
# SQLite gives a table its fast row id only to a column that is exactly INTEGER.
RowId: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")

catalogue = Table(
    "catalogue",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # one row, 1
    Column("identity", String(32), nullable=False),  # new after every rebuild: old ETags must not lie
    Column("revision", BigInteger, nullable=False),  # of the newest commit in any repository
    Column("scanned", Boolean, nullable=False),  # ChartMuseum's files were taken in once, whole
    Column("token_key", LargeBinary, nullable=False),  # signs the tokens of the OCI door, in every worker
)

repositories = Table(
    "repositories",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("path", Name, nullable=False, unique=True),  # "" is the root
    Column("revision", BigInteger, nullable=False, index=True),  # of its newest commit
    Column("committed", BigInteger, nullable=False),  # when that was; the index's `generated`
    # Random, of the newest commit: two histories that share a revision still have different ETags.
    Column("commit_id", String(32), nullable=False, server_default=text("''")),
)

charts = Table(
    "charts",
    metadata,
    Column("repository_id", ForeignKey("repositories.id"), primary_key=True),
    Column("name", Name, primary_key=True),
    Column("revision", BigInteger, nullable=False),  # of the newest change to any of its versions
    Column("versions", Integer, nullable=False),  # 0: all were deleted; the row tells caches so
    # What search shows: the newest stable version, or the newest if none is stable.
    Column("rank", LargeBinary, nullable=False),
    Column("version", Text, nullable=False),
    Column("app_version", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("deprecated", Boolean, nullable=False),
    Column("words", Text, nullable=False),  # lower-case name, keywords and description
    # Replicas ask "what changed since N?": this index must serve that question alone.
    Index(None, "repository_id", "revision"),
)

chart_versions = Table(
    "chart_versions",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("repository_id", ForeignKey("repositories.id"), nullable=False),
    Column("name", Name, nullable=False),
    Column("version", Name, nullable=False),
    Column("sort_key", LargeBinary, nullable=False),  # bytewise order is version order
    Column("filename", Name, nullable=False),
    Column("digest", String(64), nullable=False, index=True),
    Column("size", BigInteger, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("origin", String(16), nullable=False),
    Column("entry", LargeBinary, nullable=False),  # its line in index.yaml
    UniqueConstraint("repository_id", "name", "version"),
    UniqueConstraint("repository_id", "filename"),
    Index(None, "repository_id", "name", "sort_key"),
)

provenances = Table(
    "provenances",
    metadata,
    Column("repository_id", ForeignKey("repositories.id"), primary_key=True),
    Column("filename", Name, primary_key=True),  # of the archive; a provenance may come before its chart
    Column("digest", String(64), nullable=False, index=True),
    Column("size", BigInteger, nullable=False),
    Column("created", BigInteger, nullable=False),
)

blobs = Table(
    "blobs",
    metadata,
    Column("digest", String(128), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("condemned", BigInteger),  # when it was found unreferenced; deleted after the grace period
    Column("content", LargeBinary),  # its bytes, if they lie here and not in storage: configs that we made
)

# What storage has and no record of this catalogue ever named: it is kept for a while from the first look on.
unknown_blobs = Table(
    "unknown_blobs",
    metadata,
    Column("digest", String(128), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("first_seen", BigInteger, nullable=False),  # by this catalogue, whatever time the file itself has
)

# What an OCI name (a repository's path and a last segment) holds. Charts have their manifests and tags here too.
manifests = Table(
    "manifests",
    metadata,
    Column("repository_id", ForeignKey("repositories.id"), primary_key=True),
    Column("name", Name, primary_key=True),  # the last segment of the OCI name; of a chart its name
    Column("digest", String(128), primary_key=True),
    Column("media_type", Text, nullable=False),
    Column("artifact_type", Text, nullable=False),
    Column("subject", String(128), nullable=False),  # the manifest that this one refers to, or ""
    Column("annotations", LargeBinary, nullable=False),  # a JSON object, or empty
    Column("content", LargeBinary, nullable=False),
    Column("origin", String(16), nullable=False),  # "derived" from an upload, or "pushed"
    Column("created", BigInteger, nullable=False),
    Column("untagged", BigInteger),  # since when no tag names it
    Index(None, "repository_id", "name", "subject"),
)

tags = Table(
    "tags",
    metadata,
    Column("repository_id", ForeignKey("repositories.id"), primary_key=True),
    Column("name", Name, primary_key=True),
    Column("tag", Name, primary_key=True),
    Column("digest", String(128), nullable=False),
    Column("updated", BigInteger, nullable=False),
    Index(None, "repository_id", "name", "digest"),
    sqlite_with_rowid=False,  # its key is most of it: one tree to write instead of two
)

links = Table(
    "links",
    metadata,
    Column("repository_id", ForeignKey("repositories.id"), primary_key=True),
    Column("name", Name, primary_key=True),
    Column("digest", String(128), primary_key=True),  # of what the name may see
    Column("manifest", String(128), primary_key=True),  # which one refers to it; "" if it was uploaded or mounted
    Column("kind", String(16), nullable=False),  # "blob" or "manifest"
    Column("touched", BigInteger, nullable=False),  # when it was uploaded, mounted or asked for
    Index(None, "repository_id", "name", "manifest"),
    Index(None, "digest"),
    sqlite_with_rowid=False,
)

uploads = Table(
    "uploads",
    metadata,
    Column("uuid", String(36), primary_key=True),
    Column("repository", Name, nullable=False),
    Column("name", Name, nullable=False),
    Column("offset", BigInteger, nullable=False),  # bytes that have come; moved by compare-and-set
    Column("parts", LargeBinary, nullable=False),  # JSON: the storage key, size and sha256 of each
    Column("touched", BigInteger, nullable=False),
)

# Segments that versions before 0003 had committed and not stored yet; written to storage at the start.
outbox = Table(
    "outbox",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("key", Text, nullable=False),  # where in storage the segment goes
    Column("content", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)

pending_commit = Table(
    "pending_commit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # one row, 1
    Column("segments", Text, nullable=False),  # keys of those under way, one a line (Postgres only)
)

museum_files = Table(
    "museum_files",
    metadata,
    Column("key", Name, primary_key=True),  # the object as ChartMuseum named it
    Column("size", BigInteger, nullable=False),
    Column("modified", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),  # of what it held when it was read; "" if that is no chart
    Column("name", Name, nullable=False),  # the chart in it, or that was in it before it broke; "" for provenance
    Column("version", Name, nullable=False),
    Column("signs", String(64), nullable=False, default=""),  # of provenance: the digest of its archive
    Column("state", String(16)),  # "" counts, else why not (app/db/museum.py); NULL: noted by an older version
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("holder", String(64), nullable=False),
    Column("expires", BigInteger, nullable=False),
)
