"""Stalled deals, against the stand-ins on virtual time: from the sweep to task, draft, reminder and flag."""

from typing import Any

import pytest

from connectors.http.errors import TransientError
from flows.deals import sync_deals
from flows.deals.stage_entries import watch_from_now
from flows.follow_up import follow_up
from flows.follow_up import sweep as follow_up_sweep
from flows.gates import guard_stage
from flows.ledger import follow_ups
from flows.ledger.effects import listing
from flows.processes import FOLLOW_UP_DUE
from flows.rules.outcome import Outcome
from flows.trials.replay import dry_run, find

DAY_S = 86_400.0
TASKS, EMAILS = r"/objects/[^/]+/tasks$", r"/objects/[^/]+/emails$"


@pytest.fixture
async def watched(world: Any, s: Any) -> None:
    """The worker has been started before any deal came in."""
    await watch_from_now(s)
    world.advance(60)


async def day(desk: Any, days: float = 1) -> Any:
    """Let time pass, sync the mirror, run the daily follow-up and handle its events."""
    desk.s_world.advance(days * DAY_S)
    return await now(desk)


async def now(desk: Any) -> Any:
    """The daily run and its events. `ended`: their outcomes."""
    await sync_deals.sweep(desk.s)
    found = await follow_up_sweep.sweep(desk.s)
    found.ended = list((await desk.work(follow_up, await desk.claim(kinds=[FOLLOW_UP_DUE]))).values())
    return found


@pytest.fixture(autouse=True)
def _with_world(desk: Any, world: Any, watched: None) -> None:
    desk.s_world = world


def on_deal(world: Any, deal_id: str, kind: str) -> list[dict[str, Any]]:
    """The records of a type on a deal."""
    links = world.record("deals", deal_id)["associations"].get(kind, [])
    return [r["properties"] for r in world.records(kind) if r["id"] in {link["id"] for link in links}]


def flag_of(world: Any, deal_id: str) -> str:
    found: str = world.record("deals", deal_id)["properties"].get("dealflow_flag", "")
    return found


def logged(world: Any, deal_id: str, kind: str = "calls", **values: str) -> str:
    """Log an activity on the deal now."""
    at = world.now().isoformat(timespec="milliseconds")
    links = [{"to_type": "deals", "to_id": deal_id}]
    found: str = world.rep(kind, create=True, properties={"hs_timestamp": at, **values}, associations=links)[
        "id"
    ]
    return found


async def rows(desk: Any, deal_id: str) -> list[follow_ups.FollowUpRow]:
    async with desk.s.ledger.read() as tx:
        return (await follow_ups.of_deals(tx, [deal_id])).get(deal_id, [])


async def stuck_deal(sales: Any, **more: Any) -> str:
    """In Qualification without what the buyer needs: followed up after five days, with a task and an e-mail."""
    deal_id: str = await sales.deal("qualification", dealflow_need="", **more)
    return deal_id


async def test_task_and_draft_after_five_days(world: Any, desk: Any, sales: Any) -> None:
    """Not on the fourth day; on the fifth a task for the owner that says what is unmet, and a draft to the contact."""
    deal_id = await stuck_deal(sales)
    assert (await day(desk, 4)).events == 0 and world.records("tasks") == []

    found = await day(desk)

    (end,) = found.ended
    assert isinstance(end, Outcome) and (end.state, end.deal_id) == ("done", deal_id)
    (task,) = on_deal(world, deal_id, "tasks")
    assert task["hs_task_subject"] == "Ask the buyer for what is still missing"
    assert task["hubspot_owner_id"] == "71530011" and task["hs_task_status"] == "NOT_STARTED"
    assert "The buyer has told us what they need" in task["hs_task_body"]
    (email,) = on_deal(world, deal_id, "emails")
    assert email["hs_email_subject"] == "DRAFT, not sent: Is it worth solving at Analytical Engines Ltd?"
    assert "hs_email_status" not in email and email["hs_email_text"].startswith(
        "Draft by dealflow, sent to nobody"
    )
    assert "Hello Ada Byron," in email["hs_email_text"] and '"ada@analytical' in email["hs_email_headers"]
    (record,) = world.records("emails")
    assert [link["id"] for link in record["associations"]["contacts"]] == [sales.contact_of(deal_id)]
    (row,) = await rows(desk, deal_id)
    assert (row.number, row.unmet, row.flagged, row.ended_at is not None) == (1, ["need_stated"], False, True)
    assert (row.task_id, row.email_id) == (world.records("tasks")[0]["id"], record["id"])
    shown = found.report(desk.s) + end.summary + str(end.steps) + str(row.done)
    for personal in ("Ada", "Byron", "Analytical", "@", "24000"):
        assert personal not in shown + task["hs_task_body"], personal


