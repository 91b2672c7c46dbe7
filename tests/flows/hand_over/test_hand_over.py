"""Won deals on the stand-in: their account managers get each thing once, whatever fails."""

import json
import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from connectors.http.errors import ConnectorError
from connectors.hubspot.portal import NewStage
from flows.deals import sync_deals
from flows.deals.stage_entries import watch_from_now
from flows.gates import guard_stage
from flows.hand_over import hand_over
from flows.ledger import contracts, documents, inbox, stage_checks
from flows.processes import HANDOVER_DUE, flow_for
from flows.rules.outcome import Outcome
from flows.rules.process.hand_over_plan import FollowOn, HandOver, HandOverTask
from flows.services import SetupError
from flows.trials.replay import dry_run, find

TITLE = "Hand-over to account management"
OWNER, COLLEAGUE = "71530011", "71530012"
SEATS = {
    "name": "Contract desk, per seat",
    "quantity": "12",
    "price": "95",
    "recurringbillingfrequency": "monthly",
    "hs_recurring_billing_period": "P12M",
}
WORKSHOP = {"name": "Onboarding workshop", "quantity": "2", "price": "1800"}


class Desk:
    """The worker, and its results as account managers see them."""

    def __init__(self, world: Any, desk: Any, sales: Any) -> None:
        self.world, self.desk, self.sales, self.s = world, desk, sales, desk.s

    def plan(self, **more: Any) -> None:
        """Change the hand-over of the process file."""
        plan = self.s.process.hand_over.model_copy(update=more)
        self.s.process = self.s.process.model_copy(update={"hand_over": plan})

    async def installed(self) -> None:
        """The worker's first start, a while ago."""
        await watch_from_now(self.s)
        self.world.advance(2)

    async def sync(self) -> None:
        """Run the schedule and handle all its events, in order."""
        self.world.advance(5)
        await sync_deals.sweep(self.s)
        while claimed := await self.desk.claim():
            for event in claimed:
                done = await self.desk.work(flow_for(event.kind).load(), [event])
                assert isinstance(done[event.id], Outcome), done

    async def moved(self, deal_id: str, stage: str) -> None:
        """A rep moves the deal, and within one sync all is done."""
        await self.sales.move(deal_id, stage)
        await self.sync()

    async def events(self) -> list[Any]:
        """All hand-overs in the inbox, ended ones too, oldest first."""
        async with self.s.ledger.read() as tx:
            rows = await inbox.listing(tx, limit=1000)
        return sorted((e for e in rows if e.kind == HANDOVER_DUE), key=lambda e: e.id)

    async def now(self, deal_id: str) -> Any:
        """An operator requests it."""
        content = {"by": "operator"}
        return await self.desk.do(hand_over, HANDOVER_DUE, deal_id, source="operator", content=content)

    def debriefs(self, deal_id: str) -> list[dict[str, str]]:
        """The debriefs on a deal, as properties of the notes."""
        notes = [n["properties"] for n in self.sales.notes_of(deal_id)]
        return [n for n in notes if n["hs_note_body"].startswith(f"<p>{TITLE}</p>")]

    def text(self, deal_id: str) -> str:
        """The one debrief as text."""
        (note,) = self.debriefs(deal_id)
        return re.sub(r"</p><p>", "\n", note["hs_note_body"])

    def tasks(self, deal_id: str) -> list[dict[str, str]]:
        """The tasks on a deal that stand in the process file, in the order they were made."""
        linked = self.world.record("deals", deal_id)["associations"].get("tasks", [])
        ids = {link["id"] for link in linked}
        found = [t["properties"] for t in self.world.records("tasks") if t["id"] in ids]
        ours = {task.task for task in self.s.process.hand_over.tasks}
        return [t for t in found if t["hs_task_subject"] in ours]

    def won_at(self, deal_id: str) -> datetime:
        """When the deal entered its stage."""
        newest = self.world.record("deals", deal_id)["history"]["dealstage"][-1]
        return datetime.fromisoformat(newest["timestamp"])

    def follow_ons(self) -> list[dict[str, Any]]:
        """The follow-on deals."""
        deals = self.world.records("deals")
        return [d for d in deals if d["properties"].get("dealflow_lead_key", "").startswith("followon:")]


@pytest.fixture
async def account(world: Any, desk: Any, sales: Any) -> Desk:
    found = Desk(world, desk, sales)
    await found.installed()
    return found


