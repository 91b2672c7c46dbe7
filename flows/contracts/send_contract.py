"""Sends the deal's contract for e-signature: once, to the labelled signers, from a frozen text, for a deal that
met its exit criteria.

Trigger: a deal enters the stage that says `on_enter: [send_contract]`; on demand by deal id.
Reads: deal, contacts with roles, company, line items, owner. Writes: one signature request, note, deal properties.
Once-key: deal and contract revision; a new revision only after the one before has ended without a signature.
Needs: scopes crm.objects.deals.write, crm.objects.contacts.write (notes); an API key of the e-signature service.
Whether it is sent is decided in `flows/rules/contracts.py` (`may_send`).
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import timedelta

from connectors.http.errors import RejectedError, TransientError
from flows.contracts.draft import request_for, signers_of
from flows.contracts.effect_keys import report_cause
from flows.contracts.requests import find_request
from flows.contracts.sending_facts import deal_now, draft_of, read_ledger
from flows.deals.read import DealFile, fresh_deal, read_deal, read_deals
from flows.deals.writes import set_deal, write_note, writer_for
from flows.documents.render import Document
from flows.errors import FlowError
from flows.ledger import contracts, documents, inbox
from flows.ledger.contracts import Contract
from flows.ledger.documents import StoredDocument
from flows.ledger.effects import Plan, Result, perform
from flows.ledger.inbox import Event
from flows.retries import writing
from flows.rules.contract_facts import Ignore, Need, Resume, Send
from flows.rules.contracts import may_send, refused, still_wanted, withdrawn
from flows.rules.criteria.judge import Verdict
from flows.rules.outcome import Outcome, Step, ignored
from flows.rules.signing import Hold
from flows.services import CONTRACT, Services

_LONG_WAIT = timedelta(seconds=30)
"""If pacing delays a send for longer than this, the deal's stage is checked again first."""


async def prepare(events: Sequence[Event], s: Services) -> dict[str, DealFile]:
    """The deals of these events with everything around them, in bulk."""
    return await read_deals(s, [e.deal_id for e in events if e.deal_id])


async def handle(event: Event, files: dict[str, DealFile], s: Services) -> Outcome:
    """Read, decide, freeze, send, report. What costs a call is read only when the decision needs it."""
    deal_id = event.deal_id or ""
    contract, case = await read_ledger(event, s)
    answer = may_send(case)
    file, document = None, None
    if answer == Need("deal"):
        file = await fresh_deal(s, deal_id, files)
        case = replace(case, deal=await deal_now(file, s) if file else None)
        answer = may_send(case)
    if file is not None and answer == Need("draft"):
        document, found = await draft_of(event, file, contract, s)
        case = replace(case, draft=found)
        answer = may_send(case)
    if isinstance(answer, Ignore):
        return await _ignore(answer, contract, s)
    if isinstance(answer, Hold):
        return _held(answer, file.id if file else deal_id)
    if isinstance(answer, Send):
        assert file is not None and document is not None  # may_send has asked for both
        contract = await _freeze(event, file, document, answer, contract, s)
    assert contract is not None and not isinstance(answer, Need)
    return await _send(event, contract, answer, s)


# --- freeze ------------------------------------------------------------------------------------------------


async def _freeze(
    event: Event, file: DealFile, document: Document, answer: Send, before: Contract | None, s: Services
) -> Contract:
    """Text, signers and token of the new revision, written down before anything leaves."""
    signers = signers_of(s, file)
    assert not isinstance(signers, Hold)  # may_send has held the deal
    async with s.ledger.write() as tx:
        await inbox.assert_held_by(tx, event.id, s.owner)
        frozen = await documents.freeze(
            tx,
            deal_id=file.id,
            kind=CONTRACT,
            source_sha256=document.source_sha256,
            sha256=document.sha256,
            title=document.title,
            content=document.pdf,
            now=s.clock(),
        )
        if before is not None and answer.cancels:
            await contracts.end(tx, before.id, state="canceled", now=s.clock(), reason=answer.cancels)
        return await contracts.begin(
            tx,
            deal_id=file.id,
            token=s.new_token(),
            paper_id=frozen.id,
            signers=[asdict(signer) for signer in signers],
            test_mode=s.settings.dropbox_sign_test_mode,
            now=s.clock(),
        )


# --- send --------------------------------------------------------------------------------------------------


class _NotCheckedError(FlowError):
    """HubSpot could not be asked whether the deal still wants its contract. The cause says why; nothing was sent."""


class _WithdrawnError(RejectedError):
    """We refuse ourselves: the deal left the stage before the contract surely went out."""


