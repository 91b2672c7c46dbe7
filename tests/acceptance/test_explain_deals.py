"""The flow explain-deals under a real Prefect server: its artifacts, its state, and the gateway's page."""

import re
from typing import Any

import httpx
import pytest

from tests.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
OPS = ("ops", "test-ops-password")


def _run(stack: Stack, **parameters: Any) -> dict[str, Any]:
    """Start a run by hand and return it when the worker has ended it."""
    deployment = stack.prefect.get("/deployments/name/explain-deals/explain-deals")
    made = stack.prefect.post(f"/deployments/{deployment['id']}/create_flow_run", {"parameters": parameters})
    path = f"/flow_runs/{made['id']}"
    final = ("COMPLETED", "FAILED", "CRASHED")
    ended: dict[str, Any] = stack.until(
        "the run has ended",
        lambda: (run := stack.prefect.get(path))["state_type"] in final and run,
    )
    return ended


def _artifact(stack: Stack, key: str) -> str:
    found = stack.prefect.post("/artifacts/latest/filter", {"artifacts": {"key": {"any_": [key]}}})
    text: str = found[0]["data"]
    return text


def test_deals_without_proof_are_shown(stack: Stack) -> None:
    """The list and one deal's explanation are artifacts without personal data; the run ends as `Unproven`; the gateway
    shows the list and its age.
    """
    stack.start(DEALFLOW_OPS_PASSWORD=OPS[1])
    before = httpx.get(f"{stack.gateway}/deals", auth=OPS, trust_env=False)
    assert before.status_code == 200 and "There is no list yet" in before.text
    assert httpx.get(f"{stack.gateway}/deals", trust_env=False).status_code == 401
    stack.lead()
    first = stack.until("the lead is a deal", lambda: stack.records("deals"))[0]
    stack.until_quiet()
    stack.rep("deals", id=first["id"], properties={"dealstage": stack.stages()["Closing"]})

    ended = _run(stack)

    assert (ended["state_type"], ended["state_name"]) == ("COMPLETED", "Unproven")
    assert ended["state"]["message"] == "1 deal without proof"
    listed = _artifact(stack, "deals-without-proof")
    assert "## Closing: 1" in listed and f"/record/0-3/{first['id']})" in listed
    assert "a contact labelled as signer on the deal" in listed and "sales rep" in listed

    ended = _run(stack, deal_ids=[first["id"]], stage="qualification")
    assert (ended["state_name"], ended["state"]["message"]) == (
        "Completed",
        "1 deal explained: every gate is open",
    )
    ended = _run(stack, deal_ids=[first["id"], "999999"])
    assert (ended["state_type"], ended["state"]["message"]) == ("FAILED", "HubSpot has no deal 999999")
    one = _artifact(stack, f"explain-{first['id']}")
    assert "is in **Closing**. The gate to **Account management (Won)** is **shut**" in one
    assert "| **not met** | Every signer has signed the contract<br>`contract_signed` |" in one
    assert not re.search(r"ada|byron|engines\.example|24000", listed + one, re.IGNORECASE)

    page = httpx.get(f"{stack.gateway}/deals", auth=OPS, trust_env=False).text
    assert f'href="deals/{first["id"]}?stage=closing"' in page and "checked " in page and "s ago" in page
    assert "The positions the buyer asked for are on the deal as line items" in page
    assert "deals without proof</a> <b>1</b>" in httpx.get(stack.gateway, auth=OPS, trust_env=False).text
