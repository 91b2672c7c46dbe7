"""Lint of what the worker does by itself: proposals, contracts and how they end, hand-over of what was won."""

from collections.abc import Iterator

from flows.rules.handbook.text import ENDS
from flows.rules.lint.finding import Finding, spots
from flows.rules.process.error import Place
from flows.rules.process.hand_over_plan import HandOver
from flows.rules.process.sales_process import (
    CompanyEvidence,
    ContactEvidence,
    Criterion,
    LineItemEvidence,
    SalesProcess,
    Stage,
)


def check_contract(process: SalesProcess) -> Iterator[Finding]:
    """Findings on automation and on everything around the contract."""
    yield from _produced(process)
    yield from _closed(process)
    yield from _hand_over(process)
    send = process.stage_for("send_contract")
    if send is None:
        reason = "no stage sends a contract: none of these outcomes ever happens"
        yield Finding(
            "contract-never-sent",
            "warning",
            ("signature_outcomes",),
            reason,
            "on_enter: [send_contract] where the buyer commits",
        )
    elif send.closed is None:
        yield from _before_the_contract(process, send)
        yield from _outcomes(process, send)
    yield from _follow_up(process, send)


def _produced(process: SalesProcess) -> Iterator[Finding]:
    """Documents and signatures must come from a stage up to here; a proposal needs something to offer."""
    for spot in spots(process):
        action = spot.criterion.evidence.made_by()
        maker = process.stage_for(action) if action else None
        if action is None or (maker is not None and process.keys.index(maker.key) <= spot.stage_at):
            continue
        where = f"only in {maker.label}, which comes later" if maker else "in no stage"
        reason = f"it takes {action}, and that is done {where}: nobody produces this evidence (Inspectable)"
        example = f"on_enter: [{action}] in {spot.stage.label} or before"
        yield Finding("nobody-produces", "error", (*spot.place, "evidence"), reason, example)
    stage = process.stage_for("generate_proposal")
    if stage is not None and not _asks(process.gate_before(stage.key), LineItemEvidence):
        reason = "no gate before it asks for line items: the proposal may have nothing to offer"
        place = ("stages", process.keys.index(stage.key), "on_enter")
        yield Finding(
            "proposal-empty", "warning", place, reason, "evidence: {line_items: 1} in a stage before"
        )


def _closed(process: SalesProcess) -> Iterator[Finding]:
    for i, stage in enumerate(process.stages):
        if stage.closed is None:
            continue
        sends = [action for action in stage.on_enter if action != "hand_over"]
        if sends:
            reason = f"{stage.label} is closed: a {stage.closed} deal is sent nothing more"
            example = f"move {sends[0]} to an open stage"
            yield Finding("closed-action", "error", ("stages", i, "on_enter"), reason, example)
        if stage.exit_criteria:
            reason = f"{stage.label} is closed: no deal leaves it, so its criteria are never asked for"
            example = "move them to the stage before"
            yield Finding("never-decides", "warning", ("stages", i, "exit_criteria"), reason, example)


def _hand_over(process: SalesProcess) -> Iterator[Finding]:
    """Only a won deal is handed over, and what the file says about it must come about."""
    stage, plan = process.stage_for("hand_over"), process.hand_over
    if stage is not None and stage.closed != "won":
        reason = f"{stage.label} is not the stage of won deals: only what was won is handed over"
        place: Place = ("stages", process.keys.index(stage.key), "on_enter")
        example = f"on_enter: [hand_over] in {process.won.label}"
        yield Finding("hand-over-not-won", "error", place, reason, example)
    elif stage is None and plan != HandOver():
        reason = "no stage hands deals over: none of this ever happens"
        example = f"on_enter: [hand_over] in {process.won.label}"
        yield Finding("hand-over-never", "warning", ("hand_over",), reason, example)
    if plan.follow_on is not None and plan.follow_on.pipeline == process.pipeline:
        reason = "the follow-on deal is opened in this very pipeline: it starts in its first stage, as any new deal"
        example = "leave pipeline and stage out, or name another pipeline"
        yield Finding("follow-on-here", "error", ("hand_over", "follow_on", "pipeline"), reason, example)


