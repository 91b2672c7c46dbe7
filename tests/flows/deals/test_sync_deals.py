"""The mirror against the stand-in: a stage entry causes its action once, and echoes cause nothing."""

from typing import Any

import pytest

from flows.contracts import send_contract
from flows.deals import sync_deals
from flows.deals.stage_entries import watch_from_now
from flows.gates import guard_stage
from flows.ledger import contracts, inbox, mirror
from flows.proposals import generate_proposal
from flows.rules.outcome import Outcome


class Mirror:
    """Sweeps and their results."""

    def __init__(self, world: Any, desk: Any, sales: Any) -> None:
        self.world, self.desk, self.sales, self.s = world, desk, sales, desk.s

    async def installed(self) -> None:
        """The worker's first start, a while ago."""
        await watch_from_now(self.s)
        self.world.advance(2)

    async def sweep(self, *, full: bool = False) -> Any:
        """What `dealflow sync` does; the search index has caught up."""
        self.world.advance(5)
        return await sync_deals.sweep(self.s, full=full)

    async def due(self) -> list[tuple[str, str | None]]:
        """The events in the inbox."""
        return [(e.kind, e.deal_id) for e in await self.desk.open_events() if e.source == "stage"]

    async def record(self, deal_id: str) -> Any:
        async with self.s.ledger.read() as tx:
            return await mirror.record(tx, "deals", deal_id)

    async def hint(self, deal_id: str, **content: Any) -> Any:
        """A webhook about the deal, handled."""
        return await self.desk.do(
            sync_deals,
            "deal.changed",
            deal_id,
            source="hubspot",
            lane=f"hint:{self.desk.count}",
            content=content,
        )


@pytest.fixture
async def mirrored(world: Any, desk: Any, sales: Any) -> Mirror:
    found = Mirror(world, desk, sales)
    await found.installed()
    return found


async def test_the_first_sweep_reads_everything(mirrored: Mirror, sales: Any) -> None:
    """Without a cursor all deals are read, with their contacts, companies and line items."""
    ids = [await sales.deal("development", proposal=False, **_own(n)) for n in range(3)]

    swept = await mirrored.sweep()

    assert (swept.seen, swept.changed, swept.entries, swept.gone) == (3, 3, 3, 0)
    for deal_id in ids:
        row = await mirrored.record(deal_id)
        assert row.properties["amount"] == "24000" and not row.archived
    async with mirrored.s.ledger.read() as tx:
        stages = await mirror.deals_by_stage(tx)
    portal = await mirrored.s.portal()
    assert sorted(line[0] for line in stages[portal.stage_ids["development"]]) == sorted(ids)


def _own(n: int) -> dict[str, Any]:
    """A buyer of its own."""
    return {
        "contact": {"email": f"p{n}@b{n}.example", "firstname": "P", "lastname": str(n)},
        "company": {"name": f"B{n}", "domain": f"b{n}.example"},
    }


async def test_later_sweeps_read_what_changed(mirrored: Mirror, sales: Any, world: Any) -> None:
    """By cursor: only the deals that changed since are read again."""
    ids = [await sales.deal("development", proposal=False, **_own(n)) for n in range(3)]
    await mirrored.sweep()
    world.advance(1200)  # past the overlap
    await mirrored.sweep()
    world.advance(1200)
    world.rep("deals", id=ids[1], properties={"amount": "30000"})

    swept = await mirrored.sweep()

    assert (swept.seen, swept.changed, swept.entries) == (1, 1, 0)
    assert (await mirrored.record(ids[1])).properties["amount"] == "30000"
    assert (await mirrored.sweep()).changed == 0


async def test_many_changed_deals_are_paged(mirrored: Mirror, world: Any) -> None:
    """More than a search page: keyset pages find each deal once."""
    portal = await mirrored.s.portal()
    await mirrored.sweep()
    world.advance(1)
    values = {"pipeline": portal.pipeline_id, "dealstage": portal.stage_ids["prospecting"]}
    world.seed(*({"object_type": "deals", "properties": {"dealname": f"D{n}", **values}} for n in range(450)))

    swept = await mirrored.sweep()

    assert swept.seen == swept.changed == 450


