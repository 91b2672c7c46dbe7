"""Exit criteria against CRM evidence: facts in, verdicts out; each met criterion names the record that proves it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation

from flows.rules.criteria.activities import look_for_activities, look_for_call_notes, look_for_objections
from flows.rules.criteria.counting import number_of
from flows.rules.criteria.deal_facts import Activity as Activity
from flows.rules.criteria.deal_facts import DealFacts as DealFacts
from flows.rules.criteria.deal_facts import Found
from flows.rules.criteria.deal_facts import Objection as Objection
from flows.rules.criteria.deal_facts import Proof as Proof
from flows.rules.criteria.evidence import (
    ActivityEvidence,
    AllOf,
    AnyOf,
    CallNotesEvidence,
    CompanyEvidence,
    ContactEvidence,
    ContactsEvidence,
    DateEvidence,
    DocumentEvidence,
    Evidence,
    Leaf,
    LineItemEvidence,
    ObjectionsEvidence,
    PlanEvidence,
    PropertyEvidence,
    SignatureEvidence,
    leaves,
)
from flows.rules.process.sales_process import Criterion, SalesProcess


@dataclass(frozen=True)
class Verdict:
    """Whether one criterion is met. `proof` names the record, `missing` what would meet it.

    `records` are what `proof` names, as data; `proven_at` is when all of them were last seen to prove it: the
    record's own time where it has one (an activity, a document, a signature), else when the deal was read.
    """

    criterion: str
    says: str
    met: bool
    supplied_by: str
    proof: str = ""
    missing: str = ""
    records: tuple[Proof, ...] = ()
    proven_at: datetime | None = None
    stage: str = ""  # whose exit criterion it is


def judge(criteria: Iterable[Criterion], facts: DealFacts, stage: str | None = None) -> tuple[Verdict, ...]:
    """A verdict for each criterion, in order. `stage`: whose criteria they are; without it, the deal's own."""
    return tuple(_judge(criterion, facts, stage or facts.stage or "") for criterion in criteria)


def gate(process: SalesProcess, target: str, facts: DealFacts) -> tuple[Verdict, ...]:
    """Verdicts on everything a deal must have met to stand in the stage `target`."""
    return tuple(_judge(criterion, facts, stage) for stage, criterion in asked_before(process, target))


def asked_before(process: SalesProcess, target: str) -> tuple[tuple[str, Criterion], ...]:
    """The criteria in the way of the stage `target`, each with the key of its own stage."""
    own = {c.key: stage.key for stage in process.stages for c in stage.exit_criteria}
    return tuple((own[criterion.key], criterion) for criterion in process.gate_before(target))


def evidence_of(process: SalesProcess) -> tuple[Leaf, ...]:
    """All evidence that exit criteria of the process ask for, taken apart."""
    criteria = (c for stage in process.stages for c in stage.exit_criteria)
    return tuple(leaf for criterion in criteria for leaf in leaves(criterion.evidence))


def properties_of(process: SalesProcess) -> tuple[str, ...]:
    """The deal properties that exit criteria look at, without repeats."""
    names: list[str | None] = []
    for leaf in evidence_of(process):
        if isinstance(leaf, PropertyEvidence):
            names.append(leaf.property)
        elif isinstance(leaf, DateEvidence):
            names += [leaf.date, leaf.after]
    return tuple(dict.fromkeys(name for name in names if name))


def asks_for_entries(process: SalesProcess) -> bool:
    """Whether some exit criterion depends on when a deal entered its stage."""
    return any(
        isinstance(leaf, ActivityEvidence | CallNotesEvidence) and leaf.since for leaf in evidence_of(process)
    )


