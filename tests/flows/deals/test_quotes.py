"""Quotes on deals against the stand-in: read only where a criterion asks for them, accepted as HubSpot reports it."""

from typing import Any

import pytest

from connectors.hubspot.records import Record
from flows.deals.quotes import _accepted, read_quotes
from flows.deals.read import read_deal, read_deals
from flows.rules.criteria.deal_facts import Quote
from flows.rules.criteria.kinds.base import LeafEvidence


class _NeedsQuotes(LeafEvidence):
    """A kind of evidence that asks HubSpot for quotes."""

    quotes: str

    def objects(self) -> tuple[str, ...]:
        """As a kind states it."""
        return ("quotes",)


def quote(world: Any, deal_id: str, **properties: str) -> str:
    """A quote on the deal."""
    values = {"hs_title": "Contract desk", "hs_expiration_date": "2030-01-31", **properties}
    link = {"to_type": "deals", "to_id": deal_id}
    ident: str = world.rep("quotes", create=True, properties=values, associations=[link])["id"]
    return ident


def ask_for_quotes(s: Any) -> None:
    """The first criterion of the process in force asks for quotes."""
    first, *others = s.process.stages
    gate = (first.exit_criteria[0].model_copy(update={"evidence": _NeedsQuotes(quotes="any")}),)
    first = first.model_copy(update={"exit_criteria": gate})
    s.process = s.process.model_copy(update={"stages": (first, *others)})


async def test_quotes_are_read_in_two_calls_where_a_criterion_asks_for_them(
    world: Any, s: Any, sales: Any
) -> None:
    """For all deals together, and not where nothing is judged; without such a criterion there is no call."""
    deal_id = await sales.deal("qualification")
    other = await sales.deal("qualification", contact={"email": "g@buyer.example"})
    draft, accepted = (quote(world, deal_id, hs_status=status) for status in ("DRAFT", "ACCEPTED"))
    world.forget_calls()
    file = await read_deal(s, deal_id)
    assert file is not None and file.quotes == ()
    assert not world.calls("hub", "quotes")

    ask_for_quotes(s)
    world.forget_calls()
    files = await read_deals(s, [deal_id, other])
    assert files[deal_id].quotes == (Quote(draft, False), Quote(accepted, True))
    assert files[deal_id].facts().quotes == files[deal_id].quotes
    assert files[other].quotes == ()
    assert len(world.calls("hub", "quotes")) == 2
    world.forget_calls()
    assert (await read_deals(s, [deal_id], activities=False))[deal_id].quotes == ()
    assert await read_quotes(s, []) == {}
    assert not world.calls("hub", "quotes")


SIGNED = {"hs_esign_enabled": "true", "hs_esign_num_signers_required": "2"}


@pytest.mark.parametrize(
    ("properties", "accepted"),
    [
        ({"hs_status": "ACCEPTED"}, True),
        ({"hs_status": "APPROVED"}, False),
        ({"hs_status": "DRAFT"}, False),
        ({}, False),
        ({"hs_status": "APPROVED", **SIGNED, "hs_esign_num_signers_completed": "2"}, True),
        ({"hs_status": "APPROVAL_NOT_NEEDED", **SIGNED, "hs_esign_num_signers_completed": "2.0"}, True),
        ({"hs_status": "APPROVED", **SIGNED, "hs_esign_num_signers_completed": "1"}, False),
        ({"hs_status": "APPROVED", **SIGNED}, False),
        ({"hs_status": "DRAFT", **SIGNED, "hs_esign_num_signers_completed": "2"}, False),
        ({"hs_status": "APPROVED", "hs_esign_enabled": "true"}, False),
        ({"hs_status": "APPROVED", **SIGNED, "hs_esign_num_signers_completed": "all"}, False),
        (
            {
                "hs_status": "APPROVED",
                "hs_esign_num_signers_required": "1",
                "hs_esign_num_signers_completed": "1",
            },
            False,
        ),
    ],
)
def test_when_a_quote_counts_as_accepted(properties: dict[str, str], accepted: bool) -> None:
    """HubSpot reports it, or everybody has signed a published quote; drafts and approvals are ours, not the buyer's."""
    assert _accepted(Record("7", properties)) is accepted
