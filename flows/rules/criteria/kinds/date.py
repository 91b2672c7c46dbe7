"""A deal property that is a day, and when that day must be."""

from collections.abc import Iterator, Mapping
from datetime import UTC, timedelta
from datetime import date as day
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from flows.rules.criteria.counting import number_of
from flows.rules.criteria.deal_facts import DealFacts, Found, Proof
from flows.rules.criteria.kinds.base import BaseEvidence, Held, Misfit
from flows.rules.criteria.kinds.phrases import property_text
from flows.rules.criteria.kinds.properties import OfProperties, day_of
from flows.rules.criteria.kinds.property import PropertyEvidence

if TYPE_CHECKING:
    from flows.rules.process.sales_process import SalesProcess


class DateEvidence(OfProperties):
    """A deal property is a day: from today to `within_days` ahead, today or later (`not_past`), or later than the day
    in another deal property (`after`). Days are UTC.
    """

    date: Annotated[str, Field(min_length=1)]
    within_days: Annotated[int, Field(ge=0, le=3650)] | None = None
    not_past: Literal[True] | None = None
    after: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_test(self) -> "DateEvidence":
        given = [self.within_days, self.not_past, self.after]
        if sum(value is not None for value in given) != 1:
            raise ValueError("give exactly one of: within_days, not_past: true, after")
        if self.after == self.date:
            raise ValueError("after: a day is never later than itself; name another deal property")
        return self

    def properties(self) -> tuple[str, ...]:
        """The day, and the one it is compared with."""
        return (self.date, self.after) if self.after else (self.date,)

    def days(self, today: day) -> tuple[day, ...]:
        """The last day that it allows."""
        return () if self.within_days is None else (today + timedelta(days=self.within_days),)

    def check(self, facts: DealFacts, stage: str) -> Found:
        """The deal, when its day passes."""
        name, found = self.date, day_of(facts.properties.get(self.date))
        today = facts.read_at.astimezone(UTC).date() if facts.read_at else None
        if self.after is not None:
            other = day_of(facts.properties.get(self.after))
            met = found is not None and other is not None and found > other
            missing = f"deal property {name} to be a day after deal property {self.after}"
        elif self.within_days is not None:
            met = found is not None and today is not None and 0 <= (found - today).days <= self.within_days
            missing = (
                f"deal property {name} to be a day within {number_of(self.within_days, 'day')} from today"
            )
        else:
            met = found is not None and today is not None and found >= today
            missing = f"deal property {name} to be today or a later day"
        return Found(f"deal property {name}" if met else "", missing, (Proof("deal", facts.deal_id),))

    def misfits(self, held: Held) -> Iterator[Misfit]:
        """A property that holds no days."""
        if held.type not in ("date", "datetime"):
            yield Misfit(f"treats deal property {held.name} as a date, but it holds {held.type} values")

    def text(self, process: "SalesProcess", labels: Mapping[str, str]) -> str:
        """The property and when."""
        return f"{property_text(self.date, labels)} {self._when(labels)}"

    def _when(self, labels: Mapping[str, str]) -> str:
        if self.after is not None:
            return f"is a later day than {property_text(self.after, labels)}"
        if self.within_days is not None:
            within = f"is today or within the next {number_of(self.within_days, 'day')}"
            return within if self.within_days else "is today"
        return "is today or later"

    def covers(self, other: BaseEvidence) -> bool:
        """A property that is a day is set."""
        return isinstance(other, PropertyEvidence) and other.is_ == "set" and other.property == self.date