async def test_never_twice_for_one_cause(world: Any, desk: Any, sales: Any) -> None:
    """Checked repeatedly on the same day and on the next four: nothing more; then the second follow-up."""
    deal_id = await stuck_deal(sales)
    await day(desk, 5)
    for _ in range(3):
        assert (await now(desk)).events == 0
    for _ in range(4):
        await day(desk)
    assert len(world.records("tasks")) == len(world.records("emails")) == 1

    await day(desk)

    assert [row.number for row in await rows(desk, deal_id)] == [1, 2]
    # The first task is still open, and the e-mail has been written: the same words again would help nobody.
    assert len(world.records("tasks")) == len(world.records("emails")) == 1


async def test_a_finished_task_makes_way_for_the_next(world: Any, desk: Any, sales: Any) -> None:
    """The owner completed the first task (which is no activity of the buyer's): the next follow-up makes another."""
    deal_id = await stuck_deal(sales)
    await day(desk, 5)
    world.rep("tasks", id=world.records("tasks")[0]["id"], properties={"hs_task_status": "COMPLETED"})
    await day(desk, 5)
    assert len(on_deal(world, deal_id, "tasks")) == 2
    world.rep("tasks", id=world.records("tasks")[1]["id"], archive=True)
    await day(desk, 5)
    assert len([t for t in world.records("tasks") if not t["archived"]]) == 2


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("calls", {"hs_call_title": "Talked"}),
        ("meetings", {"hs_meeting_title": "Met"}),
        ("emails", {"hs_email_direction": "INCOMING_EMAIL", "hs_email_subject": "Answer"}),
        ("notes", {"hs_note_body": "They will decide next week"}),
        ("tasks", {"hs_task_subject": "Called back", "hs_task_status": "COMPLETED"}),
    ],
)
async def test_recent_activity_is_a_veto(
    world: Any, desk: Any, sales: Any, kind: str, values: dict[str, str]
) -> None:
    """Whatever somebody did with the deal in the last two days, although the process needs no activity."""
    deal_id = await stuck_deal(sales)
    world.advance(4 * DAY_S)
    on, record_id = f"{world.now():%Y-%m-%d}", logged(world, deal_id, kind, **values)
    found = await day(desk)

    ((vetoed, decision),) = found.vetoed
    assert vetoed.file.id == deal_id and found.events == 0 and found.ended == []
    assert decision.reason == f"vetoed by activity on {on} ({kind.removesuffix('s')} {record_id})"
    assert decision.reason in found.report(desk.s)
    await day(desk, 2)
    assert [row.number for row in await rows(desk, deal_id)] == [1]


async def test_what_we_write_is_no_activity(world: Any, desk: Any, sales: Any) -> None:
    """Our own note, task and draft are all on the deal, and veto nothing: the next follow-up comes in time."""
    deal_id = await stuck_deal(sales)
    await day(desk, 5)
    world.rep("tasks", id=world.records("tasks")[0]["id"], properties={"hs_task_status": "COMPLETED"})
    body = "<p>New</p><p><small>dealflow 0123456789abcdef0123</small></p>"
    world.advance(4.5 * DAY_S)
    logged(world, deal_id, "notes", hs_note_body=body)
    draft = world.records("emails")[0]["id"]
    world.rep("emails", id=draft, properties={"hs_timestamp": world.now().isoformat(timespec="seconds")})

    found = await day(desk, 0.5)

    assert found.vetoed == [] and [row.number for row in await rows(desk, deal_id)] == [1, 2]


