"""Activities on the deal: calls, e-mails, meetings, notes, finished tasks."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from flows.rules.criteria.counting import number_of
from flows.rules.criteria.deal_facts import ACTIVITY_TYPES, Activity, ActivityType, DealFacts, Found, Proof
from flows.rules.criteria.kinds.activities import OfActivities, in_words, since_entry

if TYPE_CHECKING:
    from flows.rules.process.sales_process import SalesProcess

_SHOWN = {"call": "call", "email": "e-mail", "meeting": "meeting", "note": "note", "task": "finished task"}


class ActivityEvidence(OfActivities):
    """At least so many activities of one of these types: ever, since the deal entered the criterion's stage, or
    within the last days.

    What counts has taken place: no open tasks, no meetings or calls that came to nothing, none of our own notes.
    """

    activity: Literal["any"] | ActivityType | Annotated[tuple[ActivityType, ...], Field(min_length=1)]
    at_least: Annotated[int, Field(ge=1, le=20)] = 1
    since: Literal["stage_entry"] | None = None
    within_days: Annotated[int, Field(ge=1, le=3650)] | None = None

    @model_validator(mode="after")
    def _one_beginning(self) -> "ActivityEvidence":
        if self.since is not None and self.within_days is not None:
            raise ValueError("give since: stage_entry or within_days, not both")
        return self

    @property
    def types(self) -> tuple[ActivityType, ...]:
        """The types that count, without repeats."""
        if self.activity == "any":
            return ACTIVITY_TYPES
        given = (self.activity,) if isinstance(self.activity, str) else self.activity
        return tuple(kind for kind in ACTIVITY_TYPES if kind in given)

    def activities(self) -> Mapping[ActivityType, tuple[str, ...]]:
        """Those types; their time and state are enough."""
        return dict.fromkeys(self.types, ())

    def from_entry(self) -> bool:
        """With `since: stage_entry`."""
        return self.since is not None

    def check(self, facts: DealFacts, stage: str) -> Found:
        """The newest activities that count, as far as they are needed."""
        found = self._counted(facts, stage)
        missing = f"at least {number_of(self.at_least, in_words(self.types))}"
        if self.since is not None:
            missing += since_entry(stage)
        elif self.within_days is not None:
            missing += f" within {number_of(self.within_days, 'day')}"
        missing += f", {len(found)} found"
        if len(found) < self.at_least:
            return Found("", missing)
        records = tuple(Proof(one.type, one.id, one.at) for one in found[: self.at_least])
        return Found(", ".join(f"{one.kind} {one.id}" for one in records), missing, records)

    def counts(self) -> tuple[ActivityType, ...]:
        """Any of its types."""
        return self.types

    def lacking(self, facts: DealFacts, stage: str) -> int:
        """How many more are needed."""
        return max(0, self.at_least - len(self._counted(facts, stage)))

    def _counted(self, facts: DealFacts, stage: str) -> list[Activity]:
        """The activities that count, newest first; none before the stage is entered."""
        since: datetime | None = None
        if self.since is not None:
            since = facts.entered.get(stage)
        elif self.within_days is not None and facts.read_at is not None:
            since = facts.read_at - timedelta(days=self.within_days)
        if since is None and (self.since is not None or self.within_days is not None):
            return []
        types = self.types
        found = [
            activity
            for activity in facts.activities
            if activity.type in types
            and (since is None or activity.at >= since)
            and (facts.read_at is None or activity.at <= facts.read_at)
        ]
        return sorted(found, key=lambda activity: (activity.at, activity.id), reverse=True)

    def text(self, process: "SalesProcess", labels: Mapping[str, str]) -> str:
        """How many of what, since when."""
        one = self.at_least == 1
        names = [_SHOWN[kind] + ("" if one else "s") for kind in self.types]
        what = "activity of any kind" if one else "activities of any kind"
        if self.activity != "any":
            what = " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
        count = "at least one" if one else f"at least {self.at_least}"
        when = ""
        if self.since is not None:
            when = " since the deal came into this stage"
        elif self.within_days is not None:
            when = f" in the last {number_of(self.within_days, 'day').removeprefix('1 ')}"
        return f"{count} {what}{when}"
