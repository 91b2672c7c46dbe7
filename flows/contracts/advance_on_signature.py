"""A signature event arrives: the request is read back from Dropbox Sign, and only what is read there moves the deal.

Trigger: any Dropbox Sign event about one of our requests (the event itself is only a hint); the reconciler.
Reads: signature request, signed PDF, deal. Writes: deal stage and properties, signed PDF as file, note.
Once-key: contract revision and outcome.
Needs: scopes crm.objects.deals.write, crm.objects.contacts.write (notes), files; a Dropbox Sign API key.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from connectors.dropbox_sign.records import SignatureRequest
from flows.contracts.requests import read_requests, stands, tally
from flows.deals.read import DealFile, fresh_deal, read_deals, stage_now
from flows.deals.writes import deal_key, file_document, note_key, set_deal, write_note, writer_for
from flows.ledger import contracts, effects
from flows.ledger import documents as papers
from flows.ledger.contracts import Contract
from flows.ledger.inbox import Event
from flows.processes import SIGNATURE_CHECK
from flows.retries import reading
from flows.rules.criteria.judge import judge, unmet
from flows.rules.outcome import Outcome, Step, ignored
from flows.rules.process.sales_process import Stage
from flows.rules.signing import Mismatch, SignatureState
from flows.services import Services


@dataclass(frozen=True)
class Readings:
    """What was read back in bulk: requests by id (None: gone; left out: unknown there), and their deals."""

    requests: Mapping[str, SignatureRequest | None]
    deals: Mapping[str, DealFile]


async def prepare(events: Sequence[Event], s: Services) -> Readings:
    """Find the contract of each event, then read requests and deals back: in bulk when there are many."""
    wanted: dict[str, Contract] = {}
    for event in events:
        contract = await _contract_of(event, s)
        request_id = event.content.get("request_id") or (contract.request_id if contract else None)
        if contract is not None and request_id and not await _is_finished(contract, s):
            wanted[str(request_id)] = contract
    requests = await read_requests(s, set(wanted))
    # A request that is still open moves nothing: its deal need not be read.
    ended = {
        contract.deal_id
        for request_id, contract in wanted.items()
        if request_id in requests and stands(contract, request_id, requests[request_id]) != "open"
    }
    return Readings(requests, await read_deals(s, sorted(ended)))


async def handle(event: Event, readings: Readings, s: Services) -> Outcome:
    """Decide by what was read back; finish what a half-done earlier run left."""
    contract = await _contract_of(event, s)
    if contract is None:
        return ignored("not a request of ours (it carries no token that we know)")
    if await _is_finished(contract, s):
        return ignored(f"contract revision {contract.revision} is signed, filed and done with")
    request_id = str(event.content.get("request_id") or contract.request_id or "")
    if not request_id:
        return ignored("the contract has not been sent yet")
    known = readings.requests if request_id in readings.requests else await read_requests(s, {request_id})
    request = known.get(request_id)
    if request is None and contract.request_id not in (None, request_id):
        return ignored(
            "a different request, gone or unknown: it says nothing about the contract that was sent"
        )
    if request_id not in known:
        return _for_a_person(
            contract, request_id, "Dropbox Sign knows no such request: look there who removed it"
        )
    verdict = stands(contract, request_id, request)
    if isinstance(verdict, Mismatch):
        return _for_a_person(contract, request_id, verdict.reason)
    contract = await _adopt(contract, request_id, request, s)
    if verdict != "open" and await _is_superseded(contract, s):
        return await _end_superseded(contract, verdict, request_id, s)
    if verdict == "open":
        return Outcome("done", f"read back: still open ({tally(request)})", deal_id=contract.deal_id)
    file = await fresh_deal(s, contract.deal_id, readings.deals)
    if file is None:
        return ignored("HubSpot has no such deal any more")
    if verdict == "completed":
        return await _complete(event, contract, request_id, file, s)
    return await _end(event, contract, verdict, file, request, s)


def _for_a_person(contract: Contract, request_id: str, reason: str) -> Outcome:
    reasons = (f"request {request_id}: {reason}",)
    return Outcome("dead", "not acted on", deal_id=contract.deal_id, reasons=reasons)


async def _is_superseded(contract: Contract, s: Services) -> bool:
    async with s.ledger.read() as tx:
        latest = await contracts.latest(tx, contract.deal_id)
    return latest is not None and latest.revision > contract.revision


async def _end_superseded(
    contract: Contract, ending: SignatureState, request_id: str, s: Services
) -> Outcome:
    """A late word about an older revision moves nothing: the deal stands by the newest one."""
    async with s.ledger.write() as tx:
        await contracts.end(tx, contract.id, state=ending, now=s.clock())
    if ending == "completed":
        reason = (
            f"revision {contract.revision} was signed although a newer one exists: decide which one holds"
        )
        return _for_a_person(contract, request_id, reason)
    return ignored(f"contract revision {contract.revision} is {ending}; a newer one exists")


async def _contract_of(event: Event, s: Services) -> Contract | None:
    """Ours by request id, by the token in the metadata, or (a check) the deal's newest. The body is only a pointer."""
    async with s.ledger.read() as tx:
        request_id, token = event.content.get("request_id"), event.content.get("token")
        contract = await contracts.by_request(tx, str(request_id)) if request_id else None
        if contract is None and token:
            contract = await contracts.by_token(tx, str(token))
        if contract is None and event.kind == SIGNATURE_CHECK and event.deal_id:
            contract = await contracts.latest(tx, event.deal_id)
    return contract