async def test_entering_a_stage_calls_for_action_once(mirrored: Mirror, sales: Any) -> None:
    """Into Presentation: one proposal.due. Sweeps, full sweeps and webhooks again: nothing more."""
    deal_id = await sales.deal("development", proposal=False)
    await mirrored.sweep()
    await sales.move(deal_id, "presentation")

    end = await mirrored.hint(deal_id)
    assert end.state == "done" and "proposal.due" in end.summary
    for full in (False, True):
        await mirrored.sweep(full=full)
    assert (await mirrored.hint(deal_id)).state == "ignored"

    assert await mirrored.due() == [("proposal.due", deal_id)]


async def test_a_sweep_finds_what_no_webhook_reported(mirrored: Mirror, sales: Any) -> None:
    """Every webhook lost: the sweep puts the same event into the inbox, only later."""
    deal_id = await sales.deal("discussion")
    await mirrored.sweep()
    await sales.move(deal_id, "closing")

    await mirrored.sweep()

    assert await mirrored.due() == [("contract.due", deal_id)]


async def test_edits_and_echoes_call_for_nothing(mirrored: Mirror, sales: Any, world: Any) -> None:
    """Writing the same stage again, other edits, our own notes: no event, and no change to the mirror."""
    deal_id = await sales.deal("presentation", proposal=False)
    await mirrored.hint(deal_id)
    waiting = await mirrored.due()
    portal = await mirrored.s.portal()

    world.rep("deals", id=deal_id, properties={"dealstage": portal.stage_ids["presentation"]})
    assert (await mirrored.hint(deal_id)).state == "ignored"
    world.rep(
        "notes",
        create=True,
        properties={"hs_note_body": "called", "hs_timestamp": "2026-11-22T09:00:00Z"},
        associations=[{"to_type": "deals", "to_id": deal_id}],
    )
    world.advance(10)
    swept = await mirrored.sweep(full=True)

    assert swept.changed == 0 and swept.entries == 0
    assert await mirrored.due() == waiting


async def test_leaving_and_coming_back_is_a_new_entry(mirrored: Mirror, sales: Any) -> None:
    """Back to Development and again into Presentation: that causes a proposal again."""
    deal_id = await sales.deal("development", proposal=False)
    await mirrored.sweep()
    for _ in range(2):
        await sales.move(deal_id, "presentation")
        await mirrored.hint(deal_id)
        await sales.move(deal_id, "development")
        await mirrored.hint(deal_id)

    assert await mirrored.due() == [("proposal.due", deal_id)] * 2


async def test_only_the_stage_it_stands_in_counts(mirrored: Mirror, sales: Any) -> None:
    """Moved through Presentation into Closing before a sync: its gate is judged, then the contract; no proposal."""
    deal_id = await sales.deal("development", proposal=False)
    await mirrored.sweep()
    await sales.move(deal_id, "presentation")
    await sales.move(deal_id, "closing")

    await mirrored.sweep()

    assert await mirrored.due() == [("stage.check", deal_id), ("contract.due", deal_id)]


async def test_deals_from_before_the_installation_get_nothing(world: Any, desk: Any, sales: Any) -> None:
    """A deal that stood in Closing when dealflow was installed is mirrored, and nobody is sent a contract."""
    deal_id = await sales.deal("closing")
    world.advance(60)
    found = Mirror(world, desk, sales)
    await found.installed()

    for full in (False, True):
        await found.sweep(full=full)
    await found.hint(deal_id)

    assert await found.due() == [] and (await found.record(deal_id)) is not None