async def test_an_event_that_was_overtaken_does_nothing(world: Any, desk: Any, sales: Any) -> None:
    """Asked for in the morning, handled after a call, a move, or once it was met: judged by the state at that time."""
    observed = tuple(x.model_copy(update={"mode": "observe"}) for x in desk.s.process.stages)
    desk.s.process = desk.s.process.model_copy(update={"stages": observed})
    for happens in ("call", "moved", "met"):
        deal_id = await stuck_deal(sales, name=happens, contact=None, company=None)
        world.advance(5 * DAY_S)
        await sync_deals.sweep(desk.s)
        assert (await follow_up_sweep.sweep(desk.s)).events == 1
        if happens == "call":
            logged(world, deal_id)
        elif happens == "moved":
            await sales.move(deal_id, "development")
        else:
            world.rep("deals", id=deal_id, properties={"dealflow_need": "Everything"})
        await desk.work(guard_stage, await desk.claim(kinds=["stage.check"]))
        (event,) = await desk.claim(kinds=[FOLLOW_UP_DUE])
        (end,) = (await desk.work(follow_up, [event])).values()
        assert isinstance(end, Outcome) and end.state == "ignored", (happens, end)
        world.rep("deals", id=deal_id, archive=True)
    assert world.records("tasks") == [] == world.records("emails")


async def test_vetoed_then_due_the_next_day_all_the_same(world: Any, desk: Any, sales: Any) -> None:
    """The event of the first day ended without a follow-up: that uses up neither its number nor the day after."""
    deal_id = await stuck_deal(sales)
    world.advance(5 * DAY_S)
    await sync_deals.sweep(desk.s)
    await follow_up_sweep.sweep(desk.s)
    note = logged(world, deal_id, "notes", hs_note_body="hello")
    (end,) = (await desk.work(follow_up, await desk.claim(kinds=[FOLLOW_UP_DUE]))).values()
    assert end.state == "ignored" and note in end.summary
    await day(desk, 3)
    assert [row.number for row in await rows(desk, deal_id)] == [1]


async def test_only_stays_from_the_first_start_on(world: Any, desk: Any, sales: Any) -> None:
    """A deal that stood there before is left alone, unless a person asks for it."""
    created = int((world.now().timestamp() - 30 * DAY_S) * 1000)
    portal = await desk.s.portal()
    values = {
        "dealname": "old",
        "pipeline": portal.pipeline_id,
        "dealstage": portal.stage_ids["qualification"],
        "hubspot_owner_id": "71530011",
    }
    (deal_id,) = world.seed({"object_type": "deals", "properties": values, "created_ms": created})

    assert (await day(desk, 7)).events == 0
    asked = await desk.do(follow_up, FOLLOW_UP_DUE, deal_id, source="operator", content={"by": "operator"})

    assert asked.state == "done" and len(on_deal(world, deal_id, "tasks")) == 1
    again = await desk.do(follow_up, FOLLOW_UP_DUE, deal_id, source="operator", content={"by": "operator"})
    assert (again.state, again.summary) == ("ignored", "followed up today already")


async def test_flagged_after_three_and_then_left_alone(world: Any, desk: Any, sales: Any) -> None:
    """Three follow-ups in a row without progress: the deal says so, is listed, and there are no more follow-ups."""
    deal_id = await stuck_deal(sales)
    for _ in range(2):
        await day(desk, 5)
    assert flag_of(world, deal_id) == ""

    found = await day(desk, 5)

    assert flag_of(world, deal_id) == "tire_kicker: need_stated"
    assert "### Deals to disqualify?" in found.report(desk.s)
    (end,) = found.ended
    assert end.summary.endswith("flagged: disqualify it?")
    async with desk.s.ledger.read() as tx:
        (listed,) = await follow_ups.flagged(tx)
    assert (listed.deal_id, listed.number) == (deal_id, 3)
    drafts = len(world.records("emails"))
    later = await day(desk, 40)
    assert later.events == 0 and len(world.records("emails")) == drafts
    assert deal_id in later.report(desk.s)


