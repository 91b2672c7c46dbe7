"""The inbox: every event becomes a row here first; rows are claimed under a lease, in order within a lane.

States: due -> claimed -> done | ignored | dead, or back to parked (a failure, tried again) or held (a
business "no", checked again when the deal changes). A parked row keeps its place: later rows of its lane
wait behind it. A held row lets later rows pass, because one of them may bring what it waits for.

`attempts` counts claims (with the id it names a row's runs in Prefect); `failures` counts the latest consecutive tries
that ended parked.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.errors import FlowError
from flows.ledger.database import upsert
from flows.ledger.tables import UtcTime, deliveries, inbox

OPEN = ("due", "claimed", "parked", "held")
_KEEPS_PLACE = ("due", "claimed", "parked")
WAKE_CHANNEL = "dealflow_inbox"
_CLAIM_LOCK = 726412
_OTHER = inbox.alias("other")  # made once, because it costs a millisecond


class LeaseLostError(FlowError):
    """Another worker has taken over this row: stop, and write nothing more for it."""


@dataclass(frozen=True)
class NewEvent:
    """An event to record. `key` is unique within `source`; `lane` orders; `content` stays in the ledger."""

    source: str
    key: str
    kind: str
    lane: str
    content: Mapping[str, Any]
    deal_id: str | None = None
    occurred_at: datetime | None = None
    came_at: datetime | None = None  # for a replay: when it first came in; else now
    hint: bool = False  # means "read this deal again": a waiting one covers all that follow
    ended: tuple[str, str] | None = None  # (dead or ignored, reason): stored, but not handled


@dataclass(frozen=True)
class Event:
    """A row of the inbox as a flow sees it."""

    id: int
    source: str
    key: str
    kind: str
    lane: str
    deal_id: str | None
    content: Mapping[str, Any]
    occurred_at: datetime | None
    received_at: datetime
    state: str
    attempts: int
    due_at: datetime
    lease_owner: str | None = None
    lease_until: datetime | None = None
    flow_run_id: str | None = None
    reason: str | None = None
    outcome: Mapping[str, Any] | None = None
    finished_at: datetime | None = None
    delivery_id: int | None = None
    failures: int = 0


@dataclass
class Recorded:
    """What recording did: ids of new rows, and how many were already known."""

    new: list[int] = field(default_factory=list)
    known: int = 0


async def store_delivery(
    tx: AsyncConnection, *, source: str, headers: Mapping[str, str], body: bytes, now: datetime
) -> int:
    """Keep the exact bytes of a verified delivery; the same bytes again only raise its `repeats`. Returns its id."""
    digest = hashlib.sha256(body).hexdigest()
    statement = upsert(tx, deliveries).values(
        source=source, sha256=digest, headers=dict(headers), body=body, received_at=now, repeats=0
    )
    statement = statement.on_conflict_do_update(
        index_elements=["source", "sha256"], set_={"repeats": deliveries.c.repeats + 1}
    ).returning(deliveries.c.id)
    return int((await tx.execute(statement)).scalar_one())


async def record(
    tx: AsyncConnection, events: Sequence[NewEvent], *, now: datetime, delivery_id: int | None = None
) -> Recorded:
    """Add events; a known (source, key) adds no row. PostgreSQL listeners are notified on commit.

    A hint about a deal that already has an unclaimed hint of that kind is stored as ignored: the worker that
    claims the waiting one reads the deal after this moment.
    """
    done = Recorded()
    waiting = await _waiting_hints(tx, events)
    for event in events:
        ended = event.ended
        if event.hint and ended is None and (event.kind, event.deal_id) in waiting:
            ended = ("ignored", "an earlier hint about this deal is still waiting and covers this one")
        statement = upsert(tx, inbox).values(
            source=event.source,
            event_key=stored_key(event.key),
            kind=event.kind,
            lane=_fit(event.lane, 128),
            deal_id=event.deal_id,
            delivery_id=delivery_id,
            content=dict(event.content),
            occurred_at=event.occurred_at,
            received_at=event.came_at or now,
            due_at=now,
            state=ended[0] if ended else "due",
            reason=ended[1] if ended else None,
            finished_at=now if ended else None,
        )
        statement = statement.on_conflict_do_nothing(index_elements=["source", "event_key"])
        row = (await tx.execute(statement.returning(inbox.c.id))).scalar_one_or_none()
        if row is None:
            done.known += 1
        else:
            done.new.append(int(row))
            if event.hint and ended is None and event.deal_id:
                waiting.add((event.kind, event.deal_id))
    if done.new and tx.dialect.name == "postgresql":
        await tx.execute(sa.text(f"notify {WAKE_CHANNEL}"))
    return done


async def _waiting_hints(tx: AsyncConnection, events: Sequence[NewEvent]) -> set[tuple[str, str]]:
    """Kind and deal of those hints for which an unclaimed one is already waiting."""
    deal_ids = {e.deal_id for e in events if e.hint and e.deal_id}
    if not deal_ids:
        return set()
    query = (
        sa.select(inbox.c.kind, inbox.c.deal_id)
        .where(inbox.c.state == "due", inbox.c.attempts == 0, inbox.c.deal_id.in_(deal_ids))
        .distinct()
    )
    return {(kind, deal_id) for kind, deal_id in await tx.execute(query)}


def stored_key(key: str) -> str:
    """An event's key as it is stored in its row."""
    return _fit(key, 255)


