"""A quote on the deal that the buyer has accepted in HubSpot; flows/deals/quotes.py says when that is so, and why."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from flows.rules.criteria.deal_facts import DealFacts, Found
from flows.rules.criteria.kinds.base import LeafEvidence
from flows.rules.criteria.kinds.phrases import first_of

if TYPE_CHECKING:
    from flows.rules.process.sales_process import SalesProcess


class QuoteEvidence(LeafEvidence):
    """A HubSpot quote on the deal has been accepted by the buyer."""

    quote: Literal["accepted"]

    def objects(self) -> tuple[str, ...]:
        """Quotes, which are read only for this."""
        return ("quotes",)

    def check(self, facts: DealFacts, stage: str) -> Found:
        """The first accepted quote; else which quotes wait for the buyer."""
        waiting = ", ".join(one.id for one in facts.quotes)
        state = f"not yet: {waiting}" if waiting else "none is there"
        missing = f"a quote on the deal to be accepted by the buyer ({state})"
        return first_of("quote", [one.id for one in facts.quotes if one.accepted], missing)

    def text(self, process: "SalesProcess", labels: Mapping[str, str]) -> str:
        """What to look for."""
        return "a quote on the deal that the buyer has accepted"

    def not_by_worker(self) -> str:
        """The buyer does."""
        return "accepts no quotes"

    def shows_offer(self) -> bool:
        """A quote is an offer."""
        return True
