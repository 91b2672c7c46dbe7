"""The ledger's tables. Migrations from an empty database create exactly these (a test compares)."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa


class UtcTime(sa.TypeDecorator[datetime]):
    """Aware UTC datetimes in both databases (SQLite keeps no zone, so it is put back on reading)."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Refuse naive times; store UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("the ledger takes aware datetimes only")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Return UTC."""
        return None if value is None else value.replace(tzinfo=UTC) if value.tzinfo is None else value


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _column(name: str, kind: Any, **more: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=more.pop("nullable", False), **more)


# Exact bytes and headers of each accepted delivery. Repeats of the same bytes are counted, not stored again.
deliveries = sa.Table(
    "deliveries",
    metadata,
    _column("id", _Id, primary_key=True, autoincrement=True),
    _column("source", sa.String(32)),
    _column("sha256", sa.String(64)),
    _column("received_at", UtcTime),
    _column("headers", sa.JSON),
    _column("body", sa.LargeBinary),
    _column("repeats", sa.Integer, server_default="0"),
    sa.UniqueConstraint("source", "sha256"),
)

# One row for each event. `lane` orders: within a lane rows are handled one at a time, oldest first.
inbox = sa.Table(
    "inbox",
    metadata,
    _column("id", _Id, primary_key=True, autoincrement=True),
    _column("source", sa.String(32)),
    _column("event_key", sa.String(255)),
    _column("kind", sa.String(64)),
    _column("lane", sa.String(128)),
    _column("deal_id", sa.String(32), nullable=True),
    _column("delivery_id", _Id, nullable=True),
    _column("content", sa.JSON),
    _column("occurred_at", UtcTime, nullable=True),
    _column("received_at", UtcTime),
    _column("state", sa.String(16)),  # due, claimed, parked, held, done, ignored, dead
    _column("due_at", UtcTime),
    _column("attempts", sa.Integer, server_default="0"),
    _column("lease_owner", sa.String(128), nullable=True),
    _column("lease_until", UtcTime, nullable=True),
    _column("flow_run_id", sa.String(36), nullable=True),
    _column("reason", sa.Text, nullable=True),
    _column("outcome", sa.JSON, nullable=True),
    _column("finished_at", UtcTime, nullable=True),
    _column("nudged_at", UtcTime, nullable=True),  # its deal changed since it was claimed
    _column("failures", sa.Integer, server_default="0"),  # consecutive tries that ended parked
    sa.UniqueConstraint("source", "event_key"),
    sa.Index(None, "state", "due_at"),
    sa.Index(None, "lane", "id"),
    sa.Index(None, "deal_id", "id"),
)

# Every outward write under its natural key, stored before it is tried.
effects = sa.Table(
    "effects",
    metadata,
    _column("id", _Id, primary_key=True, autoincrement=True),
    _column("key", sa.String(255), unique=True),
    _column("kind", sa.String(64)),
    _column("deal_id", sa.String(32), nullable=True),
    _column("token", sa.String(32)),
    _column("state", sa.String(16)),  # intended, not_done, unknown, done, refused, quarantined
    _column("attempts", sa.Integer, server_default="0"),
    _column("looks", sa.Integer, server_default="0"),
    _column("event_id", _Id, nullable=True),
    _column("result", sa.JSON, nullable=True),
    _column("reason", sa.Text, nullable=True),
    _column("created_at", UtcTime),
    _column("tried_at", UtcTime, nullable=True),
    _column("settled_at", UtcTime, nullable=True),
    _column(
        "resends", sa.Integer, server_default="0"
    ),  # tries made although the outcome of an earlier one was unknown
    _column(
        "look_at", UtcTime, nullable=True
    ),  # a check before this moment that finds nothing proves nothing
    sa.Index(None, "deal_id"),
    sa.Index(None, "state"),
)

# Rendered documents, frozen: the exact bytes that were filed or sent.
papers = sa.Table(
    "papers",
    metadata,
    _column("id", _Id, primary_key=True, autoincrement=True),
    _column("deal_id", sa.String(32)),
    _column("kind", sa.String(16)),  # proposal, contract, signed
    _column("version", sa.Integer),
    _column("source_sha256", sa.String(64)),
    _column("sha256", sa.String(64)),
    _column("title", sa.Text),
    _column("content", sa.LargeBinary),
    _column("created_at", UtcTime),
    _column("file_id", sa.String(32), nullable=True),
    sa.UniqueConstraint("deal_id", "kind", "version"),
    sa.UniqueConstraint("deal_id", "kind", "source_sha256"),
)

# One row for each contract revision of a deal: who signs, which frozen text, under which token.
contracts = sa.Table(
    "contracts",
    metadata,
    _column("id", _Id, primary_key=True, autoincrement=True),
    _column("deal_id", sa.String(32)),
    _column("revision", sa.Integer),
    _column("token", sa.String(32), unique=True),
    _column("state", sa.String(16)),  # sending, open, completed, declined, expired, canceled, failed, refused
    _column("paper_id", _Id),
    _column("signers", sa.JSON),
    _column("request_id", sa.String(64), nullable=True, unique=True),
    _column("test_mode", sa.Boolean),
    _column("created_at", UtcTime),
    _column("sent_at", UtcTime, nullable=True),
    _column("ended_at", UtcTime, nullable=True),
    _column("reason", sa.Text, nullable=True),
    sa.UniqueConstraint("deal_id", "revision"),
    sa.Index(None, "state"),
)

