"""The last report of each kind, stored for pages that must not ask HubSpot: its content and its age."""

import json
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.ledger import mirror
from flows.ledger.tables import cursors


async def keep(tx: AsyncConnection, name: str, content: Any, *, now: datetime) -> None:
    """Store this report in place of the last one. `content`: JSON values; ids only."""
    await mirror.move_cursor(tx, _key(name), json.dumps(content, sort_keys=True), now=now)


async def last(tx: AsyncConnection, name: str) -> tuple[Any, datetime] | None:
    """The last report and its time; None before the first."""
    query = sa.select(cursors.c.value, cursors.c.moved_at).where(cursors.c.name == _key(name))
    row = (await tx.execute(query)).first()
    return None if row is None else (json.loads(row.value), row.moved_at)


def _key(name: str) -> str:
    return f"report:{name}"
