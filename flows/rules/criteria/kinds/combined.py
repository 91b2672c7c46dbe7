"""Evidence made of other evidence: one of several is enough, or each of several is needed."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from flows.rules.criteria.deal_facts import DealFacts, Found
from flows.rules.criteria.kinds.base import BaseEvidence, LeafEvidence
from flows.rules.criteria.weight import Weight, first

if TYPE_CHECKING:
    # pydantic gets the union of all kinds from ../evidence.py.
    from flows.rules.criteria.kinds.base import BaseEvidence as Evidence
    from flows.rules.process.sales_process import SalesProcess

_MOST_WAYS = 64


class _Combined(BaseEvidence):
    """What both kinds share."""

    combined = True

    def leaves(self) -> Iterator[LeafEvidence]:
        """Those of its parts."""
        return (leaf for part in self.parts() for leaf in part.leaves())

    def bounded(self) -> None:
        """Raises ValueError when there are too many ways to compare them all."""
        if self.count_ways() > _MOST_WAYS:
            raise ValueError(
                f"there are more than {_MOST_WAYS} ways to meet this: split it into several criteria"
            )

    def _texts(self, process: "SalesProcess", labels: Mapping[str, str]) -> str:
        texts = ((part.text(process, labels), part.combined) for part in self.parts())
        return "; ".join(f"({text})" if combined else text for text, combined in texts)


class AnyOf(_Combined):
    """One of these is enough."""

    any_of: Annotated[tuple["Evidence", ...], Field(min_length=2)]

    @model_validator(mode="after")
    def _few_ways(self) -> "AnyOf":
        self.bounded()
        return self

    def parts(self) -> tuple[BaseEvidence, ...]:
        """The alternatives."""
        return self.any_of

    def ways(self, owner: frozenset[str] | None) -> tuple[tuple[LeafEvidence, ...], ...]:
        """Those of each part."""
        return tuple(way for part in self.any_of for way in part.ways(owner))

    def count_ways(self) -> int:
        """Their sum."""
        return sum(part.count_ways() for part in self.any_of)

    def check(self, facts: DealFacts, stage: str) -> Found:
        """The first part that is met."""
        found = [part.check(facts, stage) for part in self.any_of]
        missing = "one of: " + "; or ".join(one.missing for one in found)
        met = next((one for one in found if one.text), None)
        return met._replace(missing=missing) if met else Found("", missing)

    def weigh(self, leaf: Callable[[LeafEvidence], Weight]) -> Weight:
        """What is sure counts before what is likely."""
        return first([part.weigh(leaf) for part in self.any_of], (True, None, False))

    def text(self, process: "SalesProcess", labels: Mapping[str, str]) -> str:
        """Each part in words."""
        return f"one of: {self._texts(process, labels)}"


class AllOf(_Combined):
    """Each of these is needed."""

    all_of: Annotated[tuple["Evidence", ...], Field(min_length=2)]

    @model_validator(mode="after")
    def _few_ways(self) -> "AllOf":
        self.bounded()
        return self

    def parts(self) -> tuple[BaseEvidence, ...]:
        """What is needed."""
        return self.all_of

    def ways(self, owner: frozenset[str] | None) -> tuple[tuple[LeafEvidence, ...], ...]:
        """One way of each part, in every combination."""
        product = itertools.product(*(part.ways(owner) for part in self.all_of))
        return tuple(tuple(itertools.chain.from_iterable(chosen)) for chosen in product)

    def count_ways(self) -> int:
        """Their product."""
        return math.prod(part.count_ways() for part in self.all_of)

    def required(self) -> Iterator[BaseEvidence]:
        """Itself, and each part."""
        yield self
        for part in self.all_of:
            yield from part.required()

    def check(self, facts: DealFacts, stage: str) -> Found:
        """All records, when every part is met."""
        found = [part.check(facts, stage) for part in self.all_of]
        records = tuple(record for one in found for record in one.records)
        text = ", ".join(one.text for one in found) if all(one.text for one in found) else ""
        return Found(text, " and ".join(one.missing for one in found if not one.text), records)

    def weigh(self, leaf: Callable[[LeafEvidence], Weight]) -> Weight:
        """What is sure counts before what is likely."""
        return first([part.weigh(leaf) for part in self.all_of], (False, None, True))

    def text(self, process: "SalesProcess", labels: Mapping[str, str]) -> str:
        """Each part in words."""
        return f"all of: {self._texts(process, labels)}"
