"""Guards stages: a deal that bypassed its gate, or that automations move back and forth, is reported or moved back.

Trigger: `sync_deals` found a stage entry without sure proof; on demand by deal id.
Reads: deal with stage history and activities, filed documents, newest contract, overrides. Writes: stage moves back
(`mode: revert`), one task or note per entry.
Once-key: deal, stage and moment of entry; a fight of automations by its first move.
Needs: scopes crm.objects.deals.write, crm.objects.contacts.write (tasks, notes).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flows.deals.facts import facts_of
from flows.deals.read import DealFile, fresh_deal, read_with_history, stage_now
from flows.deals.stage_entries import check_of, moment_ms, moves_of, our_move_back
from flows.deals.writes import deal_key, set_deal, write_note, write_task, writer_for
from flows.gates.wording import Message, words_for
from flows.ledger import effects, stage_checks
from flows.ledger.inbox import Event
from flows.ledger.stage_checks import StageCheck
from flows.rules.criteria.stage_guard import gate_of, rule
from flows.rules.criteria.stage_moves import Fight, Move, fight_of, passage_of
from flows.rules.outcome import Outcome, Step, ignored
from flows.services import Services


async def prepare(events: Sequence[Event], s: Services) -> dict[str, DealFile]:
    """The deals of these events with their stage history, in bulk."""
    return await read_with_history(s, [e.deal_id for e in events if e.deal_id])


async def handle(event: Event, files: dict[str, DealFile], s: Services) -> Outcome:
    """Decide once, then carry out the decision; a decision from an earlier try is only carried out."""
    file = await fresh_deal(s, event.deal_id or "", files, read_with_history)
    if file is None:
        return ignored("HubSpot no longer has this deal")
    moves = moves_of(await s.portal(), file)
    check = await _decided(event, moves, s)
    if check is None:
        decided = await _decide(event, file, moves, s)
        if isinstance(decided, str):
            return ignored(decided)
        check = decided
    if check.settled_at is not None:
        return ignored(f"already judged: {check.found}")
    return await _carry_out(event, check, file, moves, s)


async def _decided(event: Event, moves: Sequence[Move], s: Services) -> StageCheck | None:
    """The stored decision about the event's entry; an operator's event means the newest entry."""
    stage_id, at = event.content.get("stage_id"), event.content.get("at")
    if stage_id and at:
        entry = str(stage_id), datetime.fromisoformat(str(at))
    elif moves:
        entry = moves[-1].stage_id, moves[-1].at
    else:
        return None
    async with s.ledger.read() as tx:
        return await stage_checks.load(tx, event.deal_id or "", *entry)


async def _decide(event: Event, file: DealFile, moves: Sequence[Move], s: Services) -> StageCheck | str:
    """The decision, stored before it is carried out; or a text that says why there is nothing to decide."""
    passage = passage_of(s.process, moves)
    if passage is None or passage.move.stage is None or file.stage != passage.move.stage:
        return "the deal is in no stage of the process, or its history is not complete yet"
    move, stage, wanted = passage.move, passage.move.stage, event.content.get("at")
    if wanted and (move.stage_id, move.at) != (
        event.content["stage_id"],
        datetime.fromisoformat(str(wanted)),
    ):
        return "superseded: the deal has moved on"
    async with s.ledger.write() as tx:
        if await our_move_back(tx, file.id, moves):
            return "our own move back"
        facts = (await facts_of(tx, [file]))[file.id]
        verdicts = gate_of(s.process, passage, facts)
        override = await stage_checks.in_force(tx, file.id, stage, now=s.clock())
        ruling = rule(s.process, passage, fight_of(moves), verdicts, facts, overridden=override is not None)
        override_id = override.id if override and ruling.found == "overridden" else None
        check = check_of(s, file, passage, ruling, verdicts, override_id=override_id)
        await stage_checks.decide(tx, [check])
    return check


async def _carry_out(
    event: Event, check: StageCheck, file: DealFile, moves: Sequence[Move], s: Services
) -> Outcome:
    """Move the deal back, notify its owner, or only count the entry; then settle the decision."""
    steps: list[Step] = []
    result: dict[str, Any] = {}
    moved = await _move_back(event, check, file, s) if check.action == "move_back" else None
    if moved is not None:
        steps.append(moved[1])
        result["moved_back"] = moved[0]
    async with s.ledger.read() as tx:
        facts = (await facts_of(tx, [file]))[file.id]
        reverted = await stage_checks.listing(tx, deal_id=file.id, action="move_back", limit=1)
    fight = _fight_over(check, moves)
    message = words_for(s.process, check, fight, facts, ours=bool(reverted), moved=result)
    if check.action != "none":
        name, record_id = await _notify(event, check, file, fight, message, s)
        result[name] = record_id
        steps.append(Step(f"wrote a {name} on the deal", f"{name} {record_id}", message.summary))
    if not steps and check.found != "passed":
        steps.append(Step("counted it", f"deal {file.id}", message.summary))
    async with s.ledger.write() as tx:
        await stage_checks.settle(tx, check, result, now=s.clock())
    steps += [Step(f"criterion proven: {key}", ", ".join(ids), "") for key, ids in check.proofs.items()]
    return Outcome("done", message.summary, deal_id=file.id, steps=tuple(steps))


def _fight_over(check: StageCheck, moves: Sequence[Move]) -> Fight | None:
    """The fight of automations as of the entry of this decision."""
    if check.found != "fight":
        return None
    return fight_of([move for move in moves if move.at <= check.entered_at])


def _cause(check: StageCheck) -> str:
    """Part of effect keys, which are stored data: never change it."""
    return f"guard:{check.stage_id}:{moment_ms(check.entered_at)}"


async def _move_back(
    event: Event, check: StageCheck, file: DealFile, s: Services
) -> tuple[bool, Step] | None:
    """Move the deal back, once; leave it alone if somebody moved it meanwhile."""
    cause, portal = f"{_cause(check)}:back", await s.portal()
    deal, label = f"deal {file.id}", s.process.stage(check.back_to or "").label
    async with s.ledger.read() as tx:
        begun = await effects.states(tx, [deal_key(file.id, cause)])
    if not begun and (await stage_now(s, file))[0] != check.stage_id:
        return False, Step("left the stage alone", deal, "the deal has moved on meanwhile")
    result = await set_deal(
        s,
        writer_for(s, event),
        deal_id=file.id,
        cause=cause,
        properties={"dealstage": portal.stage_ids[check.back_to or ""]},
        before={"dealstage": check.stage_id},
    )
    if result.get("superseded"):
        return False, Step("left the stage alone", deal, "somebody moved the deal meanwhile")
    return True, Step(
        f"moved the deal back to {label}", deal, "its gate is not met, and the stage says revert"
    )


async def _notify(
    event: Event, check: StageCheck, file: DealFile, fight: Fight | None, message: Message, s: Services
) -> tuple[str, str]:
    """Create one task for the owner or one note; returns which, and its id."""
    writer = writer_for(s, event)
    if check.action == "note":
        note_id = await write_note(s, writer, deal_id=file.id, cause=_cause(check), text=message.text)
        return "note", note_id
    cause = f"fight:{fight.since.stage_id}:{moment_ms(fight.since.at)}" if fight else _cause(check)
    task_id = await write_task(
        s,
        writer,
        deal_id=file.id,
        cause=cause,
        subject=message.subject,
        text=message.text,
        owner_id=file.owner.id if file.owner else None,
    )
    return "task", task_id
