"""What decides whether a contract is sent, read step by step: the ledger first, deal and text when asked for."""

import asyncio
from dataclasses import replace

from flows.contracts.draft import draft, signers_of, starts_on_of
from flows.contracts.effect_keys import reported_key
from flows.deals.read import DealFile, dated
from flows.documents.render import Document, DocumentError
from flows.ledger import contracts, documents, effects
from flows.ledger.contracts import Contract
from flows.ledger.inbox import Event
from flows.rules.contract_facts import Claim, DealNow, Draft, NoDraft, Revision, SendCase
from flows.rules.criteria.judge import asked_before, gate
from flows.rules.pricing.pricing import PricingError
from flows.rules.signing import Hold
from flows.rules.templates.values import TemplateValueRefused, TemplateVariableMissing
from flows.services import Services


async def read_ledger(event: Event, s: Services) -> tuple[Contract | None, SendCase]:
    """The deal's newest contract, and how far its sending came."""
    sends_from = s.process.stage_for("send_contract")
    case = SendCase(
        asked_at=event.received_at,
        resumes=bool(event.content.get("resume")),
        today=dated(event.received_at, s.clock()).date(),
        sends_from=sends_from.key if sends_from else None,
        esign=s.esign.name,
    )
    async with s.ledger.read() as tx:
        contract = await contracts.latest(tx, event.deal_id or "")
        if contract is None:
            return None, case
        effect = await effects.by_key(tx, contract.effect_key)
        report = await effects.by_key(tx, reported_key(contract))
    revision = Revision(
        number=contract.revision,
        state=contract.state,
        created_at=contract.created_at,
        signers=contract.signers,
        reason=contract.reason,
        effect=effect.state if effect else None,
        resends=effect.resends if effect else 0,
        reported=report is not None and report.state == "done",
    )
    return contract, replace(case, revision=revision)


async def deal_now(file: DealFile, s: Services) -> DealNow:
    """The deal against the criteria that come before sending, its signers, and which contract it names."""
    stage = s.process.stage_for("send_contract")
    if stage is None or file.stage != stage.key:
        return DealNow(file.id, file.stage)
    token = file.deal.properties.get("dealflow_contract_token")
    async with s.ledger.read() as tx:
        on_file = await documents.kinds_on_file(tx, [file.id])
        named = await contracts.by_token(tx, token) if token else None
    facts = file.facts(documents=on_file.get(file.id, ()))
    claim = Claim(named.deal_id, named.state, named.state in contracts.LIVE) if named else Claim(None)
    return DealNow(
        deal_id=file.id,
        stage=file.stage,
        verdicts=gate(s.process, stage.key, facts),
        asked=asked_before(s.process, stage.key),
        facts=facts,
        signers=signers_of(s, file),
        starts_on=starts_on_of(file),
        claim=claim if token else None,
    )


async def draft_of(
    event: Event, file: DealFile, before: Contract | None, s: Services
) -> tuple[Document | None, Draft | NoDraft]:
    """The rendered text, and whether it is that of the revision on file."""
    signers = signers_of(s, file)
    assert not isinstance(signers, Hold)  # may_send has held the deal
    try:
        document = await asyncio.to_thread(draft, s, file, signers, event)
    except (TemplateVariableMissing, TemplateValueRefused, PricingError, DocumentError) as problem:
        return None, NoDraft(str(problem))
    if before is None or before.deal_id != file.id:
        return document, Draft()
    async with s.ledger.read() as tx:
        frozen = await documents.by_id(tx, before.paper_id)
    return document, Draft(unchanged=frozen.source_sha256 == document.source_sha256)
