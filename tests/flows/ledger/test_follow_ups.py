"""Follow-ups in the ledger: one row a cause, what was done, which deals are flagged."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

from flows.ledger import follow_ups
from flows.ledger.database import Ledger
from flows.ledger.follow_ups import FollowUpRow

DAY_S = 86_400


async def _begin(ledger: Ledger, clock: Any, deal: str = "1", number: int = 1, **more: Any) -> FollowUpRow:
    given = {
        "stage": "qualification",
        "entered_at": clock.now - timedelta(days=5),
        "unmet": {"need", "budget"},
        "flagged": False,
        **more,
    }
    async with ledger.write() as tx:
        return await follow_ups.begin(tx, deal_id=deal, number=number, now=clock(), **given)


async def test_one_cause_is_one_row(ledger: Ledger, clock: Any) -> None:
    """Begun again, later and with other findings: the row as it was written first; another cause is another row."""
    entered_at = clock.now - timedelta(days=5, microseconds=123)
    first = await _begin(ledger, clock, entered_at=entered_at)
    clock.forward(DAY_S)
    again = await _begin(ledger, clock, entered_at=entered_at, unmet={"need"}, flagged=True)
    assert again == first and first.entered_at == entered_at
    assert (list(first.unmet), first.ended_at, first.flagged) == (["budget", "need"], None, False)

    others = [
        await _begin(ledger, clock, entered_at=entered_at, number=2),
        await _begin(ledger, clock, entered_at=entered_at, stage="discussion"),
        await _begin(ledger, clock, entered_at=entered_at + timedelta(milliseconds=1)),
        await _begin(ledger, clock, "2", entered_at=entered_at),
    ]
    assert len({first.id, *(row.id for row in others)}) == 5
    assert len({(row.deal_id, row.cause) for row in [first, *others]}) == 5


async def test_begun_at_once_by_two(ledger: Ledger, other_ledger: Ledger, clock: Any) -> None:
    """Two processes begin the same: one row, which both get."""
    entered_at = clock.now - timedelta(days=5)
    rows = await asyncio.gather(
        *(_begin(one, clock, entered_at=entered_at) for one in (ledger, other_ledger) * 4)
    )
    assert len({row.id for row in rows}) == 1


async def test_what_was_done_is_kept(ledger: Ledger, clock: Any) -> None:
    """Ended with its steps and records; ended again, the day stays and the steps are updated."""
    row = await _begin(ledger, clock)
    clock.forward(60)
    async with ledger.write() as tx:
        await follow_ups.end(tx, row.id, done=[["made a task", "task 9", "why"]], task_id="9", now=clock())
    ended_at = clock.now
    clock.forward(DAY_S)
    async with ledger.write() as tx:
        await follow_ups.end(tx, row.id, done=[["sent", "contact 1", "why"]], now=clock())
        (found,) = (await follow_ups.of_deals(tx, ["1", "2"]))["1"]
    steps = [["sent", "contact 1", "why"]]
    assert found == replace(row, ended_at=ended_at, done=steps, task_id="9")


async def test_our_drafts_are_known_by_their_ids(ledger: Ledger, clock: Any) -> None:
    """Only those, whatever deal they belong to now."""
    row = await _begin(ledger, clock)
    async with ledger.write() as tx:
        await follow_ups.note_email(tx, row.id, "70")
        assert await follow_ups.own_emails(tx, ["69", "70", "71"]) == {"70"}
        assert await follow_ups.own_emails(tx, []) == set()


async def test_the_flagged_and_those_no_more(ledger: Ledger, clock: Any) -> None:
    """Listed until it is cleared, with reason and time; clearing it again changes nothing."""
    plain = await _begin(ledger, clock)
    one = await _begin(ledger, clock, "2", flagged=True)
    other = await _begin(ledger, clock, "3", flagged=True)
    async with ledger.write() as tx:
        assert [row.deal_id for row in await follow_ups.flagged(tx)] == ["2", "3"]
        for row in (plain, one):
            await follow_ups.clear(tx, row.id, why="met since", now=clock())
    cleared_at = clock.now
    clock.forward(60)
    async with ledger.write() as tx:
        await follow_ups.clear(tx, one.id, why="again", now=clock())
        assert await follow_ups.flagged(tx) == [other]
        rows = await follow_ups.listing(tx)
        assert [row.deal_id for row in rows] == ["3", "2", "1"]
        assert [(row.cleared_at, row.cleared_why) for row in rows[1:]] == [
            (cleared_at, "met since"),
            (None, None),
        ]
        assert await follow_ups.listing(tx, deal_id="1") == [plain]
        assert len(await follow_ups.listing(tx, limit=2)) == 2