def unmet(verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """Those that keep the gate shut."""
    return tuple(v for v in verdicts if not v.met)


def entered_at(
    process: SalesProcess, stage: str | None, entries: Iterable[tuple[str, datetime]]
) -> dict[str, datetime]:
    """When a deal that stands in `stage` last entered each stage, from its stage history (key, moment).

    A stage before it that was jumped over counts as entered with the next one: otherwise nothing done since could
    ever prove its criteria.
    """
    entered: dict[str, datetime] = {}
    for key, moment in entries:
        entered[key] = max(moment, entered.get(key, moment))
    if stage is None or process.stage(stage).closed == "lost":
        return entered
    following: datetime | None = None
    for key in reversed(process.keys[: process.keys.index(stage) + 1]):
        if key in entered:
            following = entered[key]
        elif following is not None and process.stage(key).closed is None:
            entered[key] = following
    return entered


def look(evidence: Evidence, facts: DealFacts, stage: str) -> Found:
    """What proves this evidence. `stage`: whose criterion asks for it."""
    match evidence:
        case PropertyEvidence() as wanted:
            return _property(wanted, facts)
        case DateEvidence() as wanted:
            return _date(wanted, facts)
        case ContactEvidence(contact=role):
            found = sorted(c for c, roles in facts.contacts.items() if role == "any" or role in roles)
            wanted_role = "a contact" if role == "any" else f"a contact labelled as {role.replace('_', ' ')}"
            return _first("contact", found, f"{wanted_role} on the deal")
        case ContactsEvidence(contacts=least):
            return _several("contact", facts.contacts, least)
        case CompanyEvidence():
            return _first("company", sorted(facts.companies), "a company on the deal")
        case LineItemEvidence(line_items=least):
            return _several("line_item", facts.line_items, least)
        case DocumentEvidence(document=kind):
            proof = facts.papers.get(kind) or Proof("document", kind)
            return Found(f"{kind} on file" if kind in facts.documents else "", f"a filed {kind}", (proof,))
        case SignatureEvidence(signature=state):
            proof = facts.papers.get("signature") or Proof("signature", "")
            missing = f"the signature request to be {state}"
            return Found(f"signature {state}" if facts.signature == state else "", missing, (proof,))
        case ActivityEvidence() as wanted:
            return look_for_activities(wanted, facts, stage)
        case CallNotesEvidence() as wanted:
            return look_for_call_notes(wanted, facts, stage)
        case ObjectionsEvidence() as wanted:
            return look_for_objections(wanted, facts)
        case PlanEvidence() as wanted:
            return _plan(wanted, facts, stage)
        case AnyOf(any_of=parts):
            looks = [look(part, facts, stage) for part in parts]
            missing = "one of: " + "; or ".join(x.missing for x in looks)
            met = next((x for x in looks if x.text), None)
            return met._replace(missing=missing) if met else Found("", missing)
        case AllOf(all_of=parts):
            looks = [look(part, facts, stage) for part in parts]
            records = tuple(record for x in looks for record in x.records)
            text = ", ".join(x.text for x in looks) if all(x.text for x in looks) else ""
            return Found(text, " and ".join(x.missing for x in looks if not x.text), records)


def day_of(value: str | None) -> date | None:
    """The day (UTC) in a date or datetime property, which HubSpot gives as ISO 8601; None for anything else."""
    try:
        moment = datetime.fromisoformat((value or "").strip())
        return moment.astimezone(UTC).date() if moment.tzinfo else moment.date()
    except (ValueError, OverflowError):
        return None


def _judge(criterion: Criterion, facts: DealFacts, stage: str) -> Verdict:
    found = look(criterion.evidence, facts, stage)
    met = found.text != ""
    return Verdict(
        criterion=criterion.key,
        says=criterion.says,
        met=met,
        supplied_by=criterion.supplied_by,
        proof=found.text,
        missing="" if met else found.missing,
        records=found.records if met else (),
        proven_at=_proven_at(found.records, facts.read_at) if met else None,
        stage=stage,
    )


def _proven_at(records: Sequence[Proof], read_at: datetime | None) -> datetime | None:
    """The oldest of their moments: only then were all of them seen."""
    moments = [moment for record in records if (moment := record.at or read_at) is not None]
    return min(moments, default=None)


def _first(kind: str, ids: Sequence[str], missing: str) -> Found:
    return Found(f"{kind} {ids[0]}", missing, (Proof(kind, ids[0]),)) if ids else Found("", missing)


def _several(kind: str, ids: Iterable[str], least: int) -> Found:
    """At least so many of them. Records are listed only as far as they are needed."""
    known = sorted(ids)
    noun = kind.replace("_", " ")
    missing = f"at least {number_of(least, noun)}, {len(known)} found"
    if len(known) < least:
        return Found("", missing)
    return Found(number_of(len(known), noun), missing, tuple(Proof(kind, ident) for ident in known[:least]))


def _property(wanted: PropertyEvidence, facts: DealFacts) -> Found:
    value = (facts.properties.get(wanted.property) or "").strip()
    name = wanted.property
    if wanted.at_least is not None:
        number = _number(value)
        met = number is not None and number >= wanted.at_least
        missing = f"deal property {name} of at least {wanted.at_least}"
    elif wanted.at_most is not None:
        number = _number(value)
        met = number is not None and number <= wanted.at_most
        missing = f"deal property {name} of at most {wanted.at_most}"
    elif wanted.equals is not None:
        met, missing = value == wanted.equals, f"deal property {name} to be {wanted.equals}"
    elif wanted.one_of:
        met, missing = value in wanted.one_of, f"deal property {name} to be one of {', '.join(wanted.one_of)}"
    else:
        met, missing = value != "", f"deal property {name} to be set"
    return Found(f"deal property {name}" if met else "", missing, (Proof("deal", facts.deal_id),))


def _number(value: str) -> Decimal | None:
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _date(wanted: DateEvidence, facts: DealFacts) -> Found:
    name, day = wanted.date, day_of(facts.properties.get(wanted.date))
    today = facts.read_at.astimezone(UTC).date() if facts.read_at else None
    if wanted.after is not None:
        other = day_of(facts.properties.get(wanted.after))
        met = day is not None and other is not None and day > other
        missing = f"deal property {name} to be a day after deal property {wanted.after}"
    elif wanted.within_days is not None:
        met = day is not None and today is not None and 0 <= (day - today).days <= wanted.within_days
        missing = f"deal property {name} to be a day within {number_of(wanted.within_days, 'day')} from today"
    else:
        met = day is not None and today is not None and day >= today
        missing = f"deal property {name} to be today or a later day"
    return Found(f"deal property {name}" if met else "", missing, (Proof("deal", facts.deal_id),))


def _plan(wanted: PlanEvidence, facts: DealFacts, stage: str) -> Found:
    name, proof = f"plan {wanted.plan.replace('_', ' ')}", (Proof("deal", facts.deal_id),)
    if not wanted.asked_of(facts.owner):
        return Found(f"the {name} is not asked of this owner's deals", "", proof)
    lacking = [found.missing for one in wanted.fields if not (found := look(one, facts, stage)).text]
    missing = f"{name}: {' and '.join(lacking)}"
    return Found("" if lacking else f"the {name} on the deal", missing, proof)
