"""The gateway's display of deals that bypassed their gate."""

from datetime import timedelta
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from flows.ledger import stage_checks
from flows.ledger.database import open_ledger
from flows.ledger.stage_checks import StageCheck
from flows.services import utc_now

OPS = httpx.BasicAuth("ops", "test-ops-password")


async def _judged(gate: Any) -> None:
    """One of each kind, as the guard leaves them."""
    now = utc_now()
    told: list[tuple[str, str, dict[str, Any]]] = [
        ("passed", "none", {}),
        ("unproven", "move_back", {"moved_back": True, "task": "88"}),
        ("skipped", "note", {"note": "89"}),
        ("fight", "task", {"task": "90"}),
        ("overridden", "none", {}),
    ]
    checks = [
        StageCheck(
            deal_id=str(4100 + at),
            stage_id="9001",
            entered_at=now - timedelta(minutes=at),
            stage="closing",
            came_from="presentation",
            mode="revert",
            found=found,
            action=action,
            mover="a person (CRM_UI userId:9)",
            checked_at=now,
            missing=("signer_named",) if found in ("unproven", "overridden") else (),
            skipped=("discussion",) if found == "skipped" else (),
            back_to="presentation" if action == "move_back" else None,
            override_id=3 if found == "overridden" else None,
        )
        for at, (found, action, _) in enumerate(told)
    ]
    ledger = await open_ledger(f"sqlite+aiosqlite:///{gate.database}", migrate=False)
    async with ledger.write() as tx:
        await stage_checks.decide(tx, checks)
        for check, (_, _, result) in zip(checks, told, strict=True):
            await stage_checks.settle(tx, check, result, now=now)
    await ledger.close()


async def test_the_page_lists_deals_that_were_moved_past_their_gate(gate: Any) -> None:
    """What was found, missing, skipped and done, in the process's words; passed entries are not shown."""
    assert "Bypassed the gate" not in (await gate.get("/", auth=OPS)).text
    await _judged(gate)

    page = (await gate.get("/", auth=OPS)).text

    section = page.partition("<h2>Bypassed the gate</h2>")[2].partition("</section>")[0]
    assert "moved back to Presentation" in section and "signer_named" in section
    assert "Discussion" in section and "override 3" in section and "task for the owner" in section
    assert section.count("<tr>") == 5 and "4100" not in section


async def test_judgements_are_counted(gate: Any) -> None:
    """By what was found and what was done about it."""
    await _judged(gate)
    answer = await gate.get("/metrics")
    samples = {
        (s.labels["found"], s.labels["action"]): s.value
        for family in text_string_to_metric_families(answer.text)
        if family.name == "dealflow_stage_checks"
        for s in family.samples
    }
    assert samples == {
        ("passed", "none"): 1,
        ("unproven", "move_back"): 1,
        ("skipped", "note"): 1,
        ("fight", "task"): 1,
        ("overridden", "none"): 1,
    }