def _fit(text: str, longest: int) -> str:
    """The text, cut if it is too long and completed with a digest: different texts stay different."""
    if len(text) <= longest:
        return text
    return f"{text[: longest - 65]}:{hashlib.sha256(text.encode()).hexdigest()}"


def _first_of_lane(now: datetime | None = None) -> sa.ColumnElement[bool]:
    """No earlier row of its lane is waiting, and no later one is being handled.

    (PostgreSQL may show a row with a higher id first: ids are drawn before the commit.)
    """
    other = _OTHER
    later_in_hand = sa.and_(other.c.id > inbox.c.id, other.c.state == "claimed")
    in_the_way: sa.ColumnElement[bool] = other.c.state.in_(_KEEPS_PLACE)
    if now is not None:
        later_in_hand = sa.and_(later_in_hand, other.c.lease_until > now)
        # A held row that is due again goes first: a claim takes one row of a lane.
        in_the_way = sa.or_(in_the_way, sa.and_(other.c.state == "held", other.c.due_at <= now))
    earlier_open = sa.and_(other.c.id < inbox.c.id, in_the_way)
    return ~sa.exists().where(other.c.lane == inbox.c.lane, sa.or_(earlier_open, later_in_hand))


def _claimable(now: datetime, *, early: bool = False) -> sa.ColumnElement[bool]:
    """Due (or its lease has expired), and first of its lane. `early`: parked and held rows that are not due, too."""
    waits = inbox.c.state.in_(("due", "parked", "held"))
    free = sa.or_(
        waits if early else sa.and_(waits, inbox.c.due_at <= now),
        sa.and_(inbox.c.state == "claimed", inbox.c.lease_until <= now),
    )
    return sa.and_(free, _first_of_lane(now))


async def oldest_due_kind(tx: AsyncConnection, *, now: datetime, not_kinds: Sequence[str] = ()) -> str | None:
    """The kind of the oldest row that could be claimed; None when nothing is due."""
    query = sa.select(inbox.c.kind).where(_claimable(now), inbox.c.kind.not_in(list(not_kinds)))
    return (await tx.execute(query.order_by(inbox.c.id).limit(1))).scalar_one_or_none()


async def claim(
    tx: AsyncConnection,
    *,
    owner: str,
    now: datetime,
    lease_s: float,
    limit: int,
    kinds: Sequence[str] | None = None,
    only_ids: Sequence[int] | None = None,
) -> list[Event]:
    """Take due rows, oldest first: at most one a lane, none behind an earlier row that is waiting.

    `only_ids`: only these rows, even before they are due (a person asked for them).
    """
    claimable = _claimable(now, early=only_ids is not None)
    query = sa.select(inbox.c.id).where(claimable).order_by(inbox.c.id).limit(limit)
    if kinds is not None:
        query = query.where(inbox.c.kind.in_(list(kinds)))
    if only_ids is not None:
        query = query.where(inbox.c.id.in_(list(only_ids)))
    if tx.dialect.name == "postgresql":
        # One claim at a time: two concurrent claims could each take a row of the same lane.
        await tx.execute(sa.select(sa.func.pg_advisory_xact_lock(_CLAIM_LOCK)))
        query = query.with_for_update(skip_locked=True, of=inbox)
    ids = list((await tx.execute(query)).scalars())
    if not ids:
        return []
    await tx.execute(
        sa.update(inbox)
        .where(inbox.c.id.in_(ids))
        .values(
            state="claimed",
            lease_owner=owner,
            lease_until=now + timedelta(seconds=lease_s),
            attempts=inbox.c.attempts + 1,
            nudged_at=None,
        )
    )
    return await load(tx, ids)