# Causes stand in effect keys, which are stored data: never change one.
def _signed_cause(contract: Contract) -> str:
    return f"signed:{contract.revision}"


def _end_cause(contract: Contract, ending: str) -> str:
    return f"{ending}:{contract.revision}"


def _move_cause(contract: Contract, ending: str) -> str:
    return f"{_end_cause(contract, ending)}:stage"


def steps_of_end(contract: Contract, deal_id: str) -> dict[str, tuple[str, ...]]:
    """What the end of a contract writes on this deal: each step in words, with the effect keys one of which is then
    done. Nothing for a contract that has not ended, or that never became a request.
    """
    ending = contract.state
    if contract.request_id is None or ending in ("sending", "open", "refused"):
        return {}
    causes = _move_cause(contract, ending), _end_cause(contract, ending)
    told = {"the deal's stage or status": tuple(deal_key(deal_id, cause) for cause in causes)}
    if ending != "completed":
        return {**told, "the note with the reason": (note_key(deal_id, _end_cause(contract, ending)),)}
    signed = _signed_cause(contract)
    return {
        **told,
        "the note with the signed PDF": (note_key(deal_id, signed),),
        "the signed PDF on the deal": (deal_key(deal_id, signed),),
    }


async def _is_finished(contract: Contract, s: Services) -> bool:
    """Whether all is written that a completed contract calls for: later events about it have nothing to add."""
    if contract.state != "completed":
        return False
    steps = steps_of_end(contract, contract.deal_id).values()
    async with s.ledger.read() as tx:
        states = await effects.states(tx, [key for keys in steps for key in keys])
    return all(any(states.get(key) == "done" for key in keys) for keys in steps)


async def _adopt(
    contract: Contract, request_id: str, request: SignatureRequest | None, s: Services
) -> Contract:
    """The send was in doubt, and here is its request: that settles it."""
    if contract.state != "sending" or request is None:
        return contract
    async with s.ledger.write() as tx:
        await effects.adopt(tx, contract.effect_key, {"request_id": request_id}, now=s.clock())
        await contracts.sent(tx, contract.id, request_id=request_id, now=s.clock())
        found = await contracts.by_token(tx, contract.token)
    return found or contract


async def _complete(
    event: Event, contract: Contract, request_id: str, file: DealFile, s: Services
) -> Outcome:
    """Everybody signed: move the deal if it may move, then file the signed PDF (it is made a little later)."""
    target = s.process.signature_outcomes.completed.move_to
    async with s.ledger.read() as tx:
        on_file = await papers.kinds_on_file(tx, [file.id])
    facts = file.facts(documents=on_file.get(file.id, ()), signature="completed")
    stage = s.process.stage_for("send_contract")
    missing = unmet(judge(stage.exit_criteria, facts, stage.key)) if stage else ()
    steps = [
        Step("read the request back", f"request {request_id}", "all signers signed, token and deal match")
    ]
    if not missing:  # what is signed is filed all the same; the deal moves when the rest is there
        if target is not None:
            steps.append(await _move(event, contract, file, target, "completed", s))
        else:
            await _tell_status(event, contract, file, "completed", s)
    async with s.ledger.write() as tx:
        await contracts.end(tx, contract.id, state="completed", now=s.clock())
        filed = await effects.states(tx, [deal_key(file.id, _signed_cause(contract))])
    if "done" not in filed.values():
        steps += await _file_signed(event, contract, request_id, file, s)
    if missing:
        reasons = tuple(v.missing for v in missing)
        return Outcome("held", "signed, but not moved", deal_id=file.id, steps=tuple(steps), reasons=reasons)
    return Outcome(
        "done",
        f"contract signed, deal {s.process.stage(target).label}" if target else "contract signed",
        deal_id=file.id,
        steps=tuple(steps),
        links={"Signature request": s.request_url(request_id)},
    )


