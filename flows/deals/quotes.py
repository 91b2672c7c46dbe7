"""Quotes on deals, read from HubSpot only where an exit criterion asks for them: two calls for a hundred deals.

Needs: scope crm.objects.quotes.read.

What HubSpot reports: a quote made with its CPQ tool gets `hs_status` ACCEPTED when the buyer accepts it
(developers.hubspot.com/docs/guides/crm/create-cpq-quotes, copy read on 2026-11-28). A legacy quote has no such state:
it has DRAFT, APPROVAL_NOT_NEEDED, PENDING_APPROVAL, APPROVED and REJECTED, and is published in the second and fourth.
With e-signature on, a published one says how many must sign (`hs_esign_num_signers_required`; docs/api/crm/quotes, copy
read on the same day) and how many have signed (`hs_esign_num_signers_completed`: not on that page, but among the
properties that portals list): it is accepted once all have signed.
"""

from collections.abc import Sequence

from connectors.hubspot.records import Record
from flows.deals.associated import associated_records
from flows.rules.criteria.deal_facts import Quote
from flows.rules.criteria.judge import evidence_of
from flows.rules.process.sales_process import SalesProcess
from flows.services import Services

OBJECT = "quotes"
_PROPERTIES = (
    "hs_status",
    "hs_esign_enabled",
    "hs_esign_num_signers_required",
    "hs_esign_num_signers_completed",
)
_PUBLISHED = {"APPROVED", "APPROVAL_NOT_NEEDED"}


def asks_for_quotes(process: SalesProcess) -> bool:
    """Whether some exit criterion needs them."""
    return any(OBJECT in leaf.objects() for leaf in evidence_of(process))


async def read_quotes(s: Services, deal_ids: Sequence[str]) -> dict[str, tuple[Quote, ...]]:
    """The quotes on each deal, by id; empty, and without a call, where the process does not ask for them.

    Raises ConnectorError.
    """
    if not deal_ids or not asks_for_quotes(s.process):
        return {}
    links, records = await associated_records(s, OBJECT, deal_ids, _PROPERTIES)
    return {
        deal_id: tuple(
            Quote(ident, _accepted(records[ident]))
            for ident in sorted({end.to_id for end in ends}, key=int)
            if ident in records
        )
        for deal_id, ends in links.items()
    }


def _accepted(quote: Record) -> bool:
    """Whether the buyer has accepted it: see above."""
    values = quote.properties
    status = (values.get("hs_status") or "").upper()
    if status == "ACCEPTED":
        return True
    wanted, signed = (
        _count(values.get(f"hs_esign_num_signers_{what}")) for what in ("required", "completed")
    )
    by_signature = (values.get("hs_esign_enabled") or "").lower() == "true"
    return by_signature and status in _PUBLISHED and 0 < wanted <= signed


def _count(text: str | None) -> int:
    try:
        return int(float(text or "0"))
    except (ValueError, OverflowError):
        return 0
