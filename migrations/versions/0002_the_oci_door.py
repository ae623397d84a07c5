"""What the OCI door needs: manifests, tags, links to blobs, upload sessions, a key for tokens."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _add_token_key()
    with op.batch_alter_table("blobs") as batch:
        batch.alter_column("digest", existing_type=sa.String(64), type_=sa.String(128), existing_nullable=False)
        batch.add_column(sa.Column("content", sa.LargeBinary(), nullable=True))
    op.create_table(
        "manifests",
        *_place("manifests"),
        sa.Column("digest", sa.String(128), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("artifact_type", sa.Text(), nullable=False),
        sa.Column("subject", sa.String(128), nullable=False),
        sa.Column("annotations", sa.LargeBinary(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("untagged", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("repository_id", "name", "digest", name=op.f("pk_manifests")),
    )
    op.create_index(op.f("ix_manifests_repository_id_name_subject"), "manifests", ["repository_id", "name", "subject"])
    op.create_table(
        "tags",
        *_place("tags"),
        sa.Column("tag", _NAME, nullable=False),
        sa.Column("digest", sa.String(128), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("repository_id", "name", "tag", name=op.f("pk_tags")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_tags_repository_id_name_digest"), "tags", ["repository_id", "name", "digest"])
    op.create_table(
        "links",
        *_place("links"),
        sa.Column("digest", sa.String(128), nullable=False),
        sa.Column("manifest", sa.String(128), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("touched", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("repository_id", "name", "digest", "manifest", name=op.f("pk_links")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_links_repository_id_name_manifest"), "links", ["repository_id", "name", "manifest"])
    op.create_index(op.f("ix_links_digest"), "links", ["digest"])
    op.create_table(
        "uploads",
        sa.Column("uuid", sa.String(36), nullable=False),
        sa.Column("repository", _NAME, nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("parts", sa.LargeBinary(), nullable=False),
        sa.Column("touched", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_uploads")),
    )


def downgrade() -> None:
    for table in ("uploads", "links", "tags", "manifests"):
        op.drop_table(table)
    op.execute(sa.text("DELETE FROM blobs WHERE length(digest) > 64"))
    with op.batch_alter_table("blobs") as batch:
        batch.drop_column("content")
        batch.alter_column("digest", existing_type=sa.String(128), type_=sa.String(64), existing_nullable=False)
    with op.batch_alter_table("catalogue") as batch:
        batch.drop_column("token_key")


def _add_token_key() -> None:
    with op.batch_alter_table("catalogue") as batch:
        batch.add_column(sa.Column("token_key", sa.LargeBinary(), nullable=True))
    catalogue = sa.table("catalogue", sa.column("token_key", sa.LargeBinary()))
    op.execute(catalogue.update().values(token_key=secrets.token_bytes(32)))
    with op.batch_alter_table("catalogue") as batch:
        batch.alter_column("token_key", existing_type=sa.LargeBinary(), nullable=False)


def _place(table: str) -> tuple[sa.Column[int], sa.Column[str], sa.ForeignKeyConstraint]:
    """Answer the columns that say which OCI name a row belongs to."""
    name = op.f(f"fk_{table}_repository_id")
    return (
        sa.Column("repository_id", _ROW_ID, nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name=name),
    )
