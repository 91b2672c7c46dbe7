"""What exit criteria are judged on: deals as HubSpot has them, with the ledger's filed documents and contracts."""

from collections.abc import Iterable

from flows.deals.read import DealFile
from flows.ledger import contracts, documents
from flows.ledger.database import Transaction
from flows.rules.criteria.judge import DealFacts, Proof


async def facts_of(tx: Transaction, files: Iterable[DealFile]) -> dict[str, DealFacts]:
    """The facts about these deals, by deal id, each with the records that prove it. In two reads of the ledger."""
    by_id = {file.id: file for file in files}
    filed = await documents.filed(tx, list(by_id))
    newest = await contracts.latest_of(tx, list(by_id))
    facts: dict[str, DealFacts] = {}
    for deal_id, file in by_id.items():
        on_file, contract = filed.get(deal_id, {}), newest.get(deal_id)
        records = {kind: Proof("document", p.file_id, p.created_at) for kind, p in on_file.items()}
        if contract is not None:
            records["signature"] = Proof("signature", contract.request_id or "", contract.ended_at)
        signature = contract.state if contract is not None else None
        facts[deal_id] = file.facts(documents=on_file, signature=signature, filed=records)
    return facts
