"""An inbound lead becomes a signed, won deal: real processes, real HTTP, a real Prefect server."""

import re
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.proof.prefect_workers import play
from tests.proof.verdict import Verdict
from tests.stack import PrefectServer, Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.cold
@pytest.mark.parametrize(
    "empty_url",
    [pytest.param("sqlite", marks=pytest.mark.full), pytest.param("postgresql", marks=pytest.mark.postgres)],
    indirect=True,
)
def test_a_lead_becomes_a_signed_won_deal(stack: Stack, empty_url: str) -> None:
    """The whole path, on both databases: one contract, the signed PDF filed, the deal won, all of it visible."""
    stack.database_url = empty_url
    stack.start()
    assert stack.lead().status_code == 202
    stack.bring_to_closing()
    stack.until_won()
    stack.until_quiet()
    stack.assert_done_once()

    runs = stack.prefect.runs(f"deal:{stack.deal_id}")
    named = {r["name"] for r in runs}
    flows = (
        "intake-leads",
        "sync-deals",
        "generate-proposal",
        "send-contract",
        "advance-on-signature",
        "hand-over",
    )
    assert named >= {f"{flow} deal-{stack.deal_id}" for flow in flows}
    assert {r["state_type"] for r in runs} == {"COMPLETED"}
    assert all(r["deployment_id"] and {"dealflow", r["name"].split()[0]} <= set(r["tags"]) for r in runs)
    assert all(set(r["parameters"]) == {"event_ids"} for r in runs)  # ids only

    artifacts = stack.prefect.post(
        "/artifacts/filter", {"artifacts": {"key": {"any_": [f"deal-{stack.deal_id}"]}}, "limit": 50}
    )
    texts = "\n".join(a["data"] for a in artifacts)
    assert f"/record/0-3/{stack.deal_id}" in texts
    assert stack.requests()[0]["signature_request_id"] in texts
    assert "| What was done | Record | Why |" in texts
    assert "exit criterion met" in texts
    assert not re.search(r"ada|byron|engines\.example|24000", texts, re.IGNORECASE)  # no personal data


def test_the_same_lead_twice_makes_one_deal(running_stack: Stack) -> None:
    """A web form that is sent again, and a second inquiry of the same buyer, join the open deal."""
    stack = running_stack
    kinds = ("deals", "contacts", "companies", "notes")
    before = {kind: len(stack.records(kind)) for kind in kinds}
    buyer = {"email": "twice@twice.example", "company": "Twice Ltd"}
    first, again = stack.lead(**buyer), stack.lead(**buyer)
    assert first.json()["lead"] == again.json()["lead"]
    assert stack.lead(**buyer, message="And one more question.").status_code == 202
    stack.until("the second inquiry is noted", lambda: len(stack.records("notes")) == before["notes"] + 1)
    stack.until_quiet()
    assert {kind: len(stack.records(kind)) - before[kind] for kind in kinds} == dict.fromkeys(kinds, 1)


def test_kill_9_after_the_vendor_took_the_contract(stack: Stack) -> None:
    """The worker dies between "sent" and "recorded": after a restart there is one contract, and the deal is won."""
    stack.start()
    stack.lead()
    fault = {"kind": "timeout_after", "path": "/v3/signature_request/send", "delay_s": 60, "times": 1}
    assert stack.sign.post("/_sandbox/faults", json=fault).status_code == 201
    stack.sign.put("/_sandbox/robots", json=[])
    stack.bring_to_closing()
    stack.until("the vendor has the contract", stack.requests)
    stack.kill_worker()
    stack.sign.put("/_sandbox/robots", json=[{"email": ".*", "does": "sign", "after_s": 0.5}])
    stack.start_worker()
    stack.until_won()
    stack.until_quiet()
    stack.assert_done_once()
    crashed = [r for r in stack.prefect.runs(f"deal:{stack.deal_id}") if r["state_type"] == "CRASHED"]
    assert len(crashed) == 1  # the dead worker's run is shown as crashed


