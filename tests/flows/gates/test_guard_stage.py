"""Simulated reps and automations move deals past their gates on the stand-in, and the guard reacts."""

import itertools
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from flows.deals import sync_deals
from flows.deals.stage_entries import watch_from_now
from flows.gates import guard_stage
from flows.gates.explain import explain_deal
from flows.gates.report import deal_markdown
from flows.ledger import inbox, mirror, stage_checks
from flows.processes import flow_for
from flows.rules.outcome import Outcome
from flows.rules.process.sales_process import Mode, SalesProcess

ALL = ("passed", "skipped", "unproven", "overridden", "fight")


class Guarded:
    """A portal with reps, and the guard's results."""

    def __init__(self, world: Any, desk: Any, sales: Any) -> None:
        self.world, self.desk, self.sales, self.s = world, desk, sales, desk.s

    def set_mode(self, mode: Mode, **more: Any) -> None:
        """All stages get this mode."""
        stages = tuple(x.model_copy(update={"mode": mode, **more}) for x in self.s.process.stages)
        self.s.process = self.s.process.model_copy(update={"stages": stages})
        assert isinstance(self.s.process, SalesProcess)

    async def installed(self) -> None:
        """The worker's first start, a while ago."""
        await watch_from_now(self.s)
        self.world.advance(2)

    async def deal(self, stage: str, **more: Any) -> str:
        """A deal that has been there for a while."""
        deal_id: str = await self.sales.deal(stage, **more)
        await self.sync()
        await self.guard()
        return deal_id

    async def sync(self) -> None:
        """What the schedule does; the search index has caught up."""
        self.world.advance(5)
        await sync_deals.sweep(self.s)

    async def guard(self) -> list[Outcome]:
        """Handle all that is due, in order, as a worker would; returns the guard's outcomes."""
        ends = []
        while claimed := await self.desk.claim():
            for event in claimed:
                done = await self.desk.work(flow_for(event.kind).load(), [event])
                end = done[event.id]
                assert isinstance(end, Outcome), end
                if event.kind == "stage.check":
                    ends.append(end)
        return ends

    async def events(self, kind: str) -> list[Any]:
        """All events of a kind, ended ones too."""
        async with self.s.ledger.read() as tx:
            return [e for e in await inbox.listing(tx, limit=1000) if e.kind == kind]

    async def moved(self, deal_id: str, stage: str) -> list[Outcome]:
        """A rep moves the deal; within one sync it is judged."""
        await self.sales.move(deal_id, stage)
        await self.sync()
        return await self.guard()

    async def automation_moves(self, deal_id: str, stage: str) -> list[Outcome]:
        """Another integration moves the deal, through the API."""
        portal = await self.s.portal()
        await self.s.hubspot.update("deals", deal_id, {"dealstage": portal.stage_ids[stage]})
        await self.sync()
        return await self.guard()

    async def override(self, deal_id: str, *, days: int) -> stage_checks.Override:
        """A named person lets the deal stand in Presentation."""
        now = self.s.clock()
        async with self.s.ledger.write() as tx:
            return await stage_checks.grant(
                tx,
                deal_id=deal_id,
                stage="presentation",
                person="Carla Conrad",
                reason="Agreed on the phone",
                now=now,
                expires_at=now + timedelta(days=days),
            )

    async def checks(self, deal_id: str) -> list[stage_checks.StageCheck]:
        """What was decided, oldest first."""
        async with self.s.ledger.read() as tx:
            return (await stage_checks.listing(tx, deal_id=deal_id))[::-1]

    def notes(self, deal_id: str) -> list[str]:
        """The bodies of the notes on the deal that are not about a proposal."""
        bodies = [n["properties"]["hs_note_body"] for n in self.sales.notes_of(deal_id)]
        return [body for body in bodies if "Proposal version" not in body]

    def tasks(self, deal_id: str) -> list[dict[str, str]]:
        """The tasks on the deal."""
        linked = self.world.record("deals", deal_id)["associations"].get("tasks", [])
        ids = {link["id"] for link in linked}
        return [t["properties"] for t in self.world.records("tasks") if t["id"] in ids]