@pytest.mark.parametrize("why", ["progress", "stage left", "by hand", "deal gone"])
async def test_the_flag_is_taken_back(world: Any, desk: Any, sales: Any, why: str) -> None:
    """One more criterion met, the stage left, a person clearing it, the deal archived: within a day."""
    deal_id = await stuck_deal(sales, amount="")
    for _ in range(3):
        await day(desk, 5)
    assert flag_of(world, deal_id) == "tire_kicker: budget_named, need_stated"
    if why == "progress":
        world.rep("deals", id=deal_id, properties={"amount": "100"})
    elif why == "stage left":
        await sales.move(deal_id, "lost")
    elif why == "by hand":
        world.rep("deals", id=deal_id, properties={"dealflow_flag": ""})
    else:
        world.rep("deals", id=deal_id, archive=True)

    await day(desk)

    if why != "deal gone":
        assert flag_of(world, deal_id) == ""
    async with desk.s.ledger.read() as tx:
        assert await follow_ups.flagged(tx) == []
    last = (await rows(desk, deal_id))[-1]
    said = {
        "progress": "met since it was flagged: budget_named",
        "stage left": "the deal is in Lost, which has no follow-up plan",
        "by hand": "somebody removed the flag in HubSpot",
        "deal gone": "HubSpot no longer has this deal",
    }
    assert last.cleared_why == said[why]
    await day(desk, 5)
    numbers = [row.number for row in await rows(desk, deal_id)]
    assert numbers == ([1, 2, 3, 4] if why in ("progress", "by hand") else [1, 2, 3])
    assert flag_of(world, deal_id) == "" or why == "deal gone"


async def test_without_the_property_it_is_listed_all_the_same(world: Any, desk: Any, sales: Any) -> None:
    """HubSpot was not provisioned since the update: reported, and the event does not fail forever."""
    deal_id = await stuck_deal(sales)
    world.hub.delete("/crm/v3/properties/deals/dealflow_flag", headers={"Authorization": "Bearer x"})
    for _ in range(3):
        found = await day(desk, 5)
    (end,) = found.ended
    assert end.state == "done" and "dealflow provision --apply" in str(end.steps[-1])
    await day(desk)
    async with desk.s.ledger.read() as tx:
        assert [row.deal_id for row in await follow_ups.flagged(tx)] == [deal_id]


@pytest.mark.parametrize("path", [EMAILS, TASKS, r"/deals/\d+$"])
@pytest.mark.parametrize("kind", ["status_before", "status_after", "reset_after"])
async def test_in_doubt_it_is_done_once(world: Any, desk: Any, sales: Any, path: str, kind: str) -> None:
    """The answer to draft, task or flag is lost, before or after it took effect: the next try finishes it."""
    deal_id = await stuck_deal(sales)
    first = path == EMAILS  # it is written with the first follow-up, the flag set with the third
    for _ in range(0 if first else 2):
        await day(desk, 5)
    for task in world.records("tasks"):
        world.rep("tasks", id=task["id"], properties={"hs_task_status": "COMPLETED"})
    more = {"status": 502} if kind != "reset_after" else {}
    world.fault("hub", kind.replace("status_before", "status"), path, method="POST", **more)
    if path not in (EMAILS, TASKS):
        world.fault("hub", kind.replace("status_before", "status"), path, method="PATCH", **more)
    found = await day(desk, 5)
    world.clear_faults()
    if isinstance(found.ended[0], Exception):
        assert isinstance(found.ended[0], TransientError)
        logged(world, deal_id)  # what was begun is finished, veto or not
        (event,) = await desk.open_events(FOLLOW_UP_DUE)
        assert (await desk.run(follow_up, event.id)).state == "done"

    assert len(on_deal(world, deal_id, "tasks")) == (1 if first else 2)
    assert len(on_deal(world, deal_id, "emails")) == 1
    assert flag_of(world, deal_id) == ("" if first else "tire_kicker: need_stated")
    found_rows = await rows(desk, deal_id)
    assert [row.number for row in found_rows] == ([1] if first else [1, 2, 3])
    assert all(row.ended_at for row in found_rows)