@pytest.mark.full
def test_kill_9_before_the_vendor_took_the_contract(stack: Stack) -> None:
    """The worker dies before the request arrives: after a check at the vendor it is sent, under the same token."""
    stack.start()
    stack.lead()
    fault = {"kind": "timeout_before", "path": "/v3/signature_request/send", "delay_s": 60, "times": 1}
    assert stack.sign.post("/_sandbox/faults", json=fault).status_code == 201
    stack.bring_to_closing()
    stack.until(
        "the contract is being sent",
        lambda: any(f["hits"] for f in stack.sign.get("/_sandbox/faults").json()),
    )
    stack.kill_worker()
    assert stack.requests() == []
    stack.start_worker()
    stack.until_won()
    stack.until_quiet()
    stack.assert_done_once()


def test_kill_9_after_the_worker_recorded_its_run(tmp_path: Path, prefect_server: PrefectServer) -> None:
    """Killed at one of its own commits; `make crash` has them all."""
    verdict, at = Verdict(), 2
    met = play(
        tmp_path, prefect_server, "after commit in flows.worker.worker._create_run", at, verdict, warm=True
    )
    assert verdict.ok, verdict
    assert len(met) > at  # and the next one continued


def test_sigterm_lets_running_work_end(stack: Stack) -> None:
    """A worker that is stopped in the middle of a run finishes it, exits with 0 and leaves nothing claimed."""
    stack.start()
    fault = {"kind": "slow", "path": "contacts/batch/upsert", "delay_s": 3, "times": 1}
    assert stack.hubspot.post("/_sandbox/faults", json=fault).status_code == 201
    stack.lead()
    stack.until(
        "the run has started", lambda: any(f["hits"] for f in stack.hubspot.get("/_sandbox/faults").json())
    )
    worker = stack.worker
    worker.process.terminate()
    assert worker.process.wait(30) == 0
    stack.parts.started.remove(worker)
    assert len(stack.records("deals")) == 1
    states = stack.health()["inbox"]
    assert states.get("done") == 1 and not states.get("claimed")
    assert [r["state_type"] for r in stack.prefect.runs("intake-leads")][-1] == "COMPLETED"


def test_prefect_server_away(stack: Stack) -> None:
    """While Prefect is away deliveries are stored and /healthz says so; when it is back they are handled."""
    stack.start()
    stack.prefect.stop()
    try:
        assert stack.lead().status_code == 202
        away = stack.until("the worker says so", lambda: _away(stack))
        assert away["ok"] is False and away["prefect"] == "away"
    finally:
        stack.prefect.start()
    stack.until("the lead is a deal", lambda: stack.records("deals"))
    stack.until("all is well again", lambda: stack.health()["ok"])


def test_prefect_server_hangs(stack: Stack) -> None:
    """A server that accepts connections but does not answer counts as unavailable; when it answers, work continues."""
    stack.start()
    stack.prefect.freeze()
    try:
        assert stack.lead().status_code == 202
        away = stack.until("the worker reports it", lambda: _away(stack))
        assert away["ok"] is False
    finally:
        stack.prefect.thaw()
    stack.until("the lead is a deal", lambda: stack.records("deals"))
    stack.until("everything works again", lambda: stack.health()["ok"])
    stack.until_quiet()
    assert len(stack.records("deals")) == 1


def test_prefect_server_restarted_in_a_burst(stack: Stack) -> None:
    """Ten leads come in while Prefect goes away, in the middle of a run, and comes back: ten deals, each once."""
    stack.start(DEALFLOW_WORKER_LEASE_S="10")
    slow = {"kind": "slow", "path": "contacts/batch/upsert", "delay_s": 3, "times": 1}
    assert stack.hubspot.post("/_sandbox/faults", json=slow).status_code == 201
    buyers = [{"email": f"buyer{n}@firm{n}.example", "company": f"Firm {n}"} for n in range(10)]
    for buyer in buyers[:5]:
        assert stack.lead(**buyer).status_code == 202
    stack.until(
        "a run has started", lambda: any(f["hits"] for f in stack.hubspot.get("/_sandbox/faults").json())
    )
    stack.prefect.stop()
    try:
        for buyer in buyers[5:]:
            assert stack.lead(**buyer).status_code == 202
    finally:
        stack.prefect.start()
    stack.until("all are deals", lambda: len(stack.records("deals")) >= 10)
    stack.until_quiet()
    keys = [d["properties"]["dealflow_lead_key"] for d in stack.records("deals")]
    assert len(keys) == len(set(keys)) == len(stack.records("contacts")) == 10
    stack.until_only_done(10)