async def test_a_won_deal_is_handed_over_once(account: Desk) -> None:
    """One debrief with need, line items, contacts, history and proofs; each task with its person and day; not again."""
    deal_id = await account.sales.deal("discussion", items=(SEATS, WORKSHOP))
    await account.sync()
    account.world.advance(3 * 86_400)

    await account.moved(deal_id, "won")

    text = account.text(deal_id)
    for said in (
        "Account manager: Mara Lindt (the deal&#x27;s owner)",
        "- Every contract signed and filed within a day.",
        "- 12 × Contract desk, per seat: €1,140.00 monthly, for 12 months",
        "- 2 × Onboarding workshop: €3,600.00",
        "- Total: €17,280.00",
        "- Ada Byron, Head: decision maker, signer",
        "Account management (Won)\n- 3 days in total",
        f"- Qualification: The buyer has told us what they need (deal {deal_id})",
        f"(contact {account.sales.contact_of(deal_id)})",
        "- Closing: Every signer has signed the contract (not proven)",
    ):
        assert said in text, (said, text)
    tasks = account.tasks(deal_id)
    assert [t["hs_task_subject"] for t in tasks] == [t.task for t in account.s.process.hand_over.tasks]
    won_at = account.won_at(deal_id)
    assert {t["hubspot_owner_id"] for t in tasks} == {OWNER}
    assert [t["hs_timestamp"][:10] for t in tasks] == [
        f"{won_at + timedelta(days=n):%Y-%m-%d}" for n in (2, 3, 60)
    ]

    await account.sync()
    await sync_deals.sweep(account.s, full=True)
    await account.sync()
    assert len(account.debriefs(deal_id)) == 1 and len(account.tasks(deal_id)) == 3
    assert [e.state for e in await account.events()] == ["done"]