async def test_another_pipeline_is_mirrored_and_left_alone(mirrored: Mirror, world: Any) -> None:
    """Deals outside the process cause nothing, whatever their stage is called."""
    (deal_id,) = world.seed(
        {
            "object_type": "deals",
            "properties": {"dealname": "Renewal", "pipeline": "default", "dealstage": "contractsent"},
        }
    )

    await mirrored.sweep()

    assert await mirrored.due() == [] and (await mirrored.record(deal_id)) is not None


async def test_an_archived_deal_is_gone_from_the_mirror(mirrored: Mirror, sales: Any, world: Any) -> None:
    """The webhook of the deletion marks it as archived."""
    deal_id = await sales.deal("development", proposal=False)
    await mirrored.sweep()
    world.rep("deals", id=deal_id, archive=True)

    end = await mirrored.hint(deal_id)

    assert isinstance(end, Outcome) and (await mirrored.record(deal_id)).archived


async def test_a_full_sweep_notices_deals_that_are_gone(mirrored: Mirror, sales: Any, world: Any) -> None:
    """Archived without a webhook: the next full sweep finds that HubSpot does not list it any more."""
    kept, gone = [await sales.deal("development", proposal=False, **_own(n)) for n in range(2)]
    await mirrored.sweep()
    world.rep("deals", id=gone, archive=True)

    swept = await mirrored.sweep(full=True)

    assert swept.gone == 1
    assert (await mirrored.record(gone)).archived and not (await mirrored.record(kept)).archived


def _merge(world: Any, one: str, two: str) -> None:
    world.hub.post(
        "/crm/objects/2026-03/deals/merge",
        json={"primaryObjectId": one, "objectIdToMerge": two},
        headers={"Authorization": "Bearer t"},
    ).raise_for_status()


@pytest.mark.parametrize("new_record", [False, True])
@pytest.mark.parametrize("by", ["webhook", "old id", "full sweep"])
async def test_merged_deals_are_one(
    mirrored: Mirror, sales: Any, world: Any, new_record: bool, by: str
) -> None:
    """Two deals merged: the survivor is mirrored, the other (or both) marked as gone, however we notice it."""
    world.hub.put("/_sandbox/portal-rules", json={"merge_makes_new_record": new_record}).raise_for_status()
    one, two = [await sales.deal("development", proposal=False, **_own(n)) for n in range(2)]
    await mirrored.sweep()
    world.advance(1)
    _merge(world, one, two)
    survivor = next(d["id"] for d in world.records("deals") if not d["archived"])

    if by == "webhook":
        await mirrored.hint(survivor, also=[i for i in (one, two) if i != survivor])
    elif by == "old id":
        for old in (one, two):
            await mirrored.hint(old)
    else:
        await mirrored.sweep(full=True)

    for deal_id in {one, two, survivor}:
        assert (await mirrored.record(deal_id)).archived == (deal_id != survivor), deal_id


async def test_a_new_label_wakes_what_was_held(mirrored: Mirror, sales: Any, world: Any) -> None:
    """Held because of a missing signer; the rep labels one; the association webhook makes the event due at once."""
    deal_id = await sales.deal("closing", labels=())
    await mirrored.hint(deal_id)
    (check,) = await mirrored.desk.open_events("stage.check")
    assert (await mirrored.desk.run(guard_stage, check.id)).state == "done"
    (held,) = await mirrored.desk.open_events("contract.due")
    assert (await mirrored.desk.run(send_contract, held.id)).state == "held"
    assert (await mirrored.desk.event(held.id)).due_at > world.now()

    link = {"to_type": "contacts", "to_id": sales.contact_of(deal_id), "label": "Signer"}
    world.rep("deals", id=deal_id, associations=[link])
    await mirrored.hint(deal_id)

    assert (await mirrored.desk.event(held.id)).due_at <= world.now()
    (event,) = await mirrored.desk.claim()
    assert event.id == held.id


