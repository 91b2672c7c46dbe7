"""A plan made with the buyer: every field of it is filled in."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from pydantic import PrivateAttr

from flows.rules.criteria.deal_facts import DealFacts, Found, Proof
from flows.rules.criteria.kinds.base import BaseEvidence, LeafEvidence
from flows.rules.criteria.kinds.phrases import no_such
from flows.rules.criteria.weight import Weight, first

if TYPE_CHECKING:
    from flows.rules.process.sales_process import SalesProcess


class PlanEvidence(BaseEvidence):
    """Every field of this plan from `plans` is filled in; asked only of deals whose owner uses the plan."""

    plan: str
    _fields: tuple[LeafEvidence, ...] = PrivateAttr(default=())
    _used_by: frozenset[str] = PrivateAttr(default=frozenset())

    kept_by_us = True

    def unknown_name(self, process: "SalesProcess") -> tuple[str, str] | None:
        """The plan must be one of the file's."""
        return no_such("plan", "plan in plans", self.plan, list(process.plans))

    def bind(self, process: "SalesProcess") -> None:
        """Learn what the plan asks for and of whom."""
        plan = process.plans[self.plan]
        self._fields = plan.evidence
        self._used_by = frozenset(name.casefold() for name in plan.used_by)

    @property
    def fields(self) -> tuple[LeafEvidence, ...]:
        """What its fields ask for, one each."""
        return self._fields

    @property
    def for_some(self) -> bool:
        """Whether only some owners use it."""
        return bool(self._used_by)

    def asked_of(self, owner: frozenset[str] | None) -> bool:
        """Whether it is asked of a deal whose owner goes by these names (see DealFacts); None: not known, so it is."""
        return not self._used_by or owner is None or not self._used_by.isdisjoint(owner)

    def leaves(self) -> Iterator[LeafEvidence]:
        """Its fields."""
        yield from self._fields

    def ways(self, owner: frozenset[str] | None) -> tuple[tuple[LeafEvidence, ...], ...]:
        """All fields, where it is asked of this owner; else nothing."""
        return (self._fields if self.asked_of(owner) else (),)

    def check(self, facts: DealFacts, stage: str) -> Found:
        """The deal, when every field is filled in."""
        name, proof = f"plan {self.plan.replace('_', ' ')}", (Proof("deal", facts.deal_id),)
        if not self.asked_of(facts.owner):
            return Found(f"the {name} is not asked of this owner's deals", "", proof)
        lacking = [found.missing for one in self._fields if not (found := one.check(facts, stage)).text]
        missing = f"{name}: {' and '.join(lacking)}"
        return Found("" if lacking else f"the {name} on the deal", missing, proof)

    def weigh(self, leaf: Callable[[LeafEvidence], Weight]) -> Weight:
        """All fields; but where some are missing and only some make the plan, nobody knows whether it was asked."""
        found = first([one.weigh(leaf) for one in self._fields], (False, None, True))
        if self.for_some and not found.met:
            why = f"who owned the deal then, and so whether the plan {self.plan} was asked, is not known"
            return Weight(None, why=why)
        return found

    def text(self, process: "SalesProcess", labels: Mapping[str, str]) -> str:
        """What to look for."""
        return f"the {process.plans[self.plan].label}, every field filled in"

    def not_by_worker(self) -> str:
        """People make them."""
        return "makes no plans with the buyer"

    def covers(self, other: BaseEvidence) -> bool:
        """What one of its fields includes, where everybody makes the plan."""
        return not self.for_some and any(field.implies(other) for field in self._fields)

    def covered_by(self, given: BaseEvidence) -> bool:
        """Whether the other evidence includes every field."""
        return all(given.implies(field) for field in self._fields)
