"""The texts for people about a deal that bypassed its gate: only ids and words of the process file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flows.ledger.stage_checks import StageCheck
from flows.rules.criteria.judge import DealFacts, gate
from flows.rules.criteria.smallest import explain
from flows.rules.criteria.stage_moves import Fight
from flows.rules.process.sales_process import SalesProcess


@dataclass(frozen=True)
class Message:
    """A task's subject and a task's or note's text; `summary` is one line for runs and artifacts."""

    summary: str
    subject: str
    text: str


def words_for(
    process: SalesProcess,
    check: StageCheck,
    fight: Fight | None,
    facts: DealFacts,
    *,
    ours: bool,
    moved: Mapping[str, Any],
) -> Message:
    """The texts for a decision. `ours`: dealflow moved this deal back before; `moved`: result of a move back."""
    label = process.stage(check.stage).label
    if check.found == "passed":
        summary = f"the gate to {label} is met"
        return Message(summary, summary, summary)
    if check.found == "overridden":
        summary = f"is in {label} without proof, by override {check.override_id}: {_keys(check)}"
        return Message(summary, summary, summary)
    if check.found == "skipped":
        names = ", ".join(process.stage(key).label for key in check.skipped)
        summary = f"skipped {names} on the way to {label}; all proof exists"
        return Message(
            summary,
            summary,
            f"The deal skipped {names} on its way to {label}.\nMoved by {check.mover}.\n"
            "The deal has everything that the gate requires: there is nothing to do.",
        )
    if check.found == "fight":
        return _fight(process, check, fight, ours=ours)
    return _unproven(process, check, facts, moved)


def _fight(process: SalesProcess, check: StageCheck, fight: Fight | None, *, ours: bool) -> Message:
    here = process.stage(check.stage).label
    there = process.stage(check.came_from).label if check.came_from else "another pipeline"
    movers = "; ".join(fight.movers) if fight else check.mover
    summary = f"automations move the deal back and forth between {there} and {here}: stopped"
    lines = [
        f"Automations move this deal back and forth between {there} and {here}.",
        f"Moved by: {movers}.",
        *(["One of them is dealflow: it moved the deal back because proof was missing."] if ours else []),
        f"dealflow has stopped: it does nothing more for this deal in {here} until a person moves the deal.",
        "What to do: find the workflow or integration that moves it (the history of the deal stage names it), "
        "turn one of them off for this deal, then move the deal yourself.",
    ]
    return Message(summary, f"Automations fight over this deal: {there} / {here}", "\n".join(lines))


def _unproven(
    process: SalesProcess, check: StageCheck, facts: DealFacts, moved: Mapping[str, Any]
) -> Message:
    stage = process.stage(check.stage)
    back = process.stage(check.back_to).label if check.back_to and moved.get("moved_back") else None
    says = {c.key: c.says for c in process.gate_before(check.stage)}
    now = {v.criterion: v.missing for v in gate(process, check.stage, facts) if not v.met}
    lines = [
        f"This deal was moved to {stage.label} without the proof that this stage requires.",
        f"Moved by {check.mover}.",
    ]
    if "enter_from" in check.missing:
        allowed = " or ".join(process.stage(key).label for key in stage.enter_from)
        lines.append(f"Not allowed: {stage.label} can only be entered from {allowed}.")
    lines += [
        f"Missing: {says.get(key, key)}" + (f" ({now[key]})" if key in now else " (exists by now)")
        for key in check.missing
        if key != "enter_from"
    ]
    if check.skipped:
        lines.append(f"Skipped on the way: {', '.join(process.stage(key).label for key in check.skipped)}.")
    if now:
        lines.append(f"It opens with: {explain(process, check.stage, facts).smallest.text}.")
    done = f"dealflow moved it back to {back}." if back else "dealflow left it where it is."
    lines.append(
        f"{done} If the move is right all the same, a named person can approve it with a reason: ask the person who "
        "runs dealflow in your company for an override."
    )
    what = f"moved back to {back}" if back else "left there"
    summary = f"entered {stage.label} without proof ({_keys(check)}): {what}"
    subject = f"Moved back to {back}: proof is missing" if back else f"In {stage.label} without proof"
    return Message(summary, subject, "\n".join(lines))


def _keys(check: StageCheck) -> str:
    return ", ".join(check.missing)
