"""Stage checks: what was found when a deal entered a stage and what was done; and overrides by named persons."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.ledger.database import upsert
from flows.ledger.tables import overrides, stage_checks

_KEY = ("deal_id", "entered_at", "stage_id")


@dataclass(frozen=True)
class StageCheck:
    """One entry of a deal into a stage. `stage`, `came_from`, `back_to`: our keys; `mover`: who moved it, by id.

    `found` and `action` are words of flows.rules.criteria.stage_guard. `proofs`: criterion -> record kinds and ids.
    `settled_at`: when the action was done; `result`: the ids of what was written.
    """

    deal_id: str
    stage_id: str
    entered_at: datetime
    stage: str
    came_from: str | None
    mode: str
    found: str
    action: str
    mover: str
    checked_at: datetime
    missing: Sequence[str] = ()
    skipped: Sequence[str] = ()
    proofs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    back_to: str | None = None
    override_id: int | None = None
    settled_at: datetime | None = None
    result: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Override:
    """A named person lets a deal stand in a stage without proof until `expires_at`."""

    id: int
    deal_id: str
    stage: str
    person: str
    reason: str
    granted_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    revoked_by: str | None = None

    def in_force(self, now: datetime) -> bool:
        """Neither expired nor taken back."""
        return self.revoked_at is None and now < self.expires_at


async def decide(tx: AsyncConnection, checks: Sequence[StageCheck]) -> None:
    """Store decisions; a known one stays as it is."""
    if checks:
        rows = [{column.name: getattr(check, column.name) for column in stage_checks.c} for check in checks]
        rows = [{**row, "missing": list(row["missing"]), "skipped": list(row["skipped"])} for row in rows]
        await tx.execute(upsert(tx, stage_checks).on_conflict_do_nothing(index_elements=list(_KEY)), rows)


async def load(tx: AsyncConnection, deal_id: str, stage_id: str, entered_at: datetime) -> StageCheck | None:
    """The stored decision about this entry."""
    c = stage_checks.c
    query = sa.select(stage_checks).where(
        c.deal_id == deal_id, c.entered_at == entered_at, c.stage_id == stage_id
    )
    row = (await tx.execute(query)).first()
    return _check(row) if row is not None else None


async def settle(tx: AsyncConnection, check: StageCheck, result: Mapping[str, Any], *, now: datetime) -> None:
    """Record that the decision was carried out; `result` holds the ids of what was written."""
    c = stage_checks.c
    await tx.execute(
        sa.update(stage_checks)
        .where(c.deal_id == check.deal_id, c.entered_at == check.entered_at, c.stage_id == check.stage_id)
        .values(settled_at=now, result=dict(result))
    )


async def listing(
    tx: AsyncConnection,
    *,
    found: Iterable[str] = (),
    action: str | None = None,
    deal_id: str | None = None,
    limit: int = 50,
) -> list[StageCheck]:
    """Decisions, newest first."""
    query = sa.select(stage_checks).order_by(
        stage_checks.c.checked_at.desc(), stage_checks.c.deal_id, stage_checks.c.entered_at.desc()
    )
    if wanted := list(found):
        query = query.where(stage_checks.c.found.in_(wanted))
    if action is not None:
        query = query.where(stage_checks.c.action == action)
    if deal_id is not None:
        query = query.where(stage_checks.c.deal_id == deal_id)
    return [_check(row) for row in await tx.execute(query.limit(limit))]


async def tally(tx: AsyncConnection) -> dict[tuple[str, str], int]:
    """How many decisions of each kind: (found, action) -> number."""
    c = stage_checks.c
    rows = await tx.execute(sa.select(c.found, c.action, sa.func.count()).group_by(c.found, c.action))
    return {(found, action): n for found, action, n in rows}


async def grant(
    tx: AsyncConnection,
    *,
    deal_id: str,
    stage: str,
    person: str,
    reason: str,
    now: datetime,
    expires_at: datetime,
) -> Override:
    """Let a deal stand in a stage without proof."""
    values: dict[str, Any] = {
        "deal_id": deal_id,
        "stage": stage,
        "person": person,
        "reason": reason,
        "granted_at": now,
        "expires_at": expires_at,
    }
    done = await tx.execute(sa.insert(overrides).values(values).returning(overrides.c.id))
    return Override(id=int(done.scalar_one()), **values)


async def revoke(tx: AsyncConnection, override_id: int, *, person: str, now: datetime) -> bool:
    """Revoke an override; False when none is in force under this id."""
    done = await tx.execute(
        sa.update(overrides)
        .where(overrides.c.id == override_id, overrides.c.revoked_at.is_(None), overrides.c.expires_at > now)
        .values(revoked_at=now, revoked_by=person)
    )
    return done.rowcount == 1


async def in_force(tx: AsyncConnection, deal_id: str, stage: str, *, now: datetime) -> Override | None:
    """The override that lets this deal stand in this stage; the one that lasts longest."""
    c = overrides.c
    query = (
        sa.select(overrides)
        .where(c.deal_id == deal_id, c.stage == stage, c.revoked_at.is_(None), c.expires_at > now)
        .order_by(c.expires_at.desc(), c.id)
        .limit(1)
    )
    row = (await tx.execute(query)).first()
    return Override(**row._mapping) if row is not None else None


async def all_in_force(tx: AsyncConnection, *, now: datetime) -> dict[tuple[str, str], Override]:
    """All overrides in force by deal and stage, the longest of each: people give them singly, so they are few."""
    c = overrides.c
    query = (
        sa.select(overrides)
        .where(c.revoked_at.is_(None), c.expires_at > now)
        .order_by(c.expires_at, c.id.desc())
    )
    return {(row.deal_id, row.stage): Override(**row._mapping) for row in await tx.execute(query)}


async def overrides_of(
    tx: AsyncConnection, *, deal_id: str | None = None, limit: int = 50
) -> list[tuple[Override, int]]:
    """Overrides, newest first, each with how many entries it let pass."""
    used = (
        sa.select(stage_checks.c.override_id, sa.func.count().label("n"))
        .where(stage_checks.c.override_id.is_not(None))
        .group_by(stage_checks.c.override_id)
        .subquery()
    )
    query = sa.select(overrides, sa.func.coalesce(used.c.n, 0).label("n")).join(
        used, used.c.override_id == overrides.c.id, isouter=True
    )
    if deal_id is not None:
        query = query.where(overrides.c.deal_id == deal_id)
    rows = await tx.execute(query.order_by(overrides.c.id.desc()).limit(limit))
    return [(Override(**{k: v for k, v in row._mapping.items() if k != "n"}), int(row.n)) for row in rows]


def _check(row: sa.Row[Any]) -> StageCheck:
    return StageCheck(**row._mapping)
