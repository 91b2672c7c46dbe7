"""Mirrors deals with their contacts, companies, line items and their past, and notices stage entries.

Trigger: schedule (incremental; `full` reads everything); HubSpot webhooks about deals (only as hints).
Reads: changed deals since the cursor, or the deals named by events. Writes: the mirror; events into the inbox.
Once-key: a stage entry is deal, stage and the moment of entry, from the property history, never last-modified.
Needs: scopes crm.objects.{deals,contacts,companies,line_items}.read.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from connectors.hubspot.client import Filter, Sort
from flows.deals.mirroring import Counts, Mirrored, mirror_deals
from flows.deals.stage_entries import watch_from_now
from flows.ledger import mirror
from flows.ledger.inbox import Event
from flows.retries import reading
from flows.rules.outcome import Artifact, Finished, Outcome, Step, ignored
from flows.services import Services

log = logging.getLogger(__name__)

CURSOR = "deals"
_OVERLAP = timedelta(minutes=10)


async def run(s: Services, *, full: bool = False) -> Finished:
    """Every deal that changed since the last run, or (`full`) every deal."""
    counts = await sweep(s, full=full)
    return Finished(counts.summary, (Artifact("sync-deals", "What the sync found", _report(counts)),))


def _report(counts: Counts) -> str:
    """What a sync came to, as Markdown."""
    rows = [
        ("deals read", counts.seen),
        ("changed", counts.changed),
        ("new stage entries", counts.entries),
        ("events put into the inbox", counts.events),
        ("archived or merged away", counts.gone),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {n} |" for name, n in rows)])


async def prepare(events: Sequence[Event], s: Services) -> Mirrored:
    """Mirror all deals that the events name (a merge names several), in bulk."""
    ids = [deal_id for e in events for deal_id in (e.deal_id, *e.content.get("also", ())) if deal_id]
    return await mirror_deals(s, ids)


async def handle(event: Event, mirrored: Mirrored, s: Services) -> Outcome:
    """The deal is mirrored: say what came of it."""
    due = mirrored.due.get(event.deal_id or "")
    if due is None:
        return ignored("the deal is archived or merged away")
    summary = f"now due: {', '.join(due)}" if due else "mirrored, nothing due"
    if not due:  # an echo of our own write, or an unrelated edit
        return ignored(summary)
    steps = tuple(
        Step(f"put {kind} into the inbox", f"deal {event.deal_id}", "the deal entered a stage")
        for kind in due
    )
    return Outcome("done", summary, deal_id=event.deal_id, steps=steps)


async def sweep(s: Services, *, full: bool = False) -> Counts:
    """Mirror everything that changed since the cursor, or (`full`) all deals. The cursor moves once all is stored."""
    until = s.clock()
    await watch_from_now(s)
    async with s.ledger.read() as tx:
        cursor = await mirror.cursor(tx, CURSOR)
    if full or cursor is None:
        counts = await _sweep_all(s)
    else:
        counts = await _sweep_changed(s, datetime.fromisoformat(cursor) - _OVERLAP, until)
    async with s.ledger.write() as tx:
        await mirror.move_cursor(tx, CURSOR, until.isoformat(), now=s.clock())
    log.info("deals synced seen=%s changed=%s events=%s", counts.seen, counts.changed, counts.events)
    return counts


async def _sweep_changed(s: Services, since: datetime, until: datetime) -> Counts:
    """Keyset pages by object id inside a fixed window: pages neither shift nor hit the 10,000 cap."""
    counts, last = Counts(), "0"
    while True:
        page = await reading(
            lambda last=last: s.hubspot.search(  # type: ignore[misc]
                "deals",
                filters=[
                    Filter("hs_lastmodifieddate", "BETWEEN", _ms(since), high=_ms(until)),
                    Filter("hs_object_id", "GT", last),
                ],
                properties=["hs_lastmodifieddate"],
                sort=Sort("hs_object_id"),
                limit=200,
            )
        )
        ids = [record.id for record in page.records]
        counts += (await mirror_deals(s, ids)).counts
        if len(ids) < 200:
            return counts
        last = max(ids, key=int)


async def _sweep_all(s: Services) -> Counts:
    """Every page of the list; then the deals in the mirror that were on no page: archived or merged, unannounced."""
    counts = Counts()
    after: str | None = None
    listed: set[str] = set()
    while True:
        page = await reading(
            lambda after=after: s.hubspot.list_page("deals", properties=["dealstage"], after=after)  # type: ignore[misc]
        )
        ids = [record.id for record in page.records]
        listed |= set(ids)
        counts += (await mirror_deals(s, ids)).counts
        after = page.after
        if after is None:
            break
    async with s.ledger.read() as tx:
        held = {line[0] for lines in (await mirror.deals_by_stage(tx)).values() for line in lines}
    return counts + (await mirror_deals(s, sorted(held - listed))).counts


def _ms(moment: datetime) -> str:
    return str(int(moment.astimezone(UTC).timestamp() * 1000))
