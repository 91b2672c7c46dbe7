"""Outward writes, each done once: the intent is committed first, and after any uncertain answer the vendor is
checked before anything is repeated.

    intended --ok--> done                      refused  (the vendor said a final no: nothing was applied)
       |  \\--surely not applied--> not_done    quarantined  (a person decides)
       \\--perhaps applied, or we died--> unknown --find--> done | tried again | quarantined
"""

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from connectors.http.errors import ConnectorError, RejectedError, WouldWriteError
from flows.errors import FlowError
from flows.ledger import inbox
from flows.ledger.database import Ledger, upsert
from flows.ledger.tables import effects
from flows.ledger.tables import inbox as inbox_rows

_MEANWHILE_S = 10.0  # until a write that another worker is making is checked again

Result = Mapping[str, Any]
Attempt = Callable[[str], Awaitable[Result]]
"""Makes the write once; gets the effect's token; returns what to store (ids, never personal data)."""
Find = Callable[[str], Awaitable[Result | None]]
"""Asks the vendor whether the write is done; gets the token; None means "not found"."""


class StillUnknownError(FlowError):
    """Whether the write took effect is not known yet: check again at `look_at`."""

    def __init__(self, key: str, look_at: datetime) -> None:
        super().__init__(f"{key}: not known yet whether it took effect; the vendor is checked again later")
        self.key = key
        self.look_at = look_at


class QuarantinedError(FlowError):
    """Nobody can tell whether the write took effect, and repeating it might double it: a person decides.

    The text is for the deal's owner, who reads it in a task. Operators find the key with
    `dealflow effects list --state quarantined`, and what to do in deployments/README.md.
    """

    def __init__(self, key: str) -> None:
        super().__init__(
            "no answer came back, so it is not known whether this step was done, and a second try might do it "
            "twice: check whether it is there"
        )
        self.key = key


@dataclass(frozen=True)
class Plan:
    """How an unknown outcome of this kind of write is settled.

    `checks_s`: seconds between checks after the first; empty means that one check proves absence (a unique
    key or a consistent read). A check that comes too early does not count. `again`: how often the write may be
    repeated once the checks are used up; tries that surely did nothing are not counted.
    """

    checks_s: Sequence[float] = ()
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
    event_id: int | None = None
    resends: int = 0
    look_at: datetime | None = None

    @property
    def may_exist(self) -> bool:
        """Whether some try, the last or an earlier one, may have taken effect."""
        return self.state in ("intended", "unknown") or self.resends > 0


@dataclass(frozen=True)
class Planned:
    """An outward write that a dry run reached. `how`: done already, found at the vendor, would be done."""

    key: str
    kind: str
    how: str


class _New(dict[str, Any]):
    """The result of a write that a dry run did not make: every id in it reads "(new)"."""

    def __missing__(self, name: str) -> str:
        return "(new)"


@dataclass(frozen=True)
class Writer:
    """Who writes, for which event, and by which clock: an outward write needs the event's lease.

    `planned`: a dry run (on a temporary ledger). Vendors are checked as usual, but nothing is attempted: the writes
    that would be made are listed there.
    """

    ledger: Ledger
    owner: str
    event_id: int
    clock: Callable[[], datetime]
    new_token: Callable[[], str] = lambda: secrets.token_hex(16)
    planned: list[Planned] | None = None


async def perform(
    writer: Writer,
    *,
    key: str,
    kind: str,
    attempt: Attempt,
    find: Find,
    plan: Plan = Plan(),
    deal_id: str | None = None,
    token: str | None = None,
) -> Result:
    """Make the write under `key` happen once and return its result, now or from memory.

    Raises StillUnknownError (come back later), QuarantinedError (a person is needed), LeaseLostError
    (another worker took over), or the vendor's error when it surely was not applied.
    """
    # Two runs of this process on one key take turns here; leases separate other processes.
    async with writer.ledger.turn(f"effect {key}"):
        effect, fresh = await _intend(writer, key=key, kind=kind, deal_id=deal_id, token=token)
        if not fresh:
            if effect.state == "done":
                return _known(writer, effect, "done already", effect.result or {})
            if effect.state == "quarantined":
                raise QuarantinedError(key)
            await _assert_no_other_worker_is_writing(writer, effect)
            resend = False
            if effect.may_exist:
                found = await _find(writer, find, effect.token)
                if found is not None:
                    await _settle(writer, effect, "done", result=found, reason="found at the vendor")
                    return _known(writer, effect, "found at the vendor", found)
                if effect.state in ("intended", "unknown"):
                    await _after_not_found(writer, effect, plan)
                    resend = True
            effect = await _intend_again(writer, effect, resend=resend)
        if writer.planned is not None:
            await _settle(writer, effect, "done", result={}, reason="a dry run")
            return _known(writer, effect, "would be done", {})
        return await _try(writer, effect, attempt)


