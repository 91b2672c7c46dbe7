"""Call notes on a form of the process file, filled in."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from flows.rules.criteria.deal_facts import ActivityType, DealFacts, Found, Proof
from flows.rules.criteria.kinds.activities import FORMS, OfActivities, since_entry
from flows.rules.criteria.kinds.activity import ActivityEvidence
from flows.rules.criteria.kinds.base import BaseEvidence
from flows.rules.criteria.kinds.phrases import no_such

if TYPE_CHECKING:
    from flows.rules.process.sales_process import SalesProcess

BODIES: Mapping[ActivityType, str] = {"note": "hs_note_body", "call": "hs_call_body"}
"""Where call notes are looked for: HubSpot's properties of the text of a note and of a call."""


class CallNotesEvidence(OfActivities):
    """A note or call carries this form from `call_notes`, every heading filled in: ever, or since the deal entered the
    criterion's stage. A note or call carries one form.
    """

    call_notes: str
    since: Literal["stage_entry"] | None = None

    kept_by_us = True

    def unknown_name(self, process: "SalesProcess") -> tuple[str, str] | None:
        """The form must be one of the file's."""
        return no_such("call_notes", "form in call_notes", self.call_notes, list(process.call_notes))

    def activities(self) -> Mapping[ActivityType, tuple[str, ...]]:
        """Notes and calls with their text."""
        return {kind: (body,) for kind, body in BODIES.items()}

    def from_entry(self) -> bool:
        """With `since: stage_entry`."""
        return self.since is not None

    def check(self, facts: DealFacts, stage: str) -> Found:
        """The newest that is filled in; else what is still empty in the newest one."""
        since = facts.entered.get(stage) if self.since is not None else None
        known = [
            one
            for one in facts.activities
            if one.form == self.call_notes
            and (since is not None or self.since is None)
            and (since is None or one.at >= since)
            and (facts.read_at is None or one.at <= facts.read_at)
        ]
        newest = sorted(known, key=lambda one: (not one.empty, one.at, one.id))[-1:]
        name = self.call_notes.replace("_", " ")
        missing = f"the call notes {name}, filled in, in a note or call"
        if self.since is not None:
            missing += since_entry(stage)
        for one in newest:
            if not one.empty:
                return Found(f"{one.type} {one.id}", missing, (Proof(one.type, one.id, one.at),))
            missing += f"; {one.type} {one.id} says nothing under {', '.join(one.empty)}"
        return Found("", missing)

    def form(self, facts: DealFacts, stage: str) -> str:
        """The form, until it is found filled in."""
        return "" if self.check(facts, stage).text else self.call_notes

    def text(self, process: "SalesProcess", labels: Mapping[str, str]) -> str:
        """What to look for."""
        when = " since the deal came into this stage" if self.since else ""
        name = self.call_notes.replace("_", " ")
        return f"a note or call{when} with the call notes {name}, every heading filled in"

    def not_by_worker(self) -> str:
        """People write them."""
        return "takes no call notes"

    def covers(self, other: BaseEvidence) -> bool:
        """The same form at any time; a note or call at all."""
        if isinstance(other, CallNotesEvidence):
            return other.since is None and other.call_notes == self.call_notes
        return (
            isinstance(other, ActivityEvidence)
            and other.at_least == 1
            and other.within_days is None
            and set(FORMS) <= set(other.types)
            and other.since in {None, self.since}
        )
