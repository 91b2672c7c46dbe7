"""Line items on the deal."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from flows.rules.criteria.counting import number_of
from flows.rules.criteria.deal_facts import DealFacts, Found
from flows.rules.criteria.kinds.base import BaseEvidence, LeafEvidence
from flows.rules.criteria.kinds.phrases import several
from flows.rules.criteria.need import Need, Wanted

if TYPE_CHECKING:
    from flows.rules.process.sales_process import SalesProcess


class LineItemEvidence(LeafEvidence):
    """At least so many line items are on the deal."""

    line_items: Annotated[int, Field(ge=1)]

    kept_by_us = True

    def check(self, facts: DealFacts, stage: str) -> Found:
        """As many as are needed."""
        return several("line_item", facts.line_items, self.line_items)

    def fewest(self, wanted: Sequence[Wanted], facts: DealFacts) -> tuple[Need, ...]:
        """What lacks to the most that is asked for."""
        served = tuple(one.leaf for one in wanted)
        most = max(leaf.line_items for leaf in served if isinstance(leaf, LineItemEvidence))
        count = most - len(facts.line_items)
        return (
            Need(
                "line_item", "any", f"{number_of(count, 'more line item')} on the deal", served, count=count
            ),
        )

    def mirrored(self, properties: Collection[str]) -> bool:
        """Line items are mirrored."""
        return True

    def text(self, process: "SalesProcess", labels: Mapping[str, str]) -> str:
        """What to look for."""
        if self.line_items == 1:
            return "a line item on the deal"
        return f"at least {self.line_items} line items on the deal"

    def not_by_worker(self) -> str:
        """People enter what is sold."""
        return "writes no line items"

    def covers(self, other: BaseEvidence) -> bool:
        """More line items include fewer."""
        return isinstance(other, LineItemEvidence) and self.line_items >= other.line_items
