"""What was sold, read from the mirror."""

from typing import Any

from flows.ledger import mirror
from flows.ledger.database import Ledger
from flows.ledger.mirror import MirrorRow, ReadTimes
from flows.ledger.sales import sales
from flows.rules.cross_sell import Sale


async def test_only_won_deals_with_line_items(ledger: Ledger, clock: Any) -> None:
    """Open, archived and empty deals are left out; a deal without a company is its own buyer."""
    stages = {"1": "won", "2": "won", "3": "closing", "4": "won"}
    items = {
        "91": {"name": "Seats", "hs_sku": "S-1", "price": "10"},
        "92": {"name": "Workshop", "hs_sku": None},
    }
    async with ledger.write() as tx:
        rows = [MirrorRow("deals", i, {"dealstage": stage}, clock()) for i, stage in stages.items()]
        rows += [MirrorRow("line_items", i, props, clock()) for i, props in items.items()]
        rows.append(MirrorRow("deals", "5", {"dealstage": "won"}, clock(), archived=True))
        await mirror.keep(tx, rows, now=clock())
        buyers = {"1": {"81": [], "82": []}, "4": {"81": []}}
        await mirror.keep_links(tx, "deals", "companies", buyers, reads=ReadTimes(clock()))
        links = {i: {"92": []} for i in ("2", "3", "5")}
        items_of = {"1": {"91": [], "92": []}, **links}
        await mirror.keep_links(tx, "deals", "line_items", items_of, reads=ReadTimes(clock()))
    async with ledger.read() as tx:
        assert await sales(tx, "won") == [
            Sale("1", frozenset({"81", "82"}), {"s-1": "Seats", "workshop": "Workshop"}),
            Sale("2", frozenset({"deal 2"}), {"workshop": "Workshop"}),
        ]