def _known(writer: Writer, effect: Effect, how: str, result: Result) -> Result:
    """The result of a write that need not be made; a dry run lists it, once for each key."""
    if writer.planned is None:
        return result
    if effect.key not in {p.key for p in writer.planned}:
        writer.planned.append(Planned(effect.key, effect.kind, how))
    return _New(result)


async def _find(writer: Writer, find: Find, token: str) -> Result | None:
    """Ask the vendor. If `find` would itself write (a file by its name), a dry run takes it as not found."""
    try:
        return await find(token)
    except WouldWriteError:
        if writer.planned is None:
            raise
        return None


async def _intend(
    writer: Writer, *, key: str, kind: str, deal_id: str | None, token: str | None
) -> tuple[Effect, bool]:
    """The effect under this key, and whether its intent is new."""
    now = writer.clock()
    async with writer.ledger.write() as tx:
        await inbox.assert_held_by(tx, writer.event_id, writer.owner, now=now)
        statement = upsert(tx, effects).values(
            key=key,
            kind=kind,
            deal_id=deal_id,
            token=token or writer.new_token(),
            state="intended",
            attempts=1,
            event_id=writer.event_id,
            created_at=now,
            tried_at=now,
        )
        statement = statement.on_conflict_do_nothing(index_elements=["key"]).returning(effects)
        row = (await tx.execute(statement)).first()
        effect = _effect(row) if row else await by_key(tx, key)
    assert effect is not None
    return effect, row is not None


async def _assert_no_other_worker_is_writing(writer: Writer, effect: Effect) -> None:
    """Raise StillUnknownError while the worker that wrote the intent for another event is still alive."""
    if effect.state != "intended" or effect.event_id in (None, writer.event_id):
        return
    now = writer.clock()
    query = sa.select(inbox_rows.c.lease_until).where(
        inbox_rows.c.id == effect.event_id, inbox_rows.c.state == "claimed", inbox_rows.c.lease_until > now
    )
    async with writer.ledger.read() as tx:
        lease_until = (await tx.execute(query)).scalar_one_or_none()
    if lease_until is not None:
        raise StillUnknownError(effect.key, min(lease_until, now + timedelta(seconds=_MEANWHILE_S)))


async def _intend_again(writer: Writer, effect: Effect, *, resend: bool) -> Effect:
    """Write the intent of one more try, unless another worker was faster (StillUnknownError)."""
    now = writer.clock()
    async with writer.ledger.write() as tx:
        await inbox.assert_held_by(tx, writer.event_id, writer.owner, now=now)
        result = await tx.execute(
            sa.update(effects)
            .where(
                effects.c.id == effect.id,
                effects.c.attempts == effect.attempts,
                effects.c.state == effect.state,
            )
            .values(
                state="intended",
                attempts=effect.attempts + 1,
                resends=effect.resends + int(resend),
                looks=0,
                look_at=None,
                event_id=writer.event_id,
                tried_at=now,
                reason=None,
            )
        )
        again = await by_key(tx, effect.key)
    if result.rowcount != 1 or again is None:
        raise StillUnknownError(effect.key, now + timedelta(seconds=_MEANWHILE_S))
    return again


async def _try(writer: Writer, effect: Effect, attempt: Attempt) -> Result:
    try:
        result = await attempt(effect.token)
    except ConnectorError as problem:
        if problem.applied == "maybe":
            state = "unknown"
        elif isinstance(problem, RejectedError):
            state = "refused"
        else:
            state = "not_done"
        await _settle(writer, effect, state, reason=str(problem))
        raise
    await _settle(writer, effect, "done", result=result)
    return result


