"""`{quote: accepted}` from the process file to the gate, against the stand-in over HTTP."""

from pathlib import Path
from typing import Any

import config.settings
from config.files import read_yaml
from flows.contracts import send_contract
from flows.gates.explain import explain_deal
from flows.rules.process.sales_process import parse_process

SHIPPED = Path(config.settings.__file__).with_name("sales_process.yaml")


def use(s: Any) -> None:
    """The shipped process, with an accepted quote in place of the proposal."""
    raw: Any = read_yaml(SHIPPED)
    criteria = (c for stage in raw["stages"] for c in stage.get("exit_criteria", ()))
    (proposal,) = (c for c in criteria if c["key"] == "proposal_on_file")
    proposal |= {"says": "The buyer has accepted our quote", "supplied_by": "buyer"}
    proposal["evidence"] = {"quote": "accepted"}
    s.process, s._portal = parse_process(raw), None


def quote(world: Any, deal_id: str, status: str) -> str:
    """A quote on the deal, as HubSpot's quote tool leaves it."""
    values = {"hs_title": "Contract desk", "hs_expiration_date": "2030-01-31", "hs_status": status}
    link = {"to_type": "deals", "to_id": deal_id}
    ident: str = world.rep("quotes", create=True, properties=values, associations=[link])["id"]
    return ident


async def test_an_accepted_quote_opens_the_gate_and_is_the_proof(world: Any, desk: Any, sales: Any) -> None:
    """Without it the contract is held and says so; once the buyer has accepted, the quote's id proves it."""
    use(desk.s)
    deal_id = await sales.deal("closing", proposal=False)
    ident = quote(world, deal_id, "APPROVED")

    held = await desk.do(send_contract, "contract.due", deal_id)
    assert held.state == "held"
    assert any(f"to be accepted by the buyer (not yet: {ident})" in reason for reason in held.reasons)
    shut = (await explain_deal(desk.s, deal_id, "closing")).as_json()
    assert not shut["open"]
    (fact,) = shut["smallest"]["facts"]
    assert (fact["kind"], fact["name"], fact["supplied_by"]) == ("quote", "accepted", ["buyer"])
    assert fact["criteria"] == ["proposal_on_file"]

    world.rep("quotes", id=ident, properties={"hs_status": "ACCEPTED"})
    told = (await explain_deal(desk.s, deal_id, "closing")).as_json()
    assert told["open"]
    (row,) = (row for row in told["criteria"] if row["criterion"] == "proposal_on_file")
    assert [(r["kind"], r["id"]) for r in row["records"]] == [("quote", ident)]
    assert row["proven_at"] == told["read_at"]
    sent = await desk.do(send_contract, "contract.due", deal_id)
    assert sent.state == "done"


async def test_another_deals_quote_proves_nothing(world: Any, s: Any, sales: Any) -> None:
    """Only quotes on the deal itself count."""
    use(s)
    deal_id = await sales.deal("discussion", proposal=False)
    other = await sales.deal("discussion", proposal=False, contact={"email": "g@buyer.example"})
    quote(world, other, "ACCEPTED")
    assert not (await explain_deal(s, deal_id, "closing")).explanation.open
    assert (await explain_deal(s, other, "closing")).explanation.open
