"""The steps of a follow-up, each done once: e-mail, reminder to the signers, task for the owner, flag.

Steps whose outcome may be unknown come first, so that the task can report how they went.
"""

from collections.abc import Sequence
from datetime import timedelta

from connectors.http.errors import GoneError, NotFoundError, RejectedError
from flows.contracts.esign import SignerState, nothing_to_check
from flows.contracts.requests import in_turn, stands
from flows.deals.writes import set_deal, write_task
from flows.follow_up.assess import FLAG, Assessment, Outside
from flows.follow_up.email import Mailed, mail_follow_up
from flows.ledger import effects, follow_ups, inbox
from flows.ledger.effects import Result, Writer, perform
from flows.ledger.follow_ups import FollowUpRow
from flows.retries import reading, writing
from flows.rules.outcome import Outcome, Step
from flows.services import Services

TIRE_KICKER = "tire_kicker"
_REMINDER_GAP = timedelta(hours=1)
"""Not within an hour of the last reminder (the connector's README)."""
_SKEW = timedelta(minutes=1)
_OPEN_TASK = ("NOT_STARTED", "IN_PROGRESS", "WAITING", "DEFERRED")


async def carry_out(s: Services, writer: Writer, deal: Assessment, row: FollowUpRow) -> Outcome:
    """Do the steps of the plan that are not done yet. Raises the error that stops it for now."""
    mailed = await mail_follow_up(s, writer, deal, row)
    steps = [mailed.step] if mailed else []
    if deal.plan.remind_signers:
        steps += await _remind(s, writer, deal, row)
    task_id: str | None = None
    if deal.plan.task is not None:
        step, task_id = await _task(s, writer, deal, row, deal.plan.task, steps)
        steps.append(step)
    if row.flagged:
        value = f"{TIRE_KICKER}: {', '.join(row.unmet)}"
        steps.append(await _set_flag(s, writer, row, row.deal_id, value))
    async with s.ledger.write() as tx:
        await inbox.assert_held_by(tx, writer.event_id, writer.owner)
        done = [[x.what, x.record, x.why] for x in steps]
        await follow_ups.end(tx, row.id, done=done, task_id=task_id, now=s.clock())
    return _outcome(deal, row, steps, mailed)


def _outcome(deal: Assessment, row: FollowUpRow, steps: Sequence[Step], mailed: Mailed | None) -> Outcome:
    summary = f"follow-up {row.number} in {deal.stage.label}"
    summary += ", flagged: disqualify it?" if row.flagged else ""
    unmet = tuple(Step("found unmet", f"deal {row.deal_id}", f"{v.says}: {v.missing}") for v in deal.missing)
    if mailed is not None and mailed.doubt:
        return Outcome("dead", summary, deal_id=row.deal_id, steps=(*unmet, *steps), reasons=(mailed.doubt,))
    return Outcome("done", summary, deal_id=row.deal_id, steps=(*unmet, *steps))


async def _task(
    s: Services, writer: Writer, deal: Assessment, row: FollowUpRow, subject: str, before: Sequence[Step]
) -> tuple[Step, str]:
    """Create a task for the owner, unless the task of the last follow-up is still open."""
    last = next((x.task_id for x in reversed(deal.past) if x.number < row.number and x.task_id), None)
    if last is not None and await _is_open(s, last):
        return Step(
            "made no second task", f"task {last}", "the task of the last follow-up is still open"
        ), last
    owner_id = deal.file.owner.id if deal.file.owner else None
    since = f"{deal.entered_at:%Y-%m-%d}"
    lines = [
        f"The deal has been in {deal.stage.label} since {since}. This is follow-up {row.number}. Not met yet:",
        *(f"- {v.says} ({v.missing})" for v in deal.missing),
        *(f"Also: {x.what} ({x.record}; {x.why})." for x in before),
    ]
    if row.flagged:
        lines.append(
            "The follow-ups had no effect: the deal is now listed for disqualification. There are no more follow-ups "
            f"until another criterion is met. To keep the deal, clear the deal property {FLAG}."
        )
    task_id = await write_task(
        s,
        writer,
        deal_id=row.deal_id,
        cause=row.cause,
        subject=subject,
        text="\n".join(lines),
        owner_id=owner_id,
    )
    whose = f"for owner {owner_id}" if owner_id else "the deal has no active owner: the task is unassigned"
    return Step("made a task", f"task {task_id}", whose), task_id


