"""Removes what is no longer needed: deliveries and handled events contain names and addresses.

Effects, contracts, documents, follow-ups and the history of deals are evidence: they stay. So do events that have not
ended, dead events (a person must check them), and the deliveries of both.
"""

from datetime import datetime

import sqlalchemy as sa

from flows.ledger.database import Ledger
from flows.ledger.tables import deliveries, inbox

_CHUNK = 500
_ENDED = ("done", "ignored")


async def remove_ended(ledger: Ledger, *, before: datetime, chunk: int = _CHUNK) -> dict[str, int]:
    """Remove events that ended before this moment, then earlier deliveries that no event refers to.

    In transactions of `chunk` rows, so that no delivery has to wait long. Returns how many of each.
    """
    old_rows = sa.select(inbox.c.id).where(inbox.c.state.in_(_ENDED), inbox.c.finished_at < before)
    named = sa.select(inbox.c.delivery_id).where(inbox.c.delivery_id.is_not(None))
    old_deliveries = sa.select(deliveries.c.id).where(
        deliveries.c.received_at < before, deliveries.c.id.not_in(named)
    )
    return {
        "events": await _remove(ledger, inbox, old_rows, chunk),
        "deliveries": await _remove(ledger, deliveries, old_deliveries, chunk),
    }


async def _remove(ledger: Ledger, table: sa.Table, old: sa.Select[tuple[int]], chunk: int) -> int:
    """Find old rows without blocking writers, then delete them by id if they are still old."""
    removed = 0
    while True:
        async with ledger.read() as tx:
            ids = list((await tx.execute(old.order_by(table.c.id).limit(chunk))).scalars())
        if not ids:
            return removed
        async with ledger.write() as tx:
            still = sa.and_(table.c.id.in_(ids), table.c.id.in_(old))
            gone = (await tx.execute(sa.delete(table).where(still))).rowcount
        removed += gone
        if gone == 0:
            return removed
