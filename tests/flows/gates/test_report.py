"""Deals without proof as Markdown and as rows that are kept; the flow itself is tried with a real Prefect server in
tests/acceptance/test_explain_deals.py.
"""

import json
from dataclasses import replace
from typing import Any

import pytest

from flows.gates import report as explain_report
from flows.gates.explain import ExplainError, explain_deal, explain_each, unproven
from flows.gates.report import KEY, deal_markdown, list_markdown, report, report_of
from flows.ledger import reports
from flows.services import utc_now


def _buyer(number: int) -> dict[str, str]:
    return {"firstname": "Ada", "lastname": "Byron", "email": f"ada{number}@engines.example"}


async def test_the_list_in_markdown(world: Any, s: Any, sales: Any) -> None:
    """By stage: deal with its link, what is not proven, the smallest set and who can provide it; no names."""
    bare = await sales.deal("closing", labels=())
    early = await sales.deal("development", contact=_buyer(1), dealflow_need="")
    done = report(await unproven(s))

    text = list_markdown(done, s.process, utc_now())

    assert text.startswith("**2 deals** without proof: ") and "UTC." in text
    assert text.index("## Development: 1") < text.index("## Closing: 1")
    signer = (
        "The buyer has named the person who signs | a contact labelled as signer on the deal | sales rep |"
    )
    assert f"[{bare}]({s.deal_url(bare)})" in text and signer in text
    assert f"[{early}]" in text and "dealflow\\_need to be set | sales rep |" in text
    assert "Ada" not in text and "engines.example" not in text


async def test_what_is_kept_is_what_was_found(world: Any, s: Any, sales: Any) -> None:
    """The rows survive the ledger's JSON; only ids, keys and addresses are in them."""
    await sales.deal("closing", labels=())
    done = report(await unproven(s))
    async with s.ledger.write() as tx:
        await reports.keep(tx, KEY, done.as_json(), now=utc_now())
    async with s.ledger.read() as tx:
        kept = await reports.last(tx, KEY)
    assert kept is not None and report_of(kept[0]) == done and done.total == 1
    assert "Ada" not in json.dumps(kept[0])


async def test_nothing_to_list(world: Any, s: Any) -> None:
    """Reported in a sentence."""
    text = list_markdown(report(await unproven(s)), s.process, utc_now())
    assert text.startswith("Every deal has the proof for its stage. Read ")


async def test_a_long_list_is_cut_and_says_so(world: Any, s: Any, sales: Any) -> None:
    """How many more there are, and the command that lists all."""
    for number in range(3):
        await sales.deal("closing", contact=_buyer(number), labels=())
    found = await unproven(s)
    whole = report([one for one in found for _ in range(explain_report.MOST_ROWS)])
    assert (whole.total, len(whole.rows)) == (3 * explain_report.MOST_ROWS, explain_report.MOST_ROWS)
    text = list_markdown(whole, s.process, utc_now())
    assert text.endswith("And 1000 more: `dealflow explain --unproven` lists them all.")


async def test_a_stage_that_is_gone_from_the_process_is_listed_last(world: Any, s: Any, sales: Any) -> None:
    """A kept list may be older than the process file: nothing is lost, keys replace missing labels."""
    await sales.deal("closing", labels=())
    row = report(await unproven(s)).rows[0]
    gone = replace(row, stage="old", criteria=("was_asked",))
    text = list_markdown(explain_report.Report(2, (gone, row)), s.process, utc_now())
    assert text.index("## Closing") < text.index("## old") < text.index("was\\_asked")


async def test_one_deal_in_markdown(world: Any, s: Any, sales: Any) -> None:
    """Its stage, what opens the gate and who provides it, each criterion with its record's address and moment."""
    deal_id = await sales.deal("discussion", labels=())

    text = deal_markdown(await explain_deal(s, deal_id), s.process)

    assert (
        f"Deal [{deal_id}]({s.deal_url(deal_id)}) is in **Discussion**. The gate to **Closing** is **shut**"
        in text
    )
    assert "## It opens with 1 fact" in text
    assert "| a contact labelled as signer on the deal | sales rep | signer\\_named |" in text
    contact = sales.contact_of(deal_id)
    assert f"[contact {contact}](" in text and "| **not met** | The buyer has named" in text
    assert "Ada" not in text and "24000" not in text
    open_ = deal_markdown(await explain_deal(s, deal_id, "qualification"), s.process)
    assert "**open**" in open_ and "It opens with" not in open_


async def test_several_deals_are_read_in_bulk(world: Any, s: Any, sales: Any) -> None:
    """One batch read for all; those that cannot be explained are named, the others are explained."""
    ids = [await sales.deal("discussion", contact=_buyer(number)) for number in range(3)]
    world.forget_calls()
    found, not_found = await explain_each(s, [*ids, ids[0], "999999", "x"])
    assert [one.explanation.deal_id for one in found] == ids
    assert not_found == ["HubSpot has no deal 999999", "HubSpot has no deal x"]
    assert len(world.calls("hub", "/crm/objects/2026-03/deals/batch/read")) == 1
    with pytest.raises(ExplainError, match="there is no stage"):
        await explain_each(s, ids, "nowhere")
