"""A signature event arrives: the request is read back from the vendor, and only what is read there moves the deal.

Trigger: any callback about one of our requests (the event itself is only a hint); the reconciler.
Reads: signature request, signed PDF, deal. Writes: deal stage and properties, signed PDF as file, note.
Once-key: contract revision and outcome.
Needs: scopes crm.objects.deals.write, crm.objects.contacts.write (notes), files; an API key of the e-signature service.
What a request means for its deal is decided in `flows/rules/contracts.py` (`may_advance`).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from flows.contracts.effect_keys import end_cause, is_finished, move_cause, signed_cause
from flows.contracts.esign import SignatureRequest
from flows.contracts.requests import facts_of, promise_of, read_requests, stands, tally
from flows.deals.read import DealFile, fresh_deal, read_deals, stage_now
from flows.deals.writes import deal_key, file_document, set_deal, write_note, writer_for
from flows.ledger import contracts, documents, effects
from flows.ledger.contracts import Contract
from flows.ledger.inbox import Event
from flows.processes import SIGNATURE_CHECK
from flows.retries import reading
from flows.rules.contract_facts import AdvanceCase, AskPerson, Complete, End, Ignore, Need, OnFile, StillOpen
from flows.rules.contracts import may_advance, may_move, settles_send
from flows.rules.criteria.judge import judge, unmet
from flows.rules.outcome import Outcome, Step, ignored
from flows.rules.signing import SignatureState
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
        if contract is not None and request_id and not await is_finished(contract, s):
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
    """Read, decide, apply once, report; what an earlier run left half done is finished."""
    contract, case = await _read_ledger(event, s)
    answer = may_advance(case)
    request: SignatureRequest | None = None
    if answer == Need("request"):
        request_id = case.request_id
        known = readings.requests if request_id in readings.requests else await read_requests(s, {request_id})
        request = known.get(request_id)
        if contract is not None and case.contract is not None:  # reading took its time
            on_file = replace(case.contract, superseded=await _is_superseded(contract, s))
            case = replace(case, contract=on_file)
        case = replace(case, request=facts_of(request_id, request) if request_id in known else None)
        answer = may_advance(case)
    if contract is not None and settles_send(case):
        contract = await _adopt(contract, case.request_id, s)
    file: DealFile | None = None
    if contract is not None and answer == Need("deal"):
        file = await fresh_deal(s, contract.deal_id, readings.deals)
        case = replace(case, missing=await _missing(file, s) if file else None)
        answer = may_advance(case)
    if contract is not None and isinstance(answer, AskPerson | Ignore) and answer.ends:
        async with s.ledger.write() as tx:
            await contracts.end(tx, contract.id, state=answer.ends, now=s.clock())
    if isinstance(answer, Ignore):
        return ignored(answer.why)
    assert contract is not None and not isinstance(answer, Need)
    if isinstance(answer, AskPerson):
        reasons = (f"request {case.request_id}: {answer.reason}",)
        return Outcome("dead", "not acted on", deal_id=contract.deal_id, reasons=reasons)
    if isinstance(answer, StillOpen):
        return Outcome("done", f"read back: still open ({tally(request)})", deal_id=contract.deal_id)
    assert file is not None  # may_advance has asked for it
    if isinstance(answer, Complete):
        return await _complete(event, contract, case.request_id, file, answer, s)
    return await _end(event, contract, answer, file, request, s)


# --- read --------------------------------------------------------------------------------------------------


async def _read_ledger(event: Event, s: Services) -> tuple[Contract | None, AdvanceCase]:
    """The contract that the event points to, and which request is to be read back."""
    contract = await _contract_of(event, s)
    if contract is None:
        return None, AdvanceCase(None, "", s.esign.name)
    on_file = OnFile(
        number=contract.revision,
        state=contract.state,
        promise=promise_of(contract),
        finished=await is_finished(contract, s),
        superseded=await _is_superseded(contract, s),
    )
    request_id = event.content.get("request_id") or contract.request_id or ""
    return contract, AdvanceCase(on_file, str(request_id), s.esign.name)


async def _is_superseded(contract: Contract, s: Services) -> bool:
    async with s.ledger.read() as tx:
        latest = await contracts.latest(tx, contract.deal_id)
    return latest is not None and latest.revision > contract.revision


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


async def _missing(file: DealFile, s: Services) -> tuple[str, ...]:
    """What the deal lacks of the exit criteria of the stage that sends, with all signatures there."""
    async with s.ledger.read() as tx:
        on_file = await documents.kinds_on_file(tx, [file.id])
    facts = file.facts(documents=on_file.get(file.id, ()), signature="completed")
    stage = s.process.stage_for("send_contract")
    verdicts = judge(stage.exit_criteria, facts, stage.key) if stage else ()
    return tuple(v.missing for v in unmet(verdicts))


# --- apply once --------------------------------------------------------------------------------------------


async def _adopt(contract: Contract, request_id: str, s: Services) -> Contract:
    """The send was in doubt, and here is its request: that settles it."""
    async with s.ledger.write() as tx:
        await effects.adopt(tx, contract.effect_key, {"request_id": request_id}, now=s.clock())
        await contracts.sent(tx, contract.id, request_id=request_id, now=s.clock())
        found = await contracts.by_token(tx, contract.token)
    return found or contract


async def _complete(
    event: Event, contract: Contract, request_id: str, file: DealFile, answer: Complete, s: Services
) -> Outcome:
    """Everybody signed: move the deal if it may move, then file the signed PDF (it is made a little later)."""
    target = s.process.signature_outcomes.completed.move_to
    steps = [
        Step("read the request back", f"request {request_id}", "all signers signed, token and deal match")
    ]
    if not answer.missing:  # what is signed is filed all the same; the deal moves when the rest is there
        if target is not None:
            steps.append(await _move(event, contract, file, target, "completed", s))
        else:
            await _report_status(event, contract, file, "completed", s)
    async with s.ledger.write() as tx:
        await contracts.end(tx, contract.id, state="completed", now=s.clock())
        filed = await effects.states(tx, [deal_key(file.id, signed_cause(contract))])
    if "done" not in filed.values():
        steps += await _file_signed(event, contract, request_id, file, s)
    if answer.missing:
        return Outcome(
            "held", "signed, but not moved", deal_id=file.id, steps=tuple(steps), reasons=answer.missing
        )
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
    pdf = await reading(lambda: s.esign.download(request_id))
    digest = hashlib.sha256(pdf).hexdigest()
    async with s.ledger.write() as tx:
        frozen = await documents.freeze(
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
    file_id = await file_document(s, writer, frozen)
    note_id = await write_note(
        s,
        writer,
        deal_id=file.id,
        cause=signed_cause(contract),
        text=f"Contract revision {contract.revision} is signed by all (request {request_id}).\n"
        "The signed PDF is attached.",
        attachment_ids=[file_id],
    )
    await set_deal(
        s,
        writer,
        deal_id=file.id,
        cause=signed_cause(contract),
        properties={"dealflow_signed_file_id": file_id},
    )
    return [
        Step("filed the signed PDF", f"file {file_id}", f"sha256 {frozen.sha256[:12]}"),
        Step("wrote a note with it", f"note {note_id}", "so that it stands on the time line"),
    ]


async def _end(
    event: Event,
    contract: Contract,
    answer: End,
    file: DealFile,
    request: SignatureRequest | None,
    s: Services,
) -> Outcome:
    """It ended without all signatures: the deal goes where the process says, with the reason on it."""
    ending = answer.ending
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
        cause=end_cause(contract, ending),
        text=f"Contract revision {contract.revision} was not signed: {ending}.{said}",
    )
    if rule.move_to is None:
        await _report_status(event, contract, file, ending, s)
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
    sends_from = s.process.stage_for("send_contract")
    if here is None or not may_move(here, target, ending, sends_from.key if sends_from else None):
        await _report_status(event, contract, file, ending, s)
        there = here is not None and here.key == target
        async with s.ledger.write() as tx:  # a move of ours is no longer in doubt
            move = deal_key(file.id, move_cause(contract, ending))
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
        cause=move_cause(contract, ending),
        properties=properties,
        before={"dealstage": stage_id},
    )
    if result.get("superseded"):
        return Step("left the stage alone", deal, "somebody moved the deal meanwhile")
    return Step(f"moved the deal to {label}", deal, f"contract {ending}")


async def _report_status(event: Event, contract: Contract, file: DealFile, ending: str, s: Services) -> None:
    """The deal says how the contract ended, also where its stage stays."""
    await set_deal(
        s,
        writer_for(s, event),
        deal_id=file.id,
        cause=end_cause(contract, ending),
        properties={"dealflow_contract_status": ending},
    )


def _hubspot_time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")
