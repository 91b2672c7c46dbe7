"""Exit criteria against CRM evidence: facts in, verdicts out; each met criterion names the record that proves it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from flows.rules.criteria.deal_facts import Activity as Activity
from flows.rules.criteria.deal_facts import DealFacts as DealFacts
from flows.rules.criteria.deal_facts import Objection as Objection
from flows.rules.criteria.deal_facts import Proof as Proof
from flows.rules.criteria.evidence import Leaf
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
    return tuple(leaf for criterion in criteria for leaf in criterion.evidence.leaves())


def properties_of(process: SalesProcess) -> tuple[str, ...]:
    """The deal properties that exit criteria look at, without repeats."""
    return tuple(dict.fromkeys(name for leaf in evidence_of(process) for name in leaf.properties()))


def asks_for_entries(process: SalesProcess) -> bool:
    """Whether some exit criterion depends on when a deal entered its stage."""
    return any(leaf.from_entry() for leaf in evidence_of(process))


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


def _judge(criterion: Criterion, facts: DealFacts, stage: str) -> Verdict:
    found = criterion.evidence.check(facts, stage)
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
