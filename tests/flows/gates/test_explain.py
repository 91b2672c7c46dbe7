"""`dealflow explain` and the deal page against the stand-ins: activities, links, open and shut gates, refusals."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from config.settings import Settings
from flows.contracts import send_contract
from flows.deals.activities import asked_types, read_activities
from flows.deals.read import read_deal
from flows.gates.explain import ExplainError, explain_deal, unproven
from flows.ledger import contracts
from flows.provision.plan import plan
from flows.rules.process.sales_process import parse_process
from flows.services import load_process

OPS = httpx.BasicAuth("ops", "test-ops-password")


@pytest.fixture
def process_file(tmp_path: Path) -> Callable[..., Path]:
    """The shipped process with other evidence for some criteria, as a file."""

    def write(**evidence: dict[str, Any]) -> Path:
        raw = yaml.safe_load((Settings().config_dir / "sales_process.yaml").read_text())
        for criterion in (c for stage in raw["stages"] for c in stage.get("exit_criteria", ())):
            criterion["evidence"] = evidence.get(criterion["key"], criterion["evidence"])
        path = tmp_path / "process.yaml"
        path.write_text(yaml.safe_dump(raw))
        return path

    return write


def use(s: Any, path: Path) -> None:
    """Use this process from now on."""
    s.process = parse_process(yaml.safe_load(path.read_text()))
    s._portal = None


def buyer(number: int) -> dict[str, str]:
    """Another contact."""
    return {"email": f"buyer{number}@buyer.example", "firstname": "Grace"}


def log(world: Any, kind: str, deal_id: str, at: datetime, **properties: str) -> str:
    """Log an activity on the deal."""
    row = {
        "object_type": kind,
        "properties": {"hs_timestamp": at.isoformat(), **properties},
        "associations": [{"to_type": "deals", "to_id": deal_id}],
    }
    ident: str = world.seed(row)[0]
    return ident


async def test_a_ready_deal_is_open_with_a_record_for_each_criterion(world: Any, s: Any, sales: Any) -> None:
    """Each verdict names its record with an address, and since when; no name or address of a person is in it."""
    deal_id = await sales.deal("discussion")

    found = await explain_deal(s, deal_id)

    told = found.as_json()
    assert (told["stage"], told["target"], told["open"]) == ("discussion", "closing", True)
    assert told["smallest"] == {"possible": True, "exact": True, "count": 0, "facts": []}
    rows = {row["criterion"]: row for row in told["criteria"]}
    contact = sales.contact_of(deal_id)
    (record,) = rows["signer_named"]["records"]
    assert (record["kind"], record["id"]) == ("contact", contact)
    assert record["url"].endswith(f"/record/0-1/{contact}")
    (paper,) = rows["proposal_on_file"]["records"]
    assert (paper["kind"], paper["id"]) == ("document", "1")
    assert all(row["proven_at"] and row["records"] and not row["missing"] for row in rows.values())
    assert rows["need_stated"]["proven_at"] == told["read_at"]
    text = json.dumps(told)
    assert "Ada" not in text and "analytical" not in text and "24000" not in text


async def test_a_shut_gate_says_the_smallest_set(world: Any, s: Any, sales: Any) -> None:
    """What is missing, who provides it and for which criteria, for the asked stage; one label serves two criteria."""
    deal_id = await sales.deal("qualification", contact=None, items=(), proposal=False)

    told = (await explain_deal(s, deal_id, "closing")).as_json()

    assert not told["open"]
    facts = {(f["kind"], f["name"]): f for f in told["smallest"]["facts"]}
    assert set(facts) == {("contact", "signer"), ("line_item", "any"), ("document", "proposal")}
    assert facts["contact", "signer"]["criteria"] == ["buyer_reachable", "signer_named"]
    assert facts["document", "proposal"]["supplied_by"] == ["worker"]
    assert (await explain_deal(s, deal_id)).explanation.target == "development"


async def test_activities_are_those_that_took_place(
    world: Any, s: Any, sales: Any, process_file: Any
) -> None:
    """Open tasks, missed calls, cancelled and planned meetings and our own notes do not count; other activities do."""
    use(s, process_file(need_stated={"activity": "any", "since": "stage_entry"}))
    deal_id = await sales.deal("qualification")
    other = await sales.deal("qualification", contact=buyer(1))
    now = s.clock() + timedelta(seconds=1)
    world.advance(60)
    nothing = [
        ("calls", {"hs_call_status": "NO_ANSWER"}),
        ("meetings", {"hs_meeting_outcome": "CANCELED"}),
        ("meetings", {"hs_meeting_outcome": "SCHEDULED"}),
        ("emails", {"hs_email_status": "BOUNCED"}),
        ("notes", {"hs_note_body": "<p>Sent.</p><p><small>dealflow 0123456789abcdef0123</small></p>"}),
        ("tasks", {"hs_task_subject": "Call", "hs_task_status": "NOT_STARTED"}),
    ]
    for kind, properties in nothing:
        log(world, kind, deal_id, now, **properties)
    log(world, "calls", deal_id, now - timedelta(days=2))  # before the stage was entered
    log(world, "meetings", other, now)
    assert [a.type for a in (await read_activities(s, [deal_id]))[deal_id].activities] == ["call"]
    shut = await explain_deal(s, deal_id)
    assert not shut.explanation.open

    held = log(world, "meetings", deal_id, now, hs_meeting_outcome="COMPLETED")

    found = await explain_deal(s, deal_id)
    verdict = next(v for v in found.explanation.verdicts if v.criterion == "need_stated")
    assert verdict.proof == f"meeting {held}" and verdict.met
    assert verdict.proven_at is not None and abs(verdict.proven_at - now) < timedelta(seconds=1)
    assert found.links["meeting", held] == found.url


@pytest.mark.parametrize(
    ("kind", "properties"),
    [
        ("calls", {}),
        ("emails", {"hs_email_status": "SENT", "hs_email_direction": "EMAIL"}),
        ("notes", {"hs_note_body": "They like the dealflow 12 seats"}),
        ("tasks", {"hs_task_subject": "Call", "hs_task_status": "COMPLETED"}),
    ],
)
async def test_each_type_of_activity_counts(
    world: Any, s: Any, sales: Any, process_file: Any, kind: str, properties: dict[str, str]
) -> None:
    """Read from its own HubSpot object."""
    use(s, process_file(need_stated={"activity": kind[:-1], "within_days": 7}))
    deal_id = await sales.deal("qualification")
    ident = log(world, kind, deal_id, s.clock() - timedelta(hours=1), **properties)

    verdicts = (await explain_deal(s, deal_id)).explanation.verdicts

    assert next(v.proof for v in verdicts if v.criterion == "need_stated") == f"{kind[:-1]} {ident}"


async def test_nobody_pays_for_activities_that_nobody_asks_for(world: Any, s: Any, sales: Any) -> None:
    """The shipped process needs none: no call is made for them, and no history is read."""
    deal_id = await sales.deal("qualification")
    await s.portal()
    world.forget_calls()

    await read_deal(s, deal_id)

    assert asked_types(s.process) == ()
    assert len(world.calls("hub", "/crm/")) == 7


async def test_optional_roles_open_a_gate(
    world: Any, s: Any, sales: Any, process_file: Any, portal_client: Any
) -> None:
    """A process that asks for legal gets the label from provision; a contact under it is the proof."""
    use(s, process_file(signer_named={"all_of": [{"contact": "signer"}, {"contact": "legal"}]}))
    (change,) = plan(portal_client, s.process)
    assert (change.about, change.name) == ("contact label", "Legal")
    change.apply()
    deal_id = await sales.deal("discussion", labels=("Signer",))
    assert (await explain_deal(s, deal_id)).explanation.smallest.text == (
        "a contact labelled as legal on the deal"
    )
    world.rep(
        "deals",
        id=deal_id,
        associations=[{"to_type": "contacts", "to_id": sales.contact_of(deal_id), "label": "Legal"}],
    )

    assert (await explain_deal(s, deal_id)).explanation.open


async def test_the_unproven_are_found_in_bulk(world: Any, s: Any, sales: Any) -> None:
    """Deals in a stage without its proof; not those with proof, lost ones, or new ones."""
    late = await sales.deal("closing", labels=())
    early = await sales.deal("development", contact=buyer(1), dealflow_need="")
    unsigned = await sales.deal("won", contact=buyer(2))
    for stage, contact in (("closing", buyer(3)), ("lost", None), ("prospecting", None)):
        await sales.deal(stage, contact=contact)

    found = await unproven(s)

    lacking = {
        one.explanation.deal_id: [v.criterion for v in one.explanation.verdicts if not v.met] for one in found
    }
    assert lacking == {late: ["signer_named"], early: ["need_stated"], unsigned: ["contract_signed"]}
    assert list(lacking) == sorted(lacking, key=int)


async def test_a_signed_contract_proves_the_signature(world: Any, desk: Any, sales: Any) -> None:
    """The newest revision's end is the proof, with the request's address."""
    deal_id = await sales.deal("closing")
    await desk.do(send_contract, "contract.due", deal_id)
    s = desk.s
    assert not (await explain_deal(s, deal_id)).explanation.open
    async with s.ledger.write() as tx:
        contract = await contracts.latest(tx, deal_id)
        await contracts.end(tx, contract.id, state="completed", now=s.clock())

    found = await explain_deal(s, deal_id)

    row = found.as_json()["criteria"][-1]
    assert found.explanation.open and row["criterion"] == "contract_signed"
    assert row["records"][0]["id"] == contract.request_id and contract.request_id in row["records"][0]["url"]


async def test_a_held_contract_names_the_smallest_set(
    world: Any, desk: Any, sales: Any, process_file: Any
) -> None:
    """Several criteria, or alternatives, add a line; a single plain criterion needs none."""
    deal_id = await sales.deal("closing", labels=())
    one = await desk.do(send_contract, "contract.due", deal_id)
    assert not any("smallest" in reason for reason in one.reasons)
    bare = await sales.deal("closing", contact=None, items=())
    several = await desk.do(send_contract, "contract.due", bare)
    assert (
        "The smallest set of facts that opens it: a contact labelled as signer on the deal, "
        "1 more line item on the deal"
    ) in several.reasons
    choice = {"any_of": [{"all_of": [{"contact": "signer"}, {"contacts": 3}]}, {"activity": "meeting"}]}
    use(desk.s, process_file(signer_named=choice))
    chosen = await desk.do(
        send_contract, "contract.due", await sales.deal("closing", contact=buyer(1), labels=())
    )
    assert chosen.state == "held"
    assert any(r.endswith("opens it: 1 meeting that takes place now") for r in chosen.reasons)


@pytest.mark.parametrize("deal_id", ["999999", "no-number", "١٢"])
async def test_no_such_deal(world: Any, s: Any, deal_id: str) -> None:
    """One clear line."""
    with pytest.raises(ExplainError, match=f"HubSpot has no deal {deal_id}"):
        await explain_deal(s, deal_id)


async def test_no_such_stage_and_no_stage_at_all(world: Any, s: Any, sales: Any) -> None:
    """The error lists the stages, or says that a deal of another pipeline needs one."""
    deal_id = await sales.deal("closing", pipeline="default", dealstage="appointmentscheduled")
    with pytest.raises(ExplainError, match="there is no stage 'nowhere': the process has prospecting, "):
        await explain_deal(s, deal_id, "nowhere")
    with pytest.raises(ExplainError, match="name the stage"):
        await explain_deal(s, deal_id)
    assert (await explain_deal(s, deal_id, "closing")).explanation.stage is None


@pytest.fixture
def env(settings: Settings) -> dict[str, str]:
    """The command's environment on this test's stand-ins and ledger."""
    return {
        "DEALFLOW_HOME": str(settings.home),
        "DEALFLOW_HUBSPOT_BASE_URL": settings.hubspot_base_url,
        "DEALFLOW_DROPBOX_SIGN_BASE_URL": settings.dropbox_sign_base_url,
        "DEALFLOW_HUBSPOT_TOKEN": "test-token",
        "DEALFLOW_DROPBOX_SIGN_API_KEY": "sandbox-api-key",
    }


async def test_the_command(world: Any, sales: Any, env: dict[str, str], run_dealflow: Any) -> None:
    """0 and the proofs when the gate is open; 1 and the smallest set when shut; one line for what is not there."""
    ready = await sales.deal("discussion")
    bare = await sales.deal("discussion", contact=buyer(1), labels=())

    done = run_dealflow("explain", ready, **env)
    assert done.returncode == 0, done.stderr
    assert "To stand in Closing" in done.stdout and "NO" not in done.stdout and done.stderr == ""

    done = run_dealflow("explain", bare, **env)
    assert done.returncode == 1 and done.stderr == "dealflow: the gate to closing is shut\n"
    assert "It opens with 1 fact" in done.stdout
    assert "a contact labelled as signer on the deal (sales rep; for signer_named)" in done.stdout
    assert f"/record/0-3/{bare}" in done.stdout

    done = run_dealflow("explain", bare, "--stage", "presentation", "--json", **env)
    told = json.loads(done.stdout)
    assert done.returncode == 0 and told["open"] and told["target"] == "presentation"

    done = run_dealflow("explain", "--unproven", "--json", **env)
    assert (done.returncode, json.loads(done.stdout)) == (0, [])
    await sales.move(bare, "closing")
    done = run_dealflow("explain", "--unproven", **env)
    assert done.returncode == 1 and bare in done.stdout and ready not in done.stdout
    assert "The buyer has named the person who signs" in done.stdout and "sales rep" in done.stdout

    for arguments, code, says in (
        (["999999"], 1, "HubSpot has no deal 999999"),
        ([bare, "--stage", "nowhere"], 1, "there is no stage 'nowhere'"),
        ([], 2, "name a deal"),
        ([bare, "--unproven"], 2, "one of both"),
    ):
        done = run_dealflow("explain", *arguments, **env)
        assert (done.returncode, len(done.stderr.splitlines())) == (code, 1) and says in done.stderr


async def test_the_deal_page(
    world: Any, sales: Any, env: dict[str, str], make_gate: Any, process_file: Any
) -> None:
    """The same, behind the ops page's login: criteria, smallest set, links; 404 for no deal; no script may run."""
    path = process_file(budget_named={"property": "<i>budget</i>", "is": "set"})
    gate = make_gate(**{**env, "DEALFLOW_PROCESS_FILE": str(path)})
    deal_id = await sales.deal("discussion", labels=())
    assert (await gate.get(f"/deals/{deal_id}")).status_code == 401

    answer = await gate.get(f"/deals/{deal_id}", auth=OPS)

    page = answer.text
    assert answer.status_code == 200
    assert "a contact labelled as signer on the deal" in page and "2 facts, the smallest set" in page
    assert f"/record/0-3/{deal_id}" in page and "?stage=won" in page
    assert "&lt;i&gt;budget" in page and "<i>" not in page and "<script" not in page
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store" and "Ada" not in page
    open_ = await gate.get(f"/deals/{deal_id}", params={"stage": "qualification"}, auth=OPS)
    assert open_.status_code == 200 and "every criterion is met" in open_.text
    for ident, stage in (("999999", ""), (deal_id, "?stage=nowhere"), ("<b>", "")):
        gone = await gate.get(f"/deals/{ident}{stage}", auth=OPS)
        assert gone.status_code == 404 and "<b>" not in gone.text
    assert "no deal 999999" in (await gate.get("/deals/999999", auth=OPS)).text


async def test_the_deal_page_reports_errors(world: Any, env: dict[str, str], make_gate: Any) -> None:
    """No HubSpot token: which setting to set. HubSpot refuses: this is reported, without the token."""
    gate = make_gate(**{**env, "DEALFLOW_HUBSPOT_TOKEN": ""})
    answer = await gate.get("/deals/1", auth=OPS)
    assert answer.status_code == 503 and "DEALFLOW_HUBSPOT_TOKEN" in answer.text

    gate = make_gate(**env)
    world.fault("hub", "status", "/crm/", status=401, times=None)
    answer = await gate.get("/deals/1", auth=OPS)
    world.clear_faults()
    assert answer.status_code == 502 and "check the key" in answer.text and "test-token" not in answer.text


def test_the_shipped_process_asks_for_no_optional_label() -> None:
    """An upgrade does not add labels to HubSpot by itself."""
    assert set(load_process(Settings()).role_labels) == {"signer", "decision_maker"}