def _before_the_contract(process: SalesProcess, send: Stage) -> Iterator[Finding]:
    at = process.keys.index(send.key)
    gate = process.gate_before(send.key)
    place = ("stages", at, "on_enter")
    contact = ContactEvidence(contact="any")
    first_contact = all(isinstance(c.evidence, CompanyEvidence) or contact.implies(c.evidence) for c in gate)
    open_before = [s for s in process.stages[:at] if s.closed is None]
    if len(open_before) < 2 or first_contact:
        reason = "the contract goes out straight after the first contact: the buyer has had no time to work with us"
        example = "learn the need and make an offer in stages of their own before"
        yield Finding("early-close", "error", place, reason, example)
    if not any(
        isinstance(e, ContactEvidence) and e.contact == "signer" for c in gate for e in c.evidence.required()
    ):
        reason = "no gate before it asks for the person who signs: every contract would wait for one"
        example = "says: The buyer has named the person who signs; evidence: {contact: signer}"
        yield Finding("contract-without-signer", "error", place, reason, example)
    if not any(e.shows_offer() for c in gate for e in c.evidence.required()):
        reason = "no gate before it asks for a proposal on file or an approval: the buyer gets a contract unprepared"
        example = "says: A proposal is on file for this deal; evidence: {document: proposal}"
        yield Finding("contract-without-offer", "warning", place, reason, example)


def _outcomes(process: SalesProcess, send: Stage) -> Iterator[Finding]:
    sent_at = process.keys.index(send.key)
    for name, rule in process.signature_outcomes:
        place = ("signature_outcomes", name)
        if rule.move_to is None:
            if send.follow_up is None:
                reason = f"a contract that is {name} leaves the deal in {send.label}, which has no follow_up"
                example = f"give {send.label} a follow_up, or move the deal: else nobody acts"
                yield Finding("outcome-unhandled", "warning", place, reason, example)
            continue
        move = (*place, "move_to")
        target = process.stage(rule.move_to)
        at = process.keys.index(target.key)
        if at == sent_at or (name == "completed" and target.closed is None and at < sent_at):
            reason = (
                f"{send.label} → contract {name} → {target.label}: "
                "the worker moves the deal to where it sends a contract again"
            )
            example = "move_to a stage in which a person acts first, or stay: true"
            yield Finding("automation-cycle", "error", move, reason, example, _cycle(send, name, target))
        elif (target.closed, name == "completed") in (("won", False), ("lost", True)):
            reason = f"a contract that is {name} would make the deal {target.closed}"
            example = "completed: {move_to: won}; declined: {move_to: the stage in which terms are settled}"
            yield Finding("outcome-wrong", "error", move, reason, example)
        elif name == "completed" and target.enter_from and send.key not in target.enter_from:
            reason = (
                f"a signed deal comes to {target.label} from {send.label}, which its enter_from does not name"
            )
            example = f"enter_from: [{send.key}, ...], or no enter_from"
            yield Finding("signed-forbidden", "error", ("stages", at, "enter_from"), reason, example)
        elif name == "completed":
            passed = [s.label for s in process.stages[sent_at + 1 : at] if s.closed is None]
            if passed:
                reason = f"a signed deal goes from {send.label} straight to {target.label}, past {', '.join(passed)}"
                example = f"move_to: the stage after {send.label}"
                yield Finding("outcome-skips", "warning", move, reason, example)


def _cycle(send: Stage, name: str, target: Stage) -> tuple[str, ...]:
    """What goes round and round."""
    first = f"A deal comes to {send.label}: dealflow sends the contract."
    if target == send:
        back = f"The contract {ENDS[name]}: dealflow moves the deal to {send.label} once more."
        return (first, back, "So the next contract goes out, and so on, without anybody doing anything.")
    back = f"The contract {ENDS[name]}: dealflow moves the deal back to {target.label}."
    again = (
        f"Nothing that was asked for on the way is missing: as soon as the deal comes to {send.label} again, those "
        "who have signed get the next contract."
    )
    return (first, back, again)


def _follow_up(process: SalesProcess, send: Stage | None) -> Iterator[Finding]:
    sent_at = process.keys.index(send.key) if send else len(process.keys)
    for i, stage in enumerate(process.stages):
        if stage.closed is None and stage.exit_criteria and stage.follow_up is None:
            reason = f"{stage.label} says nothing about deals whose criteria stay unmet"
            example = "follow_up: {after_days: 5, task: Ask the buyer for what is still missing}"
            yield Finding("no-follow-up", "warning", ("stages", i), reason, example)
        elif stage.follow_up is not None and stage.follow_up.remind_signers and i < sent_at:
            reason = f"no contract is under way in {stage.label}: nobody can be reminded"
            place = ("stages", i, "follow_up", "remind_signers")
            yield Finding("reminder-without-contract", "warning", place, reason, "task: ... instead")


def _asks(gate: tuple[Criterion, ...], kind: type) -> bool:
    return any(isinstance(e, kind) for c in gate for e in c.evidence.required())