async def test_only_ids_leave_hubspot(account: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """Names, need and amounts stand in HubSpot; the outcome, which artifacts and logs show, has ids alone."""
    caplog.set_level("DEBUG", logger="flows")
    deal_id = await account.sales.deal("won")

    end = await account.now(deal_id)

    shown = json.dumps(end.as_json()) + caplog.text
    assert end.state == "done" and f"contact {account.sales.contact_of(deal_id)}" in shown
    assert not re.search(r"ada|byron|mara|lindt|engines|24000|filed within|1800", shown, re.IGNORECASE)


async def test_won_again_is_not_handed_over_again(account: Desk) -> None:
    """Won, re-opened and won again: the second entry is noticed, but nothing is written, whatever the file has now."""
    deal_id = await account.sales.deal("discussion")
    await account.sync()
    await account.moved(deal_id, "won")
    account.plan(tasks=(HandOverTask(task="Send a box of chocolates"),))

    await account.moved(deal_id, "discussion")
    await account.moved(deal_id, "won")

    assert [e.state for e in await account.events()] == ["done", "ignored"]
    assert (await account.now(deal_id)).summary == "already handed over"
    assert len(account.debriefs(deal_id)) == 1 and account.tasks(deal_id) == []


async def test_only_a_deal_that_stands_in_won(account: Desk) -> None:
    """A deal that was taken back meanwhile, an open one, and one that is gone are left alone."""
    account.s.process = account.s.process.model_copy(
        update={"stages": tuple(x.model_copy(update={"mode": "revert"}) for x in account.s.process.stages)}
    )
    deal_id = await account.sales.deal("qualification", items=(), proposal=False)
    await account.sync()
    await account.moved(deal_id, "won")  # without proof: the guard takes it back before it is handed over

    assert await account.sales.stage_of(deal_id) == "qualification"
    assert [e.state for e in await account.events()] == ["ignored"]
    assert (await account.now(deal_id)).state == "ignored"
    account.world.rep("deals", id=deal_id, archive=True)
    assert (await account.now(deal_id)).state == "ignored"
    assert account.debriefs(deal_id) == [] and account.tasks(deal_id) == []


async def test_who_manages_the_account(account: Desk) -> None:
    """The colleague whom the file names gets the tasks but for the seller's; one who has left gets none."""
    account.plan(account_manager="Jonas.Petrov@example.test")
    first = await account.sales.deal("won")
    await account.now(first)
    assert [t["hubspot_owner_id"] for t in account.tasks(first)] == [OWNER, COLLEAGUE, COLLEAGUE]
    assert "Account manager: Jonas Petrov (as the process file says)" in account.text(first)

    account.plan(account_manager="former.rep@example.test")
    second = await account.sales.deal("won", contact=None)
    end = await account.now(second)
    assert {t["hubspot_owner_id"] for t in account.tasks(second)} == {OWNER}
    assert "no active user of HubSpot" in account.text(second) and "no active user" in end.summary

    account.plan(account_manager="same_owner")
    third = await account.sales.deal("won", contact=None, hubspot_owner_id="")
    await account.now(third)
    assert all(not t.get("hubspot_owner_id") for t in account.tasks(third))
    assert "nobody yet" in account.text(third)


@pytest.mark.parametrize("what", ["deals", "tasks", "notes"])
@pytest.mark.parametrize("kind", ["reset_after", "status_after", "truncated"])
async def test_a_lost_answer_doubles_nothing(account: Desk, what: str, kind: str) -> None:
    """HubSpot wrote it and its answer was lost: the next try finds it; one next deal, one of each task, one debrief."""
    account.plan(follow_on=FollowOn())
    deal_id = await account.sales.deal("won")
    event_id = await account.desk.record(HANDOVER_DUE, deal_id)
    account.world.fault("hub", kind, rf"/objects/[0-9-]+/{what}$", method="POST")

    first = await account.desk.run(hand_over, event_id)
    assert isinstance(first, ConnectorError) and first.applied == "maybe"
    end = await account.desk.run(hand_over, event_id)

    assert end.state == "done"
    assert (
        len(account.follow_ons()) == len(account.debriefs(deal_id)) == 1 and len(account.tasks(deal_id)) == 3
    )


async def test_a_next_deal_in_another_pipeline(account: Desk, portal_client: Any) -> None:
    """Same people, same company, the account manager's, under a key of its own; our syncs leave it alone."""
    portal_client.create_pipeline("Account growth", [NewStage("To be explored", "0.1", 0)])
    account.plan(
        follow_on=FollowOn(pipeline="Account growth", stage="To be explored", close_days=30),
        account_manager="jonas.petrov@example.test",
    )
    deal_id = await account.sales.deal("discussion")
    await account.sync()
    await account.moved(deal_id, "won")

    (made,) = account.follow_ons()
    first, values = account.world.record("deals", deal_id), made["properties"]
    assert values["dealflow_lead_key"] == f"followon:{deal_id}"
    assert values["dealname"] == "Analytical Engines Ltd - follow-on"
    assert (values["hubspot_owner_id"], values["dealflow_source"]) == (COLLEAGUE, "existing customer")
    assert values["closedate"][:10] == f"{account.won_at(deal_id) + timedelta(days=30):%Y-%m-%d}"
    for kind in ("contacts", "companies"):
        theirs = {link["id"] for link in made["associations"][kind]}
        assert theirs == {link["id"] for link in first["associations"][kind]}
    assert f"/record/0-3/{made['id']}" in account.text(deal_id)
    await account.sync()
    await account.moved(deal_id, "discussion")
    account.world.rep("deals", id=made["id"], archive=True)  # a person wants none: it stays away
    await account.moved(deal_id, "won")
    assert len(account.follow_ons()) == 1 and await account.desk.open_events() == []


async def test_a_next_deal_in_this_pipeline_is_a_deal_like_any_other(account: Desk) -> None:
    """It starts in the first stage, nobody is notified about it, and once it is won it is handed over, too."""
    account.plan(follow_on=FollowOn())
    deal_id = await account.sales.deal("discussion")
    await account.sync()
    await account.moved(deal_id, "won")
    await account.sync()
    (made,) = account.follow_ons()
    assert await account.sales.stage_of(made["id"]) == "prospecting"
    assert not made["associations"].get("tasks") and not made["associations"].get("notes")

    await account.moved(made["id"], "won")

    assert len(account.debriefs(made["id"])) == 1
    assert {d["properties"]["dealflow_lead_key"] for d in account.follow_ons()} == {
        f"followon:{deal_id}",
        f"followon:{made['id']}",
    }


@pytest.mark.parametrize(
    ("pipeline", "stage", "says"),
    [
        ("Account growth", "To be explored", "no deal pipeline 'Account growth'"),
        ("default", "Elsewhere", "no stage 'Elsewhere'"),
        ("", "Prospecting", "leave pipeline and stage out"),
    ],
)
async def test_a_next_deal_that_has_no_place(account: Desk, pipeline: str, stage: str, says: str) -> None:
    """HubSpot lacks what the file names, or it is this very pipeline: nothing is written until that is fixed."""
    pipeline = pipeline or (await account.s.portal()).pipeline_id
    account.plan(follow_on=FollowOn(pipeline=pipeline, stage=stage))
    deal_id = await account.sales.deal("won")
    event_id = await account.desk.record(HANDOVER_DUE, deal_id)

    end = await account.desk.run(hand_over, event_id)

    assert isinstance(end, SetupError) and says in str(end)
    assert account.debriefs(deal_id) == [] and account.tasks(deal_id) == []
    account.plan(follow_on=None)
    assert (await account.desk.run(hand_over, event_id)).state == "done"
    assert len(account.debriefs(deal_id)) == 1


async def test_a_taken_key_is_the_deal(account: Desk) -> None:
    """A deal under the key is there already (from before a restored backup of the ledger): it is taken as it is."""
    account.plan(follow_on=FollowOn())
    deal_id = await account.sales.deal("won")
    there = await account.sales.deal("discussion", contact=None, dealflow_lead_key=f"followon:{deal_id}")

    end = await account.now(deal_id)

    assert end.state == "done" and [d["id"] for d in account.follow_ons()] == [there]
    assert await account.sales.stage_of(there) == "discussion"


async def test_facts_of_the_ledger_are_in_the_debrief(account: Desk) -> None:
    """Proofs as they were found when the deal passed, overrides with person and reason, refusals, and the documents."""
    deal_id = await account.sales.deal("presentation", proposal=False)
    await account.sync()
    await account.sales.proposal_on_file(deal_id)
    now = account.s.clock()
    async with account.s.ledger.write() as tx:
        await stage_checks.grant(
            tx,
            deal_id=deal_id,
            stage="won",
            person="Carla Conrad",
            reason="Signed on paper",
            now=now,
            expires_at=now + timedelta(days=9),
        )
        paper = await documents.newest(tx, deal_id, "proposal")
        assert paper is not None
        begun = await contracts.begin(
            tx, deal_id=deal_id, token="t" * 32, paper_id=paper.id, signers=[], test_mode=True, now=now
        )
        await contracts.end(tx, begun.id, state="declined", now=now, reason="Too dear")
    contact_id = account.sales.contact_of(deal_id)

    await account.moved(deal_id, "won")

    text = account.text(deal_id)
    for said in (
        "into Account management (Won) by Carla Conrad: Signed on paper",
        "- Contract revision 1 was declined: Too dear",
        "- Proposal (file 1)",
        f"- Prospecting: We know a person at the buyer by name and how to reach them (contact {contact_id})",
        "- Closing: Every signer has signed the contract (not proven)",
    ):
        assert said in text, (said, text)
    (note,) = account.debriefs(deal_id)
    assert note["hs_attachment_ids"] == "1"


async def test_earlier_proofs_stay_in_the_debrief(account: Desk) -> None:
    """The need was on the deal when it passed; somebody cleared it before the hand-over: the record is named still."""
    deal_id = await account.sales.deal("discussion")
    await account.sync()
    await account.sales.move(deal_id, "won")
    account.world.advance(5)
    await sync_deals.sweep(account.s)
    claimed = await account.desk.claim()
    await account.desk.work(guard_stage, [e for e in claimed if e.kind == "stage.check"])
    account.world.rep("deals", id=deal_id, properties={"dealflow_need": ""})
    (event,) = await account.events()
    await account.desk.run(hand_over, event.id)
    assert f"The buyer has told us what they need (deal {deal_id})" in account.text(deal_id)


async def test_what_cannot_be_priced_or_is_endless(account: Desk) -> None:
    """A position without a price and a need of a hundred pages: named, shortened, and written anyway."""
    deal_id = await account.sales.deal(
        "won", items=({"name": "By arrangement", "quantity": "1"},), dealflow_need="'quoted' & " * 5_000
    )
    end = await account.now(deal_id)
    assert end.state == "done"
    (note,) = account.debriefs(deal_id)
    assert "<p>- By arrangement</p>" in note["hs_note_body"] and len(note["hs_note_body"]) < 65_536


async def test_what_others_have_is_suggested(account: Desk) -> None:
    """Others who bought the same have something more: it is in the debrief, but for what this buyer has already."""
    for number, more in enumerate(("Archive", "Archive", "Archive", "Hotline")):
        buyer = {"name": f"Firm {number}", "domain": f"firm{number}.example"}
        items = (WORKSHOP, {"name": more, "quantity": "1", "price": "10"})
        await account.sales.deal("won", name=f"Deal {number}", company=buyer, contact=None, items=items)
    deal_id = await account.sales.deal("discussion")
    await account.sync()
    await account.moved(deal_id, "won")
    text = account.text(deal_id)
    assert "- Archive: 3 of 4 similar customers have it, this one does not" in text
    assert "Hotline" not in text


async def test_a_dry_replay_writes_nothing(account: Desk) -> None:
    """`dealflow inbox replay` of a hand-over that is not done yet says what it would write."""
    account.plan(follow_on=FollowOn())
    deal_id = await account.sales.deal("won")
    event_id = await account.desk.record(HANDOVER_DUE, deal_id)
    (found,) = await find(account.s.ledger, [event_id], portal_id="")
    report = await dry_run(account.s, found)
    assert [p.kind for p in report.planned] == [
        "open_deal",
        "write_task",
        "write_task",
        "write_task",
        "write_note",
    ]
    assert account.debriefs(deal_id) == [] and account.follow_ons() == []


async def test_nothing_said_is_a_debrief_alone(account: Desk) -> None:
    """A file with `on_enter: [hand_over]` and no more: the debrief, and no task."""
    account.s.process = account.s.process.model_copy(update={"hand_over": HandOver()})
    deal_id = await account.sales.deal("won")
    await account.now(deal_id)
    assert len(account.debriefs(deal_id)) == 1
    assert not account.world.record("deals", deal_id)["associations"].get("tasks")
