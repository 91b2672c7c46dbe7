"""Outward writes, each once: the intent is committed first, and after any uncertain answer the vendor is
looked at before anything is repeated.

    intended --ok--> done                      refused  (the vendor said a final no: nothing was applied)
       |  \\--surely not applied--> not_done    quarantined  (a person decides)
       \\--perhaps applied, or we died--> unknown --look--> done | tried again | quarantined
"""

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from connectors.errors import AuthError, ConnectorError, RejectedError
from flows.ledger import inbox
from flows.ledger.database import Ledger
from flows.ledger.tables import effects

Result = Mapping[str, Any]
Attempt = Callable[[str], Awaitable[Result]]
"""Do it once; gets the effect's token; returns what to remember (ids, never personal data)."""
Look = Callable[[str], Awaitable[Result | None]]
"""Ask the vendor whether it is done; gets the token; None means "not to be seen"."""


class StillUnknownError(Exception):
    """Whether the write took effect is not known yet: look again at `look_at`."""

    def __init__(self, key: str, look_at: datetime) -> None:
        super().__init__(f"{key}: not known yet whether it took effect; the vendor is looked at again later")
        self.key = key
        self.look_at = look_at


class QuarantinedError(Exception):
    """Nobody can tell whether the write took effect, and repeating it might double it: a person decides."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key}: quarantined: check at the vendor, then settle it with `dealflow effects`")
        self.key = key


@dataclass(frozen=True)
class Plan:
    """How an unknown outcome of this kind of write is settled.

    `looks_s`: seconds between looks after the first; empty means one look proves absence (a unique
    key or a consistent read). `again`: how often it may be tried anew once the looks are used up.
    """

    looks_s: Sequence[float] = ()
    again: int | None = None  # None: as often as needed


@dataclass(frozen=True)
class Effect:
    """A row of the effects table."""

    id: int
    key: str
    kind: str
    deal_id: str | None
    token: str
    state: str
    attempts: int
    looks: int
    result: Result | None
    reason: str | None
    created_at: datetime
    tried_at: datetime | None
    settled_at: datetime | None


@dataclass(frozen=True)
class Writer:
    """Who writes, for which event, and by which clock: an outward write needs the event's lease."""

    ledger: Ledger
    owner: str
    event_id: int
    clock: Callable[[], datetime]


async def perform(
    writer: Writer,
    *,
    key: str,
    kind: str,
    attempt: Attempt,
    look: Look,
    plan: Plan = Plan(),
    deal_id: str | None = None,
    token: str | None = None,
) -> Result:
    """Make the write under `key` happen once and return its result, now or from memory.

    Raises StillUnknownError (come back later), QuarantinedError (a person is needed), LeaseLostError
    (another worker took over), or the vendor's error when it surely was not applied.
    """
    effect, fresh = await _intend(writer, key=key, kind=kind, deal_id=deal_id, token=token)
    if not fresh:
        if effect.state == "done":
            return effect.result or {}
        if effect.state == "quarantined":
            raise QuarantinedError(key)
        if effect.state in ("intended", "unknown"):
            found = await look(effect.token)
            if found is not None:
                await _settle(writer, effect.id, "done", result=found, reason="found at the vendor")
                return found
            await _after_empty_look(writer, effect, plan)
        await _intend_again(writer, effect)
    return await _try(writer, effect, attempt)


async def _intend(
    writer: Writer, *, key: str, kind: str, deal_id: str | None, token: str | None
) -> tuple[Effect, bool]:
    """The effect under this key, and whether its intent was written just now."""
    async with writer.ledger.write() as tx:
        await inbox.assert_held_by(tx, writer.event_id, writer.owner)
        known = await by_key(tx, key)
        if known is not None:
            return known, False
        now = writer.clock()
        await tx.execute(
            sa.insert(effects).values(
                key=key,
                kind=kind,
                deal_id=deal_id,
                token=token or secrets.token_hex(16),
                state="intended",
                attempts=1,
                event_id=writer.event_id,
                created_at=now,
                tried_at=now,
            )
        )
        fresh = await by_key(tx, key)
    assert fresh is not None
    return fresh, True


