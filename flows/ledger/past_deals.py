"""All mirrored deals with their history, read in bulk, for the back-test of a process."""

from collections import defaultdict
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.ledger.tables import (
    association_history,
    associations,
    contracts,
    papers,
    property_history,
    records,
    stage_history,
)
from flows.rules.backtest.past_deal import PastContract, PastDeal, Span


async def past_deals(tx: AsyncConnection) -> list[PastDeal]:
    """Every deal that is not archived, by id."""
    entries: dict[str, list[tuple[str, datetime]]] = defaultdict(list)
    stages = sa.select(stage_history.c.deal_id, stage_history.c.stage_id, stage_history.c.entered_at)
    for deal_id, stage_id, at in await tx.execute(stages.order_by(stage_history.c.entered_at)):
        entries[deal_id].append((stage_id, at))
    versions: dict[str, dict[str, list[tuple[datetime, str | None]]]] = defaultdict(dict)
    h = property_history.c
    for deal_id, name, at, value in await tx.execute(
        sa.select(h.deal_id, h.property, h.at, h.value).order_by(h.deal_id, h.property, h.at)
    ):
        versions[deal_id].setdefault(name, []).append((at, value))
    spans, filed, signed = await _spans(tx), await _filed(tx), await _contracts(tx)
    deals = sa.select(records.c.object_id, records.c.properties, records.c.histories).where(
        records.c.object_type == "deals", records.c.archived.is_(False)
    )
    return [
        PastDeal(
            deal_id,
            properties.get("dealstage") or "",
            entries.get(deal_id, ()),
            properties,
            versions.get(deal_id, {}),
            frozenset(histories or ()),
            spans.get(deal_id, ()),
            filed.get(deal_id, {}),
            signed.get(deal_id, ()),
        )
        for deal_id, properties, histories in await tx.execute(deals.order_by(records.c.object_id))
    ]


async def _spans(tx: AsyncConnection) -> dict[str, list[Span]]:
    """The recorded associations, and current ones without a record, whose start is unknown."""
    found: dict[str, list[Span]] = defaultdict(list)
    noted: set[tuple[str, str, str, str]] = set()
    past = association_history.c
    columns = (
        past.from_id,
        past.to_type,
        past.to_id,
        past.label,
        past.first_seen_at,
        past.absent_at,
        past.gone_at,
    )
    for deal_id, kind, to_id, label, seen_at, absent_at, gone_at in await tx.execute(
        sa.select(*columns).where(past.from_type == "deals").order_by(*columns[:5])
    ):
        # "It existed at the first read" does not say since when.
        found[deal_id].append(Span(kind, to_id, label, seen_at, absent_at, gone_at))
        if gone_at is None:
            noted.add((deal_id, kind, to_id, label))
    now = associations.c
    rows = sa.select(now.from_id, now.to_type, now.to_id, now.labels).where(now.from_type == "deals")
    for deal_id, kind, to_id, labels in await tx.execute(rows.order_by(now.from_id, now.to_type, now.to_id)):
        for label in ("", *labels):
            if (deal_id, kind, to_id, label) not in noted:
                found[deal_id].append(Span(kind, to_id, label, None))
    return found


async def _filed(tx: AsyncConnection) -> dict[str, dict[str, datetime]]:
    """When the first filed document of each kind was made."""
    query = (
        sa.select(papers.c.deal_id, papers.c.kind, papers.c.created_at)
        .where(papers.c.file_id.is_not(None))
        .order_by(papers.c.version)
    )
    found: dict[str, dict[str, datetime]] = defaultdict(dict)
    for deal_id, kind, at in await tx.execute(query):
        found[deal_id].setdefault(kind, at)
    return found


async def _contracts(tx: AsyncConnection) -> dict[str, list[PastContract]]:
    found: dict[str, list[PastContract]] = defaultdict(list)
    c = contracts.c
    for deal_id, created_at, ended_at, state in await tx.execute(
        sa.select(c.deal_id, c.created_at, c.ended_at, c.state).order_by(c.deal_id, c.revision)
    ):
        found[deal_id].append(PastContract(created_at, ended_at, state))
    return found
