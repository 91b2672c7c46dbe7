"""A rehearsal as a whole: real sandbox process, real gateway, real flow logic, virtual time."""

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from config.files import read_yaml
from flows.ledger.snapshot import fingerprint
from flows.trials.rehearsal.play import Plan, Played, play
from flows.trials.rehearsal.rates import Rates
from flows.trials.rehearsal.report import report
from tests.places import ROOT

PROCESS = ROOT / "config/sales_process.yaml"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    """Two processes, one seed: ledger files equal byte for byte, signed PDFs and all; another seed differs."""

    def run(name: str, seed: int) -> tuple[bytes, str]:
        file = tmp_path / name
        command = [sys.executable, "-m", "flows", "rehearse", "--json", "--follow-ups"]
        command += ["--deals", "5", "--days", "40", "--seed", str(seed), "--ledger", str(file)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["fingerprint"] == fingerprint(file)
        assert found["worker"]["signed PDFs filed"] > 0 or seed != 7  # else the test would prove little
        assert found["worker"]["follow-ups"] > 0
        return file.read_bytes(), found["fingerprint"]

    first, again, other = run("a.db", 7), run("b.db", 7), run("c.db", 8)
    assert first == again
    assert first[1] != other[1]


def test_every_promise_holds(played: Played) -> None:
    """The checks examined records, and found no fault."""
    found = report(played)
    assert found.ok, [c.broken for c in found.checks if c.broken]
    assert all(c.looked_at > 0 for c in found.checks)


def test_the_report_adds_up(played: Played) -> None:
    """Funnel, outcome and stuck rows count each deal once; the worker's counts are the stand-ins'."""
    found = report(played)
    assert sum(row.still_there for row in found.funnel) == len(played.deals)
    assert sum(row["deals"] for row in found.outcome.values()) == len(played.deals)
    assert sum(row.deals for row in found.stuck) == found.outcome["open"]["deals"]
    assert found.funnel[0].entered == len(played.deals)
    assert all(row.entered == row.left + row.still_there for row in found.funnel)
    assert found.worker["contracts sent"] == found.calls["dropbox_sign send"] == len(played.requests)
    json.dumps(found.as_json(), default=str)


def test_people_are_human(played: Played) -> None:
    """Within sixty days deals are won and lost, contracts are held because something was missing, buyers go silent."""
    found = report(played)
    assert found.outcome["won"]["deals"] > 0 and found.outcome["lost"]["deals"] > 0
    assert any(hold["kind"] == "contract.due" for hold in found.holds)
    assert {"the buyer went silent"} & {case.why for case in played.cases}


def test_nobody_fails_when_nobody_errs(tmp_path: Path) -> None:
    """With every fault set to 0 and time enough, all deals are won, each with one contract, and nothing was held."""
    perfect = {name: 0.0 for name in Rates.model_fields if name.endswith(("budget", "need", "only", "twice"))}
    faults = """gives_up goes_silent forgets_role leaves_property_empty forgets_line_items forgets_paper_details
        skips_stage moves_early mistypes_signer labels_ourselves declines lets_it_expire"""
    perfect |= dict.fromkeys(faults.split(), 0.0) | {"median_budget": 10_000}
    done = asyncio.run(play(Plan(PROCESS, deals=4, days=120, seed=2, rates=Rates.model_validate(perfect))))
    found = report(done)
    assert found.ok
    assert found.outcome["won"]["deals"] == 4
    assert found.holds == ()
    assert found.worker["contracts sent"] == 4 == found.worker["signed PDFs filed"]


def test_an_own_process_can_be_rehearsed(tmp_path: Path) -> None:
    """Other stages, other words, own properties: the people follow the file, not the shipped names."""
    content = yaml.safe_load(PROCESS.read_text())
    content |= {"name": "Three steps", "pipeline": "Short sale"}
    step = {"probability": 0.3, "buyer_step": "Decides", "help": "Ask and listen"}

    def criterion(key: str, evidence: dict[str, object]) -> dict[str, object]:
        return {
            "key": key,
            "kind": "action",
            "says": f"The {key} is there",
            "supplied_by": "rep",
            "evidence": evidence,
        }

    goods = [
        criterion("fit", {"property": "house_fit", "one_of": ["good", "fair"]}),
        criterion("seats", {"property": "house_seats", "at_least": 5}),
        criterion("goods", {"line_items": 2}),
        criterion("person", {"contact": "signer"}),
        criterion("offer", {"quote": "accepted"}),
    ]
    signed = {**criterion("signed", {"signature": "completed"}), "supplied_by": "buyer"}
    content["stages"] = [
        {"key": "talk", "label": "Talk", **step, "exit_criteria": goods},
        {
            "key": "sign",
            "label": "Sign here",
            **step,
            "on_enter": ["send_contract"],
            "exit_criteria": [signed],
        },
        {"key": "client", "label": "Client", **step, "probability": 1.0, "closed": "won"},
        {"key": "gone", "label": "Gone", **step, "probability": 0.0, "closed": "lost"},
    ]
    for outcome in content["signature_outcomes"].values():
        outcome.update({"move_to": None, "stay": True})
    content["signature_outcomes"]["completed"] = {"move_to": "client"}
    file = tmp_path / "process.yaml"
    file.write_text(yaml.safe_dump(content))
    found = report(asyncio.run(play(Plan(file, deals=8, days=50, seed=3))))
    assert found.ok, [c.broken for c in found.checks if c.broken]
    assert [row.stage for row in found.funnel] == ["talk", "sign", "client", "gone"]
    assert found.worker["contracts sent"] > 0 and found.worker["proposals filed"] == 0


def test_deals_that_do_not_get_on_are_followed_up() -> None:
    """Buyers go silent: their deals get follow-ups and are flagged, no promise is broken, nobody acts differently."""
    silent = Rates.model_validate({"lead_without_need": 1, "goes_silent": 0.3, "gives_up": 0})
    plan = Plan(PROCESS, deals=8, days=60, seed=5, rates=silent)
    without = report(asyncio.run(play(plan)))
    found = report(asyncio.run(play(replace(plan, follow_ups=True))))
    assert found.ok, [c.broken for c in found.checks if c.broken]
    assert found.worker["follow-ups"] > 5 and found.worker["deals flagged at the end"] > 0
    assert found.worker["given up"] == []
    assert found.funnel == without.funnel and found.outcome == without.outcome
    assert "follow-ups" not in without.worker


def test_won_deals_are_followed_by_others(tmp_path: Path) -> None:
    """The five-step example, asked for follow-on deals in a pipeline of its own: deals are won once they are signed and
    the first payment is noted, and each that is handed over is followed by one.
    """
    content = read_yaml(ROOT / "config/examples/five_step.yaml")
    content["hand_over"]["follow_on"] = {"pipeline": "Account growth", "stage": "To be explored"}
    file = tmp_path / "process.yaml"
    file.write_text(yaml.safe_dump(content))
    played = asyncio.run(play(Plan(file, deals=8, days=40, seed=3)))
    found = report(played)
    assert found.ok, [c.broken for c in found.checks if c.broken]
    assert found.outcome["won"]["deals"] > 0 and found.worker["signed PDFs filed"] > 0
    assert found.worker["deals handed over"] == found.worker["follow-on deals"] > 0
    assert found.worker["deals made"] == len(played.deals) == sum(o["deals"] for o in found.outcome.values())


async def test_reps_bring_what_a_complex_sale_asks_for() -> None:
    """Call notes on the form, plans, objections that are closed: deals are won with them, and every promise holds."""
    process = ROOT / "config/examples/complex_sale.yaml"
    played = await play(Plan(process, deals=6, days=60, seed=3))
    found = report(played)
    assert found.ok, [c.broken for c in found.checks if c.broken]
    assert found.outcome["won"]["deals"] > 0
    won = {d["id"] for d in played.deals if d["properties"]["dealstage"] == played.stage_ids["won"]}
    for deal_id in won:
        forms = {a.form for a in played.happened[deal_id].activities if not a.empty}
        assert {"discovery", "demo"} <= forms and played.happened[deal_id].objections
