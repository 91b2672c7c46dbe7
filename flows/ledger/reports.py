"""The last report of a kind, kept for those that show it without asking HubSpot: what it says, and how old it is."""

import json
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.ledger import mirror
from flows.ledger.tables import cursors


async def keep(tx: AsyncConnection, name: str, content: Any, *, now: datetime) -> None:
    """Keep this one instead of the one before. `content`: what JSON can hold; ids only."""
    await mirror.move_cursor(tx, _key(name), json.dumps(content, sort_keys=True), now=now)


async def last(tx: AsyncConnection, name: str) -> tuple[Any, datetime] | None:
    """What was kept last and when; None before the first."""
    query = sa.select(cursors.c.value, cursors.c.moved_at).where(cursors.c.name == _key(name))
    row = (await tx.execute(query)).first()
    return None if row is None else (json.loads(row.value), row.moved_at)


def _key(name: str) -> str:
    return f"report:{name}"
