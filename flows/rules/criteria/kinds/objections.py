"""Objections of the buyer, listed as tasks, all of them closed."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from flows.rules.criteria.counting import number_of
from flows.rules.criteria.deal_facts import ActivityType, DealFacts, Found, Objection, Proof
from flows.rules.criteria.kinds.activities import OfActivities
from flows.rules.criteria.kinds.base import BaseEvidence

if TYPE_CHECKING:
    from flows.rules.process.sales_process import SalesProcess

SUBJECT = "hs_task_subject"
"""HubSpot's property of a task that says whether it lists an objection."""


class ObjectionsEvidence(OfActivities):
    """Objections are tasks whose subject begins with `objection_prefix`: every one on the deal is completed, and at
    least so many were listed.
    """

    objections: Literal["closed"]
    at_least: Annotated[int, Field(ge=0, le=20)] = 0

    kept_by_us = True

    def activities(self) -> Mapping[ActivityType, tuple[str, ...]]:
        """Tasks with their subject."""
        return {"task": (SUBJECT,)}

    def check(self, facts: DealFacts, stage: str) -> Found:
        """The tasks that list objections, when all of them are closed."""
        still_open, closed = _listed(facts)
        ids = ", ".join(one.id for one in still_open)
        missing = (
            [f"{number_of(len(still_open), 'objection')} to be closed (task {ids})"] if still_open else []
        )
        lacking = self.at_least - len(still_open) - len(closed)
        if lacking > 0:
            missing.append(f"{number_of(lacking, 'more objection')} to be listed as a task, and closed")
        if missing:
            return Found("", " and ".join(missing))
        records = tuple(Proof("task", one.id, one.closed_at) for one in closed)
        text = ", ".join(f"task {one.id}" for one in closed) or "no objection is listed"
        return Found(text, "", records)

    def closing(self, facts: DealFacts) -> Mapping[str, int]:
        """Objections that are open, and new ones to be listed first."""
        still_open, closed = _listed(facts)
        return {"open": len(still_open), "new": max(0, self.at_least - len(still_open) - len(closed))}

    def text(self, process: "SalesProcess", labels: Mapping[str, str]) -> str:
        """What to look for."""
        least = self.at_least
        count = (
            "" if not least else "; there is at least one" if least == 1 else f"; there are at least {least}"
        )
        return f"every task whose subject begins with “{process.objection_prefix}” is finished{count}"

    def not_by_worker(self) -> str:
        """People do."""
        return "closes no objections"

    def covers(self, other: BaseEvidence) -> bool:
        """More objections include fewer."""
        return isinstance(other, ObjectionsEvidence) and self.at_least >= other.at_least


def _listed(facts: DealFacts) -> tuple[list[Objection], list[Objection]]:
    """The objections that were open when the deal was read, and those that were closed, by id."""
    known = [one for one in facts.objections if facts.read_at is None or one.listed_at <= facts.read_at]
    closed = [
        one
        for one in known
        if one.closed_at is not None and (facts.read_at is None or one.closed_at <= facts.read_at)
    ]
    return sorted(one for one in known if one not in closed), sorted(closed)
