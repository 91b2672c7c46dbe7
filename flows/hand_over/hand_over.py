"""Hands over a won deal: its account manager gets a debrief and tasks, and the next deal with the buyer is opened.

Trigger: a deal enters the won stage with `on_enter: [hand_over]`; on demand by deal id.
Reads: deal with stage history, contacts, companies, line items; checks, overrides, contracts and sales in the ledger.
Writes: the follow-on deal if the process file defines one, tasks, and last the debrief as a note.
Once-key: deal. The debrief marks it as done: a deal that is won again is not handed over again.
Needs: scopes crm.objects.deals.{read,write}, crm.objects.contacts.write (tasks, notes).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.hubspot.records import Owner
from flows.deals.facts import facts_of
from flows.deals.read import DealContact, DealFile, fresh_deal, read_with_history
from flows.deals.stage_entries import moves_of
from flows.deals.writes import note_key, write_note, write_task, writer_for
from flows.hand_over.debrief import Debrief, debrief_text
from flows.hand_over.next_deal import open_follow_on, place_of
from flows.ledger import contracts, documents, effects, stage_checks
from flows.ledger.inbox import Event
from flows.ledger.sales import sales
from flows.rules.criteria.judge import gate
from flows.rules.cross_sell import also_bought, sale
from flows.rules.outcome import Outcome, Step, ignored
from flows.rules.process.hand_over_plan import HandOverTask
from flows.services import Portal, Services

CAUSE = "handover"
"""Part of effect keys, which are stored data: never change it."""
_MOST_CHECKS = 200
_DOCUMENTS = {"proposal": "Proposal", "signed": "Signed contract"}


async def prepare(events: Sequence[Event], s: Services) -> dict[str, DealFile]:
    """The deals of these events with associated records, in bulk."""
    return await read_with_history(s, [e.deal_id for e in events if e.deal_id])


async def handle(event: Event, files: dict[str, DealFile], s: Services) -> Outcome:
    """Open the next deal, make the tasks, write the debrief; steps of an earlier try are not repeated."""
    file = await fresh_deal(s, event.deal_id or "", files, read_with_history)
    if file is None:
        return ignored("HubSpot no longer has this deal")
    if file.stage != s.process.won.key:
        return ignored("superseded: the deal is not in the won stage")
    async with s.ledger.read() as tx:
        sealed = await effects.states(tx, [note_key(file.id, CAUSE)])
    if "done" in sealed.values():
        return ignored("already handed over")
    account = _account(s, await s.portal(), file, event)
    next_id = await _next_deal(event, file, account, s)
    steps = (
        [Step("opened the next deal with them", f"deal {next_id}", "the process file defines it")]
        if next_id
        else []
    )
    for task in s.process.hand_over.tasks:
        steps.append(await _task(event, file, account, task, s))
    known = await _known(s, file, account, next_url=s.deal_url(next_id) if next_id else "")
    note_id = await write_note(
        s,
        writer_for(s, event),
        deal_id=file.id,
        cause=CAUSE,
        text=debrief_text(s, file, known),
        attachment_ids=list(known.documents.values()),
    )
    steps.append(Step("wrote the debrief", f"note {note_id}", f"{len(file.line_items)} line item(s) sold"))
    steps += [
        Step("attached a document", f"file {file_id}", kind) for kind, file_id in known.documents.items()
    ]
    steps += [Step("named a contact", f"contact {c.record.id}", _roles(c)) for c in file.contacts]
    return Outcome(
        "done",
        f"handed over to account management: {account.how}",
        deal_id=file.id,
        steps=tuple(steps),
        links={"Next deal": s.deal_url(next_id)} if next_id else {},
    )


@dataclass(frozen=True)
class _Account:
    """Who sold, who manages the account from now on and why, and since when."""

    seller: Owner | None
    manager: Owner | None
    how: str
    since: datetime

    def whose(self, task: HandOverTask) -> Owner | None:
        """The owner of the task."""
        return self.seller if task.who == "seller" else self.manager


def _account(s: Services, portal: Portal, file: DealFile, event: Event) -> _Account:
    """The process file's account manager; the deal's owner if it names none or an inactive user."""
    named, since = s.process.hand_over.account_manager, event.occurred_at or event.received_at
    if named == "same_owner":
        how = "the deal's owner" if file.owner else "nobody, the deal has no active owner"
        return _Account(file.owner, file.owner, how, since)
    manager = account_manager(s, portal)
    if manager is not None:
        return _Account(file.owner, manager, "as the process file says", since)
    how = "the deal's owner, because hand_over.account_manager names no active user of HubSpot"
    return _Account(file.owner, file.owner, how, since)


def account_manager(s: Services, portal: Portal) -> Owner | None:
    """The active HubSpot user whom the process file names; else None."""
    named = s.process.hand_over.account_manager.lower()
    return next((o for o in portal.owners if (o.email or "").lower() == named), None)


async def _next_deal(event: Event, file: DealFile, account: _Account, s: Services) -> str | None:
    plan = s.process.hand_over.follow_on
    if plan is None:
        return None
    return await open_follow_on(
        s,
        writer_for(s, event),
        file,
        await place_of(s, await s.portal(), plan),
        owner_id=account.manager.id if account.manager else None,
        closes_at=account.since + timedelta(days=plan.close_days),
    )


async def _task(event: Event, file: DealFile, account: _Account, task: HandOverTask, s: Services) -> Step:
    """One task of the process file. Its text identifies it, so that reordering the file does not create it again."""
    owner = account.whose(task)
    task_id = await write_task(
        s,
        writer_for(s, event),
        deal_id=file.id,
        cause=f"{CAUSE}:{hashlib.sha256(task.task.encode()).hexdigest()[:12]}",
        subject=task.task,
        text="The deal is won. The debrief, a note on this deal, has what is known about the buyer.",
        owner_id=owner.id if owner else None,
        due_at=account.since + timedelta(days=task.due_days),
    )
    whose = f"owner {owner.id}" if owner else "nobody yet, the deal has no active owner"
    return Step("made a task", f"task {task_id}", f"for the {task.who.replace('_', ' ')}: {whose}")


async def _known(s: Services, file: DealFile, account: _Account, *, next_url: str) -> Debrief:
    """Facts about the deal from the ledger and the process."""
    portal, won = await s.portal(), s.process.won.key
    async with s.ledger.read() as tx:
        facts = (await facts_of(tx, [file]))[file.id]
        checks = await stage_checks.listing(tx, deal_id=file.id, limit=_MOST_CHECKS)
        overrides = await stage_checks.overrides_of(tx, deal_id=file.id)
        revisions = await contracts.of_deal(tx, file.id)
        filed = (await documents.filed(tx, [file.id])).get(file.id, {})
        sold = await sales(tx, portal.stage_ids[won])
    mine = sale(file.id, (c.id for c in file.companies), (i.properties for i in file.line_items))
    return Debrief(
        account_manager=account.manager,
        how=account.how,
        moves=moves_of(portal, file),
        verdicts=gate(s.process, won, facts),
        proofs={key: ids for check in reversed(checks) for key, ids in check.proofs.items()},
        overrides=[override for override, _ in overrides],
        contracts=revisions,
        documents={label: filed[kind].file_id for kind, label in _DOCUMENTS.items() if kind in filed},
        suggestions=also_bought(mine, sold),
        next_url=next_url,
    )


def _roles(contact: DealContact) -> str:
    return ", ".join(sorted(contact.roles)) or "no role"