@pytest.mark.parametrize("what", ["contact", "line item", "company"])
async def test_a_fixed_neighbour_releases_held_events(
    mirrored: Mirror, sales: Any, world: Any, what: str
) -> None:
    """The deal itself is untouched but its contact, company or line item was fixed: checked again at once."""
    deal_id = await sales.deal(
        "presentation",
        proposal=False,
        contact={"email": "ada@buyer.example"},
        company={"name": "B"},
        items=({"name": "Seat", "quantity": "1"},),
    )
    await mirrored.hint(deal_id)
    (held,) = await mirrored.desk.open_events("proposal.due")
    assert (await mirrored.desk.run(generate_proposal, held.id)).state == "held"

    links = world.record("deals", deal_id)["associations"]
    kind, values = {
        "contact": ("contacts", {"firstname": "Ada"}),
        "line item": ("line_items", {"price": "5"}),
        "company": ("companies", {"city": "London"}),
    }[what]
    world.rep(kind, id=links[kind][0]["id"], properties=values)
    await mirrored.hint(deal_id)

    assert (await mirrored.desk.event(held.id)).due_at <= world.now()


async def test_a_broken_sweep_moves_no_cursor(mirrored: Mirror, sales: Any, world: Any) -> None:
    """HubSpot fails in the middle: nothing is skipped, the next sweep finds what this one did not store."""
    deal_id = await sales.deal("development", proposal=False)
    await mirrored.sweep()
    async with mirrored.s.ledger.read() as tx:
        before = await mirror.cursor(tx, "deals")
    await sales.move(deal_id, "presentation")
    world.fault("hub", "status", "/deals/batch/read", status=502, times=4)

    with pytest.raises(Exception, match="502"):
        await mirrored.sweep()
    async with mirrored.s.ledger.read() as tx:
        assert await mirror.cursor(tx, "deals") == before

    await mirrored.sweep()
    assert await mirrored.due() == [("proposal.due", deal_id)]


async def test_a_row_that_cannot_be_read_is_not_taken_for_gone(
    mirrored: Mirror, sales: Any, world: Any
) -> None:
    """A 207 with an error for one id says nothing about that deal: it is not archived, the event comes back."""
    deal_id = await sales.deal("development", proposal=False)
    await mirrored.sweep()
    body = {
        "status": "COMPLETE",
        "results": [],
        "numErrors": 1,
        "errors": [{"status": "error", "category": "INTERNAL_ERROR", "context": {"ids": [deal_id]}}],
    }
    world.fault("hub", "status", "/deals/batch/read", status=207, body=body)

    with pytest.raises(Exception, match="read_batch"):
        await mirrored.hint(deal_id)

    assert not (await mirrored.record(deal_id)).archived


async def test_everything_at_once_reads_in_bulk(mirrored: Mirror, sales: Any, world: Any) -> None:
    """Forty webhooks: one bulk read of seven calls, not seven each."""
    ids = [await sales.deal("development", proposal=False, **_own(n)) for n in range(40)]
    await mirrored.s.portal()
    events = [await mirrored.desk.record("deal.changed", i, lane=f"hint:{i}", source="hubspot") for i in ids]
    world.forget_calls()

    ended = await mirrored.desk.work(sync_deals, await mirrored.desk.claim(events))

    assert {e.state for e in ended.values()} == {"ignored"}
    assert len(world.calls("hub", "/")) <= 7


async def test_from_entry_to_sent_contract(mirrored: Mirror, sales: Any, world: Any) -> None:
    """A deal moves into Closing; the sweep's own event sends its contract, once."""
    deal_id = await sales.deal("discussion")
    await mirrored.sweep()
    await sales.move(deal_id, "closing")
    await mirrored.sweep()

    (event,) = await mirrored.desk.claim(kinds=["contract.due"])
    ended = await mirrored.desk.work(send_contract, [event])
    await mirrored.sweep()

    assert ended[event.id].state == "done" and len(world.requests(deal_id)) == 1
    async with mirrored.s.ledger.read() as tx:
        assert (await contracts.latest(tx, deal_id)).state == "open"
        assert (await inbox.tally(tx)).get("due", 0) == 0
