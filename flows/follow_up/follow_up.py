"""Follows up stalled deals as the plan of their stage says, and notifies the owner of a deal with a dead event.

Trigger: schedule (daily; finds what is due and puts `follow_up.due` into the inbox); on demand by deal id; an event
with a deal is dead-lettered (flows/worker/settle.py puts `deal.stuck` into the inbox).
Reads: deals with everything around them, all their activities, the signature request; the ledger.
Writes: one task on the deal, an e-mail draft (or one e-mail over SMTP with a note), reminders, the deal's flag.
Once-key: deal, stage, moment of entry and number of the follow-up; the event that was given up.
Needs: scopes crm.objects.deals.write, crm.objects.contacts.write (tasks, notes, e-mails); an e-signature API key.
"""

from collections.abc import Sequence

from flows.deals.read import DealFile, fresh_deal, read_deals
from flows.deals.writes import write_task, writer_for
from flows.follow_up.assess import Assessment, Outside, assess, read_files
from flows.follow_up.email import released_email
from flows.follow_up.steps import carry_out, lift
from flows.follow_up.sweep import sweep
from flows.ledger import follow_ups, inbox
from flows.ledger.follow_ups import FollowUpRow
from flows.ledger.inbox import Event
from flows.processes import DEAL_STUCK, EVENTS, FOLLOW_UP_DUE
from flows.rules.follow_up import Due, Lift
from flows.rules.outcome import Artifact, Finished, Outcome, Step, ignored
from flows.services import Services


async def run(s: Services) -> Finished:
    """Find the deals to follow up, and put an event for each into the inbox."""
    swept = await sweep(s)
    return Finished(swept.summary, (Artifact("follow-up", "Stalled deals", swept.report(s)),))


async def prepare(events: Sequence[Event], s: Services) -> dict[str, DealFile]:
    """The deals of these events, in bulk: with all activities for those that may be followed up."""
    due = [e.deal_id for e in events if e.deal_id and e.kind == FOLLOW_UP_DUE]
    stuck = [e.deal_id for e in events if e.deal_id and e.kind != FOLLOW_UP_DUE]
    return {**await read_deals(s, stuck), **await read_files(s, due)}


async def handle(event: Event, files: dict[str, DealFile], s: Services) -> Outcome:
    """Follow up, or notify the owner that an event was dead-lettered."""
    if event.kind == DEAL_STUCK:
        return await _tell_of_stuck(event, files, s)
    return await _follow_up(event, files, s)


async def _follow_up(event: Event, files: dict[str, DealFile], s: Services) -> Outcome:
    """The deal may have changed since the sweep, so it is assessed again from fresh facts."""
    deal_id, writer = event.deal_id or "", writer_for(s, event)
    file = await fresh_deal(s, deal_id, files, read_files)
    asked = event.content.get("by") == "operator"
    found = (await assess(s, {deal_id: file}, asked=asked))[deal_id]
    if isinstance(found, Outside):
        if found.flags:
            return await lift(s, writer, found, found.reason)
        return ignored(found.reason)
    if isinstance(found.decision, Lift):
        return await lift(s, writer, found, found.decision.reason)
    row = found.unfinished
    if row is not None and not found.missing:
        async with s.ledger.write() as tx:
            await follow_ups.end(tx, row.id, done=row.done, now=s.clock())
        return ignored("all criteria are met now: nothing to do")
    if row is None and isinstance(found.decision, Due):
        row = await _begin(event, found, found.decision, s)
    row = row or await _released(found, s)
    return await carry_out(s, writer, found, row) if row else ignored(found.decision.reason)


async def _begin(event: Event, found: Assessment, due: Due, s: Services) -> FollowUpRow:
    """Record the follow-up as begun. It is then finished whatever a later assessment says."""
    async with s.ledger.write() as tx:
        await inbox.assert_held_by(tx, event.id, s.owner)
        return await follow_ups.begin(
            tx,
            deal_id=found.file.id,
            stage=found.stage.key,
            entered_at=found.entered_at,
            number=due.number,
            unmet=found.unmet,
            flagged=due.flag,
            now=s.clock(),
        )


async def _released(found: Assessment, s: Services) -> FollowUpRow | None:
    """The last follow-up, when a person has released its e-mail to be sent again."""
    last = found.past[-1] if found.past and found.missing else None
    return last if last is not None and await released_email(s, last) else None


async def _tell_of_stuck(event: Event, files: dict[str, DealFile], s: Services) -> Outcome:
    """Create one task for the owner, unless the event has been retried or settled meanwhile."""
    stuck_id = int(event.content["event_id"])
    async with s.ledger.read() as tx:
        stuck = await inbox.load(tx, [stuck_id])
    if stuck and stuck[0].state != "dead":
        return ignored(f"event {stuck_id} is no longer dead")
    file = await fresh_deal(s, event.deal_id or "", files)
    if file is None:
        return ignored("HubSpot no longer has this deal")
    owner_id = file.owner.id if file.owner else None  # an owner who has left cannot have a task
    given_up = EVENTS.get(str(event.content["kind"]))
    what = given_up.failed if given_up else "a step was not done"
    task_id = await write_task(
        s,
        writer_for(s, event),
        deal_id=file.id,
        cause=f"stuck:{stuck_id}",
        subject=f"dealflow is stuck: {what}",
        text=(
            f"For this deal {what}, and dealflow has stopped trying.\n"
            f"Why: {event.content['reason'] or 'no reason given'}\n"
            "What to do: fix the cause named above, or do the step by hand. Then give the event number to the "
            f"person who runs dealflow in your company, so that the step is tried again. Event number: {stuck_id}."
        ),
        owner_id=owner_id,
    )
    whose = f"for owner {owner_id}" if owner_id else "the deal has no active owner: the task is unassigned"
    return Outcome(
        "done",
        "the owner has a task: the deal is stuck" if owner_id else "the deal has a task: it is stuck",
        deal_id=file.id,
        steps=(Step("made a task", f"task {task_id}", f"event {stuck_id} is dead; {whose}"),),
    )
