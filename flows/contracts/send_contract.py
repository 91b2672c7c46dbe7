"""Sends the deal's contract for e-signature: once, to the labelled signers, from a frozen text, for a deal that
met its exit criteria.

Trigger: a deal enters the stage that says `on_enter: [send_contract]`; on demand by deal id.
Reads: deal, contacts with roles, company, line items, owner. Writes: one Dropbox Sign request, note, deal properties.
Once-key: deal and contract revision; a new revision only after the one before has ended without a signature.
Needs: scopes crm.objects.deals.write, crm.objects.contacts.write (notes); a Dropbox Sign API key.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import timedelta

from connectors.http.errors import RejectedError
from flows.contracts.draft import draft, request_for, signers_of, starts_on_of
from flows.contracts.requests import find_request
from flows.deals.read import DealFile, dated, fresh_deal, read_deal, read_deals
from flows.deals.writes import deal_key, set_deal, write_note, writer_for
from flows.documents.render import DocumentError
from flows.ledger import contracts, effects, inbox
from flows.ledger import documents as papers
from flows.ledger.contracts import Contract
from flows.ledger.documents import StoredDocument
from flows.ledger.effects import Plan, Result, perform
from flows.ledger.inbox import Event
from flows.retries import writing
from flows.rules.criteria.evidence import ways
from flows.rules.criteria.judge import DealFacts, Verdict, asked_before, gate, unmet
from flows.rules.criteria.smallest import Asked, smallest
from flows.rules.outcome import Outcome, Step, ignored
from flows.rules.pricing.pricing import PricingError
from flows.rules.signing import Hold, Signer
from flows.rules.templates.values import TemplateValueRefused, TemplateVariableMissing
from flows.services import CONTRACT, Services

_LONG_WAIT = timedelta(
    seconds=30
)  # for a place under the vendor's limit: what was checked before may have changed


async def prepare(events: Sequence[Event], s: Services) -> dict[str, DealFile]:
    """The deals of these events with everything around them, in bulk."""
    return await read_deals(s, [e.deal_id for e in events if e.deal_id])


async def handle(event: Event, files: dict[str, DealFile], s: Services) -> Outcome:
    """Resume a contract that is under way, or check, freeze and send a new one."""
    deal_id = event.deal_id or ""
    async with s.ledger.read() as tx:
        contract = await contracts.latest(tx, deal_id)
    unsent = contract is not None and contract.state == "sending" and await _surely_unsent(contract, s)
    if contract is not None and contract.state == "sending" and not unsent:
        return await _send(event, contract, (), s, resumed=True)
    if contract is not None and contract.state == "open" and not await _told(contract, s):
        return await _send(event, contract, (), s, resumed=True)
    if contract is not None and not unsent and not _may_be_followed(contract, event):
        return ignored(f"contract revision {contract.revision} exists already ({contract.state})")
    file = await fresh_deal(s, deal_id, files)
    if file is None:
        return ignored("HubSpot has no such deal any more")
    stage = s.process.stage_for("send_contract")
    if stage is None or file.stage != stage.key:
        why = "superseded: the deal has left the stage"
        if contract is not None and unsent:
            async with s.ledger.write() as tx:
                await contracts.end(tx, contract.id, state="canceled", now=s.clock(), reason=why)
        return ignored(why)
    prepared = await _prepare_contract(event, file, stage.key, contract, s)
    if isinstance(prepared, Outcome):
        return prepared
    contract, verdicts = prepared
    return await _send(event, contract, verdicts, s)


class _WithdrawnError(RejectedError):
    """We refuse ourselves: the deal left the stage before the contract surely went out."""


def _may_be_followed(contract: Contract, event: Event) -> bool:
    """Whether this event may open a revision after that one.

    A refused text may be mended for the event that asked for it; any other end needs a newer event, and one that was
    not only to resume what is under way.
    """
    if contract.state in ("open", "completed") or event.content.get("resume"):
        return False
    return contract.state == "refused" or contract.created_at < event.received_at


async def _surely_unsent(contract: Contract, s: Services) -> bool:
    """Whether no try can have reached the vendor: then time may have changed all, and it is judged anew."""
    async with s.ledger.read() as tx:
        effect = await effects.by_key(tx, contract.effect_key)
    return effect is None or (effect.state == "not_done" and effect.resends == 0)


async def _told(contract: Contract, s: Services) -> bool:
    """Whether the deal knows of the contract: we may have died or stumbled between sending and telling."""
    async with s.ledger.read() as tx:
        effect = await effects.by_key(tx, told_key(contract))
    return effect is not None and effect.state == "done"


async def _prepare_contract(
    event: Event, file: DealFile, stage: str, before: Contract | None, s: Services
) -> Outcome | tuple[Contract, tuple[Verdict, ...]]:
    """Gate, signers, text: all must stand before anything is written down."""
    async with s.ledger.read() as tx:
        on_file = await papers.kinds_on_file(tx, [file.id])
    facts = file.facts(documents=on_file.get(file.id, ()))
    verdicts = gate(s.process, stage, facts)
    chosen = signers_of(s, file)
    reasons = [f"{v.says}: {v.missing}" for v in unmet(verdicts)]
    reasons += _smallest(verdicts, asked_before(s.process, stage), facts)
    reasons += chosen.reasons if isinstance(chosen, Hold) else ()
    reasons += await _doubts(event, file, s)
    if reasons or isinstance(chosen, Hold):
        return Outcome("held", "contract not sent", deal_id=file.id, reasons=tuple(reasons))
    try:
        document = await asyncio.to_thread(draft, s, file, chosen, event)
    except (TemplateVariableMissing, TemplateValueRefused, PricingError, DocumentError) as problem:
        return Outcome("held", "contract not sent", deal_id=file.id, reasons=(str(problem),))
    async with s.ledger.write() as tx:
        await inbox.assert_held_by(tx, event.id, s.owner)
        paper = await papers.freeze(
            tx,
            deal_id=file.id,
            kind=CONTRACT,
            source_sha256=document.source_sha256,
            sha256=document.sha256,
            title=document.title,
            content=document.pdf,
            now=s.clock(),
        )
        if before is not None and _same(before, paper, chosen):
            if before.state == "refused":  # nothing was mended: it would only be refused again
                return _refused(before, before.reason or "no reason given")
            if before.state == "sending":
                return before, verdicts
        if before is not None and before.state == "sending":
            why = "never sent: the deal, a signer or the day has changed since"
            await contracts.end(tx, before.id, state="canceled", now=s.clock(), reason=why)
        contract = await contracts.begin(
            tx,
            deal_id=file.id,
            token=s.new_token(),
            paper_id=paper.id,
            signers=[asdict(signer) for signer in chosen],
            test_mode=s.settings.dropbox_sign_test_mode,
            now=s.clock(),
        )
    return contract, verdicts


def _smallest(verdicts: Sequence[Verdict], asked: Asked, facts: DealFacts) -> list[str]:
    """The smallest set of facts that would open the gate, where the reasons do not say it already."""
    open_ = {v.criterion for v in unmet(verdicts)}
    choices = any(len(ways(c.evidence)) > 1 for _, c in asked if c.key in open_)
    if not choices and len(open_) < 2:
        return []
    return [f"The smallest set of facts that opens it: {smallest(asked, facts).text}"]


def _same(before: Contract, paper: StoredDocument, chosen: Sequence[Signer]) -> bool:
    """Whether that revision carries this very text to these very signers."""
    return before.paper_id == paper.id and list(before.signers) == [asdict(signer) for signer in chosen]


async def _doubts(event: Event, file: DealFile, s: Services) -> list[str]:
    """What else speaks against a contract: one that this ledger does not know, or a start that has gone by."""
    reasons: list[str] = []
    token = file.deal.properties.get("dealflow_contract_token")
    if token:
        async with s.ledger.read() as tx:
            known = await contracts.by_token(tx, token)
        if known is None:
            reasons.append(
                "HubSpot names a contract that this ledger does not know (a restored backup? a merged deal?): look "
                "at Dropbox Sign, and clear the deal property dealflow_contract_token if a new one is to go out"
            )
        elif known.deal_id != file.id and known.state in contracts.LIVE:
            reasons.append(
                f"a deal that was merged into this one, {known.deal_id}, brought its contract along ({known.state}): "
                "cancel that one at Dropbox Sign, or clear the deal property dealflow_contract_token if a new one is "
                "to go out besides"
            )
    starts_on = starts_on_of(file)
    if starts_on and starts_on < dated(event.received_at, s.clock()).date().isoformat():
        reasons.append(
            "deal property dealflow_starts_on lies in the past: set the day on which the services start"
        )
    return reasons


def _refused(contract: Contract, reason: str) -> Outcome:
    reasons = (
        f"Dropbox Sign refused the contract: {reason}; it goes out once the deal or a signer is mended",
    )
    return Outcome("held", "contract refused", deal_id=contract.deal_id, reasons=reasons)


async def _still_wanted(contract: Contract, s: Services) -> None:
    """Asked before a send is repeated: time has passed since the gate. Raises _WithdrawnError."""
    file = await read_deal(s, contract.deal_id)
    stage = s.process.stage_for("send_contract")
    if file is None or stage is None or file.stage != stage.key:
        raise _WithdrawnError("dropbox_sign", "send", detail="the deal has left the stage")


async def _send(
    event: Event, contract: Contract, verdicts: Sequence[Verdict], s: Services, *, resumed: bool = False
) -> Outcome:
    """The one outward step that must never happen twice; then tell the deal. `resumed`: begun by an earlier try."""
    async with s.ledger.read() as tx:
        paper = await papers.by_id(tx, contract.paper_id)
    writer = writer_for(s, event)
    request = request_for(s, contract, paper)

    async def attempt(_token: str) -> Result:
        asked_at = s.clock()
        await s.sign_pace.wait(("standard", "high"))
        if resumed or s.clock() - asked_at > _LONG_WAIT:
            await _still_wanted(contract, s)
        sent = await writing(lambda: asyncio.to_thread(s.sender.send, request))
        return {"request_id": sent.signature_request_id, "on_hold": sent.on_hold}

    async def find(token: str) -> Result | None:
        return await find_request(s, token, since=contract.created_at)

    try:
        result = await perform(
            writer,
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
    except _WithdrawnError:
        why = "superseded: the deal has left the stage before the contract was sent"
        async with s.ledger.write() as tx:
            await contracts.end(tx, contract.id, state="canceled", now=s.clock(), reason=why)
        return ignored(why)
    except RejectedError as refusal:
        if refusal.applied == "maybe":  # a 409: an identical request, perhaps our own, is being processed
            raise
        async with s.ledger.write() as tx:
            await contracts.end(tx, contract.id, state="refused", now=s.clock(), reason=str(refusal))
        return _refused(contract, str(refusal))
    request_id = str(result["request_id"])
    async with s.ledger.write() as tx:
        await contracts.sent(tx, contract.id, request_id=request_id, now=s.clock())
    on_hold = bool(result.get("on_hold"))
    await _tell_deal(s, event, contract, request_id, on_hold=on_hold)
    outcome = _outcome(s, contract, paper, request_id, verdicts)
    if on_hold:
        held = "contract is ON HOLD at Dropbox Sign: confirm the sender's e-mail address there"
        outcome = replace(outcome, summary=held, reasons=(held,))
    return outcome


async def _tell_deal(
    s: Services, event: Event, contract: Contract, request_id: str, *, on_hold: bool = False
) -> None:
    writer, cause = writer_for(s, event), _cause(contract)
    said = f"Contract revision {contract.revision} was sent for signature (request {request_id})."
    if on_hold:
        said = (
            f"Contract revision {contract.revision} is ON HOLD at Dropbox Sign (request {request_id}): nobody is "
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


def _cause(contract: Contract) -> str:
    """Under which the deal is told of this revision. Stored in effect keys: never change it."""
    return f"contract:{contract.revision}"


def told_key(contract: Contract) -> str:
    """The effect that is done once the deal names this revision."""
    return deal_key(contract.deal_id, _cause(contract))


def _outcome(
    s: Services, contract: Contract, paper: StoredDocument, request_id: str, verdicts: Sequence[Verdict]
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
            Step("froze the text", f"sha256 {paper.sha256[:12]}", "what is signed cannot change any more"),
            Step("sent for signature", f"request {request_id}", f"signers in order: {signers}"),
            Step(
                "wrote a note and the deal's contract status",
                f"deal {contract.deal_id}",
                "so that the rep sees it",
            ),
        ),
        links={"Signature request": s.request_url(request_id)},
    )
