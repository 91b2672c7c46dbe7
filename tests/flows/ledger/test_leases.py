"""Claiming: order within a lane, leases, taking over, putting back, checking again."""

import asyncio
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from flows.ledger import inbox
from flows.ledger.database import Ledger
from flows.ledger.inbox import LeaseLostError
from flows.ledger.tables import inbox as rows

# SQLite has one writer and no LISTEN: there is no such moment there.
ON_POSTGRES = pytest.mark.parametrize(
    "ledger_url", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)


async def _ids(work: Any) -> list[int]:
    return [event.id for event in await work]


async def test_a_held_event_lets_later_ones_pass(desk: Any) -> None:
    """A later event may bring what a held one waits for (its proposal, a signature); due again, it goes first."""
    first, second, third = await desk.put(), await desk.put(), await desk.put()
    assert await _ids(desk.take(only_ids=[first])) == [first]
    await desk.settle(first, "held", due_at=desk.clock() + timedelta(seconds=30))
    assert await _ids(desk.take("b")) == [second]
    desk.clock.forward(31)
    assert await _ids(desk.take("c")) == []  # the second is in hand: neither the held one nor the third
    await desk.settle(second, "done", owner="b")
    assert await _ids(desk.take("c")) == [first]  # one row of a lane at a time, the held one first
    assert third not in await _ids(desk.take("d"))


@pytest.mark.parametrize("state", ["due", "claimed", "parked"])
async def test_a_later_event_waits_behind_an_open_one(desk: Any, state: str) -> None:
    """While an earlier event of its lane is to be handled, a later one is not."""
    first, second, other = await desk.put(), await desk.put(), await desk.put("deal:2")
    assert await _ids(desk.take(only_ids=[first] if state != "due" else [second])) == (
        [first] if state != "due" else []
    )
    if state == "parked":
        await desk.settle(first, state, due_at=desk.clock() + timedelta(hours=1))
    assert await _ids(desk.take("b", only_ids=[second, other])) == [other]


@pytest.mark.parametrize("state", ["done", "dead", "ignored"])
async def test_a_later_event_follows_an_ended_one(desk: Any, state: str) -> None:
    """Once the earlier event has ended, in whatever way, the next of its lane comes."""
    first, second = await desk.put(), await desk.put()
    assert await _ids(desk.take()) == [first]
    await desk.settle(first, state, reason="so it was")
    assert await _ids(desk.take()) == [second]
    row = await desk.row(first)
    assert (row.state, row.reason, row.finished_at, row.lease_owner, row.lease_until) == (
        state,
        "so it was",
        desk.clock(),
        None,
        None,
    )


async def test_one_claim_takes_one_of_each_lane_oldest_first(desk: Any) -> None:
    """At most one a lane, oldest first, no more than the limit; each take counts as a try under a lease."""
    ids = [await desk.put(f"deal:{n % 3}") for n in range(9)]
    assert await _ids(desk.take(limit=2)) == ids[:2]
    taken = await desk.take(lease_s=60)
    assert [e.id for e in taken] == [ids[2]]
    assert (taken[0].state, taken[0].attempts, taken[0].lease_owner) == ("claimed", 1, "a")
    assert taken[0].lease_until == desk.clock() + timedelta(seconds=60)
    assert await desk.take() == []


async def test_nothing_is_taken_before_it_is_due(desk: Any) -> None:
    """A parked event comes back at its time, not before."""
    event_id = await desk.put()
    await desk.take()
    await desk.settle(event_id, "parked", reason="try again", due_at=desk.clock() + timedelta(seconds=30))
    desk.clock.forward(29.9)
    assert await desk.take() == []
    desk.clock.forward(0.1)
    (again,) = await desk.take("b")
    assert (again.id, again.attempts, again.lease_owner, again.reason) == (event_id, 2, "b", "try again")


async def test_only_the_kinds_and_rows_that_were_asked_for(desk: Any) -> None:
    """Filters narrow what is taken; the head of a lane keeps its place even when its kind is not asked for."""
    lead = await desk.put("lead:1", kind="lead.received")
    head = await desk.put("deal:1", kind="proposal.due")
    await desk.put("deal:1", kind="contract.due")
    deal = await desk.put("deal:2", kind="contract.due")
    assert await _ids(desk.take(kinds=["contract.due"])) == [deal]
    assert await _ids(desk.take(kinds=[])) == []
    assert await _ids(desk.take(only_ids=[])) == []
    assert await _ids(desk.take(only_ids=[lead, deal])) == [lead]
    assert await _ids(desk.take()) == [head]


