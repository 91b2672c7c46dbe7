"""Mirrors deals with their contacts, companies, line items and their past, and notices stage entries.

Trigger: schedule (incremental; `full` reads everything); HubSpot webhooks about deals (only as hints).
Reads: changed deals since the cursor, or the deals named by events. Writes: the mirror; events into the inbox.
Once-key: a stage entry is deal, stage and the moment of entry, from the property history, never last-modified.
Needs: scopes crm.objects.{deals,contacts,companies,line_items}.read.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from connectors.hubspot.client import Filter, Sort
from connectors.hubspot.records import Record
from flows.deals.past_values import versions, whole_histories
from flows.deals.read import DealFile, read_deals
from flows.deals.stage_entries import called_for, entries_of
from flows.ledger import inbox, mirror, stage_checks
from flows.ledger.history import ReadTimes, keep_versions
from flows.ledger.inbox import Event
from flows.ledger.mirror import WATCH_SINCE, MirrorRow
from flows.retries import reading
from flows.rules.criteria.judge import properties_of
from flows.rules.outcome import Artifact, Finished, Outcome, Step, ignored
from flows.services import Services

log = logging.getLogger(__name__)

CURSOR = "deals"
_OVERLAP = timedelta(minutes=10)
_CHUNK = 50


async def run(s: Services, *, full: bool = False) -> Finished:
    """Every deal that changed since the last run, or (`full`) every deal."""
    swept = await sweep(s, full=full)
    return Finished(swept.summary, (Artifact("sync-deals", "What the sweep found", swept.report()),))


@dataclass
class Swept:
    """What a sync came to."""

    seen: int = 0
    changed: int = 0
    entries: int = 0
    events: int = 0
    gone: int = 0

    @property
    def summary(self) -> str:
        """One line."""
        return (
            f"{self.seen} deals read, {self.changed} changed, {self.entries} new stage entries, "
            f"{self.events} events put into the inbox, {self.gone} gone"
        )

    def report(self) -> str:
        """As Markdown."""
        rows = [
            ("deals read", self.seen),
            ("changed", self.changed),
            ("new stage entries", self.entries),
            ("events put into the inbox", self.events),
            ("archived or merged away", self.gone),
        ]
        return "\n".join(["| | |", "|---|---|", *(f"| {name} | {n} |" for name, n in rows)])


async def prepare(events: Sequence[Event], s: Services) -> dict[str, tuple[str, ...]]:
    """Absorb all deals that the events name (a merge names several), in bulk. Returns what was found per deal."""
    found: dict[str, tuple[str, ...]] = {}
    ids = [deal_id for e in events for deal_id in (e.deal_id, *e.content.get("also", ())) if deal_id]
    await absorb(s, ids, Swept(), found)
    return found


async def handle(event: Event, found: dict[str, tuple[str, ...]], s: Services) -> Outcome:
    """The deal is absorbed: say what came of it."""
    due = found.get(event.deal_id or "")
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


async def watch_from_now(s: Services) -> datetime:
    """Since when stage entries call for action: the first start. Deals that stood in a stage before get nothing."""
    async with s.ledger.read() as tx:
        known = await mirror.cursor(tx, WATCH_SINCE)
    if known is not None:
        return datetime.fromisoformat(known)
    async with s.ledger.write() as tx:
        known = await mirror.cursor(tx, WATCH_SINCE)
        if known is None:
            known = s.clock().isoformat()
            await mirror.move_cursor(tx, WATCH_SINCE, known, now=s.clock())
    return datetime.fromisoformat(known)


async def sweep(s: Services, *, full: bool = False) -> Swept:
    """Everything changed since the cursor, or all deals. The cursor moves once all is stored."""
    swept = Swept()
    until = s.clock()
    await watch_from_now(s)
    async with s.ledger.read() as tx:
        cursor = await mirror.cursor(tx, CURSOR)
    if full or cursor is None:
        await _sweep_all(s, swept)
    else:
        await _sweep_changed(s, datetime.fromisoformat(cursor) - _OVERLAP, until, swept)
    async with s.ledger.write() as tx:
        await mirror.move_cursor(tx, CURSOR, until.isoformat(), now=s.clock())
    log.info("deals synced seen=%s changed=%s events=%s", swept.seen, swept.changed, swept.events)
    return swept


async def _sweep_changed(s: Services, since: datetime, until: datetime, swept: Swept) -> None:
    """Keyset pages by object id inside a fixed window: pages neither shift nor hit the 10,000 cap."""
    last = "0"
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
        await absorb(s, ids, swept)
        if len(ids) < 200:
            return
        last = max(ids, key=int)


async def _sweep_all(s: Services, swept: Swept) -> None:
    """Every page of the list; then those we hold that were on none: archived or merged away without a word."""
    after: str | None = None
    listed: set[str] = set()
    while True:
        page = await reading(
            lambda after=after: s.hubspot.list_page("deals", properties=["dealstage"], after=after)  # type: ignore[misc]
        )
        ids = [record.id for record in page.records]
        listed |= set(ids)
        await absorb(s, ids, swept)
        after = page.after
        if after is None:
            break
    async with s.ledger.read() as tx:
        held = {line[0] for lines in (await mirror.deals_by_stage(tx)).values() for line in lines}
    await absorb(s, sorted(held - listed), swept)


async def absorb(
    s: Services, deal_ids: Iterable[str], swept: Swept, found: dict[str, tuple[str, ...]] | None = None
) -> None:
    """Read these deals whole, mirror them, and put what their new stage entries call for into the inbox."""
    ids = list(dict.fromkeys(deal_ids))
    since = await watch_from_now(s)
    for at in range(0, len(ids), _CHUNK):
        chunk = ids[at : at + _CHUNK]
        files = await read_deals(s, chunk, whole_past=True, activities=False)
        await _store(s, files, since, swept, found)
        # A merged deal answers as its survivor: under its old id it is no more.
        gone = [deal_id for deal_id in chunk if deal_id not in files or files[deal_id].id != deal_id]
        swept.gone += len(gone)
        if gone:
            async with s.ledger.write() as tx:
                await mirror.mark_archived(tx, "deals", gone, now=s.clock())


async def _store(
    s: Services,
    files: dict[str, DealFile],
    since: datetime,
    swept: Swept,
    found: dict[str, tuple[str, ...]] | None,
) -> None:
    """One transaction: a stage entry is never stored without the events it calls for."""
    portal, now = await s.portal(), s.clock()
    deals = {file.id: file for file in files.values()}
    watched = properties_of(s.process)
    rows = [_row("deals", f.deal, whole_histories(f.deal, watched)) for f in deals.values()]
    linked = list(_links(list(deals.values())))
    rows += [_row(kind, record) for kind, _, records in linked for record in records]
    async with s.ledger.write() as tx:
        kept = await mirror.keep(tx, rows, now=now)
        changed = {i for kind, i in kept.changed if kind == "deals"}
        before = {i: read_at for (kind, i), read_at in kept.read_before.items() if kind == "deals"}
        for kind, links, records in linked:
            born = {r.id: r.created_at for r in records if r.created_at}
            changed |= await mirror.keep_links(tx, "deals", kind, links, reads=ReadTimes(now, before, born))
        await keep_versions(tx, [past for f in deals.values() for past in versions(f.deal, watched)])
        entries = [entry for f in deals.values() for entry in entries_of(f)]
        fresh = await mirror.keep_stage_entries(tx, entries)
        called = await called_for(tx, s, portal, deals.values(), fresh, since)
        await stage_checks.decide(tx, called.checks)
        due = called.events
        recorded = await inbox.record(tx, due, now=now)
        beside = {f.id for f in deals.values() if not kept.changed.isdisjoint(_beside(f))}
        await inbox.nudge(tx, sorted(changed | beside), now=now)
    swept.seen += len(deals)
    swept.changed += len(changed)
    swept.entries += len(fresh)
    swept.events += len(recorded.new)
    if found is not None:
        for asked, file in files.items():
            found[asked] = tuple(e.kind for e in due if e.deal_id == file.id)


Found = Sequence[tuple[Record, Sequence[str]]]
"""Records beside a deal, each with its labels."""


def _links(
    files: Sequence[DealFile],
) -> Iterator[tuple[str, dict[str, dict[str, Sequence[str]]], list[Record]]]:
    """What is on the deals, kind by kind: as associations with their labels, and as records."""
    found: dict[str, dict[str, Found]] = {
        "contacts": {f.id: [(c.record, sorted(c.roles)) for c in f.contacts] for f in files},
        "companies": {f.id: [(company, ()) for company in f.companies] for f in files},
        "line_items": {f.id: [(item, ()) for item in f.line_items] for f in files},
    }
    for kind, beside in found.items():
        links = {deal_id: {r.id: labels for r, labels in rows} for deal_id, rows in beside.items()}
        yield kind, links, list({r.id: r for rows in beside.values() for r, _ in rows}.values())


def _beside(file: DealFile) -> set[tuple[str, str]]:
    """What a held event may be waiting for besides the deal itself: an address, a price."""
    return {
        *(("contacts", c.record.id) for c in file.contacts),
        *(("companies", c.id) for c in file.companies),
        *(("line_items", i.id) for i in file.line_items),
    }


def _row(kind: str, record: Record, histories: Sequence[str] = ()) -> MirrorRow:
    properties = dict(record.properties)
    return MirrorRow(kind, record.id, properties, record.updated_at, record.archived, histories)


def _ms(moment: datetime) -> str:
    return str(int(moment.astimezone(UTC).timestamp() * 1000))
