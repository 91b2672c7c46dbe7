"""Adds the history of deals: values of properties, and since when associations are known."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add two tables and a column; records that are already mirrored have no history yet."""
    op.add_column("records", sa.Column("histories", sa.JSON(), nullable=True))
    op.create_table(
        "property_history",
        sa.Column("deal_id", sa.String(length=32), nullable=False),
        sa.Column("property", sa.String(length=255), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("deal_id", "property", "at", name=op.f("pk_property_history")),
    )
    key = ("from_type", "from_id", "to_type", "to_id", "label", "first_seen_at")
    op.create_table(
        "association_history",
        sa.Column("from_type", sa.String(length=32), nullable=False),
        sa.Column("from_id", sa.String(length=32), nullable=False),
        sa.Column("to_type", sa.String(length=32), nullable=False),
        sa.Column("to_id", sa.String(length=32), nullable=False),
        sa.Column("label", sa.String(length=64), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("absent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("gone_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint(*key, name=op.f("pk_association_history")),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("association_history")
    op.drop_table("property_history")
    with op.batch_alter_table("records") as table:
        table.drop_column("histories")
