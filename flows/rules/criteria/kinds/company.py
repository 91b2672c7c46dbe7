"""A company on the deal."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Literal

from flows.rules.criteria.deal_facts import DealFacts, Found
from flows.rules.criteria.kinds.base import LeafEvidence
from flows.rules.criteria.kinds.phrases import first_of

if TYPE_CHECKING:
    from flows.rules.process.sales_process import SalesProcess


class CompanyEvidence(LeafEvidence):
    """A company is on the deal."""

    company: Literal["any"]

    def check(self, facts: DealFacts, stage: str) -> Found:
        """The first company."""
        return first_of("company", sorted(facts.companies), "a company on the deal")

    def mirrored(self, properties: Collection[str]) -> bool:
        """Companies are mirrored."""
        return True

    def text(self, process: "SalesProcess", labels: Mapping[str, str]) -> str:
        """What to look for."""
        return "a company on the deal"