# One row for each follow-up: the deal's stay in a stage (by the moment of entry), and its number in that stay.
follow_ups = sa.Table(
    "follow_ups",
    metadata,
    _column("id", _Id, primary_key=True, autoincrement=True),
    _column("deal_id", sa.String(32)),
    _column("stage", sa.String(40)),
    _column("entered_at", UtcTime),
    _column("number", sa.Integer),
    _column("begun_at", UtcTime),
    _column("ended_at", UtcTime, nullable=True),
    _column("unmet", sa.JSON),  # criterion keys
    _column("done", sa.JSON),  # what, record, why
    _column("task_id", sa.String(32), nullable=True),
    _column("email_id", sa.String(32), nullable=True),  # HubSpot's, of a draft: ours, so it proves nothing
    _column("flagged", sa.Boolean),
    _column("cleared_at", UtcTime, nullable=True),
    _column("cleared_why", sa.Text, nullable=True),
    sa.UniqueConstraint("deal_id", "stage", "entered_at", "number"),
    sa.Index(None, "email_id"),
)

# HubSpot as last read: evidence and history, never a second source of truth.
records = sa.Table(
    "records",
    metadata,
    _column("object_type", sa.String(32), primary_key=True),
    _column("object_id", sa.String(32), primary_key=True),
    _column("properties", sa.JSON),
    _column("digest", sa.String(64)),
    _column("updated_at", UtcTime, nullable=True),
    _column("archived", sa.Boolean),
    _column("synced_at", UtcTime),
    _column(
        "histories", sa.JSON(none_as_null=True), nullable=True
    ),  # properties with all their past values in the table below
)
associations = sa.Table(
    "associations",
    metadata,
    _column("from_type", sa.String(32), primary_key=True),
    _column("from_id", sa.String(32), primary_key=True),
    _column("to_type", sa.String(32), primary_key=True),
    _column("to_id", sa.String(32), primary_key=True),
    _column("labels", sa.JSON),
    sa.Index(None, "to_type", "to_id"),
)
stage_history = sa.Table(
    "stage_history",
    metadata,
    _column("deal_id", sa.String(32), primary_key=True),
    _column("entered_at", UtcTime, primary_key=True),
    _column("stage_id", sa.String(64), primary_key=True),
    _column("source_type", sa.String(64), nullable=True),
    _column("source_id", sa.String(128), nullable=True),
    sa.Index(None, "stage_id", "entered_at"),
)

# What was found when a deal entered a stage, and what was done about it: decided once, before anything is written.
stage_checks = sa.Table(
    "stage_checks",
    metadata,
    _column("deal_id", sa.String(32), primary_key=True),
    _column("entered_at", UtcTime, primary_key=True),
    _column("stage_id", sa.String(64), primary_key=True),
    _column("stage", sa.String(40)),
    _column("came_from", sa.String(40), nullable=True),
    _column("mode", sa.String(16)),
    _column("found", sa.String(16)),  # passed, skipped, unproven, overridden, fight
    _column("action", sa.String(16)),  # none, note, task, move_back
    _column("missing", sa.JSON),
    _column("skipped", sa.JSON),
    _column("proofs", sa.JSON),  # criterion -> [record kind, id] that proved it
    _column("mover", sa.String(160)),
    _column("back_to", sa.String(40), nullable=True),
    _column("override_id", _Id, nullable=True),
    _column("checked_at", UtcTime),
    _column("settled_at", UtcTime, nullable=True),
    _column("result", sa.JSON, nullable=True),
    sa.Index(None, "found", "checked_at"),
)

# A named person lets a deal stand in a stage without proof, with a reason and an end date.
overrides = sa.Table(
    "overrides",
    metadata,
    _column("id", _Id, primary_key=True, autoincrement=True),
    _column("deal_id", sa.String(32)),
    _column("stage", sa.String(40)),
    _column("person", sa.String(200)),
    _column("reason", sa.Text),
    _column("granted_at", UtcTime),
    _column("expires_at", UtcTime),
    _column("revoked_at", UtcTime, nullable=True),
    _column("revoked_by", sa.String(200), nullable=True),
    sa.Index(None, "deal_id", "stage"),
)
# Past values of the deal properties that the process asks for. Evidence: nothing is ever removed.
property_history = sa.Table(
    "property_history",
    metadata,
    _column("deal_id", sa.String(32), primary_key=True),
    _column("property", sa.String(255), primary_key=True),
    _column("at", UtcTime, primary_key=True),
    _column("value", sa.Text, nullable=True),
)
# Since when an association, or a label on it, is known: HubSpot keeps no history of them. `label` is empty for the
# bare association. It appeared after `absent_at` (null: it existed at the first read) and not after `first_seen_at`.
association_history = sa.Table(
    "association_history",
    metadata,
    _column("from_type", sa.String(32), primary_key=True),
    _column("from_id", sa.String(32), primary_key=True),
    _column("to_type", sa.String(32), primary_key=True),
    _column("to_id", sa.String(32), primary_key=True),
    _column("label", sa.String(64), primary_key=True),
    _column("first_seen_at", UtcTime, primary_key=True),
    _column("absent_at", UtcTime, nullable=True),
    _column("gone_at", UtcTime, nullable=True),  # first read without it
)

cursors = sa.Table(
    "cursors",
    metadata,
    _column("name", sa.String(64), primary_key=True),
    _column("value", sa.Text),
    _column("moved_at", UtcTime),
)
workers = sa.Table(
    "workers",
    metadata,
    _column("name", sa.String(128), primary_key=True),
    _column("started_at", UtcTime),
    _column("seen_at", UtcTime),
    _column("wake_port", sa.Integer, nullable=True),
    _column("prefect_ok", sa.Boolean),
    _column("note", sa.Text, nullable=True),
)
counts = sa.Table(
    "counts",
    metadata,
    _column("day", sa.String(10), primary_key=True),
    _column("name", sa.String(64), primary_key=True),
    _column("n", sa.Integer),
)