async def test_killed_in_between(world: Any, desk: Any, sales: Any) -> None:
    """Stopped after the draft and before the task: whoever takes the event over makes the task, and no second draft;
    the daily run does not create a second event meanwhile.
    """
    deal_id = await stuck_deal(sales)
    world.fault("hub", "status", TASKS, method="POST", status=401)
    await day(desk, 5)
    (row,) = await rows(desk, deal_id)
    assert row.ended_at is None and row.email_id
    world.clear_faults()

    found = await day(desk, 2)

    assert found.events == 0 and [end.state for end in found.ended] == ["done"]
    assert len(world.records("emails")) == len(world.records("tasks")) == 1


async def test_a_replay_writes_nothing(world: Any, desk: Any, sales: Any) -> None:
    """A dry run of a follow-up that is done says so; of one that is due, what it would write."""
    deal_id = await stuck_deal(sales)
    world.advance(5 * DAY_S)
    await sync_deals.sweep(desk.s)
    await follow_up_sweep.sweep(desk.s)
    (event,) = await desk.open_events(FOLLOW_UP_DUE)
    (found,) = await find(desk.s.ledger, [event.id], portal_id="")

    report = await dry_run(desk.s, found)

    assert [(p.kind, p.how) for p in report.planned] == [
        ("draft_email", "would be done"),
        ("write_task", "would be done"),
    ]
    assert world.records("tasks") == [] == world.records("emails") and await rows(desk, deal_id) == []
    await desk.run(follow_up, event.id)
    (found,) = await find(desk.s.ledger, [event.id], portal_id="")
    report = await dry_run(desk.s, found)
    assert report.planned == [] and report.state == "ignored" and report.summary.startswith("not due before")


async def test_many_deals_are_read_in_bulk(world: Any, desk: Any, sales: Any) -> None:
    """A sweep over ten stuck deals makes as many calls as one over one deal."""
    for n in range(10):
        await stuck_deal(sales, name=str(n), contact=None, company=None, items=(), proposal=False)
    world.advance(5 * DAY_S)
    await sync_deals.sweep(desk.s)
    world.forget_calls()
    assert (await follow_up_sweep.sweep(desk.s)).events == 10
    assert len(world.calls("hub", "/batch/read")) <= 18


async def test_nobody_owns_it(world: Any, desk: Any, sales: Any) -> None:
    """Without an owner there is an unassigned task and no e-mail: the reason is in the task."""
    deal_id = await stuck_deal(sales, hubspot_owner_id="")
    await day(desk, 5)
    (task,) = on_deal(world, deal_id, "tasks")
    assert not task.get("hubspot_owner_id") and "give the deal an owner" in task["hs_task_body"]
    assert world.records("emails") == []


async def test_effects_are_keyed_by_their_cause(world: Any, desk: Any, sales: Any) -> None:
    """Deal, stage, moment of entry and number: stored data, so pinned here."""
    deal_id = await stuck_deal(sales)
    await day(desk, 5)
    (row,) = await rows(desk, deal_id)
    cause = f"follow_up:qualification:{int(row.entered_at.timestamp() * 1000)}:1"
    async with desk.s.ledger.read() as tx:
        keys = {e.key for e in await listing(tx)}
    assert keys == {f"email:{deal_id}:{cause}", f"task:{deal_id}:{cause}"}
