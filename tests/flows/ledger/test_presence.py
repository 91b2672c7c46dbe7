"""Heartbeats and counters."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

from flows.ledger import presence
from flows.ledger.database import Ledger
from flows.ledger.presence import Worker


async def test_signs_of_life(ledger: Ledger, clock: Any) -> None:
    """A worker is alive as long as its last sign is new enough; it says where to wake it and how Prefect is."""
    first = Worker("a", clock(), clock(), 5000, True, None)
    async with ledger.write() as tx:
        await presence.report(tx, first)
        await presence.report(tx, replace(first, name="b", wake_port=None))
        later = replace(first, seen_at=clock.forward(60), prefect_ok=False, note="Prefect server unavailable")
        await presence.report(tx, later)
    async with ledger.read() as tx:
        assert await presence.alive(tx, since=clock() - timedelta(seconds=30)) == [later]
        assert len(await presence.alive(tx, since=clock() - timedelta(seconds=60))) == 2
    async with ledger.write() as tx:
        await presence.leave(tx, "a")
        await presence.leave(tx, "never there")
    async with ledger.read() as tx:
        assert await presence.alive(tx, since=clock() - timedelta(seconds=30)) == []


async def test_counters_add_up(ledger: Ledger, other_ledger: Ledger, clock: Any) -> None:
    """Counted by day, from processes at once, nothing lost; the total goes over all days."""

    async def count(handle: Ledger) -> None:
        for _ in range(10):
            async with handle.write() as tx:
                await presence.count(tx, "refused.lead.401", now=clock())

    await asyncio.gather(*(count(handle) for handle in (ledger, other_ledger)))
    clock.forward(86_400)
    async with ledger.write() as tx:
        await presence.count(tx, "refused.lead.401", now=clock())
        await presence.count(tx, "refused.hubspot.413", now=clock())
    async with ledger.read() as tx:
        assert await presence.totals(tx) == {"refused.lead.401": 21, "refused.hubspot.413": 1}


async def test_a_ledger_has_one_name_for_life(ledger: Ledger, other_ledger: Ledger, clock: Any) -> None:
    """Processes that ask at once get the same name, also later."""

    async def ask(handle: Ledger) -> str:
        async with handle.write() as tx:
            return await presence.ledger_id(tx, now=clock())

    names = await asyncio.gather(*(ask(handle) for handle in [ledger, other_ledger] * 3))
    clock.forward(86_400)
    assert {*names, await ask(ledger)} == {names[0]}
    assert len(names[0]) == 12
