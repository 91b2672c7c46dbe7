"""A deal is stuck because one of its events was given up: its owner gets a task that says so, and what to do.

Trigger: an event with a deal is dead-lettered (`handling` puts `deal.stuck` into the inbox).
Reads: deal, the event in the ledger. Writes: one task on the deal.
Once-key: the event that was given up.
Needs: scopes crm.objects.deals.read, crm.objects.contacts.write (tasks).
"""

from collections.abc import Sequence
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.deals import DealFile, fresh_deal, read_deals
from flows.filing import write_task, writer_for
from flows.handling import STUCK
from flows.ledger import inbox
from flows.ledger.inbox import Event
from flows.rules.outcome import Outcome, Step, ignored
from flows.runs import run_events
from flows.services import Services

KIND = STUCK
_NOT_DONE = {
    "lead.received": "a new inquiry was not taken in",
    "deal.changed": "a change of the deal was not noticed",
    "proposal.due": "the proposal was not made",
    "contract.due": "the contract was not sent",
    "signature.event": "what the signers did was not acted on",
    "handover.due": "the hand-over to account management was not done",
    "signature.check": "what the signers did was not acted on",
}


@flow(name="follow-up", persist_result=False)
async def follow_up(event_ids: list[int] | None = None) -> State[Any]:
    """Tell the owners of these events' deals."""
    return await run_events(event_ids, prepare=prepare, handle=handle)


async def prepare(events: Sequence[Event], s: Services) -> dict[str, DealFile]:
    """The deals of these events, in bulk."""
    return await read_deals(s, [e.deal_id for e in events if e.deal_id])


async def handle(event: Event, files: dict[str, DealFile], s: Services) -> Outcome:
    """One task for the owner, unless somebody has put the event right already."""
    stuck_id = int(event.content["event_id"])
    async with s.ledger.read() as tx:
        stuck = await inbox.load(tx, [stuck_id])
    if stuck and stuck[0].state != "dead":
        return ignored(f"event {stuck_id} is not given up any more")
    file = await fresh_deal(s, event.deal_id or "", files)
    if file is None:
        return ignored("HubSpot has no such deal any more")
    owner_id = file.owner.id if file.owner else None  # an owner who has left cannot be given a task
    what = _NOT_DONE.get(event.content["kind"], "a step was not done")
    task_id = await write_task(
        s,
        writer_for(s, event),
        deal_id=file.id,
        cause=f"stuck:{stuck_id}",
        subject=f"dealflow is stuck: {what}",
        text=(
            f"For this deal {what}, and dealflow has stopped trying.\n"
            f"Why: {event.content['reason'] or 'no reason given'}\n"
            "What to do: mend what the reason names, or do the step by hand. Then tell whoever looks after dealflow: "
            f"this is event {stuck_id}, `dealflow inbox retry {stuck_id}` lets it be tried again."
        ),
        owner_id=owner_id,
    )
    whose = f"for owner {owner_id}" if owner_id else "the deal has no active owner: it is nobody's yet"
    return Outcome(
        "done",
        "the owner has a task: the deal is stuck" if owner_id else "the deal has a task: it is stuck",
        deal_id=file.id,
        steps=(Step("made a task", f"task {task_id}", f"event {stuck_id} was given up; {whose}"),),
    )
