"""What becomes of a deal that was moved: its gate is judged, and the stage's mode says what follows.

A rule is a guardrail: it says what must be true, and a named person may override it for a while. Nothing here reads
or writes; see flows/gates/guard_stage.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from flows.rules.criteria.judge import DealFacts, Verdict, gate, unmet
from flows.rules.criteria.stage_moves import Fight, Passage
from flows.rules.process.sales_process import Mode, SalesProcess

Found = Literal["passed", "skipped", "unproven", "overridden", "fight"]
"""What was found: all proven; proven, with stages skipped; proof missing; missing, but overridden by a person;
automations that move the deal back and forth."""
Action = Literal["none", "note", "task", "move_back"]


@dataclass(frozen=True)
class Ruling:
    """What was found about an entry into a stage, and what is done about it.

    `missing`: keys of criteria without proof; `jump`: the deal came from where it may not come from. `back_to`: the
    stage's key to move it back to (`move_back` only); a task reports that, too.
    """

    found: Found
    action: Action
    missing: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    jump: bool = False
    back_to: str | None = None


def gate_of(process: SalesProcess, passage: Passage, facts: DealFacts) -> tuple[Verdict, ...]:
    """Verdicts on all that the deal must have met for this move; none where no gate lies in its way."""
    if not passage.forward or passage.move.stage is None:
        return ()
    return gate(process, passage.move.stage, facts)


def rule(
    process: SalesProcess,
    passage: Passage,
    fight: Fight | None,
    verdicts: Sequence[Verdict],
    facts: DealFacts,
    *,
    overridden: bool = False,
) -> Ruling:
    """The ruling on an entry. `overridden`: a person's override for this deal and stage is in force."""
    if fight is not None:
        return Ruling("fight", "task")
    stage_key = passage.move.stage
    if stage_key is None or not passage.forward:
        return Ruling("passed", "none")
    stage = process.stage(stage_key)
    missing = tuple(v.criterion for v in unmet(verdicts))
    jump = bool(stage.enter_from) and _came_from(passage) not in stage.enter_from
    if not missing and not jump:
        if not passage.skipped:
            return Ruling("passed", "none")
        action: Action = "none" if stage.mode == "observe" else "note"
        return Ruling("skipped", action, skipped=passage.skipped)
    if overridden:
        return Ruling("overridden", "none", missing, passage.skipped, jump)
    back_to = (
        _back_to(process, passage, facts) if _may_move_back(process, stage.mode, stage_key, facts) else None
    )
    action = "none" if stage.mode == "observe" else "task" if back_to is None else "move_back"
    return Ruling("unproven", action, missing, passage.skipped, jump, back_to)


def _came_from(passage: Passage) -> str | None:
    return passage.before.stage if passage.before is not None else None


def _may_move_back(process: SalesProcess, mode: Mode, stage: str, facts: DealFacts) -> bool:
    """A signed contract is a fact: the deal that it brought to its stage is never taken back from there."""
    signed = facts.signature == "completed" and stage == process.signature_outcomes.completed.move_to
    return mode == "revert" and not signed


def _back_to(process: SalesProcess, passage: Passage, facts: DealFacts) -> str | None:
    """Where the deal came from; when that is no place in the process, the furthest stage that it has proof for."""
    if (came_from := _came_from(passage)) is not None:
        return came_from
    assert passage.move.stage is not None
    before = process.stages[: process.keys.index(passage.move.stage)]
    proven = [s.key for s in before if s.closed is None and not unmet(gate(process, s.key, facts))]
    return proven[-1] if proven else None
