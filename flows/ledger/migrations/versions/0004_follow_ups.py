"""Adds follow-ups of stalled deals: one row each, with what was done and which criteria were unmet."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "follow_ups",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("deal_id", sa.String(32), nullable=False),
        sa.Column("stage", sa.String(40), nullable=False),
        sa.Column("entered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("unmet", sa.JSON(), nullable=False),
        sa.Column("done", sa.JSON(), nullable=False),
        sa.Column("task_id", sa.String(32), nullable=True),
        sa.Column("email_id", sa.String(32), nullable=True),
        sa.Column("flagged", sa.Boolean(), nullable=False),
        sa.Column("cleared_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cleared_why", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_follow_ups"),
        sa.UniqueConstraint(
            "deal_id",
            "stage",
            "entered_at",
            "number",
            name="uq_follow_ups_deal_id_stage_entered_at_number",
        ),
    )
    op.create_index("ix_follow_ups_email_id", "follow_ups", ["email_id"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("follow_ups")