@pytest.fixture
def where(settings: Any, stand_ins: Any) -> dict[str, str]:
    """The environment in which the command line uses this test's ledger and stand-ins."""
    return {
        "DEALFLOW_HOME": str(settings.home),
        "DEALFLOW_HUBSPOT_BASE_URL": stand_ins.hubspot_url,
        "DEALFLOW_HUBSPOT_TOKEN": "test-token",
        "DEALFLOW_DROPBOX_SIGN_API_KEY": "sandbox-api-key",
    }


@pytest.fixture
async def guarded(world: Any, desk: Any, sales: Any) -> Guarded:
    found = Guarded(world, desk, sales)
    await found.installed()
    return found


async def test_warn_notifies_the_owner_once(guarded: Guarded) -> None:
    """Mode warn: a rep skips to Presentation without positions; one task says what is missing, the deal stays."""
    deal_id = await guarded.deal("qualification", items=(), proposal=False)

    (end,) = await guarded.moved(deal_id, "presentation")

    assert end.state == "done" and "positions_agreed" in end.summary
    (task,) = guarded.tasks(deal_id)
    assert task["hs_task_subject"] == "In Presentation without proof"
    body = task["hs_task_body"]
    for said in (
        "Missing: The positions",
        "Skipped on the way: Development",
        "a person (CRM_UI",
        "a named person can approve it with a reason",
    ):
        assert said in body
    assert "dealflow guard" not in body  # the owner has no command line
    assert task["hubspot_owner_id"] and await guarded.sales.stage_of(deal_id) == "presentation"
    (check,) = [c for c in await guarded.checks(deal_id) if c.found != "passed"]
    assert (check.found, check.action, list(check.missing), list(check.skipped)) == (
        "unproven",
        "task",
        ["positions_agreed"],
        ["development"],
    )
    await guarded.sync()  # echoes of our own task, and a full sweep: nothing more is said
    await sync_deals.sweep(guarded.s, full=True)
    assert await guarded.guard() == [] and len(guarded.tasks(deal_id)) == 1


async def test_observe_counts_only(guarded: Guarded) -> None:
    """Mode observe: nothing is written to HubSpot, the entry is counted."""
    guarded.set_mode("observe")
    deal_id = await guarded.deal("qualification", items=(), proposal=False)

    (end,) = await guarded.moved(deal_id, "presentation")

    assert end.state == "done" and guarded.tasks(deal_id) == [] and guarded.notes(deal_id) == []
    assert [c.found for c in await guarded.checks(deal_id)][-1] == "unproven"


async def test_revert_moves_back_and_says_why(guarded: Guarded) -> None:
    """Mode revert: the deal goes back to where it came from, once, with a task; the action of the stage is not done."""
    guarded.set_mode("revert")
    deal_id = await guarded.deal("qualification", items=(), proposal=False)

    (end,) = await guarded.moved(deal_id, "closing")

    assert "moved back to Qualification" in end.summary
    assert await guarded.sales.stage_of(deal_id) == "qualification"
    (task,) = guarded.tasks(deal_id)
    assert task["hs_task_subject"].startswith("Moved back to Qualification")
    (due,) = await guarded.events("contract.due")
    assert due.state == "ignored" and not guarded.world.requests(deal_id)
    await guarded.sync()
    assert await guarded.guard() == []  # our own move back causes nothing
    assert await guarded.sales.stage_of(deal_id) == "qualification" and len(guarded.tasks(deal_id)) == 1


async def test_our_move_back_does_not_present_again(guarded: Guarded) -> None:
    """Moved back into Presentation: this is not a new entry by the rep, so no second proposal is made."""
    guarded.set_mode("revert")
    deal_id = await guarded.deal("development", labels=("Decision maker",), proposal=False)
    await guarded.moved(deal_id, "presentation")
    assert len(await guarded.events("proposal.due")) == 1

    await guarded.moved(deal_id, "closing")
    await guarded.sync()

    assert await guarded.sales.stage_of(deal_id) == "presentation"
    assert len(await guarded.events("proposal.due")) == 1 and await guarded.guard() == []


