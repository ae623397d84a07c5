"""Each commit of a repository has a random id; a commit that is under way is noted where all hosts see it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("repositories", sa.Column("commit_id", sa.String(32), nullable=False, server_default=sa.text("''")))
    op.create_table(
        "pending_commit",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("segments", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pending_commit")),
    )


def downgrade() -> None:
    op.drop_table("pending_commit")
    with op.batch_alter_table("repositories") as batch:
        batch.drop_column("commit_id")
