"""From a deal to its contract: who signs, the frozen text, and the request that goes out."""

from collections.abc import Sequence
from datetime import date, timedelta

from flows.contracts.esign import NewRequest
from flows.deals.read import DealFile, dated, price_deal, template_facts
from flows.documents.render import Document, SigningPerson, render
from flows.ledger.contracts import Contract
from flows.ledger.documents import StoredDocument
from flows.ledger.inbox import Event
from flows.rules.signing import Candidate, Hold, Signer, choose_signers
from flows.rules.templates.values import resolve
from flows.services import CONTRACT, Services


def signers_of(s: Services, file: DealFile) -> tuple[Signer, ...] | Hold:
    """The contacts labelled as signer and our counter-signer, or why nobody can be asked."""
    candidates = [
        Candidate(
            c.record.id,
            c.name,
            c.record.properties.get("email") or "",
            c.roles,
            c.record.properties.get("jobtitle") or "",
        )
        for c in file.contacts
    ]
    seller = s.process.seller
    return choose_signers(candidates, seller_email=seller.email, counter_signer=seller.counter_signer)


def draft(s: Services, file: DealFile, signers: Sequence[Signer], event: Event) -> Document:
    """The contract as PDF with text tags. Raises TemplateVariableMissing or PricingError."""
    template = s.templates[CONTRACT]
    facts = template_facts(s, file)
    client = next(x for x in signers if x.role == "client")
    issued_on = dated(event.received_at, s.clock()).date()
    starts_on = starts_on_of(file) or _first_of_next_month(issued_on).isoformat()
    facts["given"] = {
        "reference": f"C-{file.id}-{event.id}",
        "issued_on": issued_on.isoformat(),
        "starts_on": starts_on,
        "client_signer_name": client.name,
        "client_signer_title": client.title,
    }
    people = [SigningPerson(x.role, x.name, x.title) for x in signers]
    values = resolve(template.declaration, facts)
    return render(template, values, price_deal(s, file), extra={"locale": s.process.locale}, signers=people)


def starts_on_of(file: DealFile) -> str:
    """The first day of the services as the deal names it (YYYY-MM-DD), empty when it names none."""
    return (file.deal.properties.get("dealflow_starts_on") or "")[:10]


def _first_of_next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def request_for(s: Services, contract: Contract, frozen: StoredDocument) -> NewRequest:
    """What the vendor gets: the frozen PDF with its token, so that it can be found again."""
    expires_days = s.settings.contract_expires_days
    expires_at = None
    if expires_days:  # rounded down to the hour by the vendor: an hour more keeps one day valid at the edge
        spare_h = 1 if expires_days < 90 else 0
        expires_at = contract.created_at + timedelta(days=expires_days, hours=spare_h)
    return NewRequest(
        title=frozen.title[:255],
        message=f"{s.process.seller.name} sends you this contract to sign.",
        signers=tuple(Signer(**x) for x in contract.signers),
        pdf=frozen.content,
        filename=f"contract-{contract.deal_id}-{contract.revision}.pdf",
        metadata={
            "dealflow_token": contract.token,
            "deal_id": contract.deal_id,
            "revision": str(contract.revision),
            "sha256": frozen.sha256,
        },
        test_mode=contract.test_mode,
        expires_at=expires_at,
    )