def _away(stack: Stack) -> dict[str, object] | None:
    health = stack.health()
    return health if health.get("prefect") == "away" else None


def test_a_paused_deployment_holds_its_events(running_stack: Stack) -> None:
    """Pausing in the Prefect UI is honoured: the event waits in the inbox and goes on when resumed."""
    stack = running_stack
    stack.until_quiet()
    deployment = stack.prefect.get("/deployments/name/intake-leads/intake-leads")
    stack.prefect.post(f"/deployments/{deployment['id']}/pause_deployment", {})
    try:
        before = stack.until("the worker has seen it", lambda: _deals_while_one_waits(stack))
        assert before == [len(stack.records("deals"))]
    finally:
        stack.prefect.post(f"/deployments/{deployment['id']}/resume_deployment", {})
    stack.until("the lead is a deal", lambda: len(stack.records("deals")) == before[0] + 1)


def _deals_while_one_waits(stack: Stack) -> list[int] | None:
    """How many deals there are while a new lead stays due longer than any handling takes; nothing when it is handled:
    the worker reads deployments every five seconds.
    """
    before = len(stack.records("deals"))
    buyer = {"email": f"buyer{before}@paused{before}.example", "company": f"Paused {before}"}
    assert stack.lead(**buyer).status_code == 202
    until = time.monotonic() + 3
    while time.monotonic() < until:
        if len(stack.records("deals")) > before:
            stack.until_quiet()
            return None
        time.sleep(0.1)
    return [before] if stack.health()["inbox"].get("due") == 1 else None


def test_run_from_the_ui_is_taken_up(running_stack: Stack) -> None:
    """A run that an operator or the schedule created is executed by the worker, warm."""
    stack = running_stack
    deployment = stack.prefect.get("/deployments/name/sync-deals/sync-deals")
    run = stack.prefect.post(
        f"/deployments/{deployment['id']}/create_flow_run", {"parameters": {"full": True}}
    )

    def ended() -> bool:
        return bool(stack.prefect.get(f"/flow_runs/{run['id']}")["state_type"] == "COMPLETED")

    stack.until("the run has ended", ended)


def test_follow_up_by_hand_and_by_schedule(running_stack: Stack) -> None:
    """Asked for by deal id, the deal gets task and draft in a run of its own; the scheduled look leaves an artifact."""
    stack = running_stack
    known = {deal["id"] for deal in stack.records("deals")}
    stack.lead(message="", email="slow@slow.example", company="Slow Ltd")
    (deal_id,) = stack.until(
        "the lead is a deal", lambda: [d["id"] for d in stack.records("deals") if d["id"] not in known]
    )
    stack.rep("deals", id=deal_id, properties={"dealstage": stack.stages()["Qualification"]})
    stack.until_quiet()
    deployment = stack.prefect.get("/deployments/name/follow-up/follow-up")
    route = f"/deployments/{deployment['id']}/create_flow_run"
    assert [schedule["slug"] for schedule in deployment["schedules"]] == ["daily"]

    stack.prefect.post(route, {"parameters": {"deal_ids": [deal_id]}})
    stack.until("the deal has its task", lambda: stack.records("tasks"))
    stack.until("and its draft", lambda: stack.records("emails"))
    sweep = stack.prefect.post(route, {})

    def ended() -> bool:
        return bool(stack.prefect.get(f"/flow_runs/{sweep['id']}")["state_type"] == "COMPLETED")

    stack.until("the scheduled run has ended", ended)
    stack.until_quiet()
    assert stack.prefect.get(f"/flow_runs/{sweep['id']}")["name"] == "follow-up sweep"
    assert f"follow-up deal-{deal_id}" in {r["name"] for r in stack.prefect.runs(f"deal:{deal_id}")}
    (artifact,) = stack.prefect.post(
        "/artifacts/filter", {"artifacts": {"key": {"any_": ["follow-up"]}}, "limit": 5}
    )
    assert "deals are in stages with a follow-up plan" in artifact["data"]
    assert len(stack.records("tasks")) == 1 == len(stack.records("emails"))