async def test_a_skip_with_all_proof_is_named_not_undone(guarded: Guarded) -> None:
    """All proof exists, but a stage was skipped: a note names it, and the deal stays, in revert mode, too."""
    guarded.set_mode("revert")
    deal_id = await guarded.deal("qualification", proposal=False)

    (end,) = await guarded.moved(deal_id, "presentation")

    assert end.summary == "skipped Development on the way to Presentation; all proof exists"
    assert guarded.tasks(deal_id) == [] and len(guarded.notes(deal_id)) == 1
    assert await guarded.sales.stage_of(deal_id) == "presentation"


async def test_step_by_step_nobody_is_notified(guarded: Guarded) -> None:
    """A deal that goes through its stages with proof leaves decisions with proofs, and nothing in HubSpot."""
    deal_id = await guarded.deal("prospecting", proposal=False)
    for stage in ("qualification", "development", "presentation"):
        assert await guarded.moved(deal_id, stage) == []
    checks = await guarded.checks(deal_id)
    assert [(c.stage, c.found) for c in checks if c.came_from] == [
        ("qualification", "passed"),
        ("development", "passed"),
        ("presentation", "passed"),
    ]
    assert set(checks[-1].proofs) >= {"buyer_reachable", "need_stated", "positions_agreed"}
    assert guarded.tasks(deal_id) == [] and guarded.notes(deal_id) == []


async def test_an_override_lets_the_deal_stand_and_is_counted(guarded: Guarded) -> None:
    """Not moved back, nobody notified, but counted, without the person's name; revoking ends it."""
    guarded.set_mode("revert")
    deal_id = await guarded.deal("qualification", items=(), proposal=False)
    override = await guarded.override(deal_id, days=14)

    (end,) = await guarded.moved(deal_id, "presentation")

    assert f"by override {override.id}" in end.summary and "Carla" not in json.dumps(end.as_json())
    assert await guarded.sales.stage_of(deal_id) == "presentation" and guarded.tasks(deal_id) == []
    async with guarded.s.ledger.write() as tx:
        ((listed, used),) = await stage_checks.overrides_of(tx)
        assert (listed, used) == (override, 1)
        assert await stage_checks.revoke(tx, override.id, person="Dora Dahl", now=guarded.s.clock())
    await guarded.moved(deal_id, "qualification")
    (end,) = await guarded.moved(deal_id, "presentation")
    assert "moved back" in end.summary and await guarded.sales.stage_of(deal_id) == "qualification"


async def test_overrides_by_the_command_line(
    guarded: Guarded, run_dealflow: Callable[..., Any], where: dict[str, str]
) -> None:
    """Granted by name and reason, it says what is missing and until when; listed; taken back once."""
    deal_id = await guarded.deal("qualification", items=(), proposal=False)
    who = ("--by", "Carla Conrad", "--why", "Framework agreement of last year covers the positions")
    granted = run_dealflow("guard", "override", deal_id, "--stage", "presentation", *who, **where)
    assert granted.returncode == 0, granted.stderr
    assert "without positions_agreed until" in granted.stdout
    (row,) = json.loads(run_dealflow("guard", "overrides", "--json", **where).stdout)
    assert (row["by"], row["used"], row["in force"], row["stage"]) == (
        "Carla Conrad",
        0,
        True,
        "presentation",
    )

    assert run_dealflow("guard", "revoke", "1", "--by", "Dora Dahl", **where).returncode == 0

    (row,) = json.loads(run_dealflow("guard", "overrides", "--deal", deal_id, "--json", **where).stdout)
    assert not row["in force"] and row["revoked"].endswith("by Dora Dahl")
    again = run_dealflow("guard", "revoke", "1", "--by", "Dora Dahl", **where)
    assert again.returncode == 1 and "guard overrides" in again.stderr