async def _after_not_found(writer: Writer, effect: Effect, plan: Plan) -> None:
    """The vendor does not show it (yet): wait for the next check, allow one more try, or quarantine."""
    now = writer.clock()
    if effect.look_at is not None and now < effect.look_at:
        raise StillUnknownError(effect.key, effect.look_at)
    looks = effect.looks + 1
    if looks <= len(plan.checks_s):
        look_at = now + timedelta(seconds=plan.checks_s[looks - 1])
        reason = "not seen at the vendor yet"
        await _settle(writer, effect, "unknown", looks=looks, look_at=look_at, reason=reason)
        raise StillUnknownError(effect.key, look_at)
    if plan.again is not None and effect.resends >= plan.again:
        reason = "never seen at the vendor"
        if await _settle(writer, effect, "quarantined", looks=looks, reason=reason):
            raise QuarantinedError(effect.key)
        raise StillUnknownError(effect.key, now + timedelta(seconds=_MEANWHILE_S))


async def _settle(
    writer: Writer,
    effect: Effect,
    state: str,
    *,
    result: Result | None = None,
    reason: str | None = None,
    looks: int | None = None,
    look_at: datetime | None = None,
) -> bool:
    """Store the outcome; False when a later try or a person has settled it meanwhile.

    No lease is needed: what happened at the vendor is always stored. But only `done` overrules other states:
    a late "surely not" of one try says nothing about another try.
    """
    values: dict[str, Any] = {"state": state, "reason": reason, "look_at": look_at}
    if state in ("done", "refused", "quarantined"):
        values["settled_at"] = writer.clock()
    if result is not None:
        values["result"] = dict(result)
    if looks is not None:
        values["looks"] = looks
    update = sa.update(effects).where(effects.c.id == effect.id)
    if state != "done":
        update = update.where(
            effects.c.attempts == effect.attempts, effects.c.state.in_(("intended", "unknown"))
        )
    async with writer.ledger.write() as tx:
        return (await tx.execute(update.values(**values))).rowcount == 1


async def adopt(tx: AsyncConnection, key: str, result: Result, *, now: datetime) -> bool:
    """Settle an effect as done because the vendor shows it (this overrules all); False when it was done already."""
    done = await tx.execute(
        sa.update(effects)
        .where(effects.c.key == key, effects.c.state != "done")
        .values(state="done", result=dict(result), settled_at=now, look_at=None, reason="seen at the vendor")
    )
    return done.rowcount == 1


async def release(tx: AsyncConnection, key: str, *, why: str) -> bool:
    """Allow another try of a quarantined effect that a person did not find at the vendor. False for others."""
    freed = await tx.execute(
        sa.update(effects)
        .where(effects.c.key == key, effects.c.state == "quarantined")
        .values(
            state="not_done",
            resends=sa.case(
                (effects.c.resends == 0, 1), else_=effects.c.resends
            ),  # people make mistakes: check first
            looks=0,
            look_at=None,
            settled_at=None,
            reason=why,
        )
    )
    return freed.rowcount == 1


async def by_key(tx: AsyncConnection, key: str) -> Effect | None:
    """The effect with this natural key."""
    row = (await tx.execute(sa.select(effects).where(effects.c.key == key))).first()
    return _effect(row) if row else None


async def states(tx: AsyncConnection, keys: Sequence[str]) -> dict[str, str]:
    """The states of the effects with these keys; those never intended are left out."""
    found: dict[str, str] = {}
    for at in range(0, len(keys), 500):
        query = sa.select(effects.c.key, effects.c.state).where(effects.c.key.in_(keys[at : at + 500]))
        found |= {row.key: row.state for row in await tx.execute(query)}
    return found


async def of_event(tx: AsyncConnection, event_id: int) -> list[Effect]:
    """The effects written (or last tried) for this event, in the order of their first tries."""
    query = sa.select(effects).where(effects.c.event_id == event_id).order_by(effects.c.id)
    return [_effect(row) for row in await tx.execute(query)]


async def listing(
    tx: AsyncConnection, *, states: Sequence[str] = (), deal_id: str | None = None, limit: int = 50
) -> list[Effect]:
    """Effects for display, newest first."""
    query = sa.select(effects).order_by(effects.c.id.desc()).limit(limit)
    if states:
        query = query.where(effects.c.state.in_(list(states)))
    if deal_id:
        query = query.where(effects.c.deal_id == deal_id)
    return [_effect(row) for row in await tx.execute(query)]


async def tally(tx: AsyncConnection) -> dict[str, int]:
    """How many effects are in each state."""
    rows = await tx.execute(sa.select(effects.c.state, sa.func.count()).group_by(effects.c.state))
    return {state: int(n) for state, n in rows}


def _effect(row: sa.Row[Any]) -> Effect:
    return Effect(**{field: getattr(row, field) for field in Effect.__dataclass_fields__})
