"""A process on a mirror that real syncs have filled, against the stand-in; and the command on it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import config.settings
from config.files import read_yaml
from flows.deals import sync_deals
from flows.deals.stage_entries import watch_from_now
from flows.rules.process.sales_process import SalesProcess, parse_process
from flows.trials.backtest import BacktestError, Named, Plan, backtest

SHIPPED = Path(config.settings.__file__).with_name("sales_process.yaml")


def changed(**stages: dict[str, Any]) -> dict[str, Any]:
    """The shipped process with other values in some stages."""
    content = read_yaml(SHIPPED)
    return {**content, "stages": [{**s, **stages.get(s["key"], {})} for s in content["stages"]]}


def asks(**evidence: dict[str, Any]) -> list[dict[str, Any]]:
    """Exit criteria by key."""
    words = {"kind": "information", "says": "It is so", "supplied_by": "rep"}
    return [{**words, "key": key, "evidence": one} for key, one in evidence.items()]


class Past:
    """Deals that move through their stages, synced from time to time."""

    def __init__(self, world: Any, sales: Any) -> None:
        self.world, self.sales, self.s = world, sales, sales.s

    async def sync(self) -> None:
        """Let time pass, then sweep."""
        self.world.advance(600)
        await sync_deals.sweep(self.s)
        self.world.advance(600)

    async def walk(self, deal_id: str, *stages: str) -> None:
        for stage in stages:
            await self.sales.move(deal_id, stage)
            await self.sync()

    async def judged(self, new: dict[str, Any], **more: Any) -> Any:
        plan = Plan(Named("NEW", parse_process(new)), Named("OLD", self.s.process), self.s.process)
        return await backtest(plan, self.s.ledger, **more)


@pytest.fixture
async def past(world: Any, sales: Any) -> Past:
    found = Past(world, sales)
    await watch_from_now(found.s)
    return found


async def _three_deals(past: Past) -> list[str]:
    """One with everything in time, one whose budget and signer came late, one that jumped and was lost."""
    own = {"contact": {"email": "p@b.example", "firstname": "P"}, "labels": (), "company": {"name": "B"}}
    good = await past.sales.deal("qualification", proposal=False)
    late = await past.sales.deal("qualification", proposal=False, amount="", **own)
    jumps = await past.sales.deal("prospecting", proposal=False, **{**own, "contact": None})
    await past.sync()
    await past.walk(late, "development")
    past.world.rep("deals", id=late, properties={"amount": "9000"})
    await past.walk(jumps, "development", "lost")
    for deal_id in (good, late):
        await past.sales.proposal_on_file(deal_id)
    await past.walk(good, "development", "presentation", "discussion", "closing")
    await past.walk(late, "presentation", "discussion", "closing")
    link = {"to_type": "contacts", "to_id": past.sales.contact_of(late), "label": "Signer"}
    past.world.rep("deals", id=late, associations=[link])
    await past.walk(late, "won")
    return [good, late, jumps]


async def test_what_was_missing_then_is_missing_though_it_is_there_now(past: Past) -> None:
    """Budget and label came after the moves that ask for them: judged as it was then, not as it is today."""
    _, late, jumps = await _three_deals(past)
    new = changed(development={"mode": "revert"}, closing={"mode": "observe"}, won={"mode": "observe"})
    found = await past.judged(new)
    rows = {r.deal_id: r for r in found.deals}
    assert set(rows) == {late, jumps}
    assert (rows[late].result, rows[late].ending, rows[late].missing) == ("stopped", "won", ("budget_named",))
    assert (rows[jumps].ending, rows[jumps].missing) == ("lost", ("buyer_reachable",))
    assert rows[jumps].skipped == ("qualification",)
    assert rows[late].before == rows[jumps].before == "flagged"
    signer = next(row for row in found.new.criteria if row.criterion == "signer_named")
    # The label came between two reads, and a move too: the order is unknown.
    assert (signer.part["counted"], signer.by_today, signer.unjudged) == (1, 1, {})
    assert found.verdict.startswith(
        "would have stopped 2 of 3 deals; 1 of those were won: look at budget_named first"
    )


async def test_what_the_mirror_cannot_judge_stops_nothing(past: Past) -> None:
    """Activities and properties that the process in use does not need: reported, not counted as missing."""
    await _three_deals(past)
    new = changed(
        qualification={
            "mode": "revert",
            "exit_criteria": asks(
                called={"activity": "call"}, asked={"property": "demo_result", "is": "set"}
            ),
        },
        development={"mode": "revert"},
    )
    found = await past.judged(new)
    unjudged = {row.criterion: set(row.unjudged) for row in found.new.criteria if row.unjudged}
    assert unjudged == {
        "called": {"activities are not mirrored"},
        "asked": {"deal property demo_result was never read"},
    }
    assert not any({"called", "asked"} & set(row.missing) for row in found.deals)


async def test_hubspot_is_asked_for_what_is_not_mirrored(past: Past, portal_client: Any) -> None:
    """Activities and histories read afresh, in bulk and without a write: then these are judged as they were, too."""
    portal_client.create_property(
        "deals", "demo_result", label="Demo", group="dealflow", type="string", field_type="text"
    )
    good, _, _ = await _three_deals(past)
    past.world.rep("deals", id=good, properties={"demo_result": "worked"})  # after its moves
    call = {"hs_timestamp": past.world.now().isoformat(), "hs_call_status": "COMPLETED"}
    on = [{"to_type": "deals", "to_id": good}]
    past.world.rep("calls", create=True, properties=call, associations=on)
    past.world.advance(60)
    await past.walk(good, "won")
    new = changed(
        qualification={"exit_criteria": asks(called={"activity": "call"})},
        closing={"exit_criteria": asks(asked={"property": "demo_result", "is": "set"})},
    )
    past.world.forget_calls()
    steps: list[tuple[int, int]] = []
    found = await past.judged(new, hubspot=past.s, progress=lambda done, of: steps.append((done, of)))
    calls = past.world.calls("hub", "/crm/")
    assert {c["path"].rpartition("/")[2] for c in calls} <= {"read"} and len(calls) <= 4
    assert steps == [(3, 3)]
    assert not any(row.unjudged for row in found.new.criteria)
    called, asked = (next(r for r in found.new.criteria if r.criterion == key) for key in ("called", "asked"))
    # Eleven moves ask for the call, two for the demo's result; one deal had both on its way to won.
    assert (called.part["flagged"], asked.part["flagged"]) == (10, 1)
    assert found.new.stages[-1].results["passed"] == 1


async def test_before_dealflow_was_there_nobody_filed(world: Any, sales: Any) -> None:
    """Deals from before the installation: documents and signatures are not judged, the rest by what is there today."""
    past = Past(world, sales)
    deal_id = await sales.deal("qualification", proposal=False)
    for stage in ("development", "presentation", "discussion"):
        world.advance(3600)
        await sales.move(deal_id, stage)
    world.advance(3600)
    await past.sync()
    found = await past.judged(changed())
    assert found.new.moves == 4 and found.deals == ()
    by_key = {row.criterion: row for row in found.new.criteria}
    assert by_key["proposal_on_file"].unjudged == {"it was before dealflow began to file and to send": 1}
    # Who was on the deal nobody knows; when it was filled in HubSpot remembers.
    assert by_key["buyer_known"].by_today == 4 and by_key["budget_named"].by_today == 0


def renamed(process: SalesProcess, prefix: str) -> SalesProcess:
    stages = tuple(
        s.model_copy(update={"label": prefix + s.label, "key": s.key if s.closed else prefix.lower() + s.key})
        for s in process.stages
    )
    return process.model_copy(update={"stages": stages})


async def test_stages_that_do_not_match_are_reported(past: Past) -> None:
    """Nothing to judge by: one clear line each, which says what to do."""
    empty = Plan(Named("NEW", past.s.process), Named("OLD", past.s.process), past.s.process)
    with pytest.raises(BacktestError, match="mirror holds no deals: run `dealflow sync --full`"):
        await backtest(empty, past.s.ledger)
    await _three_deals(past)
    strange = replace(empty, new=Named("NEW", renamed(past.s.process, "X")))
    with pytest.raises(BacktestError, match=r"stages of NEW are not those .* Prospecting, .* hubspot_stage"):
        await backtest(strange, past.s.ledger)
    with pytest.raises(
        BacktestError, match="no deal in the mirror moved forward through a gate of NEW since"
    ):
        await backtest(replace(empty, since=past.world.now()), past.s.ledger)


async def test_stages_found_otherwise_are_noted(past: Past) -> None:
    """A stage by its key alone, a stage that HubSpot lacks, another pipeline: judged, and reported."""
    await _three_deals(past)
    content = changed(development={"label": "Design"})
    new_stage = {**content["stages"][2], "key": "trial", "label": "Trial", "exit_criteria": []}
    content = {
        **content,
        "pipeline": "Other",
        "stages": [*content["stages"][:3], new_stage, *content["stages"][3:]],
    }
    found = await past.judged(content)
    assert [note.partition(":")[2] for note in found.notes] == [
        " HubSpot has no stage Trial: nobody moved there, and what it asks for is asked later on",
        " HubSpot does not know Design by that name: taken for the stage with its key",
        " judged on deals of Dealflow sales process",
    ]
    assert found.new.moves == found.old.moves


async def test_the_command(
    past: Past, settings: Any, tmp_path: Path, run_dealflow: Callable[..., Any]
) -> None:
    """On the ledger that the syncs have filled: text, JSON, --against, --since; with nothing to judge exit code 1."""
    _, late, _ = await _three_deals(past)
    where = {"DEALFLOW_HOME": str(settings.home)}
    file = tmp_path / "new.yaml"
    file.write_text(yaml.safe_dump(changed(development={"mode": "revert"})))

    done = run_dealflow("process", "backtest", str(file), **where)
    assert done.returncode == 0, done.stderr
    last = done.stdout.strip().splitlines()[-1]
    assert last.startswith(f"{file} would have stopped 2 of 3 deals; 1 of those were won")
    assert "(the process in force: flagged 2)" in last and late in done.stdout

    done = run_dealflow(
        "process", "backtest", str(SHIPPED), "--against", str(file), "--json", "--limit", "1", **where
    )
    found = json.loads(done.stdout)
    assert (found["old"]["name"], found["deals_listed_of"], len(found["deals"])) == (str(file), 2, 1)
    assert found["verdict"].endswith(f"({file}: stopped 2)")

    for arguments, says in (
        (["backtest", str(tmp_path / "none.yaml")], "cannot be read"),
        (["backtest", str(file), "--since", "2099-01-01"], "since 2099-01-01"),
    ):
        done = run_dealflow("process", *arguments, **where)
        assert done.returncode == 1 and says in done.stderr and done.stderr.count("\n") == 1
    done = run_dealflow("process", "backtest", str(file), DEALFLOW_HOME=str(tmp_path / "nothing"))
    assert done.returncode == 1 and "run `dealflow sync --full` first" in done.stderr