async def test_judgements_by_the_command_line(
    guarded: Guarded, run_dealflow: Callable[..., Any], where: dict[str, str]
) -> None:
    """What was missing, who moved it and what was done; entries that passed only when asked for."""
    deal_id = await guarded.deal("qualification", items=(), proposal=False)
    await guarded.moved(deal_id, "presentation")
    (row,) = json.loads(run_dealflow("guard", "list", "--deal", deal_id, "--json", **where).stdout)
    assert (row["found"], row["from"], row["missing"], row["skipped"]) == (
        "unproven",
        "qualification",
        ["positions_agreed"],
        ["development"],
    )
    assert row["done"].startswith("task ") and "CRM_UI" in row["moved by"]
    (row,) = json.loads(run_dealflow("guard", "list", "--found", "passed", "--json", **where).stdout)
    assert (row["stage"], row["done"]) == ("qualification", "counted")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("1", "--stage", "closing", "--by", "?", "--why", "because it is right"), 2, "--by"),
        (("1", "--stage", "closing", "--by", "Carla", "--why", "so"), 2, "--why"),
        (("1", "--stage", "closing", "--by", "Carla", "--why", "because", "--days", "400"), 2, "90"),
        (
            ("999999", "--stage", "closing", "--by", "Carla", "--why", "because it is right"),
            1,
            "no deal 999999",
        ),
        (
            ("1", "--stage", "nowhere", "--by", "Carla", "--why", "because it is right"),
            1,
            "there is no stage",
        ),
    ],
)
async def test_an_override_needs_a_person_a_reason_and_a_deal(
    guarded: Guarded,
    run_dealflow: Callable[..., Any],
    where: dict[str, str],
    arguments: tuple[str, ...],
    code: int,
    says: str,
) -> None:
    """Without them nothing is granted, and the text says what is missing."""
    refused = run_dealflow("guard", "override", *arguments, **where)
    assert refused.returncode == code and says in refused.stderr, refused.stderr
    async with guarded.s.ledger.read() as tx:
        assert await stage_checks.overrides_of(tx) == []


async def test_an_expired_override_is_none(guarded: Guarded) -> None:
    """After its last day the deal is judged as any other."""
    guarded.set_mode("revert")
    deal_id = await guarded.deal("qualification", items=(), proposal=False)
    await guarded.override(deal_id, days=1)
    guarded.world.advance(2 * 86_400)

    (end,) = await guarded.moved(deal_id, "presentation")

    assert "moved back" in end.summary


async def test_automations_that_fight_are_stopped(guarded: Guarded) -> None:
    """A workflow moves the deal on, we move it back, it moves it on again: reported once, then we do nothing."""
    guarded.set_mode("revert")
    deal_id = await guarded.deal("qualification", items=(), proposal=False)

    await guarded.automation_moves(deal_id, "closing")
    assert await guarded.sales.stage_of(deal_id) == "qualification"
    await guarded.sync()
    await guarded.guard()
    before = len(await guarded.events("contract.due"))
    (end,) = await guarded.automation_moves(deal_id, "closing")

    assert "stopped" in end.summary and await guarded.sales.stage_of(deal_id) == "closing"
    assert len(await guarded.events("contract.due")) == before  # the action of the stage is withheld
    fights = [t for t in guarded.tasks(deal_id) if t["hs_task_subject"].startswith("Automations fight")]
    assert len(fights) == 1 and "One of them is dealflow" in fights[0]["hs_task_body"]
    for stage in (
        "qualification",
        "closing",
        "qualification",
        "closing",
    ):  # it continues: nothing new is reported
        await guarded.automation_moves(deal_id, stage)
    fights = [t for t in guarded.tasks(deal_id) if t["hs_task_subject"].startswith("Automations fight")]
    assert len(fights) == 1 and await guarded.sales.stage_of(deal_id) == "closing"
    # A person's move ends it: the guard judges again.
    await guarded.moved(deal_id, "qualification")
    (end,) = await guarded.moved(deal_id, "closing")
    assert "moved back" in end.summary


async def test_a_forbidden_jump_is_moved_back(guarded: Guarded) -> None:
    """`enter_from`: a rep who closes straight after qualification is moved back however much proof there is."""
    guarded.set_mode("revert")
    process = guarded.s.process
    stages = tuple(
        x.model_copy(update={"enter_from": ("discussion",)}) if x.key == "closing" else x
        for x in process.stages
    )
    guarded.s.process = process.model_copy(update={"stages": stages})
    deal_id = await guarded.deal("qualification")

    (end,) = await guarded.moved(deal_id, "closing")

    assert "moved back" in end.summary
    (task,) = guarded.tasks(deal_id)
    assert "Closing can only be entered from Discussion" in task["hs_task_body"]


