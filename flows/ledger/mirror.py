"""The mirror of HubSpot as last read: records, associations, stage history, and the sweep's cursors."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.ledger.database import upsert
from flows.ledger.history import ReadTimes, note_links
from flows.ledger.tables import associations, cursors, records, stage_history

WATCH_SINCE = "watch_since"
"""The cursor that holds since when stage entries cause actions."""


@dataclass(frozen=True)
class StageEntry:
    """A deal entered a stage at a moment, moved by `source_type` (CRM_UI, INTEGRATION, ...)."""

    deal_id: str
    stage_id: str
    entered_at: datetime
    source_type: str | None = None
    source_id: str | None = None


@dataclass(frozen=True)
class MirrorRow:
    """A record to keep, in HubSpot's words. `histories`: properties with all their past values."""

    object_type: str
    object_id: str
    properties: Mapping[str, str | None]
    updated_at: datetime | None
    archived: bool = False
    histories: Sequence[str] = ()


@dataclass(frozen=True)
class Kept:
    """The result of storing records, by type and id: whose content changed (echoes do not count), and when known
    records were last read before.
    """

    changed: set[tuple[str, str]]
    read_before: Mapping[tuple[str, str], datetime]


async def keep(tx: AsyncConnection, rows: Sequence[MirrorRow], *, now: datetime) -> Kept:
    """Store records."""
    # Always in the same order, so that two sweeps never deadlock.
    by_key = {(row.object_type, row.object_id): row for row in rows}
    ordered = sorted(by_key)
    values = [
        {
            "object_type": row.object_type,
            "object_id": row.object_id,
            "properties": dict(row.properties),
            "digest": _digest(row),
            "updated_at": row.updated_at,
            "archived": row.archived,
            "synced_at": now,
            "histories": list(row.histories) or None,
        }
        for row in (by_key[key] for key in ordered)
    ]
    known: dict[tuple[str, str], tuple[str, datetime]] = {}
    columns = (records.c.object_id, records.c.digest, records.c.synced_at)
    for object_type in dict.fromkeys(kind for kind, _ in ordered):
        ids = [ident for kind, ident in ordered if kind == object_type]
        for some in _chunks(ids):
            query = sa.select(*columns).where(
                records.c.object_type == object_type, records.c.object_id.in_(some)
            )
            found = await tx.execute(query)
            known |= {(object_type, ident): (digest, synced_at) for ident, digest, synced_at in found}
    if values:
        statement = upsert(tx, records)
        fields = ("properties", "digest", "updated_at", "archived", "synced_at", "histories")
        statement = statement.on_conflict_do_update(
            index_elements=["object_type", "object_id"],
            set_={field: statement.excluded[field] for field in fields},
        )
        await tx.execute(statement, values)
    pairs = zip(ordered, values, strict=True)
    changed = {key for key, row in pairs if key not in known or known[key][0] != row["digest"]}
    return Kept(changed, {key: synced_at for key, (_, synced_at) in known.items()})


def _chunks(ids: Sequence[str]) -> Iterator[list[str]]:
    """Ids in chunks that fit into one statement."""
    for at in range(0, len(ids), 500):
        yield list(ids[at : at + 500])


async def mark_archived(tx: AsyncConnection, object_type: str, ids: Sequence[str], *, now: datetime) -> None:
    """Mark records that HubSpot no longer returns; one that comes back counts as changed."""
    await tx.execute(
        sa.update(records)
        .where(records.c.object_type == object_type, records.c.object_id.in_(list(ids)))
        .values(archived=True, digest="", synced_at=now)
    )


