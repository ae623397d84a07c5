"""What followed files hold: which archive a provenance file signs, and whether a file counts.

Rows that are there keep no state: the next start looks at them once more.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("museum_files") as batch:
        batch.add_column(sa.Column("signs", sa.String(64), nullable=False, server_default=""))
        batch.add_column(sa.Column("state", sa.String(16), nullable=True))
    with op.batch_alter_table("museum_files") as batch:
        batch.alter_column("signs", existing_type=sa.String(64), existing_nullable=False, server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("museum_files") as batch:
        batch.drop_column("state")
        batch.drop_column("signs")
