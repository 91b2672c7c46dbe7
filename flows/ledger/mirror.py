"""HubSpot as last seen: records, associations, stage history, and how far the sweep has come."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.ledger.database import upsert
from flows.ledger.tables import associations, cursors, records, stage_history


@dataclass(frozen=True)
class StageEntry:
    """A deal came into a stage at a moment, moved by `source_type` (CRM_UI, INTEGRATION, ...)."""

    deal_id: str
    stage_id: str
    entered_at: datetime
    source_type: str | None = None
    source_id: str | None = None


@dataclass(frozen=True)
class MirrorRow:
    """A record to keep, in HubSpot's words."""

    object_type: str
    object_id: str
    properties: Mapping[str, str | None]
    updated_at: datetime | None
    archived: bool = False


async def keep(tx: AsyncConnection, rows: Sequence[MirrorRow], *, now: datetime) -> set[tuple[str, str]]:
    """Store records; returns (type, id) of those whose content really changed (echoes do not count)."""
    changed: set[tuple[str, str]] = set()
    # Always in the same order, so that two sweeps never wait for each other crosswise.
    for row in sorted(rows, key=lambda r: (r.object_type, r.object_id)):
        digest = _digest(row)
        known = (
            await tx.execute(
                sa.select(records.c.digest).where(
                    records.c.object_type == row.object_type, records.c.object_id == row.object_id
                )
            )
        ).scalar_one_or_none()
        if known != digest:
            changed.add((row.object_type, row.object_id))
        values = {
            "properties": dict(row.properties),
            "digest": digest,
            "updated_at": row.updated_at,
            "archived": row.archived,
            "synced_at": now,
        }
        statement = upsert(tx, records).values(object_type=row.object_type, object_id=row.object_id, **values)
        await tx.execute(
            statement.on_conflict_do_update(index_elements=["object_type", "object_id"], set_=values)
        )
    return changed


async def mark_archived(tx: AsyncConnection, object_type: str, ids: Sequence[str], *, now: datetime) -> None:
    """HubSpot does not show these records any more; one that comes back counts as changed."""
    await tx.execute(
        sa.update(records)
        .where(records.c.object_type == object_type, records.c.object_id.in_(list(ids)))
        .values(archived=True, digest="", synced_at=now)
    )


# These move with every touch, also with our own writes and with mere calculation: not content.
_RESTLESS = ("hs_lastmodifieddate", "lastmodifieddate", "hs_v2_time_in_current_stage", "hs_time_in_")


def _digest(row: MirrorRow) -> str:
    content = {k: v for k, v in row.properties.items() if not k.startswith(_RESTLESS)}
    text = json.dumps([row.archived, content], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


async def keep_links(
    tx: AsyncConnection,
    from_type: str,
    to_type: str,
    links: Mapping[str, Mapping[str, Sequence[str]]],
) -> set[str]:
    """Replace the associations of these records: from id -> to id -> labels. Returns the from ids that changed."""
    changed: set[str] = set()
    for from_id, targets in sorted(links.items()):
        here = sa.and_(
            associations.c.from_type == from_type,
            associations.c.from_id == from_id,
            associations.c.to_type == to_type,
        )
        rows = await tx.execute(sa.select(associations.c.to_id, associations.c.labels).where(here))
        known = {to_id: list(labels) for to_id, labels in rows}
        wanted = {to_id: sorted(labels) for to_id, labels in targets.items()}
        if known == wanted:
            continue
        changed.add(from_id)
        await tx.execute(sa.delete(associations).where(here))
        for to_id, labels in sorted(wanted.items()):
            statement = upsert(tx, associations).values(
                from_type=from_type, from_id=from_id, to_type=to_type, to_id=to_id, labels=labels
            )
            await tx.execute(
                statement.on_conflict_do_update(
                    index_elements=["from_type", "from_id", "to_type", "to_id"], set_={"labels": labels}
                )
            )
    return changed


async def keep_stage_entries(tx: AsyncConnection, entries: Sequence[StageEntry]) -> list[StageEntry]:
    """Store stage entries; returns those not known before, oldest first."""
    fresh: list[StageEntry] = []
    for entry in sorted(entries, key=lambda e: (e.entered_at, e.deal_id)):
        statement = upsert(tx, stage_history).values(
            deal_id=entry.deal_id,
            stage_id=entry.stage_id,
            entered_at=entry.entered_at,
            source_type=entry.source_type,
            source_id=entry.source_id,
        )
        result = await tx.execute(
            statement.on_conflict_do_nothing(index_elements=["deal_id", "entered_at", "stage_id"])
        )
        if result.rowcount == 1:
            fresh.append(entry)
    return fresh


async def deals_by_stage(
    tx: AsyncConnection,
) -> dict[str, list[tuple[str, str, str, datetime | None]]]:
    """Mirrored deals by stage id, those that came last first: (deal id, name, amount with currency, in stage since)."""
    entered = sa.select(
        stage_history.c.deal_id, stage_history.c.stage_id, sa.func.max(stage_history.c.entered_at)
    ).group_by(stage_history.c.deal_id, stage_history.c.stage_id)
    since = {(deal, stage): moment for deal, stage, moment in await tx.execute(entered)}
    rows = await tx.execute(
        sa.select(records.c.object_id, records.c.properties).where(
            records.c.object_type == "deals", records.c.archived.is_(False)
        )
    )
    found: dict[str, list[tuple[str, str, str, datetime | None]]] = {}
    for deal_id, properties in rows:
        stage = properties.get("dealstage") or ""
        amount = f"{properties.get('amount') or ''} {properties.get('deal_currency_code') or ''}".strip()
        line = (deal_id, properties.get("dealname") or "", amount, since.get((deal_id, stage)))
        found.setdefault(stage, []).append(line)
    for lines in found.values():
        lines.sort(key=lambda line: line[3].timestamp() if line[3] else 0.0, reverse=True)
    return found


async def keep_portal_facts(tx: AsyncConnection, facts: Mapping[str, Any], *, now: datetime) -> None:
    """Remember the account's id and stage ids for those that show things without asking HubSpot."""
    await move_cursor(tx, "portal", json.dumps(facts, sort_keys=True), now=now)


async def portal_facts(tx: AsyncConnection) -> dict[str, Any]:
    """What `keep_portal_facts` kept; empty before a worker has run."""
    known = await cursor(tx, "portal")
    facts: dict[str, Any] = json.loads(known) if known else {}
    return facts


async def record(tx: AsyncConnection, object_type: str, object_id: str) -> MirrorRow | None:
    """One mirrored record."""
    row = (
        await tx.execute(
            sa.select(records).where(records.c.object_type == object_type, records.c.object_id == object_id)
        )
    ).first()
    if row is None:
        return None
    return MirrorRow(row.object_type, row.object_id, row.properties, row.updated_at, row.archived)


async def cursor(tx: AsyncConnection, name: str) -> str | None:
    """Where a sweep stands."""
    query = sa.select(cursors.c.value).where(cursors.c.name == name)
    return (await tx.execute(query)).scalar_one_or_none()


async def move_cursor(tx: AsyncConnection, name: str, value: str, *, now: datetime) -> None:
    """Remember how far a sweep has come, once all before it is stored."""
    statement = upsert(tx, cursors).values(name=name, value=value, moved_at=now)
    await tx.execute(
        statement.on_conflict_do_update(index_elements=["name"], set_={"value": value, "moved_at": now})
    )
