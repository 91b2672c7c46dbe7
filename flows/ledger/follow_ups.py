"""Follow-ups that were done: deal, stage and stay, number, what was done, which criteria were unmet."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.ledger.database import upsert
from flows.ledger.tables import follow_ups

_CHUNK = 500


@dataclass(frozen=True)
class FollowUpRow:
    """One follow-up. `done`: [what, record, why] each; no `ended_at`: begun and not finished."""

    id: int
    deal_id: str
    stage: str
    entered_at: datetime
    number: int
    begun_at: datetime
    ended_at: datetime | None
    unmet: Sequence[str]
    done: Sequence[Sequence[str]]
    task_id: str | None
    email_id: str | None
    flagged: bool
    cleared_at: datetime | None
    cleared_why: str | None

    @property
    def cause(self) -> str:
        """The cause under which it writes. It is stored in effect keys: never change it."""
        moment = int(self.entered_at.timestamp() * 1000)
        return f"follow_up:{self.stage}:{moment}:{self.number}"


async def begin(
    tx: AsyncConnection,
    *,
    deal_id: str,
    stage: str,
    entered_at: datetime,
    number: int,
    unmet: Iterable[str],
    flagged: bool,
    now: datetime,
) -> FollowUpRow:
    """Record a follow-up as begun and return it; one that was begun before is returned unchanged."""
    statement = upsert(tx, follow_ups).values(
        deal_id=deal_id,
        stage=stage,
        entered_at=entered_at,
        number=number,
        begun_at=now,
        unmet=sorted(unmet),
        done=[],
        flagged=flagged,
    )
    key = ["deal_id", "stage", "entered_at", "number"]
    await tx.execute(statement.on_conflict_do_nothing(index_elements=key))
    stays = await of_deals(tx, [deal_id])
    return next(
        row
        for row in stays[deal_id]
        if (row.stage, row.entered_at, row.number) == (stage, entered_at, number)
    )


async def note_email(tx: AsyncConnection, row_id: int, email_id: str) -> None:
    """Record the draft in HubSpot as soon as it exists: it must not count as an activity."""
    await tx.execute(sa.update(follow_ups).where(follow_ups.c.id == row_id).values(email_id=email_id))


async def end(
    tx: AsyncConnection,
    row_id: int,
    *,
    done: Sequence[Sequence[str]],
    task_id: str | None = None,
    now: datetime,
) -> None:
    """Record the follow-up as done. A second end (an e-mail was released) only updates what was done."""
    ended_at = sa.func.coalesce(follow_ups.c.ended_at, sa.bindparam("now", now, follow_ups.c.ended_at.type))
    values: dict[str, Any] = {"ended_at": ended_at, "done": [list(step) for step in done]}
    if task_id is not None:
        values["task_id"] = task_id
    await tx.execute(sa.update(follow_ups).where(follow_ups.c.id == row_id).values(**values))


async def clear(tx: AsyncConnection, row_id: int, *, why: str, now: datetime) -> None:
    """Record that the deal is no longer listed for disqualification."""
    await tx.execute(
        sa.update(follow_ups)
        .where(follow_ups.c.id == row_id, follow_ups.c.flagged, follow_ups.c.cleared_at.is_(None))
        .values(cleared_at=now, cleared_why=why)
    )


async def of_deals(tx: AsyncConnection, deal_ids: Sequence[str]) -> Mapping[str, list[FollowUpRow]]:
    """All follow-ups of each of these deals that has any, oldest first."""
    found: dict[str, list[FollowUpRow]] = {}
    for at in range(0, len(deal_ids), _CHUNK):
        some = list(deal_ids[at : at + _CHUNK])
        query = sa.select(follow_ups).where(follow_ups.c.deal_id.in_(some)).order_by(follow_ups.c.id)
        for row in await tx.execute(query):
            found.setdefault(row.deal_id, []).append(_row(row))
    return found


async def flagged(tx: AsyncConnection) -> list[FollowUpRow]:
    """The follow-ups by which deals are listed for disqualification, oldest first."""
    query = sa.select(follow_ups).where(follow_ups.c.flagged, follow_ups.c.cleared_at.is_(None))
    return [_row(row) for row in await tx.execute(query.order_by(follow_ups.c.id))]


async def listing(tx: AsyncConnection, *, deal_id: str | None = None, limit: int = 50) -> list[FollowUpRow]:
    """Follow-ups for display, newest first."""
    query = sa.select(follow_ups).order_by(follow_ups.c.id.desc()).limit(limit)
    if deal_id:
        query = query.where(follow_ups.c.deal_id == deal_id)
    return [_row(row) for row in await tx.execute(query)]


async def own_emails(tx: AsyncConnection, email_ids: Sequence[str]) -> set[str]:
    """Those of these HubSpot e-mails that are our drafts."""
    found: set[str] = set()
    for at in range(0, len(email_ids), _CHUNK):
        some = list(email_ids[at : at + _CHUNK])
        query = sa.select(follow_ups.c.email_id).where(follow_ups.c.email_id.in_(some))
        found |= set((await tx.execute(query)).scalars())
    return found


def _row(row: sa.Row[Any]) -> FollowUpRow:
    return FollowUpRow(**{field: getattr(row, field) for field in FollowUpRow.__dataclass_fields__})
