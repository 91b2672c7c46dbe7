"""The history in the mirror, on both databases."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from flows.ledger import mirror
from flows.ledger.database import Ledger
from flows.ledger.history import ReadTimes, Version, keep_versions
from flows.ledger.mirror import MirrorRow
from flows.ledger.past_deals import past_deals
from flows.ledger.tables import association_history, property_history


class Book:
    """One deal that is read again and again, a minute apart."""

    def __init__(self, ledger: Ledger, clock: Any) -> None:
        self.ledger, self.clock, self.start = ledger, clock, clock()

    async def read(self, links: dict[str, list[str]], born: dict[str, Any] | None = None) -> None:
        """As the sync does: the deal, then its contacts."""
        now = self.clock.forward(60)
        async with self.ledger.write() as tx:
            kept = await mirror.keep(tx, [MirrorRow("deals", "1", {"dealstage": "5"}, now)], now=now)
            before = {i: at for (_, i), at in kept.read_before.items()}
            reads = ReadTimes(now, before, born or {})
            await mirror.keep_links(tx, "deals", "contacts", {"1": links}, reads=reads)

    async def spans(self) -> list[tuple[Any, ...]]:
        """Id, role, and minutes since the start: seen, absent, gone."""
        async with self.ledger.read() as tx:
            (deal,) = await past_deals(tx)
        return [(s.id, s.role, *map(self._minute, (s.seen_at, s.absent_at, s.gone_at))) for s in deal.spans]

    def _minute(self, moment: Any) -> int | None:
        return None if moment is None else round((moment - self.start).total_seconds() / 60)


@pytest.fixture
def book(ledger: Ledger, clock: Any) -> Book:
    return Book(ledger, clock)


async def test_what_exists_at_the_first_read_is_of_unknown_age(book: Book) -> None:
    """It may be old: no moment at which it was not there is known."""
    await book.read({"7": ["signer"]})
    assert await book.spans() == [("7", "", 1, None, None), ("7", "signer", 1, None, None)]


async def test_nothing_is_on_a_deal_before_it_was_made(book: Book) -> None:
    """Known at the first read already."""
    await book.read({"7": []}, born={"7": book.start + timedelta(seconds=30)})
    ((_, _, seen, absent, _),) = await book.spans()
    assert (seen, absent) == (1, 0)


async def test_what_comes_later_came_between_two_reads(book: Book) -> None:
    """A contact, then a label on it; reading it again changes nothing."""
    await book.read({})
    await book.read({})
    await book.read({"7": []})
    await book.read({"7": ["signer"]})
    await book.read({"7": ["signer"]})
    assert await book.spans() == [("7", "", 3, 2, None), ("7", "signer", 4, 3, None)]


async def test_what_goes_is_remembered_and_may_come_back(book: Book) -> None:
    """Its label taken, the contact taken, both back: three stretches, each with its end."""
    await book.read({"7": ["signer"]})
    await book.read({"7": []})
    await book.read({})
    await book.read({"7": ["signer"]})
    assert await book.spans() == [
        ("7", "", 1, None, 3),
        ("7", "", 4, 3, None),
        ("7", "signer", 1, None, 2),
        ("7", "signer", 4, 3, None),
    ]


async def test_links_from_before_are_taken_as_they_are(book: Book) -> None:
    """Mirrored before history was kept: since when nobody knows; its end is still recorded."""
    await book.read({"7": ["signer"], "8": []})
    async with book.ledger.write() as tx:
        await tx.execute(sa.delete(association_history))
    assert await book.spans() == [
        ("7", "", None, None, None),
        ("7", "signer", None, None, None),
        ("8", "", None, None, None),
    ]
    await book.read({"7": []})
    assert await book.spans() == [
        ("7", "signer", 1, None, 2),
        ("8", "", 1, None, 2),
        ("7", "", None, None, None),
    ]


async def test_other_deals_links_are_left_alone(ledger: Ledger, clock: Any) -> None:
    """What goes from one deal stays on another."""
    async with ledger.write() as tx:
        for links in ({"1": {"7": []}, "2": {"7": []}}, {"1": {}}):
            reads = ReadTimes(clock.forward(60), {"1": clock(), "2": clock()})
            await mirror.keep_links(tx, "deals", "contacts", links, reads=reads)
        query = sa.select(association_history.c.from_id, association_history.c.gone_at)
        assert {i: at is not None for i, at in await tx.execute(query)} == {"1": True, "2": False}


async def test_versions_are_kept_once(ledger: Ledger, clock: Any) -> None:
    """Read again with more: the new one is added, what was known stays as it was."""
    now = clock()
    first = Version("1", "amount", "5", now)
    async with ledger.write() as tx:
        await keep_versions(tx, [first, Version("1", "amount", None, now + timedelta(days=1))])
        await keep_versions(tx, [first, first._replace(value="9"), Version("2", "amount", "5", now)])
        await keep_versions(tx, [])
        rows = await tx.execute(sa.select(property_history).order_by(*property_history.primary_key))
        assert [tuple(row) for row in rows] == [
            ("1", "amount", now, "5"),
            ("1", "amount", now + timedelta(days=1), None),
            ("2", "amount", now, "5"),
        ]