async def load(tx: AsyncConnection, ids: Sequence[int]) -> list[Event]:
    """The rows with these ids, oldest first."""
    if not ids:
        return []
    rows = await tx.execute(sa.select(inbox).where(inbox.c.id.in_(list(ids))).order_by(inbox.c.id))
    return [_event(row) for row in rows]


async def renew(tx: AsyncConnection, ids: Sequence[int], *, owner: str, until: datetime) -> int:
    """Extend the lease on rows that are still ours; returns how many are."""
    if not ids:
        return 0
    result = await tx.execute(
        sa.update(inbox)
        .where(inbox.c.id.in_(list(ids)), inbox.c.lease_owner == owner, inbox.c.state == "claimed")
        .values(lease_until=until)
    )
    return result.rowcount


async def give_back(tx: AsyncConnection, ids: Sequence[int], *, owner: str, now: datetime) -> int:
    """Make claimed rows that were not started due again now; the try does not count. Returns how many."""
    if not ids:
        return 0
    result = await tx.execute(
        sa.update(inbox)
        .where(inbox.c.id.in_(list(ids)), inbox.c.lease_owner == owner, inbox.c.state == "claimed")
        .values(lease_until=now, attempts=inbox.c.attempts - 1)
    )
    return result.rowcount


async def assert_held_by(
    tx: AsyncConnection, event_id: int, owner: str, *, now: datetime | None = None
) -> None:
    """Raise LeaseLostError unless this worker still holds the row (checked before every outward write).

    With `now`, an expired lease counts as lost even if nobody has taken over the row yet. Nobody can take it
    over until this transaction ends.
    """
    query = sa.select(inbox.c.id).where(
        inbox.c.id == event_id, inbox.c.lease_owner == owner, inbox.c.state == "claimed"
    )
    if now is not None:
        query = query.where(inbox.c.lease_until > now)
    if (await tx.execute(query.with_for_update())).first() is None:
        raise LeaseLostError(f"event {event_id} is no longer held by this worker")


async def note_run(tx: AsyncConnection, ids: Sequence[int], flow_run_id: str) -> None:
    """Record which Prefect run handles these rows."""
    await tx.execute(sa.update(inbox).where(inbox.c.id.in_(list(ids))).values(flow_run_id=flow_run_id))


async def settle(
    tx: AsyncConnection,
    event_id: int,
    *,
    owner: str,
    state: str,
    now: datetime,
    reason: str | None = None,
    outcome: Mapping[str, Any] | None = None,
    due_at: datetime | None = None,
    deal_id: str | None = None,
) -> None:
    """End or put back a claimed row. `due_at` is for parked and held rows. Raises LeaseLostError.

    If the deal changed while the row was being handled, a held row is due again now: its facts are out of date.
    """
    values: dict[str, Any] = {
        "state": state,
        "reason": reason,
        "lease_owner": None,
        "lease_until": None,
        "finished_at": now if state in ("done", "ignored", "dead") else None,
    }
    if state != "dead":  # a dead row keeps its number of failures
        values["failures"] = inbox.c.failures + 1 if state == "parked" else 0
    if outcome is not None:
        values["outcome"] = dict(outcome)
    if due_at is not None and state == "held":
        values["due_at"] = sa.case(
            (inbox.c.nudged_at.is_not(None), sa.bindparam("due_now", now, UtcTime)),
            else_=sa.bindparam("due_later", due_at, UtcTime),
        )
    elif due_at is not None:
        values["due_at"] = due_at
    if deal_id is not None:
        values["deal_id"] = deal_id
    result = await tx.execute(
        sa.update(inbox)
        .where(inbox.c.id == event_id, inbox.c.lease_owner == owner, inbox.c.state == "claimed")
        .values(**values)
    )
    if result.rowcount != 1:
        raise LeaseLostError(f"event {event_id} is no longer held by this worker")


async def nudge(tx: AsyncConnection, deal_ids: Sequence[str], *, now: datetime) -> int:
    """The deal changed: make its held rows due now, also those about to be held. Returns how many."""
    if not deal_ids:
        return 0
    # One statement: a row that is settled as held at this very moment is read in its newest state.
    result = await tx.execute(
        sa.update(inbox)
        .where(inbox.c.deal_id.in_(list(deal_ids)))
        .where(sa.or_(inbox.c.state == "claimed", sa.and_(inbox.c.state == "held", inbox.c.due_at > now)))
        .values(due_at=sa.case((inbox.c.state == "held", now), else_=inbox.c.due_at), nudged_at=now)
    )
    return result.rowcount