async def test_the_oldest_kind_that_could_be_claimed(desk: Any) -> None:
    """It leaves out kinds on hold, rows not yet due and rows that wait behind another."""

    async def oldest(*not_kinds: str) -> str | None:
        async with desk.ledger.read() as tx:
            return await inbox.oldest_due_kind(tx, now=desk.clock(), not_kinds=not_kinds)

    assert await oldest() is None
    first = await desk.put("deal:1", kind="proposal.due")
    await desk.put("deal:1", kind="deal.changed")
    await desk.put("deal:2", kind="contract.due")
    assert await oldest() == "proposal.due"
    assert await oldest("proposal.due") == "contract.due"
    assert await oldest("proposal.due", "contract.due") is None
    await desk.take(only_ids=[first])
    assert await oldest() == "contract.due"
    desk.clock.forward(121)
    assert await oldest() == "proposal.due"


async def test_a_crash_between_claim_and_settle(desk: Any) -> None:
    """A worker that dies with an event in hand: when its lease ends another takes it, and the lane goes on."""
    first, second = await desk.put(), await desk.put()
    await desk.take("a", lease_s=120)
    desk.clock.forward(119)
    assert await desk.take("b") == []
    desk.clock.forward(1)
    assert await _ids(desk.take("b")) == [first]
    for state in ("done", "parked"):
        with pytest.raises(LeaseLostError):
            await desk.settle(first, state, owner="a", due_at=desk.clock())
    row = await desk.row(first)
    assert (row.state, row.lease_owner, row.attempts) == ("claimed", "b", 2)
    await desk.settle(first, "done", owner="b")
    assert await _ids(desk.take("b")) == [second]


async def test_settling_once_is_enough(desk: Any) -> None:
    """An event that has ended, or was never claimed, cannot be settled."""
    event_id = await desk.put()
    with pytest.raises(LeaseLostError):
        await desk.settle(event_id, "done")
    await desk.take()
    await desk.settle(event_id, "done")
    with pytest.raises(LeaseLostError):
        await desk.settle(event_id, "parked", due_at=desk.clock())
    assert (await desk.row(event_id)).state == "done"


async def test_settling_can_name_the_deal(desk: Any) -> None:
    """A lead that became a deal is found under that deal from then on."""
    event_id = await desk.put("lead:1")
    await desk.take()
    await desk.settle(event_id, "done", deal_id="77", outcome={"summary": "became a deal"})
    async with desk.ledger.read() as tx:
        assert [e.id for e in await inbox.listing(tx, deal_id="77")] == [event_id]


async def test_a_renewed_lease_lasts(desk: Any) -> None:
    """Renewing lengthens only what is still ours, and says how much that is."""
    ours, theirs, due = await desk.put("1"), await desk.put("2"), await desk.put("3")
    await desk.take("a", only_ids=[ours])
    await desk.take("b", only_ids=[theirs])

    async def renew(seconds: float) -> int:
        async with desk.ledger.write() as tx:
            until = desk.clock() + timedelta(seconds=seconds)
            return await inbox.renew(tx, [ours, theirs, due], owner="a", until=until)

    desk.clock.forward(100)
    assert await renew(120) == 1
    desk.clock.forward(100)
    assert await _ids(desk.take("c")) == [theirs, due]
    assert await renew(0) == 1
    assert await _ids(desk.take("c")) == [ours]
    assert await renew(120) == 0
    async with desk.ledger.write() as tx:
        assert await inbox.renew(tx, [], owner="c", until=desk.clock()) == 0


async def test_writing_needs_the_lease(desk: Any) -> None:
    """Asked before every outward write: a row that is not ours, or whose lease has run out, is lost."""
    event_id = await desk.put()

    async def ask(owner: str = "a", *, timed: bool = True) -> None:
        async with desk.ledger.write() as tx:
            await inbox.assert_held_by(tx, event_id, owner, now=desk.clock() if timed else None)

    with pytest.raises(LeaseLostError):
        await ask()
    await desk.take("a")
    await ask()
    with pytest.raises(LeaseLostError):
        await ask("b")
    desk.clock.forward(120)
    await ask(timed=False)
    with pytest.raises(LeaseLostError):
        await ask()
    await desk.take("b")
    with pytest.raises(LeaseLostError):
        await ask("a", timed=False)
    await ask("b")


