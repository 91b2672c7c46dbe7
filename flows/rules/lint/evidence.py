"""Lint of what proves what: criteria that repeat or never decide, evidence that nobody brings."""

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation

from flows.rules.criteria.evidence import (
    ActivityEvidence,
    CallNotesEvidence,
    DateEvidence,
    ObjectionsEvidence,
    PlanEvidence,
    nodes,
)
from flows.rules.lint.finding import Finding, Spot, spots
from flows.rules.process.sales_process import (
    ContactEvidence,
    Criterion,
    DocumentEvidence,
    LineItemEvidence,
    OnEnter,
    PropertyEvidence,
    SalesProcess,
    SignatureEvidence,
)

# HubSpot fills these on every deal; the intake fills the name.
_ALWAYS_SET = frozenset(
    "dealname dealstage pipeline createdate hs_createdate hs_object_id hs_lastmodifieddate".split()
)
# Besides our own properties (dealflow_...), what the intake takes over from a lead.
_WORKER_SETS = frozenset({"amount", "hubspot_owner_id"}) | _ALWAYS_SET
MOST_CRITERIA = 5
MOST_STAGES = 8


def made_by(criterion: Criterion) -> OnEnter | None:
    """The action of the worker without which this evidence cannot come about; None: people bring it."""
    match criterion.evidence:
        case DocumentEvidence(document="proposal"):
            return "generate_proposal"
        case DocumentEvidence() | SignatureEvidence():
            return "send_contract"
        case _:
            return None


def implies(given: object, other: object) -> bool:
    """Whether a deal with the first evidence always has the second. Kinds not known here: only when equal."""
    if given == other:
        return True
    match given, other:
        case ContactEvidence(), ContactEvidence(contact="any"):
            return True
        case LineItemEvidence(line_items=many), LineItemEvidence(line_items=few):
            return many >= few
        case PropertyEvidence(), PropertyEvidence() if given.property == other.property:
            return _property_implies(given, other)
        case DateEvidence(date=name), PropertyEvidence(is_="set") if other.property == name:
            return True
        case CallNotesEvidence(), CallNotesEvidence(since=None):
            return given.call_notes == other.call_notes
        case CallNotesEvidence(), ActivityEvidence(at_least=1, within_days=None):
            return {"note", "call"} <= set(other.types) and other.since in {None, given.since}
        case ObjectionsEvidence(at_least=many), ObjectionsEvidence(at_least=few):
            return many >= few
        case PlanEvidence(for_some=False), _:
            return any(implies(field, other) for field in given.fields)
        case _, PlanEvidence():
            return all(implies(given, field) for field in other.fields)
        case _:
            return False


def _property_implies(given: PropertyEvidence, other: PropertyEvidence) -> bool:
    if other.is_ == "set":
        return True
    values = {given.equals} if given.equals is not None else set(given.one_of)
    if other.at_least is not None:
        if given.at_least is not None:
            return given.at_least >= other.at_least
        return bool(values) and all(_at_least(v, other.at_least) for v in values)
    wanted = {other.equals} if other.equals is not None else set(other.one_of)
    return bool(values) and bool(wanted) and values <= wanted


def _at_least(value: str | None, least: Decimal) -> bool:
    try:
        return Decimal(value or "x") >= least
    except InvalidOperation:
        return False


def check_evidence(process: SalesProcess) -> Iterator[Finding]:
    """Findings on the evidence of every criterion and on the size of gates."""
    yield from _redundant(process)
    for spot in spots(process):
        yield from _nobody(spot)
        evidence = spot.criterion.evidence
        if isinstance(evidence, PropertyEvidence) and evidence.is_ and evidence.property in _ALWAYS_SET:
            reason = f"deal property {evidence.property} is set on every deal: this never decides"
            yield Finding(
                "never-decides",
                "warning",
                (*spot.place, "evidence"),
                reason,
                "ask for something that some deals lack: {property: amount, at_least: 1}",
            )
    yield from _sizes(process)


