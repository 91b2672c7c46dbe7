"""A temporary ledger with the rows that one event needs, copied from the real one, which is only read and never locked.

A dry run writes to it as to any ledger; it is deleted afterwards.
"""

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.ledger import inbox as inbox_rows
from flows.ledger.database import Ledger, open_ledger
from flows.ledger.inbox import Event, NewEvent
from flows.ledger.tables import (
    association_history,
    associations,
    contracts,
    cursors,
    effects,
    follow_ups,
    inbox,
    overrides,
    papers,
    property_history,
    records,
    stage_checks,
    stage_history,
)

_LEASE = timedelta(days=1)


@asynccontextmanager
async def excerpt(
    ledger: Ledger, event: NewEvent, *, like: Event, deal_ids: Sequence[str], owner: str, now: datetime
) -> AsyncIterator[tuple[Ledger, Event]]:
    """A temporary SQLite ledger with these deals' rows and the event as a new row under the owner's lease.

    `like`: the row that the event is a copy of; its effects and those of its deals are copied too.
    """
    async with ledger.read() as tx:
        copied = await _rows(tx, like, list(deal_ids))
        next_id = int((await tx.execute(sa.select(sa.func.max(inbox.c.id)))).scalar_one()) + 1
    with tempfile.TemporaryDirectory(
        prefix="dealflow-"
    ) as folder:  # readable by its owner only, as a ledger is
        copy = await open_ledger(f"sqlite+aiosqlite:///{Path(folder) / 'excerpt.db'}")
        try:
            async with copy.write() as tx:
                for table, rows in copied:
                    if rows:
                        await tx.execute(sa.insert(table), rows)
                (new_id,) = (await inbox_rows.record(tx, [event], now=now)).new
                claimed = {"state": "claimed", "lease_owner": owner, "lease_until": now + _LEASE}
                # Under the id that a live row would get: some effects are keyed by it.
                await tx.execute(
                    sa.update(inbox).where(inbox.c.id == new_id).values(id=next_id, attempts=1, **claimed)
                )
                (row,) = await inbox_rows.load(tx, [next_id])
            yield copy, row
        finally:
            await copy.close()


async def _rows(
    tx: AsyncConnection, like: Event, deal_ids: list[str]
) -> list[tuple[sa.Table, list[dict[str, Any]]]]:
    """The rows to copy, by table. All cursors are copied: they are few and hold facts about the account."""
    links, past_links = [
        await _all(tx, table, (table.c.from_type == "deals") & table.c.from_id.in_(deal_ids))
        for table in (associations, association_history)
    ]
    related: dict[str, set[str]] = {"deals": set(deal_ids)}
    for link in links:
        related.setdefault(link["to_type"], set()).add(link["to_id"])
    mirrored: list[dict[str, Any]] = []
    for kind, ids in related.items():
        mirrored += await _all(
            tx, records, (records.c.object_type == kind) & records.c.object_id.in_(sorted(ids))
        )
    return [
        (inbox, await _all(tx, inbox, inbox.c.deal_id.in_(deal_ids) | (inbox.c.id == like.id))),
        (effects, await _all(tx, effects, effects.c.deal_id.in_(deal_ids) | (effects.c.event_id == like.id))),
        (papers, await _all(tx, papers, papers.c.deal_id.in_(deal_ids))),
        (contracts, await _all(tx, contracts, contracts.c.deal_id.in_(deal_ids))),
        (follow_ups, await _all(tx, follow_ups, follow_ups.c.deal_id.in_(deal_ids))),
        (associations, links),
        (association_history, past_links),
        (property_history, await _all(tx, property_history, property_history.c.deal_id.in_(deal_ids))),
        (records, mirrored),
        (stage_history, await _all(tx, stage_history, stage_history.c.deal_id.in_(deal_ids))),
        (stage_checks, await _all(tx, stage_checks, stage_checks.c.deal_id.in_(deal_ids))),
        (overrides, await _all(tx, overrides, overrides.c.deal_id.in_(deal_ids))),
        (cursors, await _all(tx, cursors, sa.true())),
    ]


async def _all(tx: AsyncConnection, table: sa.Table, where: sa.ColumnElement[bool]) -> list[dict[str, Any]]:
    return [dict(row) for row in (await tx.execute(sa.select(table).where(where))).mappings()]