async def test_nobody_takes_over_while_the_lease_is_being_asked_for(
    desk: Any, other_ledger: Ledger, desk_at: Callable[[Ledger], Any]
) -> None:
    """From the question to the commit of the intent the row cannot change hands, even if the lease runs out."""
    event_id = await desk.put()
    await desk.take("a", lease_s=10)
    neighbour = desk_at(other_ledger)
    async with desk.ledger.write() as tx:
        await inbox.assert_held_by(tx, event_id, "a", now=desk.clock())
        desk.clock.forward(11)
        if desk.ledger.dialect == "postgresql":
            assert await neighbour.take("b") == []
        else:  # SQLite has one writer: the neighbour has to wait for us
            taking = asyncio.create_task(neighbour.take("b"))
            await asyncio.sleep(0.3)
            assert not taking.done()
    taken = await (taking if desk.ledger.dialect == "sqlite" else neighbour.take("b"))
    assert [e.id for e in taken] == [event_id]


async def test_a_nudge_brings_held_events_forward(desk: Any) -> None:
    """When a deal changes its held events are due again now; parked ones keep their time."""
    held, parked = await desk.put("x", deal_id="1"), await desk.put("y", deal_id="1")
    other = await desk.put("z", deal_id="2")
    await desk.take()
    later = desk.clock() + timedelta(hours=1)
    for event_id, state in ((held, "held"), (parked, "parked"), (other, "held")):
        await desk.settle(event_id, state, due_at=later)

    async def nudge(*deals: str) -> int:
        async with desk.ledger.write() as tx:
            return await inbox.nudge(tx, deals, now=desk.clock())

    desk.clock.forward(10)
    assert await nudge() == 0
    assert await nudge("1", "3") == 1
    assert await nudge("1") == 0
    assert await _ids(desk.take()) == [held]
    assert (await desk.row(other)).due_at == later


async def test_a_nudge_while_the_event_is_in_hand_is_not_forgotten(desk: Any) -> None:
    """The deal changes after it was read but before the event is put back as held: it is due again at once."""
    event_id = await desk.put(deal_id="1")
    for nudged in (True, False):
        await desk.take()
        async with desk.ledger.write() as tx:
            assert await inbox.nudge(tx, ["1"] if nudged else [], now=desk.clock()) == int(nudged)
        desk.clock.forward(3)
        later = desk.clock() + timedelta(seconds=900)
        await desk.settle(event_id, "held", due_at=later, reason="no signer")
        assert (await desk.row(event_id)).due_at == (desk.clock() if nudged else later)


async def test_a_nudge_does_not_hurry_a_failure(desk: Any) -> None:
    """An event that failed while its deal changed waits as long as its failure asks for."""
    event_id = await desk.put(deal_id="1")
    await desk.take()
    async with desk.ledger.write() as tx:
        await inbox.nudge(tx, ["1"], now=desk.clock())
    later = desk.clock() + timedelta(seconds=60)
    await desk.settle(event_id, "parked", due_at=later)
    assert (await desk.row(event_id)).due_at == later


async def test_leases_of_the_dead_are_freed(desk: Any) -> None:
    """The events of workers known to be dead can be taken at once; those of the living cannot."""
    of_dead, of_living, done = await desk.put("1"), await desk.put("2"), await desk.put("3")
    await desk.take("dead", only_ids=[of_dead, done])
    await desk.take("living", only_ids=[of_living])
    await desk.settle(done, "done", owner="dead")
    async with desk.ledger.write() as tx:
        assert sorted(await inbox.lease_owners(tx)) == ["dead", "living"]
        assert await inbox.free_leases(tx, [], now=desk.clock()) == []
        assert [e.id for e in await inbox.free_leases(tx, ["dead", "unknown"], now=desk.clock())] == [of_dead]
    assert await _ids(desk.take("heir")) == [of_dead]


