"""Hints to read a deal again: one that waits covers those that follow."""

from datetime import UTC, datetime

import pytest

from flows.ledger import inbox
from flows.ledger.database import Ledger
from flows.ledger.inbox import NewEvent

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def hint(key: str, deal_id: str = "7", *, covers: bool = True) -> NewEvent:
    return NewEvent("hubspot", key, "deal.changed", f"hint:{key}", {}, deal_id=deal_id, hint=covers)


async def states(ledger: Ledger) -> dict[str, str]:
    async with ledger.read() as tx:
        return {e.key: e.state for e in await inbox.listing(tx)}


async def record(ledger: Ledger, *events: NewEvent) -> None:
    async with ledger.write() as tx:
        await inbox.record(tx, list(events), now=NOW)


async def claim(ledger: Ledger) -> list[str]:
    async with ledger.write() as tx:
        return [e.key for e in await inbox.claim(tx, owner="w", now=NOW, lease_s=60, limit=10)]


@pytest.mark.parametrize("together", [True, False])
async def test_a_waiting_hint_covers_later_ones_of_its_deal(ledger: Ledger, together: bool) -> None:
    """A burst of edits costs one reading, whether it comes in one delivery or in many; other deals are not covered."""
    events = [hint("a"), hint("b"), hint("c", "8"), hint("d")]
    for batch in [events] if together else [[e] for e in events]:
        await record(ledger, *batch)
    assert await states(ledger) == {"a": "due", "b": "ignored", "c": "due", "d": "ignored"}


async def test_a_claimed_hint_covers_nothing(ledger: Ledger) -> None:
    """Whoever has claimed a hint may have read the deal already: a change after that needs a hint of its own."""
    await record(ledger, hint("a"))
    assert await claim(ledger) == ["a"]
    await record(ledger, hint("b"))
    assert await states(ledger) == {"a": "claimed", "b": "due"}


async def test_events_that_say_more_are_never_covered(ledger: Ledger) -> None:
    """A merge names the records that are gone: it is handled whatever waits."""
    await record(ledger, hint("a"), hint("merge", covers=False))
    assert await states(ledger) == {"a": "due", "merge": "due"}


async def test_a_dead_or_ignored_event_covers_nothing(ledger: Ledger) -> None:
    """Only what will be handled can stand in for another."""
    ended = NewEvent(
        "hubspot", "x", "deal.changed", "hint:x", {}, deal_id="7", hint=True, ended=("dead", "why")
    )
    await record(ledger, ended, hint("b"))
    assert await states(ledger) == {"x": "dead", "b": "due"}