async def retry(tx: AsyncConnection, event_id: int, *, now: datetime) -> bool:
    """Make a dead, parked or held row due now, because a person asked for it. False for any other row.

    Failures are reset. Attempts continue to count: with the id they name the row's runs in Prefect.
    """
    result = await tx.execute(
        sa.update(inbox)
        .where(
            inbox.c.id == event_id,
            inbox.c.state.in_(("dead", "parked", "held")),
            inbox.c.kind != "unreadable",
        )
        .values(state="due", due_at=now, reason=None, finished_at=None, failures=0)
    )
    return result.rowcount == 1


async def free_leases(tx: AsyncConnection, owners: Sequence[str], *, now: datetime) -> list[Event]:
    """End the leases of dead workers; returns the rows that they held."""
    if not owners:
        return []
    query = sa.select(inbox).where(inbox.c.state == "claimed", inbox.c.lease_owner.in_(list(owners)))
    held = [_event(row) for row in await tx.execute(query)]
    if held:
        await tx.execute(sa.update(inbox).where(inbox.c.id.in_([e.id for e in held])).values(lease_until=now))
    return held


async def lease_owners(tx: AsyncConnection) -> list[str]:
    """The workers that hold rows now."""
    query = sa.select(inbox.c.lease_owner).where(inbox.c.state == "claimed").distinct()
    return [owner for owner in (await tx.execute(query)).scalars() if owner]


async def next_due(tx: AsyncConnection, *, not_kinds: Sequence[str] = ()) -> datetime | None:
    """When the next row can be claimed (it is due, or its lease ends); None when nothing is open.

    A row that waits behind another of its lane does not count: it cannot be claimed until that row has ended.
    """
    query = sa.select(
        sa.func.min(sa.case((inbox.c.state == "claimed", inbox.c.lease_until), else_=inbox.c.due_at))
    ).where(inbox.c.state.in_(OPEN), inbox.c.kind.not_in(list(not_kinds)), _first_of_lane())
    value = (await tx.execute(query)).scalar_one_or_none()
    return UtcTime().process_result_value(value, tx.dialect) if value else None


async def listing(
    tx: AsyncConnection,
    *,
    states: Sequence[str] = (),
    deal_id: str | None = None,
    limit: int = 50,
    min_failures: int = 0,
) -> list[Event]:
    """Rows for display, newest first."""
    query = sa.select(inbox).order_by(inbox.c.id.desc()).limit(limit)
    if min_failures:
        query = query.where(inbox.c.failures >= min_failures)
    if states:
        query = query.where(inbox.c.state.in_(list(states)))
    if deal_id:
        query = query.where(inbox.c.deal_id == deal_id)
    return [_event(row) for row in await tx.execute(query)]


async def tally(tx: AsyncConnection) -> dict[str, int]:
    """How many rows are in each state."""
    rows = await tx.execute(sa.select(inbox.c.state, sa.func.count()).group_by(inbox.c.state))
    return {state: int(n) for state, n in rows}


async def open_on_deals(tx: AsyncConnection) -> list[tuple[str, str, str]]:
    """Deal, kind and state of every open row that has a deal."""
    query = sa.select(inbox.c.deal_id, inbox.c.kind, inbox.c.state)
    rows = await tx.execute(query.where(inbox.c.state.in_(OPEN), inbox.c.deal_id.is_not(None)))
    return [(deal_id, kind, state) for deal_id, kind, state in rows]


async def delivery(tx: AsyncConnection, delivery_id: int) -> sa.Row[Any] | None:
    """The stored delivery: exact bytes and headers."""
    return (await tx.execute(sa.select(deliveries).where(deliveries.c.id == delivery_id))).first()


def _event(row: sa.Row[Any]) -> Event:
    return Event(
        id=row.id,
        source=row.source,
        key=row.event_key,
        kind=row.kind,
        lane=row.lane,
        deal_id=row.deal_id,
        content=row.content,
        occurred_at=row.occurred_at,
        received_at=row.received_at,
        state=row.state,
        attempts=row.attempts,
        due_at=row.due_at,
        lease_owner=row.lease_owner,
        lease_until=row.lease_until,
        flow_run_id=row.flow_run_id,
        reason=row.reason,
        outcome=row.outcome,
        finished_at=row.finished_at,
        delivery_id=row.delivery_id,
        failures=row.failures,
    )