async def _is_open(s: Services, task_id: str) -> bool:
    try:
        task = await reading(lambda: s.hubspot.read("tasks", task_id, properties=("hs_task_status",)))
    except NotFoundError:
        return False
    return task.properties.get("hs_task_status") in _OPEN_TASK


async def _remind(s: Services, writer: Writer, deal: Assessment, row: FollowUpRow) -> list[Step]:
    """The vendor reminds those whose turn it is to sign."""
    contract = deal.contract
    if contract is None or contract.state != "open" or not contract.request_id:
        return [Step("reminded nobody", f"deal {row.deal_id}", "no contract is waiting for signatures")]
    request_id = contract.request_id
    try:
        request = await reading(lambda: s.esign.read(request_id))
    except (GoneError, NotFoundError):
        return [Step("reminded nobody", f"request {request_id}", "it no longer exists")]
    if stands(contract, request_id, request) != "open":
        return [Step("reminded nobody", f"request {request_id}", "read back: it is no longer open")]
    return [await _remind_one(s, writer, row, request_id, x) for x in in_turn(request)]


async def _remind_one(
    s: Services, writer: Writer, row: FollowUpRow, request_id: str, signer: SignerState
) -> Step:
    record, email = f"signature {signer.id}", signer.email or ""
    began, last = row.begun_at - _SKEW, signer.last_reminded_at
    if signer.error or not email:
        return Step("did not remind a signer", record, f"{s.esign.name} cannot reach the address")
    if last is not None and s.clock() - _REMINDER_GAP < last < began:
        return Step("did not remind a signer", record, "reminded within the last hour")

    async def attempt(_token: str) -> Result:
        await writing(lambda: s.esign.remind(request_id, email, signer.name, before_send=nothing_to_check))
        return {"signature_id": signer.id}

    async def find(_token: str) -> Result | None:
        request = await reading(lambda: s.esign.read(request_id))
        seen = next((x.last_reminded_at for x in request.signatures if x.id == signer.id), None)
        return {"signature_id": signer.id} if seen is not None and seen >= began else None

    try:
        await perform(
            writer,
            key=f"remind:{row.deal_id}:{row.cause}:{signer.id}",
            kind="remind_signer",
            deal_id=row.deal_id,
            attempt=attempt,
            find=find,
        )
    except RejectedError as problem:  # closed meanwhile, or reminded by the vendor itself
        return Step("did not remind a signer", record, str(problem))
    return Step("reminded a signer", record, "it is their turn to sign")


async def _set_flag(s: Services, writer: Writer, row: FollowUpRow, deal_id: str, value: str) -> Step:
    """Set the deal's flag in HubSpot; an empty value clears it."""
    what = "listed the deal for disqualification" if value else "removed the flag"
    cause = f"{row.cause}:{'flag' if value else 'unflag'}"
    try:
        await set_deal(s, writer, deal_id=deal_id, cause=cause, properties={FLAG: value})
    except RejectedError as problem:
        why = f"but not in HubSpot ({problem}): does it have the property? `dealflow provision --apply`"
        return Step(what, f"deal {deal_id}", why)
    return Step(what, f"deal {deal_id}", value or f"deal property {FLAG} is empty")


async def lift(s: Services, writer: Writer, found: Assessment | Outside, reason: str) -> Outcome:
    """Remove the deal's flags: in HubSpot, if it still shows one, then in the ledger."""
    rows = found.flags
    shown = found.shows_flag or await _in_doubt(s, writer)
    steps = [await _set_flag(s, writer, rows[-1], shown, "")] if shown else []
    async with s.ledger.write() as tx:
        for row in rows:
            await follow_ups.clear(tx, row.id, why=reason, now=s.clock())
    return Outcome("done", f"no longer flagged: {reason}", deal_id=rows[-1].deal_id, steps=tuple(steps))


async def _in_doubt(s: Services, writer: Writer) -> str | None:
    """The deal whose flag an earlier try of this event may have removed without getting an answer: HubSpot shows no
    flag now, but the intent is not settled yet.
    """
    async with s.ledger.read() as tx:
        tried = await effects.of_event(tx, writer.event_id)
    open_ones = (x for x in tried if x.kind == "set_deal" and x.state in ("intended", "unknown"))
    return next((x.deal_id for x in open_ones), None)