def test_all_callbacks_lost_the_deal_is_still_won(stack: Stack) -> None:
    """Dropbox Sign has cleared the callback URL: the scheduled reconcile wins the deal and sets the URL again."""
    stack.start()
    stack.sign.put("/_sandbox/robots", json=[])
    stack.lead()
    stack.bring_to_closing()
    stack.until(
        "the contract is out", lambda: stack.deal()["properties"].get("dealflow_contract_status") == "sent"
    )
    stack.until_quiet()  # a late callback about the sending would have the request read back, and see the signatures
    stack.sign.put("/_sandbox/callback", json={"url": None}).raise_for_status()
    stack.sign.put("/_sandbox/robots", json=[{"email": ".*", "does": "sign", "after_s": 0.1}])
    stack.until("all have signed", lambda: stack.requests()[0]["phase"] == "complete")
    assert stack.stage() == "Closing"

    deployment = stack.prefect.get("/deployments/name/reconcile/reconcile")
    run = stack.prefect.post(f"/deployments/{deployment['id']}/create_flow_run", {})
    stack.until_won()
    stack.until_quiet()
    stack.assert_done_once()

    def at_its_end() -> Any:
        found = stack.prefect.get(f"/flow_runs/{run['id']}")
        return found if found["state_type"] not in ("SCHEDULED", "PENDING", "RUNNING") else None

    ended = stack.until("the reconciliation has ended", at_its_end)
    assert ended["state_type"] == "COMPLETED" and "1 fixed, 1 put into the inbox" in ended["state"]["message"]
    (artifact,) = stack.prefect.post(
        "/artifacts/filter", {"artifacts": {"key": {"any_": ["reconcile"]}}, "limit": 5}
    )
    assert stack.deal_id in artifact["data"] and "callback URL had been cleared" in artifact["data"]
    account = stack.sign.get("/v3/account", auth=("sandbox-api-key", "")).json()["account"]
    assert account["callback_url"] == f"{stack.gateway}/webhooks/dropbox-sign"


def test_a_burst_of_leads_is_one_run(stack: Stack) -> None:
    """Many waiting events share a run, one task each, and all become deals."""
    stack.start(DEALFLOW_GATEWAY_HOST="127.0.0.1")
    stack.kill_worker()
    for number in range(40):
        answer = stack.lead(email=f"buyer{number}@firm{number}.example", company=f"Firm {number}")
        assert answer.status_code == 202
    stack.start_worker()
    stack.until("all are deals", lambda: len(stack.records("deals")) == 40)
    stack.until_quiet()
    batches = [r for r in stack.prefect.runs("batch") if r["name"].startswith("intake-leads 40 events")]
    assert len(batches) == 1
    tasks = stack.until("all tasks are recorded", lambda: _tasks(stack, batches[0]["id"], 40), 30)
    assert {t["state_type"] for t in tasks} == {"COMPLETED"} and not any(t["tags"] for t in tasks)
    calls = httpx.get(f"{stack.hubspot.base_url}/_sandbox/requests", params={"limit": 1}, trust_env=False)
    creates = {k: n for k, n in calls.json()["counts"].items() if "upsert" in k}
    assert sum(creates.values()) == 3, creates  # one each for companies, contacts, deals


def _tasks(stack: Stack, run_id: str, wanted: int) -> list[dict[str, object]] | None:
    found: list[dict[str, object]] = stack.prefect.post(
        "/task_runs/filter", {"flow_runs": {"id": {"any_": [run_id]}}, "limit": 200}
    )
    return found if len(found) == wanted and all(t["state_type"] == "COMPLETED" for t in found) else None
