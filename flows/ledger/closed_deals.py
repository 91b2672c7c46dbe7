"""Won and lost deals in the mirror: how many of them met each exit criterion."""

from collections import Counter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.ledger.documents import kinds_on_file
from flows.ledger.mirror import portal_facts
from flows.ledger.tables import associations, contracts, records
from flows.rules.criteria.judge import DealFacts, judge
from flows.rules.lint.lint import History
from flows.rules.process.sales_process import SalesProcess

_CHUNK = 500  # SQLite binds at most 32,766 values in a statement


async def closed_deals(tx: AsyncConnection, process: SalesProcess) -> History:
    """Which criteria closed deals meet now. A criterion that the mirror cannot judge is left out, which does not mean
    "never met": other kinds of evidence, and properties that were not mirrored at that time.
    """
    stages = (await portal_facts(tx)).get("stages", {})
    ends = {stages[s.key]: s.closed for s in process.stages if s.closed and s.key in stages}
    rows = await tx.execute(
        sa.select(records.c.object_id, records.c.properties).where(
            records.c.object_type == "deals", records.c.archived.is_(False)
        )
    )
    deals = {deal_id: props for deal_id, props in rows if props.get("dealstage") in ends}
    facts = await _facts(tx, deals)
    known = {name for properties in deals.values() for name in properties}
    criteria = [c for s in process.stages for c in s.exit_criteria if c.evidence.mirrored(known)]
    met: dict[str | None, Counter[str]] = {"won": Counter(), "lost": Counter()}
    number: Counter[str | None] = Counter()
    for deal_id, properties in deals.items():
        end = ends[properties["dealstage"]]
        number[end] += 1
        met[end].update({v.criterion: int(v.met) for v in judge(criteria, facts[deal_id])})
    return History(number["won"], number["lost"], dict(met["won"]), dict(met["lost"]))


async def _facts(tx: AsyncConnection, deals: dict[str, dict[str, Any]]) -> dict[str, DealFacts]:
    associated: dict[str, dict[str, dict[str, list[str]]]] = {}
    documents: dict[str, set[str]] = {}
    signatures: dict[str, str] = {}
    a, ids = associations.c, sorted(deals)
    for some in (ids[at : at + _CHUNK] for at in range(0, len(ids), _CHUNK)):
        query = sa.select(a.from_id, a.to_type, a.to_id, a.labels)
        for deal_id, kind, to_id, labels in await tx.execute(
            query.where(a.from_type == "deals", a.from_id.in_(some))
        ):
            associated.setdefault(deal_id, {}).setdefault(kind, {})[to_id] = labels
        documents |= await kinds_on_file(tx, some)
        newest_last = sa.select(contracts.c.deal_id, contracts.c.state).order_by(contracts.c.revision)
        for deal_id, state in await tx.execute(newest_last.where(contracts.c.deal_id.in_(some))):
            signatures[deal_id] = state
    return {
        deal_id: DealFacts(
            deal_id=deal_id,
            stage=None,
            properties=properties,
            contacts={
                i: frozenset(roles) for i, roles in associated.get(deal_id, {}).get("contacts", {}).items()
            },
            companies=frozenset(associated.get(deal_id, {}).get("companies", {})),
            line_items=frozenset(associated.get(deal_id, {}).get("line_items", {})),
            documents=frozenset(documents.get(deal_id, ())),
            signature=signatures.get(deal_id),
        )
        for deal_id, properties in deals.items()
    }