async def _intend_again(writer: Writer, effect: Effect) -> None:
    async with writer.ledger.write() as tx:
        await inbox.assert_held_by(tx, writer.event_id, writer.owner)
        await tx.execute(
            sa.update(effects)
            .where(effects.c.id == effect.id)
            .values(
                state="intended",
                attempts=effects.c.attempts + 1,
                looks=0,
                tried_at=writer.clock(),
                reason=None,
            )
        )


async def _try(writer: Writer, effect: Effect, attempt: Attempt) -> Result:
    try:
        result = await attempt(effect.token)
    except ConnectorError as problem:
        if problem.applied == "maybe":
            state = "unknown"
        elif isinstance(problem, RejectedError) and not isinstance(problem, AuthError):
            state = "refused"
        else:
            state = "not_done"
        await _settle(writer, effect.id, state, reason=str(problem))
        raise
    await _settle(writer, effect.id, "done", result=result)
    return result


async def _after_empty_look(writer: Writer, effect: Effect, plan: Plan) -> None:
    """The vendor does not show it (yet): wait for the next look, allow one more try, or quarantine."""
    looks = effect.looks + 1
    now = writer.clock()
    if looks <= len(plan.looks_s):
        look_at = now + timedelta(seconds=plan.looks_s[looks - 1])
        await _settle(writer, effect.id, "unknown", looks=looks, reason="not seen at the vendor yet")
        raise StillUnknownError(effect.key, look_at)
    if plan.again is not None and effect.attempts > plan.again:
        await _settle(writer, effect.id, "quarantined", looks=looks, reason="never seen at the vendor")
        raise QuarantinedError(effect.key)


async def _settle(
    writer: Writer,
    effect_id: int,
    state: str,
    *,
    result: Result | None = None,
    reason: str | None = None,
    looks: int | None = None,
) -> None:
    values: dict[str, Any] = {"state": state, "reason": reason}
    if state in ("done", "refused", "quarantined"):
        values["settled_at"] = writer.clock()
    if result is not None:
        values["result"] = dict(result)
    if looks is not None:
        values["looks"] = looks
    async with writer.ledger.write() as tx:
        # No lease is asked for here: whatever happened at the vendor is always written down.
        await tx.execute(sa.update(effects).where(effects.c.id == effect_id).values(**values))


async def adopt(tx: AsyncConnection, key: str, result: Result, *, now: datetime) -> bool:
    """Settle an open effect as done with what the vendor was seen to have; False when it was settled before."""
    done = await tx.execute(
        sa.update(effects)
        .where(effects.c.key == key, effects.c.state.in_(("intended", "unknown", "quarantined")))
        .values(state="done", result=dict(result), settled_at=now, reason="seen at the vendor")
    )
    return done.rowcount == 1


async def by_key(tx: AsyncConnection, key: str) -> Effect | None:
    """The effect with this natural key."""
    row = (await tx.execute(sa.select(effects).where(effects.c.key == key))).first()
    return _effect(row) if row else None


async def listing(
    tx: AsyncConnection, *, states: Sequence[str] = (), deal_id: str | None = None, limit: int = 50
) -> list[Effect]:
    """Effects for people to look at, newest first."""
    query = sa.select(effects).order_by(effects.c.id.desc()).limit(limit)
    if states:
        query = query.where(effects.c.state.in_(list(states)))
    if deal_id:
        query = query.where(effects.c.deal_id == deal_id)
    return [_effect(row) for row in await tx.execute(query)]


async def tally(tx: AsyncConnection) -> dict[str, int]:
    """How many effects stand in each state."""
    rows = await tx.execute(sa.select(effects.c.state, sa.func.count()).group_by(effects.c.state))
    return {state: int(n) for state, n in rows}


def _effect(row: sa.Row[Any]) -> Effect:
    return Effect(
        id=row.id,
        key=row.key,
        kind=row.kind,
        deal_id=row.deal_id,
        token=row.token,
        state=row.state,
        attempts=row.attempts,
        looks=row.looks,
        result=row.result,
        reason=row.reason,
        created_at=row.created_at,
        tried_at=row.tried_at,
        settled_at=row.settled_at,
    )
