"""The process as a handbook in Markdown for the people who sell; generated, so that all read the same."""

from collections.abc import Iterator, Mapping

from flows.rules.handbook.chapters import call_notes, materials, persona, plans
from flows.rules.handbook.chapters import md as _md
from flows.rules.handbook.text import (
    ACTIONS,
    ENDINGS,
    HUBSPOT_LABELS,
    MODES,
    SUPPLIERS,
    evidence_text,
    follow_up_text,
    hand_over_text,
    outcome_text,
)
from flows.rules.process.sales_process import SalesProcess, Stage


def handbook(process: SalesProcess, labels: Mapping[str, str] = HUBSPOT_LABELS) -> str:
    """Markdown: an overview, a chapter a stage, what the end of a contract means, what a won deal brings along.

    `labels` of deal properties.
    """
    return "\n".join(_lines(process, labels)).rstrip() + "\n"


def _lines(process: SalesProcess, labels: Mapping[str, str]) -> Iterator[str]:
    yield f"# How we sell: {_md(process.name)}"
    yield ""
    yield f"HubSpot pipeline: {_md(process.pipeline)}. A stage is a place where the buyer cannot go on without us."
    yield "A deal moves on when everything listed is true **and** can be seen in HubSpot."
    yield "How you get there is up to you."
    yield ""
    yield from persona(process)
    yield "| Stage | The buyer | Ready to move on when | Probability |"
    yield "|---|---|---|---:|"
    for stage in process.stages:
        ready = "; ".join(_md(c.says) for c in stage.exit_criteria)
        yield f"| {_md(stage.label)} | {_md(stage.buyer_step)} | {ready} | {stage.probability:.0%} |"
    number = 0
    for stage in process.stages:
        yield ""
        if stage.closed is None:
            number += 1
            yield f"## {number}. {_md(stage.label)}"
        else:
            yield f"## {_md(stage.label)}"
        yield ""
        yield from _stage(stage, process, labels)
    send = process.stage_for("send_contract")
    if send is not None:
        yield from ["", "## When a contract ends", ""]
        yield f"It is sent in {_md(send.label)}. What then happens, once Dropbox Sign has confirmed it:"
        yield ""
        for name, rule in process.signature_outcomes:
            yield f"- **{ENDINGS.get(name, name)}**: {_md(outcome_text(rule, process))}"
    if lines := hand_over_text(process):
        yield from ["", "## When a deal is won", ""]
        yield from (f"- {_md(line)}" for line in lines)
    yield from plans(process)
    yield from call_notes(process)


def _stage(stage: Stage, process: SalesProcess, labels: Mapping[str, str]) -> Iterator[str]:
    yield f"**The buyer:** {_md(stage.buyer_step)}.  "
    yield f"**How we help:** {_md(stage.help)}."
    yield from materials(stage)
    for action in stage.on_enter:
        yield ""
        does = ACTIONS.get(action, action)
        yield f"**By itself:** when a deal comes in, dealflow {does}. You need not do anything."
    if stage.exit_criteria:
        yield from ["", "**Ready to move on when:**", ""]
        for c in stage.exit_criteria:
            yield f"- **{_md(c.says)}**  "
            seen = _md(evidence_text(c.evidence, process, labels))
            yield f"  Seen in HubSpot as: {seen}. Supplied by: {SUPPLIERS[c.supplied_by]}."
    elif stage.closed is None:
        yield from ["", "Nothing has to be true before a deal moves on."]
    if lines := follow_up_text(stage):
        yield from ["", f"**If it does not move on** ({_md(lines[0])}):", ""]
        yield from (f"- {_md(line)}" for line in lines[1:])
    if stage.enter_from:
        names = " or ".join(_md(process.stage(key).label) for key in stage.enter_from)
        yield from ["", f"A deal comes here from {names} only."]
    if stage is not process.stages[0] and stage.closed != "lost":
        yield from ["", f"A deal that is moved here too early: {MODES[stage.mode]}."]