async def _send(event: Event, contract: Contract, answer: Send | Resume, s: Services) -> Outcome:
    """The one outward step that must never happen twice; then report it on the deal."""
    async with s.ledger.read() as tx:
        frozen = await documents.by_id(tx, contract.paper_id)
    try:
        result = await _perform(event, contract, frozen, s, recheck=_rechecks(answer))
    except _WithdrawnError:
        return await _ignore(withdrawn(), contract, s)
    except RejectedError as refusal:
        if refusal.applied == "maybe":  # a 409: an identical request, perhaps our own, is being processed
            raise
        async with s.ledger.write() as tx:
            await contracts.end(tx, contract.id, state="refused", now=s.clock(), reason=str(refusal))
        return _held(refused(s.esign.name, str(refusal)), contract.deal_id)
    request_id = str(result["request_id"])
    async with s.ledger.write() as tx:
        await contracts.sent(tx, contract.id, request_id=request_id, now=s.clock())
    on_hold = bool(result.get("on_hold"))
    await _report(s, event, contract, request_id, on_hold=on_hold)
    outcome = _outcome(s, contract, frozen, request_id, answer.verdicts)
    if on_hold:
        held = f"contract is ON HOLD at {s.esign.name}: confirm the sender's e-mail address there"
        outcome = replace(outcome, summary=held, reasons=(held,))
    return outcome


def _rechecks(answer: Send | Resume) -> bool:
    return isinstance(answer, Resume) and answer.recheck


async def _perform(
    event: Event, contract: Contract, frozen: StoredDocument, s: Services, *, recheck: bool
) -> Result:
    """The send under its effect: found at the vendor before it is ever repeated."""
    request = request_for(s, contract, frozen)

    async def attempt(_token: str) -> Result:
        asked_at = s.clock()

        async def before_send() -> None:
            if recheck or s.clock() - asked_at > _LONG_WAIT:
                try:
                    await _assert_still_wanted(contract, s)
                except (
                    TransientError
                ) as problem:  # HubSpot's, retried already: not a reason to try the send again
                    raise _NotCheckedError from problem

        try:
            sent = await writing(lambda: s.esign.send(request, before_send=before_send))
        except _NotCheckedError as unchecked:
            assert unchecked.__cause__ is not None
            raise unchecked.__cause__ from None
        return {"request_id": sent.signature_request_id, "on_hold": sent.on_hold}

    async def find(token: str) -> Result | None:
        return await find_request(s, token, since=contract.created_at)

    return await perform(
        writer_for(s, event),
        key=contract.effect_key,
        kind="send_contract",
        deal_id=contract.deal_id,
        token=contract.token,
        attempt=attempt,
        find=find,
        plan=Plan(
            checks_s=s.settings.contract_looks_s,
            again=1 if s.settings.contract_resend == "once" else 0,
        ),
    )


async def _assert_still_wanted(contract: Contract, s: Services) -> None:
    """Time has passed since the deal was judged. Raises _WithdrawnError."""
    file = await read_deal(s, contract.deal_id)
    sends_from = s.process.stage_for("send_contract")
    if file is None or not still_wanted(file.stage, sends_from.key if sends_from else None):
        raise _WithdrawnError(s.esign.vendor, "send", detail="the deal has left the stage")


# --- report ------------------------------------------------------------------------------------------------


async def _ignore(answer: Ignore, contract: Contract | None, s: Services) -> Outcome:
    if contract is not None and answer.ends:
        async with s.ledger.write() as tx:
            await contracts.end(tx, contract.id, state=answer.ends, now=s.clock(), reason=answer.why)
    return ignored(answer.why)


def _held(hold: Hold, deal_id: str) -> Outcome:
    return Outcome("held", hold.summary, deal_id=deal_id, reasons=hold.reasons)


async def _report(
    s: Services, event: Event, contract: Contract, request_id: str, *, on_hold: bool = False
) -> None:
    writer, cause = writer_for(s, event), report_cause(contract)
    said = f"Contract revision {contract.revision} was sent for signature (request {request_id})."
    if on_hold:
        said = (
            f"Contract revision {contract.revision} is ON HOLD at {s.esign.name} (request {request_id}): nobody is "
            "asked to sign before the sender's e-mail address is confirmed there."
        )
    await write_note(
        s,
        writer,
        deal_id=contract.deal_id,
        cause=cause,
        text=said,
    )
    await set_deal(
        s,
        writer,
        deal_id=contract.deal_id,
        cause=cause,
        properties={
            "dealflow_contract_token": contract.token,
            "dealflow_contract_request_id": request_id,
            "dealflow_contract_status": "on_hold" if on_hold else "sent",
        },
    )


def _outcome(
    s: Services, contract: Contract, frozen: StoredDocument, request_id: str, verdicts: Sequence[Verdict]
) -> Outcome:
    signers = ", ".join(
        f"{x['role']} (contact {x['contact_id']})" if x["contact_id"] else "our counter-signer"
        for x in contract.signers
    )
    proven = [Step(f"exit criterion met: {v.says}", v.proof, "needed before closing") for v in verdicts]
    return Outcome(
        "done",
        f"contract revision {contract.revision} sent",
        deal_id=contract.deal_id,
        steps=(
            *proven,
            Step("froze the text", f"sha256 {frozen.sha256[:12]}", "what is signed cannot change any more"),
            Step("sent for signature", f"request {request_id}", f"signers in order: {signers}"),
            Step(
                "wrote a note and the deal's contract status",
                f"deal {contract.deal_id}",
                "so that the rep sees it",
            ),
        ),
        links={"Signature request": s.request_url(request_id)},
    )
