"""What closed deals say about exit criteria, counted from the mirror."""

import hashlib
from pathlib import Path
from typing import Any

import config.settings
from config.files import read_yaml
from flows.ledger import contracts, documents, mirror
from flows.ledger.closed_deals import closed_deals
from flows.ledger.database import Ledger
from flows.ledger.history import ReadTimes
from flows.ledger.mirror import MirrorRow
from flows.rules.lint.lint import lint
from flows.rules.process.sales_process import SalesProcess, parse_process

SHIPPED = Path(config.settings.__file__).with_name("sales_process.yaml")


def process() -> SalesProcess:
    return parse_process(read_yaml(SHIPPED))


async def keep(ledger: Ledger, clock: Any, deals: dict[str, dict[str, str | None]], **more: Any) -> None:
    async with ledger.write() as tx:
        facts = {"stages": {key: f"id_{key}" for key in process().keys}}
        await mirror.keep_portal_facts(tx, facts, now=clock())
        rows = [MirrorRow("deals", i, props, clock(), **more) for i, props in deals.items()]
        await mirror.keep(tx, rows, now=clock())


async def test_closed_deals_are_counted(ledger: Ledger, clock: Any) -> None:
    """Won apart from lost; open and archived ones, and what the mirror cannot judge, are left out."""
    await keep(
        ledger,
        clock,
        {
            "1": {"dealstage": "id_won", "amount": "100"},
            "2": {"dealstage": "id_won", "amount": None},
            "3": {"dealstage": "id_lost", "amount": "0"},
            "4": {"dealstage": "id_closing", "amount": "100"},
            "5": {"dealstage": "of another pipeline", "amount": "100"},
        },
    )
    await keep(ledger, clock, {"6": {"dealstage": "id_won", "amount": "100"}}, archived=True)
    sha = hashlib.sha256(b"x").hexdigest()
    async with ledger.write() as tx:
        await mirror.keep_links(
            tx, "deals", "contacts", {"1": {"71": ["signer"]}, "3": {"72": []}}, reads=ReadTimes(clock())
        )
        await mirror.keep_links(tx, "deals", "companies", {"1": {"81": []}}, reads=ReadTimes(clock()))
        await mirror.keep_links(tx, "deals", "line_items", {"2": {"91": []}}, reads=ReadTimes(clock()))
        for deal_id, file_id in (("1", "f1"), ("2", None)):
            paper = await documents.freeze(
                tx,
                deal_id=deal_id,
                kind="proposal",
                source_sha256=sha,
                sha256=sha,
                title="t",
                content=b"x",
                now=clock(),
            )
            if file_id:
                await documents.note_file(tx, paper.id, file_id)
        for token, ending in (("t1", "declined"), ("t2", "completed")):
            made = await contracts.begin(
                tx, deal_id="1", token=token, paper_id=1, signers=[], test_mode=True, now=clock()
            )
            await contracts.end(tx, made.id, state=ending, now=clock(), reason=None)
    async with ledger.read() as tx:
        history = await closed_deals(tx, process())
    assert (history.won, history.lost) == (2, 1)
    # `dealflow_need` was not requested when these were mirrored: not measured, not "never met".
    assert history.met_won == {
        "buyer_reachable": 1,
        "buyer_known": 1,
        "budget_named": 1,
        "positions_agreed": 1,
        "proposal_on_file": 1,
        "signer_named": 1,
        "contract_signed": 1,
    }
    assert {key for key, met in history.met_lost.items() if met} == {"buyer_reachable"}


async def test_lint_reports_what_is_not_required(ledger: Ledger, clock: Any) -> None:
    """Won without a budget in four of ten deals: the criterion that needs one is reported."""
    await keep(
        ledger,
        clock,
        {str(i): {"dealstage": "id_won", "amount": "1" if i % 10 < 6 else ""} for i in range(600)},
    )
    async with ledger.write() as tx:
        everything = {str(i): {"7": ["signer"]} for i in range(600)}
        for kind in ("contacts", "companies", "line_items"):
            await mirror.keep_links(tx, "deals", kind, everything, reads=ReadTimes(clock()))
    async with ledger.read() as tx:
        history = await closed_deals(tx, process())
    told = {f.place: f.reason for f in lint(process(), history) if "present in 60%" in f.reason}
    assert told == {("stages", 1, "exit_criteria", 1): "present in 60% of 600 won deals: not Required"}


async def test_without_deals_nothing_is_said(ledger: Ledger, clock: Any) -> None:
    """An empty mirror, or a worker that has never run: no opinion."""
    async with ledger.read() as tx:
        assert lint(process(), await closed_deals(tx, process())) == ()
    await keep(ledger, clock, {})
    async with ledger.read() as tx:
        assert lint(process(), await closed_deals(tx, process())) == ()