async def test_what_stood_there_before_is_left_alone(guarded: Guarded) -> None:
    """Deals that stood in a stage before the first start are not judged."""
    guarded.set_mode("revert")
    now = guarded.s.clock()
    deal_id = await guarded.sales.deal("closing", items=(), proposal=False)
    async with guarded.s.ledger.write() as tx:
        later = (now + timedelta(hours=1)).isoformat()
        await mirror.move_cursor(tx, mirror.WATCH_SINCE, later, now=now)
    await guarded.sync()
    assert await guarded.guard() == [] and await guarded.checks(deal_id) == []
    assert await guarded.sales.stage_of(deal_id) == "closing"


async def test_a_deal_that_moved_on_is_left_alone(guarded: Guarded) -> None:
    """Between the sync and the judgement the rep moved it back: nothing is written."""
    guarded.set_mode("revert")
    deal_id = await guarded.deal("qualification", items=(), proposal=False)
    await guarded.sales.move(deal_id, "closing")
    await guarded.sync()
    await guarded.sales.move(deal_id, "qualification")

    ends = await guarded.guard()

    assert [e.state for e in ends] == ["ignored"]
    assert guarded.tasks(deal_id) == [] and await guarded.sales.stage_of(deal_id) == "qualification"


@pytest.mark.parametrize("fault", ["reset_after", "status_after"])
async def test_a_move_back_in_doubt_happens_once(guarded: Guarded, fault: str) -> None:
    """HubSpot moved it and the answer was lost (or said 500): tried again, one move back and one task."""
    guarded.set_mode("revert")
    deal_id = await guarded.deal("qualification", items=(), proposal=False)
    await guarded.sales.move(deal_id, "closing")
    await guarded.sync()
    more = {"status": 500} if fault == "status_after" else {}
    guarded.world.fault("hub", fault, rf"/deals/{deal_id}$", method="PATCH", times=4, **more)
    for _ in range(4):
        ids = [e.id for e in await guarded.desk.open_events("stage.check")]
        if not ids:
            break
        for event_id in ids:
            await guarded.desk.run(guard_stage, event_id)
        guarded.world.advance(3600)
    guarded.world.clear_faults()
    for event_id in [e.id for e in await guarded.desk.open_events("stage.check")]:
        await guarded.desk.run(guard_stage, event_id)

    assert await guarded.sales.stage_of(deal_id) == "qualification" and len(guarded.tasks(deal_id)) == 1
    history = guarded.world.record("deals", deal_id)["history"]["dealstage"]
    values = [version["value"] for version in history]
    assert len([a for a, b in itertools.pairwise(values) if a != b]) == 2, values


async def test_an_operator_asks_for_a_judgement(guarded: Guarded) -> None:
    """By deal id, from the Prefect UI: the newest entry is judged; once it is judged, asking again changes nothing."""
    deal_id = await guarded.sales.deal("presentation", items=(), proposal=False)

    first = await guarded.desk.do(
        guard_stage, "stage.check", deal_id, source="operator", content={"by": "operator"}
    )
    again = await guarded.desk.do(
        guard_stage, "stage.check", deal_id, source="operator", content={"by": "operator"}
    )

    assert first.state == "done" and again.state == "ignored" and len(guarded.tasks(deal_id)) == 1


async def test_explain_names_an_override_in_force(guarded: Guarded) -> None:
    """By its number and last day, for the stage that it is for; the person's name stays in the ledger."""
    deal_id = await guarded.deal("qualification", items=(), proposal=False)
    override = await guarded.override(deal_id, days=14)

    found = await explain_deal(guarded.s, deal_id, "presentation")

    assert found.as_json()["override"] == {"id": override.id, "until": override.expires_at.isoformat()}
    assert f"Override {override.id}" in deal_markdown(found, guarded.s.process)
    assert "Carla" not in deal_markdown(found, guarded.s.process)
    assert (await explain_deal(guarded.s, deal_id)).override is None
