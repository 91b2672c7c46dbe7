"""Failures are counted separately from attempts: adds `failures` to inbox."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; parked rows start at zero."""
    op.add_column("inbox", sa.Column("failures", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    """Drop it."""
    with op.batch_alter_table("inbox") as table:
        table.drop_column("failures")