def _redundant(process: SalesProcess) -> Iterator[Finding]:
    """A deal that stands in a stage has met all gates before: what they imply decides nothing any more."""
    before: list[Spot] = []
    for spot in spots(process):
        for earlier in before:
            if earlier.stage_at != spot.stage_at and _of_its_stage(spot) and _of_its_stage(earlier):
                continue
            mine, theirs = spot.criterion.evidence, earlier.criterion.evidence
            place, example = (
                (*spot.place, "evidence"),
                f"remove {spot.criterion.key}, or ask for more than before",
            )
            if mine == theirs:
                reason = f"the same evidence as {earlier.criterion.key} in {earlier.stage.label}"
                yield Finding("same-evidence", "warning", place, reason, example)
                break
            if implies(theirs, mine):
                reason = f"{earlier.criterion.key} in {earlier.stage.label} already asks for more: this never decides"
                yield Finding("never-decides", "warning", place, reason, example)
                break
            if earlier.stage_at == spot.stage_at and implies(mine, theirs):
                reason = f"{spot.criterion.key} in the same gate asks for more: this never decides"
                example = f"remove {earlier.criterion.key}"
                yield Finding("never-decides", "warning", (*earlier.place, "evidence"), reason, example)
                break
        before.append(spot)


def _of_its_stage(spot: Spot) -> bool:
    """Whether the evidence counts from the entry into the criterion's own stage: elsewhere it is something else."""
    return any(getattr(node, "since", None) for node in nodes(spot.criterion.evidence))


def _nobody(spot: Spot) -> Iterator[Finding]:
    """The one who is to supply it cannot."""
    criterion, place = spot.criterion, (*spot.place, "supplied_by")
    evidence = criterion.evidence
    if criterion.supplied_by == "worker" and (what := _not_by_the_worker(evidence)):
        reason = f"the worker {what}: nobody supplies this (Inspectable)"
        yield Finding("nobody-supplies", "error", place, reason, "supplied_by: rep")
    elif criterion.supplied_by == "buyer" and isinstance(evidence, _WRITTEN):
        reason = "buyers do not write into the CRM: nobody is asked to note this (Inspectable)"
        yield Finding("nobody-supplies", "warning", place, reason, "supplied_by: rep")


_WRITTEN = (
    ContactEvidence
    | PropertyEvidence
    | LineItemEvidence
    | CallNotesEvidence
    | ObjectionsEvidence
    | PlanEvidence
)


def _not_by_the_worker(evidence: object) -> str:
    """What the worker does not do, where this evidence would take it; else empty."""
    match evidence:
        case ContactEvidence() if evidence.contact != "any":
            return "labels no contacts"
        case LineItemEvidence():
            return "writes no line items"
        case PropertyEvidence(property=name) if not name.startswith("dealflow_") and name not in _WORKER_SETS:
            return f"does not write {name}"
        case CallNotesEvidence():
            return "takes no call notes"
        case ObjectionsEvidence():
            return "closes no objections"
        case PlanEvidence():
            return "makes no plans with the buyer"
        case _:
            return ""


def _sizes(process: SalesProcess) -> Iterator[Finding]:
    open_stages = [(i, s) for i, s in enumerate(process.stages) if s.closed is None]
    if len(open_stages) > MOST_STAGES:
        reason = f"{len(open_stages)} open stages: people will not read them the same way"
        example = f"join stages in which the buyer does the same; {MOST_STAGES} at most"
        yield Finding("too-many-stages", "warning", ("stages",), reason, example)
    for i, stage in open_stages:
        place = ("stages", i, "exit_criteria")
        if not stage.exit_criteria:
            reason = f"{stage.label} asks for nothing: any deal may leave it, so the stage says nothing about a deal"
            example = "what does the buyer know, have or commit to when this stage is done?"
            yield Finding("empty-gate", "warning", place, reason, example)
        elif len(stage.exit_criteria) > MOST_CRITERIA:
            reason = f"{len(stage.exit_criteria)} criteria in one gate: it will be worked around"
            yield Finding(
                "too-many-criteria", "warning", place, reason, f"keep the {MOST_CRITERIA} that decide"
            )
    last, won_at = None, process.keys.index(process.won.key)
    for i, stage in open_stages:
        if i > won_at:
            continue
        if last is not None and stage.probability <= last.probability:
            reason = (
                f"{stage.probability:g} is not above {last.label} ({last.probability:g}), which comes before"
            )
            example = "a stage further on is nearer to won"
            yield Finding("probability", "warning", ("stages", i, "probability"), reason, example)
        if stage.probability in (0.0, 1.0):
            reason = f"{stage.label} is open: {stage.probability:g} says it is decided"
            yield Finding(
                "probability", "warning", ("stages", i, "probability"), reason, "between 0.05 and 0.95"
            )
        last = stage