# These change with every update, also with our own writes and with calculations: not content.
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
    *,
    reads: ReadTimes,
) -> set[str]:
    """Replace the associations of these records: from id -> to id -> labels. Returns the from ids that changed.

    Changes are recorded in the history, between the times in `reads`.
    """
    changed: set[str] = set()
    kinds = sa.and_(associations.c.from_type == from_type, associations.c.to_type == to_type)
    stored: dict[str, dict[str, list[str]]] = {}
    for some in _chunks(sorted(links)):
        query = sa.select(associations.c.from_id, associations.c.to_id, associations.c.labels)
        for from_id, to_id, labels in await tx.execute(query.where(kinds, associations.c.from_id.in_(some))):
            stored.setdefault(from_id, {})[to_id] = list(labels)
    rows: list[dict[str, Any]] = []
    for from_id, targets in sorted(links.items()):
        wanted = {to_id: sorted(labels) for to_id, labels in targets.items()}
        if stored.get(from_id, {}) == wanted:
            continue
        changed.add(from_id)
        rows += [
            {
                "from_type": from_type,
                "from_id": from_id,
                "to_type": to_type,
                "to_id": to_id,
                "labels": labels,
            }
            for to_id, labels in sorted(wanted.items())
        ]
    if changed:
        wanted_of = {from_id: links[from_id] for from_id in changed}
        await note_links(tx, (from_type, to_type), stored, wanted_of, reads)
    for some in _chunks(sorted(changed & stored.keys())):
        await tx.execute(sa.delete(associations).where(kinds, associations.c.from_id.in_(some)))
    if rows:
        statement = upsert(tx, associations)
        statement = statement.on_conflict_do_update(
            index_elements=["from_type", "from_id", "to_type", "to_id"],
            set_={"labels": statement.excluded.labels},
        )
        await tx.execute(statement, rows)
    return changed


async def keep_stage_entries(tx: AsyncConnection, entries: Sequence[StageEntry]) -> list[StageEntry]:
    """Store stage entries; returns the new ones, oldest first."""
    fresh: list[StageEntry] = []
    known: set[tuple[str, datetime, str]] = set()
    columns = (stage_history.c.deal_id, stage_history.c.entered_at, stage_history.c.stage_id)
    for some in _chunks(sorted({entry.deal_id for entry in entries})):
        rows = await tx.execute(sa.select(*columns).where(stage_history.c.deal_id.in_(some)))
        known |= {(deal_id, entered_at, stage_id) for deal_id, entered_at, stage_id in rows}
    for entry in sorted(entries, key=lambda e: (e.entered_at, e.deal_id)):
        if (entry.deal_id, entry.entered_at, entry.stage_id) in known:
            continue
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


async def last_entries(tx: AsyncConnection, deal_ids: Sequence[str]) -> dict[str, StageEntry]:
    """The newest known stage entry of each of these deals."""
    found: dict[str, StageEntry] = {}
    for some in _chunks(list(deal_ids)):
        query = sa.select(stage_history).where(stage_history.c.deal_id.in_(some))
        for row in await tx.execute(query.order_by(stage_history.c.entered_at)):
            found[row.deal_id] = StageEntry(
                row.deal_id, row.stage_id, row.entered_at, row.source_type, row.source_id
            )
    return found


async def deals_by_stage(
    tx: AsyncConnection,
) -> dict[str, list[tuple[str, str, str, datetime | None]]]:
    """Mirrored deals by stage id, newest entry first: (deal id, name, amount with currency, in stage since)."""
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
        amount = properties.get("amount") or ""
        amount = f"{amount} {properties.get('deal_currency_code') or ''}".strip() if amount else ""
        line = (deal_id, properties.get("dealname") or "", amount, since.get((deal_id, stage)))
        found.setdefault(stage, []).append(line)
    for lines in found.values():
        lines.sort(key=lambda line: line[3].timestamp() if line[3] else 0.0, reverse=True)
    return found


async def keep_portal_facts(tx: AsyncConnection, facts: Mapping[str, Any], *, now: datetime) -> None:
    """Store the account's id and stage ids for pages that must not ask HubSpot."""
    await move_cursor(tx, "portal", json.dumps(facts, sort_keys=True), now=now)


async def portal_facts(tx: AsyncConnection) -> dict[str, Any]:
    """What `keep_portal_facts` stored; empty until a worker has run."""
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
    histories = tuple(row.histories or ())
    return MirrorRow(row.object_type, row.object_id, row.properties, row.updated_at, row.archived, histories)


async def cursor(tx: AsyncConnection, name: str) -> str | None:
    """The stored position of a sweep."""
    query = sa.select(cursors.c.value).where(cursors.c.name == name)
    return (await tx.execute(query)).scalar_one_or_none()


async def move_cursor(tx: AsyncConnection, name: str, value: str, *, now: datetime) -> None:
    """Store a sweep's position, once everything before it is stored."""
    statement = upsert(tx, cursors).values(name=name, value=value, moved_at=now)
    await tx.execute(
        statement.on_conflict_do_update(index_elements=["name"], set_={"value": value, "moved_at": now})
    )
