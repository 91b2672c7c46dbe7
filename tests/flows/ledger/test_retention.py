"""What is removed after its time, and what never is."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from flows.ledger import inbox, retention, tables
from flows.ledger.database import Ledger

DAY_S = 86_400


async def _delivered(ledger: Ledger, clock: Any, body: bytes) -> int:
    async with ledger.write() as tx:
        return await inbox.store_delivery(tx, source="test", headers={}, body=body, now=clock())


async def _left(ledger: Ledger) -> tuple[set[int], set[int]]:
    """Ids of events and deliveries that are there."""
    async with ledger.read() as tx:
        events = set((await tx.execute(sa.select(tables.inbox.c.id))).scalars())
        return events, set((await tx.execute(sa.select(tables.deliveries.c.id))).scalars())


async def _put(desk: Any, delivery_id: int | None, state: str) -> int:
    """An event in this state, settled now."""
    event_id: int = await desk.put(lane=f"lane {delivery_id} {state} {desk.clock()}")
    async with desk.ledger.write() as tx:
        await tx.execute(
            tables.inbox.update()
            .where(tables.inbox.c.id == event_id)
            .values(
                state=state,
                delivery_id=delivery_id,
                finished_at=desk.clock() if state in ("done", "ignored", "dead") else None,
            )
        )
    return event_id


@pytest.mark.parametrize("chunk", [1, 2, 500])
async def test_only_what_has_ended_long_ago_goes(ledger: Ledger, clock: Any, desk: Any, chunk: int) -> None:
    """Done and ignored rows go with their deliveries; all other states stay, and so does what they came with."""
    kept_rows, kept_deliveries, gone = set(), set(), 0
    for state in ("done", "ignored", "due", "claimed", "parked", "held", "dead"):
        delivery_id = await _delivered(ledger, clock, state.encode())
        event_id = await _put(desk, delivery_id, state)
        if state in ("done", "ignored"):
            gone += 1
        else:
            kept_rows.add(event_id)
            kept_deliveries.add(delivery_id)
    clock.forward(10 * DAY_S)
    young = await _delivered(ledger, clock, b"young")
    kept_rows.add(await _put(desk, young, "done"))
    kept_deliveries.add(young)

    removed = await retention.remove_ended(ledger, before=clock() - timedelta(days=5), chunk=chunk)

    assert removed == {"events": gone, "deliveries": gone}
    assert await _left(ledger) == (kept_rows, kept_deliveries)
    again = await retention.remove_ended(ledger, before=clock() - timedelta(days=5), chunk=chunk)
    assert again == {"events": 0, "deliveries": 0}


@pytest.mark.parametrize("other", ["dead", "held", "parked", "due", "claimed"])
async def test_a_delivery_stays_while_one_of_its_events_does(
    ledger: Ledger, clock: Any, desk: Any, other: str
) -> None:
    """One delivery, two events: the ended one goes, the bytes stay for the other."""
    delivery_id = await _delivered(ledger, clock, b"two")
    await _put(desk, delivery_id, "done")
    waits = await _put(desk, delivery_id, other)
    clock.forward(10 * DAY_S)

    removed = await retention.remove_ended(ledger, before=clock() - timedelta(days=1))

    assert removed == {"events": 1, "deliveries": 0}
    assert await _left(ledger) == ({waits}, {delivery_id})


async def test_a_row_that_ended_lately_is_kept_however_long_it_waited(
    ledger: Ledger, clock: Any, desk: Any
) -> None:
    """Its age counts from its end, not from its arrival."""
    delivery_id = await _delivered(ledger, clock, b"slow")
    clock.forward(100 * DAY_S)
    event_id = await _put(desk, delivery_id, "done")

    await retention.remove_ended(ledger, before=clock() - timedelta(days=50))

    assert await _left(ledger) == ({event_id}, {delivery_id})


async def test_evidence_is_not_touched(
    ledger: Ledger, clock: Any, desk: Any, vendor: Any, writer: Any
) -> None:
    """The effect of an event that is removed stays done, and is not done again."""
    await vendor.do(writer)
    await desk.settle(writer.event_id, "done")
    clock.forward(1000 * DAY_S)

    await retention.remove_ended(ledger, before=clock() - timedelta(days=1))

    assert (await _left(ledger))[0] == set() and (await vendor.stored()).state == "done"
