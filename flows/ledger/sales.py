"""Sales in the mirror: won deals with their companies and products."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.ledger.tables import associations, records
from flows.rules.cross_sell import Sale, sale


async def sales(tx: AsyncConnection, won_stage_id: str) -> list[Sale]:
    """Deals with line items in the stage of won deals, by id."""
    d, a, item = records.alias("d"), associations, records.alias("item")
    links = (
        sa.select(a.c.from_id, a.c.to_id)
        .join(d, d.c.object_id == a.c.from_id)
        .where(
            d.c.object_type == "deals",
            d.c.archived.is_(False),
            d.c.properties["dealstage"].as_string() == won_stage_id,
            a.c.from_type == "deals",
        )
        .order_by(a.c.from_id, a.c.to_id)
    )
    companies: dict[str, list[str]] = {}
    for deal_id, company_id in await tx.execute(links.where(a.c.to_type == "companies")):
        companies.setdefault(deal_id, []).append(company_id)
    names = (item.c.properties["name"].as_string(), item.c.properties["hs_sku"].as_string())
    of_item = sa.and_(item.c.object_type == "line_items", item.c.object_id == a.c.to_id)
    rows = links.where(a.c.to_type == "line_items").join(item, of_item).add_columns(*names)
    items: dict[str, list[dict[str, str | None]]] = {}
    for deal_id, _, name, sku in await tx.execute(rows):
        items.setdefault(deal_id, []).append({"name": name, "hs_sku": sku})
    return [sale(deal_id, companies.get(deal_id, ()), found) for deal_id, found in items.items()]