async def test_next_due_is_when_something_can_be_claimed(desk: Any) -> None:
    """The worker sleeps until then: rows that wait behind another, or whose kind is on hold, do not wake it."""

    async def next_due(*not_kinds: str) -> Any:
        async with desk.ledger.read() as tx:
            return await inbox.next_due(tx, not_kinds=not_kinds)

    assert await next_due() is None
    start = desk.clock()
    first, _behind = await desk.put("1"), await desk.put("1")
    assert await next_due() == start
    await desk.take(lease_s=120)
    assert await next_due() == start + timedelta(seconds=120)
    await desk.settle(first, "parked", due_at=start + timedelta(seconds=900))
    assert await next_due() == start + timedelta(seconds=900)
    desk.clock.forward(5)
    await desk.put("2", kind="proposal.due")
    assert await next_due() == start + timedelta(seconds=5)
    assert await next_due("proposal.due") == start + timedelta(seconds=900)


async def test_a_row_that_shows_late_waits_for_its_lane(desk: Any) -> None:
    """PostgreSQL can show a row with a lower id after a higher one was claimed: the lane stays in one hand."""
    late, early = await desk.put("1"), await desk.put("1")
    async with desk.ledger.write() as tx:  # as if `late` had not been committed yet
        await tx.execute(sa.update(rows).where(rows.c.id == late).values(lane="elsewhere"))
    assert await _ids(desk.take("a", only_ids=[early])) == [early]
    async with desk.ledger.write() as tx:
        await tx.execute(sa.update(rows).where(rows.c.id == late).values(lane="1"))
    assert await desk.take("b") == []
    await desk.settle(early, "done")
    assert await _ids(desk.take("b")) == [late]
    # A dead worker's later row does not block the lane forever.
    third, fourth = await desk.put("2"), await desk.put("2")
    async with desk.ledger.write() as tx:
        await tx.execute(
            sa.update(rows)
            .where(rows.c.id == fourth)
            .values(state="claimed", lease_owner="x", lease_until=desk.clock())
        )
    assert await _ids(desk.take("b")) == [third]


async def test_workers_never_share_a_lane(
    desk: Any, other_ledger: Ledger, desk_at: Callable[[Ledger], Any]
) -> None:
    """Workers with connections of their own claim and settle at the same time: one hand a lane, in order, each once."""
    lanes, each = 6, 5
    ids = [await desk.put(f"deal:{n % lanes}") for n in range(lanes * each)]
    in_hand: dict[str, int] = {}
    handled: list[tuple[str, int]] = []
    dice = random.Random(7)

    async def work(owner: str, ledger: Ledger) -> None:
        mine = desk_at(ledger)
        while len(handled) < len(ids):
            events = await mine.take(owner, limit=dice.randint(1, 3))
            for event in events:
                assert event.lane not in in_hand, "two hands on one lane"
                in_hand[event.lane] = event.id
            for event in events:
                await asyncio.sleep(dice.uniform(0, 0.01))
                handled.append((event.lane, event.id))
                del in_hand[event.lane]
                await mine.settle(event.id, "done", owner=owner)
            await asyncio.sleep(0.001)

    workers = [(f"{n}", ledger) for n, ledger in enumerate([desk.ledger, other_ledger] * 2)]
    async with asyncio.timeout(60):
        await asyncio.gather(*(work(owner, ledger) for owner, ledger in workers))
    assert sorted(event_id for _, event_id in handled) == ids
    for lane in range(lanes):
        order = [event_id for name, event_id in handled if name == f"deal:{lane}"]
        assert order == sorted(order)


@ON_POSTGRES
async def test_claims_at_the_same_moment_share_no_lane(
    desk: Any, other_ledger: Ledger, desk_at: Callable[[Ledger], Any]
) -> None:
    """Rows of one lane shown to one claim but not to the other: still only one of them gets the lane."""
    early, late = await desk.put("1"), await desk.put("1")
    async with desk.ledger.write() as tx:
        await tx.execute(sa.update(rows).where(rows.c.id == early).values(state="done"))
    neighbour = desk_at(other_ledger)
    async with desk.ledger.write() as tx:
        taken = await inbox.claim(tx, owner="a", now=desk.clock(), lease_s=60, limit=5)
        assert [e.id for e in taken] == [late]
        # Before this claim is committed the earlier row opens (as one does that was inserted before, shown later).
        async with other_ledger.write() as elsewhere:
            await elsewhere.execute(sa.update(rows).where(rows.c.id == early).values(state="due"))
        taking = asyncio.create_task(neighbour.take("b"))
        await asyncio.sleep(0.3)
    assert await taking == []
