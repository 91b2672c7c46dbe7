"""Stored reports."""

from typing import Any

from flows.ledger import reports
from flows.ledger.database import Ledger


async def test_only_the_last_report_is_kept(ledger: Ledger, clock: Any) -> None:
    """Each kind has its own; a new one takes the place of the one before, with its own moment."""
    async with ledger.read() as tx:
        assert await reports.last(tx, "a") is None
    first = clock()
    async with ledger.write() as tx:
        await reports.keep(tx, "a", {"n": 1}, now=first)
        await reports.keep(tx, "b", ["x"], now=first)
    later = clock.forward(60)
    async with ledger.write() as tx:
        await reports.keep(tx, "a", {"n": 2}, now=later)
    async with ledger.read() as tx:
        assert await reports.last(tx, "a") == ({"n": 2}, later)
        assert await reports.last(tx, "b") == (["x"], first)