async def _file_signed(
    event: Event, contract: Contract, request_id: str, file: DealFile, s: Services
) -> list[Step]:
    """The signed PDF on the deal, with a note."""
    pdf = await reading(lambda: s.dropbox_sign.download_pdf(request_id))
    digest = hashlib.sha256(pdf).hexdigest()
    async with s.ledger.write() as tx:
        paper = await papers.freeze(
            tx,
            deal_id=file.id,
            kind="signed",
            source_sha256=hashlib.sha256(f"request {request_id}".encode()).hexdigest(),
            sha256=digest,
            title=f"Signed contract, revision {contract.revision}",
            content=pdf,
            now=s.clock(),
        )
    writer = writer_for(s, event)
    file_id = await file_document(s, writer, paper)
    note_id = await write_note(
        s,
        writer,
        deal_id=file.id,
        cause=_signed_cause(contract),
        text=f"Contract revision {contract.revision} is signed by all (request {request_id}).\n"
        "The signed PDF is attached.",
        attachment_ids=[file_id],
    )
    await set_deal(
        s,
        writer,
        deal_id=file.id,
        cause=_signed_cause(contract),
        properties={"dealflow_signed_file_id": file_id},
    )
    return [
        Step("filed the signed PDF", f"file {file_id}", f"sha256 {paper.sha256[:12]}"),
        Step("wrote a note with it", f"note {note_id}", "so that it stands on the time line"),
    ]


async def _end(
    event: Event,
    contract: Contract,
    ending: SignatureState,
    file: DealFile,
    request: SignatureRequest | None,
    s: Services,
) -> Outcome:
    """It ended without all signatures: the deal goes where the process says, with the reason on it."""
    rule = getattr(s.process.signature_outcomes, ending)
    steps: list[Step] = []
    if rule.move_to is not None:
        steps.append(await _move(event, contract, file, rule.move_to, ending, s))
    reason = next((x.decline_reason for x in request.signatures if x.decline_reason), "") if request else ""
    writer = writer_for(s, event)
    said = f" Reason given: {reason}" if reason else ""
    note_id = await write_note(
        s,
        writer,
        deal_id=file.id,
        cause=_end_cause(contract, ending),
        text=f"Contract revision {contract.revision} was not signed: {ending}.{said}",
    )
    if rule.move_to is None:
        await _tell_status(event, contract, file, ending, s)
    async with s.ledger.write() as tx:
        await contracts.end(tx, contract.id, state=ending, now=s.clock(), reason=reason or None)
    steps.append(Step("wrote a note with the reason", f"note {note_id}", f"the request was {ending}"))
    return Outcome(
        "done",
        f"contract {ending}",
        deal_id=file.id,
        steps=tuple(steps),
        links={"Signature request": s.request_url(contract.request_id or "")},
    )


async def _move(
    event: Event, contract: Contract, file: DealFile, target: str, ending: SignatureState, s: Services
) -> Step:
    """Move the deal's stage once for this ending; a deal that somebody moved meanwhile is left alone."""
    portal = await s.portal()
    label, deal = s.process.stage(target).label, f"deal {file.id}"
    stage_id, key = await stage_now(s, file)
    here = s.process.stage(key) if key else None
    if here is None or here.key == target or not _may_leave(here, ending, s):
        await _tell_status(event, contract, file, ending, s)
        there = here is not None and here.key == target
        async with s.ledger.write() as tx:  # a move of ours that was in doubt is so no more
            move = deal_key(file.id, _move_cause(contract, ending))
            await effects.adopt(tx, move, {"superseded": not there}, now=s.clock())
        if there:
            return Step(f"deal stands in {label}", deal, "nothing to move")
        where = here.label if here else "a stage outside the process"
        return Step(f"left the deal in {where}", deal, "a person put it there")
    properties = {
        "dealstage": portal.stage_ids[target],
        "dealflow_contract_status": ending,
    }
    if s.process.stage(target).closed is not None:
        properties["closedate"] = _hubspot_time(event.received_at)
    result = await set_deal(
        s,
        writer_for(s, event),
        deal_id=file.id,
        cause=_move_cause(contract, ending),
        properties=properties,
        before={"dealstage": stage_id},
    )
    if result.get("superseded"):
        return Step("left the stage alone", deal, "somebody moved the deal meanwhile")
    return Step(f"moved the deal to {label}", deal, f"contract {ending}")


def _may_leave(here: Stage, ending: SignatureState, s: Services) -> bool:
    """A signed contract wins an open deal wherever it stands; any other end moves it only from where it was sent."""
    if here.closed is not None:
        return False
    sent_from = s.process.stage_for("send_contract")
    return ending == "completed" or sent_from is None or here.key == sent_from.key


async def _tell_status(event: Event, contract: Contract, file: DealFile, ending: str, s: Services) -> None:
    """The deal says how the contract ended, also where its stage stays."""
    await set_deal(
        s,
        writer_for(s, event),
        deal_id=file.id,
        cause=_end_cause(contract, ending),
        properties={"dealflow_contract_status": ending},
    )


def _hubspot_time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")
