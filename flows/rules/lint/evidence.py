"""Lint of what proves what: criteria that repeat or never decide, evidence that nobody brings."""

from collections.abc import Iterator

from flows.rules.criteria.evidence import Evidence
from flows.rules.lint.finding import Finding, Spot, spots
from flows.rules.process.sales_process import SalesProcess

MOST_CRITERIA = 5
MOST_STAGES = 8


def implies(given: Evidence, other: Evidence) -> bool:
    """Whether a deal with the first evidence always has the second."""
    return given.implies(other)


def check_evidence(process: SalesProcess) -> Iterator[Finding]:
    """Findings on the evidence of every criterion and on the size of gates."""
    yield from _redundant(process)
    for spot in spots(process):
        yield from _nobody(spot)
        if why := spot.criterion.evidence.always_true():
            reason = f"{why}: this never decides"
            example = "ask for something that some deals lack: {property: amount, at_least: 1}"
            yield Finding("never-decides", "warning", (*spot.place, "evidence"), reason, example)
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
    return any(leaf.from_entry() for leaf in spot.criterion.evidence.leaves())


def _nobody(spot: Spot) -> Iterator[Finding]:
    """The one who is to supply it cannot."""
    criterion, place = spot.criterion, (*spot.place, "supplied_by")
    evidence = criterion.evidence
    if criterion.supplied_by == "worker" and (what := evidence.not_by_worker()):
        reason = f"the worker {what}: nobody supplies this (Inspectable)"
        yield Finding("nobody-supplies", "error", place, reason, "supplied_by: rep")
    elif criterion.supplied_by == "buyer" and evidence.kept_by_us:
        reason = "buyers do not write into the CRM: nobody is asked to note this (Inspectable)"
        yield Finding("nobody-supplies", "warning", place, reason, "supplied_by: rep")


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
