"""What took place on a deal as evidence: activities, call notes that are filled in, objections that are closed."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from flows.rules.criteria.counting import number_of
from flows.rules.criteria.deal_facts import Activity, DealFacts, Found, Objection, Proof
from flows.rules.criteria.evidence import ActivityEvidence, CallNotesEvidence, ObjectionsEvidence


def look_for_activities(wanted: ActivityEvidence, facts: DealFacts, stage: str) -> Found:
    """The activities that count, as far as they are needed."""
    found = counted(wanted, facts, stage)
    missing = f"at least {number_of(wanted.at_least, in_words(wanted.types))}"
    if wanted.since is not None:
        missing += f" since the deal entered {stage.replace('_', ' ')}" if stage else " since stage entry"
    elif wanted.within_days is not None:
        missing += f" within {number_of(wanted.within_days, 'day')}"
    missing += f", {len(found)} found"
    if len(found) < wanted.at_least:
        return Found("", missing)
    records = tuple(Proof(one.type, one.id, one.at) for one in found[: wanted.at_least])
    return Found(", ".join(f"{one.kind} {one.id}" for one in records), missing, records)


def look_for_call_notes(wanted: CallNotesEvidence, facts: DealFacts, stage: str) -> Found:
    """The newest that is filled in; else what is still empty in the newest one."""
    since = facts.entered.get(stage) if wanted.since is not None else None
    known = [
        one
        for one in facts.activities
        if one.form == wanted.call_notes
        and (since is not None or wanted.since is None)
        and (since is None or one.at >= since)
        and (facts.read_at is None or one.at <= facts.read_at)
    ]
    newest = sorted(known, key=lambda one: (not one.empty, one.at, one.id))[-1:]
    name = wanted.call_notes.replace("_", " ")
    missing = f"the call notes {name}, filled in, in a note or call"
    if wanted.since is not None:
        missing += f" since the deal entered {stage.replace('_', ' ')}" if stage else " since stage entry"
    for one in newest:
        if not one.empty:
            return Found(f"{one.type} {one.id}", missing, (Proof(one.type, one.id, one.at),))
        missing += f"; {one.type} {one.id} says nothing under {', '.join(one.empty)}"
    return Found("", missing)


def look_for_objections(wanted: ObjectionsEvidence, facts: DealFacts) -> Found:
    """The tasks that list objections, all of them closed."""
    still_open, closed = listed(facts)
    ids = ", ".join(one.id for one in still_open)
    missing = [f"{number_of(len(still_open), 'objection')} to be closed (task {ids})"] if still_open else []
    lacking = wanted.at_least - len(still_open) - len(closed)
    if lacking > 0:
        missing.append(f"{number_of(lacking, 'more objection')} to be listed as a task, and closed")
    if missing:
        return Found("", " and ".join(missing))
    records = tuple(Proof("task", one.id, one.closed_at) for one in closed)
    text = ", ".join(f"task {one.id}" for one in closed) or "no objection is listed"
    return Found(text, "", records)


def counted(wanted: ActivityEvidence, facts: DealFacts, stage: str) -> list[Activity]:
    """The activities that count towards this evidence, newest first; empty before the stage is entered."""
    since: datetime | None = None
    if wanted.since is not None:
        since = facts.entered.get(stage)
    elif wanted.within_days is not None and facts.read_at is not None:
        since = facts.read_at - timedelta(days=wanted.within_days)
    if since is None and (wanted.since is not None or wanted.within_days is not None):
        return []
    types = wanted.types
    found = [
        activity
        for activity in facts.activities
        if activity.type in types
        and (since is None or activity.at >= since)
        and (facts.read_at is None or activity.at <= facts.read_at)
    ]
    return sorted(found, key=lambda activity: (activity.at, activity.id), reverse=True)


def listed(facts: DealFacts) -> tuple[list[Objection], list[Objection]]:
    """The objections that were open when the deal was read, and those that were closed, by id."""
    known = [one for one in facts.objections if facts.read_at is None or one.listed_at <= facts.read_at]
    closed = [
        one
        for one in known
        if one.closed_at is not None and (facts.read_at is None or one.closed_at <= facts.read_at)
    ]
    return sorted(one for one in known if one not in closed), sorted(closed)


def in_words(types: Sequence[str]) -> str:
    """Several activity types as one noun."""
    return "activity record" if len(types) > 4 else " or ".join(types)
