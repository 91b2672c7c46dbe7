"""Call notes, objections, plans and materials against the stand-in: read in bulk, judged, and never quoted."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

import config.settings
from config.files import read_yaml
from flows.deals.activities import asked_types, read_activities
from flows.gates.explain import explain_deal
from flows.provision.plan import plan
from flows.rules.process.call_notes import blank
from flows.rules.process.sales_process import SalesProcess, parse_process

SHIPPED = Path(config.settings.__file__).with_name("sales_process.yaml")
SECRET = "their board wants Ada out"
FORM = {"discovery": {"before": ["Goal"], "after": ["Answers", "Next step"]}}
PLAN = {
    "mutual": {
        "label": "Mutual plan",
        "used_by": ["mara.lindt@example.test"],
        "fields": [
            {"property": "plan_steps", "label": "Steps", "type": "long_text"},
            {"property": "plan_go_live_on", "label": "Go-live on", "type": "date", "not_past": True},
        ],
    }
}
MATERIAL = {"name": "One page of figures", "link": "https://files.example/one-page", "email": "first_answer"}


def content(**evidence: dict[str, Any]) -> dict[str, Any]:
    """The shipped process with a form, a plan and a material; other evidence for some criteria."""
    raw = {**read_yaml(SHIPPED), "call_notes": FORM, "plans": PLAN}
    raw["stages"][1]["materials"] = [MATERIAL]
    for criterion in (c for stage in raw["stages"] for c in stage.get("exit_criteria", ())):
        criterion["evidence"] = evidence.get(criterion["key"], criterion["evidence"])
    return raw


def use(s: Any, **evidence: dict[str, Any]) -> SalesProcess:
    """Use this process from now on."""
    s.process, s._portal = parse_process(content(**evidence)), None
    found: SalesProcess = s.process
    return found


def filled(process: SalesProcess, *empty: str) -> str:
    """The form filled in, except for these headings."""
    lines = blank("discovery", process.call_notes["discovery"]).splitlines()
    return "".join(
        f"<p>{line} {SECRET if line.endswith(':') and line[:-1] not in empty else ''}</p>" for line in lines
    )


def log(world: Any, kind: str, deal_id: str, **properties: str) -> str:
    """Somebody logs it now."""
    values = {"hs_timestamp": world.now().isoformat(), **properties}
    link = {"to_type": "deals", "to_id": deal_id}
    ident: str = world.rep(kind, create=True, properties=values, associations=[link])["id"]
    world.advance(1)
    return ident


async def verdict_of(s: Any, deal_id: str, criterion: str = "need_stated") -> Any:
    found = await explain_deal(s, deal_id)
    return next(v for v in found.explanation.verdicts if v.criterion == criterion)


async def test_call_notes_count_once_every_heading_says_something(world: Any, s: Any, sales: Any) -> None:
    """In a note or a call that took place; what is still empty is named, what was written never leaves HubSpot."""
    process = use(s, need_stated={"call_notes": "discovery", "since": "stage_entry"})
    assert asked_types(process) == ("call", "note")
    deal_id = await sales.deal("qualification")
    log(world, "notes", deal_id, hs_note_body=SECRET)
    log(world, "calls", deal_id, hs_call_status="NO_ANSWER", hs_call_body=filled(process))
    half = log(world, "notes", deal_id, hs_note_body=filled(process, "Next step"))

    shut = await explain_deal(s, deal_id)
    lacking = next(v for v in shut.explanation.verdicts if v.criterion == "need_stated")
    assert not lacking.met and lacking.missing.endswith(f"; note {half} says nothing under Next step")
    (need,) = shut.explanation.smallest.needs or ()
    assert (need.kind, need.name, need.options) == ("call_notes", "discovery", ("note", "call"))

    call = log(world, "calls", deal_id, hs_call_status="COMPLETED", hs_call_body=filled(process))
    found = await explain_deal(s, deal_id)
    assert found.explanation.open and (await verdict_of(s, deal_id)).proof == f"call {call}"
    read = (await read_activities(s, [deal_id]))[deal_id]
    for told in (json.dumps(shut.as_json()), json.dumps(found.as_json()), repr(found), repr(read)):
        assert SECRET not in told


async def test_texts_are_read_only_where_they_are_asked_for(world: Any, s: Any, sales: Any) -> None:
    """Without call notes among the criteria no call's text, without objections no task's subject."""
    deal_id = await sales.deal("qualification")
    log(world, "calls", deal_id, hs_call_body=SECRET)
    log(world, "tasks", deal_id, hs_task_subject="Objection: price")
    for evidence, asked in (
        ({"activity": ["call", "task"]}, set()),
        ({"call_notes": "discovery"}, {"hs_call_body"}),
        ({"objections": "closed"}, {"hs_task_subject"}),
    ):
        use(s, need_stated=evidence)
        world.forget_calls()
        await read_activities(s, [deal_id])
        wanted = {name for c in world.calls("hub", "batch/read") for name in c["body"].get("properties", ())}
        assert wanted & {"hs_call_body", "hs_task_subject"} == asked


async def test_objections_are_closed_by_completing_their_tasks(world: Any, s: Any, sales: Any) -> None:
    """Tasks whose subject begins with the prefix, however it is spelt; other tasks, and our own, are none."""
    process = use(s, need_stated={"objections": "closed", "at_least": 1})
    assert asked_types(process) == ("task",)
    deal_id = await sales.deal("qualification")
    other = await sales.deal("qualification", contact={"email": "g@buyer.example"})
    log(world, "tasks", deal_id, hs_task_subject="Call about the objection: price")
    ours = "<p>x</p><p><small>dealflow 0123456789abcdef0123</small></p>"
    log(world, "tasks", deal_id, hs_task_subject="Objection: price", hs_task_body=ours)
    log(world, "tasks", other, hs_task_subject="Objection: price")
    assert "1 more objection to be listed" in (await verdict_of(s, deal_id)).missing

    task = log(world, "tasks", deal_id, hs_task_subject=" OBJECTION: the data")
    lacking = await verdict_of(s, deal_id)
    assert (lacking.met, lacking.missing) == (False, f"1 objection to be closed (task {task})")
    assert not any(v for v in (await read_activities(s, [deal_id]))[deal_id].activities)

    world.rep("tasks", id=task, properties={"hs_task_status": "COMPLETED"})
    world.advance(1)
    done = await verdict_of(s, deal_id)
    assert (done.met, done.proof) == (True, f"task {task}")
    assert [a.id for a in (await read_activities(s, [deal_id]))[deal_id].activities] == [task]


@pytest.fixture
def planned(world: Any, portal_client: Any) -> Any:
    """HubSpot has the fields of the plan."""
    for change in plan(portal_client, parse_process(content())):
        change.apply()
    return world


async def test_a_plan_is_asked_of_owners_who_use_it(planned: Any, s: Any, sales: Any) -> None:
    """By the owner's address in HubSpot; of a colleague's deals, it is not, of deals without an owner it is."""
    use(s, need_stated={"plan": "mutual"})
    hers = await sales.deal("qualification")
    his = await sales.deal("qualification", contact={"email": "g@b.example"}, hubspot_owner_id="71530012")
    nobodys = await sales.deal("qualification", contact={"email": "h@b.example"}, hubspot_owner_id="")
    assert not (await verdict_of(s, hers)).met and not (await verdict_of(s, nobodys)).met
    assert (await verdict_of(s, his)).proof == "the plan mutual is not asked of this owner's deals"

    tomorrow = f"{s.clock() + timedelta(days=1):%Y-%m-%d}"
    planned.rep("deals", id=hers, properties={"plan_steps": "1, 2, 3", "plan_go_live_on": tomorrow})
    assert (await verdict_of(s, hers)).met
    planned.advance(3 * 86_400)
    lacking = await verdict_of(s, hers)
    assert lacking.missing == "plan mutual: deal property plan_go_live_on to be today or a later day"


async def test_materials_are_shown_with_the_explanation(
    world: Any,
    s: Any,
    sales: Any,
    settings: Any,
    tmp_path: Path,
    run_dealflow: Callable[..., Any],
    make_gate: Callable[..., Any],
) -> None:
    """The materials of the stage of the deal: in JSON, in the terminal, on the deal's page."""
    file = tmp_path / "process.yaml"
    file.write_text(yaml.safe_dump(content()))
    use(s)
    deal_id = await sales.deal("qualification")
    assert (await explain_deal(s, deal_id)).as_json()["materials"] == [MATERIAL]
    later = await sales.deal("development", contact={"email": "g@buyer.example"})
    assert (await explain_deal(s, later)).as_json()["materials"] == []

    env = {
        "DEALFLOW_HUBSPOT_TOKEN": "test-token",
        "DEALFLOW_DROPBOX_SIGN_API_KEY": "sandbox-api-key",
        "DEALFLOW_HUBSPOT_BASE_URL": world.hubspot_url,
        "DEALFLOW_HOME": str(settings.home),
        "DEALFLOW_PROCESS_FILE": str(file),
    }
    done = run_dealflow("explain", deal_id, **env)
    assert (
        "  - One page of figures (e-mail template first_answer): https://files.example/one-page"
        in done.stdout
    )
    gate = make_gate(DEALFLOW_HUBSPOT_BASE_URL=world.hubspot_url, DEALFLOW_PROCESS_FILE=str(file))
    try:
        page = await gate.get(f"/deals/{deal_id}", auth=httpx.BasicAuth("ops", "test-ops-password"))
        assert page.status_code == 200
        assert '<a href="https://files.example/one-page">One page of figures</a>' in page.text
    finally:
        await gate.client.aclose()
