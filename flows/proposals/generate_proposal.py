"""Renders the deal's proposal as PDF and files it on the deal, one version for each set of sources.

Trigger: a deal enters the stage with `on_enter: [generate_proposal]`; on demand by deal id.
Reads: deal, contacts, company, line items, owner. Writes: file, note, deal property with the PDF's hash.
Once-key: deal and version (same template and values: same version).
Needs: scopes crm.objects.deals.write, crm.objects.contacts.write (notes), files.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from flows.deals.read import DealFile, dated, fresh_deal, price_deal, read_deals, template_facts
from flows.deals.writes import file_document, set_deal, write_note, writer_for
from flows.documents.render import Document, DocumentError, render
from flows.ledger import documents
from flows.ledger.inbox import Event
from flows.rules.outcome import Outcome, Step, ignored
from flows.rules.pricing.pricing import PricingError
from flows.rules.templates.values import TemplateValueRefused, TemplateVariableMissing, resolve
from flows.services import PROPOSAL, Services

_VALID_DAYS = 30


async def prepare(events: Sequence[Event], s: Services) -> dict[str, DealFile]:
    """The deals of these events with associated records, in bulk."""
    return await read_deals(s, [e.deal_id for e in events if e.deal_id])


async def handle(event: Event, files: dict[str, DealFile], s: Services) -> Outcome:
    """Render, freeze, file and note; or report what is missing and write nothing."""
    file = await fresh_deal(s, event.deal_id or "", files)
    if file is None:
        return ignored("HubSpot no longer has this deal")
    stage = s.process.stage_for("generate_proposal")
    on_demand = "operator" in (event.source, event.content.get("by"))
    if not on_demand and (stage is None or file.stage != stage.key):
        return ignored("superseded: the deal has left the stage")
    try:
        document = await asyncio.to_thread(draft, s, file, dated(event.received_at, s.clock()))
    except (TemplateVariableMissing, TemplateValueRefused, PricingError, DocumentError) as problem:
        return Outcome("held", "proposal not made", deal_id=file.id, reasons=(str(problem),))
    async with s.ledger.write() as tx:
        stored = await documents.freeze(
            tx,
            deal_id=file.id,
            kind=PROPOSAL,
            source_sha256=document.source_sha256,
            sha256=document.sha256,
            title=document.title,
            content=document.pdf,
            now=s.clock(),
        )
    writer = writer_for(s, event)
    file_id = await file_document(s, writer, stored)
    note_id = await write_note(
        s,
        writer,
        deal_id=file.id,
        cause=f"proposal:{stored.version}",
        text=f"Proposal version {stored.version} is on file.\n{stored.title}",
        attachment_ids=[file_id],
    )
    await set_deal(
        s,
        writer,
        deal_id=file.id,
        # Keyed by event: if the content returns to an earlier version, the deal must point to that one again.
        cause=f"proposal:{stored.version}:{event.id}",
        properties={"dealflow_proposal_sha256": stored.sha256, "dealflow_proposal_file_id": file_id},
    )
    why = f"{len(file.line_items)} line item(s), made from {stored.source_sha256[:12]}"
    return Outcome(
        "done",
        f"proposal version {stored.version} filed",
        deal_id=file.id,
        steps=(
            Step(f"rendered proposal version {stored.version}", f"sha256 {stored.sha256[:12]}", why),
            Step("filed the PDF", f"file {file_id}", "the rep sends it from the deal"),
            Step("wrote a note with the PDF", f"note {note_id}", "so that it shows on the timeline"),
        ),
    )


def draft(s: Services, file: DealFile, asked_at: datetime) -> Document:
    """Render the proposal as PDF. Raises TemplateVariableMissing or PricingError."""
    template = s.templates[PROPOSAL]
    facts = template_facts(s, file)
    # Dates count from the request: a second try on another day gives the same document.
    facts["given"] = {
        "reference": f"P-{file.id}",
        "issued_on": asked_at.date().isoformat(),
        "valid_until": (asked_at + timedelta(days=_VALID_DAYS)).date().isoformat(),
    }
    values = resolve(template.declaration, facts)
    return render(template, values, price_deal(s, file), extra={"locale": s.process.locale})
