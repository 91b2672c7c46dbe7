"""Unknown outcomes are counted and timed: adds `resends` and `look_at` to effects, `nudged_at` to inbox."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.add_column("effects", sa.Column("resends", sa.Integer(), server_default="0", nullable=False))
    op.add_column("effects", sa.Column("look_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("inbox", sa.Column("nudged_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """Drop them."""
    with op.batch_alter_table("inbox") as table:
        table.drop_column("nudged_at")
    with op.batch_alter_table("effects") as table:
        table.drop_column("look_at")
        table.drop_column("resends")
