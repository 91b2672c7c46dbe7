"""HubSpot as last seen: what counts as a change, what is kept, how far the sweep is."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from flows.ledger import mirror
from flows.ledger.database import Ledger
from flows.ledger.history import ReadTimes
from flows.ledger.mirror import MirrorRow, StageEntry


async def _keep(ledger: Ledger, clock: Any, *rows: MirrorRow) -> set[tuple[str, str]]:
    async with ledger.write() as tx:
        return (await mirror.keep(tx, rows, now=clock())).changed


def _deal(deal_id: str = "1", *, archived: bool = False, **properties: str | None) -> MirrorRow:
    return MirrorRow("deals", deal_id, properties, None, archived)


async def test_only_what_really_changed_is_a_change(ledger: Ledger, clock: Any) -> None:
    """New and changed content counts; the same again does not, in whatever order the properties come."""
    assert await _keep(ledger, clock, _deal(amount="1", dealname="Ä"), _deal("2")) == {
        ("deals", "1"),
        ("deals", "2"),
    }
    assert await _keep(ledger, clock, _deal(dealname="Ä", amount="1"), _deal("2")) == set()
    assert await _keep(ledger, clock, _deal(amount="1", dealname=None)) == {("deals", "1")}
    async with ledger.read() as tx:
        kept = await mirror.record(tx, "deals", "1")
        assert await mirror.record(tx, "deals", "9") is None
        assert await mirror.record(tx, "contacts", "1") is None
    assert kept == _deal(amount="1", dealname=None)


@pytest.mark.parametrize(
    "name", ["hs_lastmodifieddate", "lastmodifieddate", "hs_time_in_closing", "hs_v2_time_in_current_stage"]
)
async def test_an_echo_is_not_a_change(ledger: Ledger, clock: Any, name: str) -> None:
    """Properties that move with every touch are kept, but alone they are no change."""
    await _keep(ledger, clock, _deal(amount="1", **{name: "100"}))
    assert await _keep(ledger, clock, _deal(amount="1", **{name: "200"})) == set()
    async with ledger.read() as tx:
        kept = await mirror.record(tx, "deals", "1")
    assert kept is not None
    assert kept.properties[name] == "200"
    assert await _keep(ledger, clock, _deal(amount="2", **{name: "200"})) == {("deals", "1")}


async def test_a_deal_that_comes_back_is_a_change(ledger: Ledger, clock: Any) -> None:
    """Archived, restored as it was: events held for it must be checked again."""
    await _keep(ledger, clock, _deal(amount="1"), _deal("2"))
    async with ledger.write() as tx:
        await mirror.mark_archived(tx, "deals", ["1", "404"], now=clock())
        kept = await mirror.record(tx, "deals", "1")
        assert await mirror.record(tx, "deals", "404") is None
    assert kept is not None
    assert kept.archived
    assert await _keep(ledger, clock, _deal(amount="1"), _deal("2")) == {("deals", "1")}
    assert await _keep(ledger, clock, _deal(amount="1", archived=True)) == {("deals", "1")}


async def test_a_changed_association_is_a_change(ledger: Ledger, clock: Any) -> None:
    """A contact added, relabelled or taken away changes the deal; the same set in another order does not."""

    async def links(*targets: tuple[str, list[str]], kind: str = "contacts") -> set[str]:
        async with ledger.write() as tx:
            return await mirror.keep_links(tx, "deals", kind, {"1": dict(targets)}, reads=ReadTimes(clock()))

    assert await links(("7", [])) == {"1"}
    assert await links(("7", [])) == set()
    assert await links(("7", ["signer", "decision_maker"])) == {"1"}
    assert await links(("7", ["decision_maker", "signer"])) == set()
    assert await links(("8", []), ("7", ["decision_maker", "signer"])) == {"1"}
    assert await links(("7", ["decision_maker", "signer"]), ("8", [])) == set()
    assert await links(("9", []), kind="companies") == {"1"}
    assert await links() == {"1"}
    assert await links() == set()
    assert await links(("9", []), kind="companies") == set()


async def test_links_of_other_deals_stay(ledger: Ledger, clock: Any) -> None:
    """Only the records that were read are replaced."""
    async with ledger.write() as tx:
        for links, changed in (
            ({"1": {"7": []}, "2": {"7": []}}, {"1", "2"}),
            ({"1": {}}, {"1"}),
            ({"2": {"7": []}}, set()),
        ):
            reads = ReadTimes(clock())
            assert await mirror.keep_links(tx, "deals", "contacts", links, reads=reads) == changed


async def test_a_stage_entry_is_new_once(ledger: Ledger, clock: Any) -> None:
    """Deal, stage and moment make an entry; known ones come back never again, new ones oldest first."""
    first = StageEntry("1", "closing", clock(), "CRM_UI", "u1")
    again_later = StageEntry("1", "closing", clock() + timedelta(days=1))
    earlier = StageEntry("2", "closing", clock() - timedelta(milliseconds=1))
    async with ledger.write() as tx:
        assert await mirror.keep_stage_entries(tx, [again_later, first, earlier, first]) == [
            earlier,
            first,
            again_later,
        ]
        assert await mirror.keep_stage_entries(tx, [first, again_later]) == []
        back = StageEntry("1", "presentation", clock() + timedelta(days=1))
        assert await mirror.keep_stage_entries(tx, [back]) == [back]


async def test_cursors_and_portal_facts(ledger: Ledger, clock: Any) -> None:
    """Each sweep has its own place; moving one leaves the others."""
    async with ledger.write() as tx:
        assert await mirror.cursor(tx, "deals") is None
        assert await mirror.portal_facts(tx) == {}
        await mirror.move_cursor(tx, "deals", "a", now=clock())
        await mirror.move_cursor(tx, "watch_since", "b", now=clock())
        await mirror.move_cursor(tx, "deals", "c", now=clock.forward(1))
        await mirror.keep_portal_facts(tx, {"portal_id": "1", "stages": {"won": "9"}}, now=clock())
    async with ledger.read() as tx:
        assert [await mirror.cursor(tx, name) for name in ("deals", "watch_since")] == ["c", "b"]
        assert await mirror.portal_facts(tx) == {"portal_id": "1", "stages": {"won": "9"}}


async def test_deals_by_stage_for_the_ops_page(ledger: Ledger, clock: Any) -> None:
    """Deals are listed by stage, newest entry first, with the moment of their last entry."""
    at = clock()
    await _keep(
        ledger,
        clock,
        _deal("1", dealstage="s1", dealname="One", amount="10", deal_currency_code="EUR"),
        _deal("2", dealstage="s1", dealname="Two"),
        _deal("3", dealstage="s2", amount="5"),
        _deal("4", dealstage="s1", archived=True),
        _deal("5", dealname="Nowhere", dealstage=None),
        MirrorRow("contacts", "1", {"dealstage": "s1"}, None),
    )
    async with ledger.write() as tx:
        entries = [
            StageEntry("1", "s1", at),
            StageEntry("2", "s1", at + timedelta(hours=1)),
            StageEntry("1", "s2", at + timedelta(hours=2)),
            StageEntry("1", "s1", at + timedelta(hours=3)),
        ]
        await mirror.keep_stage_entries(tx, entries)
    async with ledger.read() as tx:
        found = await mirror.deals_by_stage(tx)
    assert found == {
        "s1": [("1", "One", "10 EUR", at + timedelta(hours=3)), ("2", "Two", "", at + timedelta(hours=1))],
        "s2": [("3", "", "5", None)],
        "": [("5", "Nowhere", "", None)],
    }


async def test_sweeps_at_the_same_time(ledger: Ledger, other_ledger: Ledger, clock: Any) -> None:
    """Two sweeps store the same deals at once, read in different order: none of them fails or waits forever."""
    rows = [_deal(str(n), amount="1") for n in range(40)]

    async def sweep(handle: Ledger, order: int) -> None:
        async with handle.write() as tx:
            await mirror.keep(tx, rows[::order], now=clock())
            links = {r.object_id: {"7": ["signer"]} for r in rows[::order]}
            await mirror.keep_links(tx, "deals", "contacts", links, reads=ReadTimes(clock()))
            await mirror.keep_stage_entries(
                tx, [StageEntry(r.object_id, "s1", clock()) for r in rows[::order]]
            )

    async with asyncio.timeout(60):
        await asyncio.gather(
            *(sweep(handle, order) for handle in (ledger, other_ledger) for order in (1, -1))
        )
    async with ledger.read() as tx:
        assert len((await mirror.deals_by_stage(tx))[""]) == 40
