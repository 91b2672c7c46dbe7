"""What a reconciliation asks the ledger, on both databases."""

from datetime import timedelta
from typing import Any

from flows.ledger import contracts, effects, inbox, mirror
from flows.ledger.database import Ledger
from flows.ledger.mirror import StageEntry


async def _contract(ledger: Ledger, clock: Any, deal_id: str, token: str, ended: str = "") -> None:
    async with ledger.write() as tx:
        made = await contracts.begin(
            tx, deal_id=deal_id, token=token, paper_id=1, signers=[], test_mode=True, now=clock()
        )
        if ended:
            await contracts.end(tx, made.id, state=ended, now=clock())


async def test_contracts_under_review(ledger: Ledger, clock: Any) -> None:
    """Those that have not ended, however old, and those that ended lately; oldest first."""
    await _contract(ledger, clock, "1", "a", "declined")
    await _contract(ledger, clock, "2", "b")
    clock.forward(100 * 86_400)
    await _contract(ledger, clock, "3", "c", "completed")

    async with ledger.read() as tx:
        found = await contracts.under_review(tx, since=clock() - timedelta(days=90))
        by_token = await contracts.by_tokens(tx, ["a", "c", "unknown", *(f"t{n}" for n in range(600))])
        with_one = await contracts.deals_with_any(tx, ["1", "3", "4"])

    assert [(c.deal_id, c.state) for c in found] == [("2", "sending"), ("3", "completed")]
    assert {token: c.deal_id for token, c in by_token.items()} == {"a": "1", "c": "3"}
    assert with_one == {"1", "3"}


async def test_effects_by_key(ledger: Ledger, vendor: Any, writer: Any) -> None:
    """States of those that were ever intended, also among more keys than fit one statement."""
    await vendor.do(writer)
    keys = [*(f"k{n}" for n in range(1200)), vendor.key]

    async with ledger.read() as tx:
        assert await effects.states(tx, keys) == {vendor.key: "done"}
        assert await effects.states(tx, []) == {}


async def test_open_rows_on_deals(desk: Any) -> None:
    """Deal, kind and state of what has not ended; rows without a deal and ended ones are left out."""
    await desk.put(lane="none")
    done, held = [await desk.put(lane=f"deal:{n}", deal_id=str(n)) for n in (1, 2)]
    await desk.take()
    await desk.settle(done, "done")
    await desk.settle(held, "held", due_at=desk.clock() + timedelta(hours=1))
    await desk.put(lane="deal:3", deal_id="3", kind="signature.check")

    async with desk.ledger.read() as tx:
        assert sorted(await inbox.open_on_deals(tx)) == [
            ("2", "contract.due", "held"),
            ("3", "signature.check", "due"),
        ]


async def test_the_last_stage_entry_of_each_deal(ledger: Ledger, clock: Any) -> None:
    """The newest by its moment, whatever the order they were learnt in."""
    early, late = clock(), clock() + timedelta(days=1)
    entries = [StageEntry("1", "b", late), StageEntry("1", "a", early), StageEntry("2", "a", early)]
    for entry in entries:
        async with ledger.write() as tx:
            await mirror.keep_stage_entries(tx, [entry])

    async with ledger.read() as tx:
        found = await mirror.last_entries(tx, ["1", "2", "3"])

    assert {deal_id: (e.stage_id, e.entered_at) for deal_id, e in found.items()} == {
        "1": ("b", late),
        "2": ("a", early),
    }
