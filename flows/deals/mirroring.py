"""Deals from HubSpot into the mirror, with the events that their new stage entries call for."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from connectors.hubspot.records import Record
from flows.deals.past_values import versions, whole_histories
from flows.deals.read import DealFile, read_deals
from flows.deals.stage_entries import called_for, entries_of, watch_from_now
from flows.ledger import inbox, mirror, stage_checks
from flows.ledger.history import ReadTimes, keep_versions
from flows.ledger.mirror import MirrorRow
from flows.rules.criteria.judge import properties_of
from flows.services import Services

_CHUNK = 50


@dataclass(frozen=True)
class Counts:
    """How many deals were read and changed, how many stage entries were new, how many events were put into the inbox,
    and how many deals are gone from HubSpot.
    """

    seen: int = 0
    changed: int = 0
    entries: int = 0
    events: int = 0
    gone: int = 0

    @property
    def summary(self) -> str:
        """In one line."""
        return (
            f"{self.seen} deals read, {self.changed} changed, {self.entries} new stage entries, "
            f"{self.events} events put into the inbox, {self.gone} gone"
        )

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.seen + other.seen,
            self.changed + other.changed,
            self.entries + other.entries,
            self.events + other.events,
            self.gone + other.gone,
        )


@dataclass(frozen=True)
class Mirrored:
    """What mirroring some deals came to.

    `due`: the kinds of event that each deal's new stage entries call for, by the id that was asked for. Deals that
    HubSpot no longer has are not in it.
    """

    counts: Counts = Counts()
    due: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


async def mirror_deals(s: Services, deal_ids: Iterable[str]) -> Mirrored:
    """Read these deals whole, mirror them, and put what their new stage entries call for into the inbox.

    Raises ConnectorError. What was mirrored before the error stays.
    """
    ids = list(dict.fromkeys(deal_ids))
    since = await watch_from_now(s)
    counts, due = Counts(), dict[str, tuple[str, ...]]()
    for at in range(0, len(ids), _CHUNK):
        chunk = ids[at : at + _CHUNK]
        files = await read_deals(s, chunk, whole_past=True, activities=False)
        stored = await _store(s, files, since)
        # A merged deal answers as its survivor: its old id is gone.
        gone = [deal_id for deal_id in chunk if deal_id not in files or files[deal_id].id != deal_id]
        if gone:
            async with s.ledger.write() as tx:
                await mirror.mark_archived(tx, "deals", gone, now=s.clock())
        counts += stored.counts + Counts(gone=len(gone))
        due |= stored.due
    return Mirrored(counts, due)


async def _store(s: Services, files: Mapping[str, DealFile], since: datetime) -> Mirrored:
    """One transaction: a stage entry is never stored without the events it calls for."""
    portal, now = await s.portal(), s.clock()
    deals = {file.id: file for file in files.values()}
    watched = properties_of(s.process)
    rows = [_row("deals", f.deal, whole_histories(f.deal, watched)) for f in deals.values()]
    associated = list(_associated(list(deals.values())))
    rows += [_row(kind, record) for kind, _, records in associated for record in records]
    async with s.ledger.write() as tx:
        kept = await mirror.keep(tx, rows, now=now)
        changed = {i for kind, i in kept.changed if kind == "deals"}
        before = {i: read_at for (kind, i), read_at in kept.read_before.items() if kind == "deals"}
        for kind, links, records in associated:
            born = {r.id: r.created_at for r in records if r.created_at}
            changed |= await mirror.keep_links(tx, "deals", kind, links, reads=ReadTimes(now, before, born))
        await keep_versions(tx, [past for f in deals.values() for past in versions(f.deal, watched)])
        fresh = await mirror.keep_stage_entries(tx, [e for f in deals.values() for e in entries_of(f)])
        called = await called_for(tx, s, portal, deals.values(), fresh, since)
        await stage_checks.decide(tx, called.checks)
        recorded = await inbox.record(tx, called.events, now=now)
        around = {f.id for f in deals.values() if not kept.changed.isdisjoint(_around(f))}
        await inbox.nudge(tx, sorted(changed | around), now=now)
    return Mirrored(
        Counts(len(deals), len(changed), len(fresh), len(recorded.new)),
        {asked: tuple(e.kind for e in called.events if e.deal_id == f.id) for asked, f in files.items()},
    )


_Found = Sequence[tuple[Record, Sequence[str]]]
"""Records associated with a deal, each with its labels."""


def _associated(
    files: Sequence[DealFile],
) -> Iterator[tuple[str, dict[str, dict[str, Sequence[str]]], list[Record]]]:
    """What is on the deals, by kind of record: the associations with their labels, and the records."""
    found: dict[str, dict[str, _Found]] = {
        "contacts": {f.id: [(c.record, sorted(c.roles)) for c in f.contacts] for f in files},
        "companies": {f.id: [(company, ()) for company in f.companies] for f in files},
        "line_items": {f.id: [(item, ()) for item in f.line_items] for f in files},
    }
    for kind, by_deal in found.items():
        links = {deal_id: {r.id: labels for r, labels in rows} for deal_id, rows in by_deal.items()}
        yield kind, links, list({r.id: r for rows in by_deal.values() for r, _ in rows}.values())


def _around(file: DealFile) -> set[tuple[str, str]]:
    """What else a held event may be waiting for: an address, a price."""
    return {
        *(("contacts", c.record.id) for c in file.contacts),
        *(("companies", c.id) for c in file.companies),
        *(("line_items", i.id) for i in file.line_items),
    }


def _row(kind: str, record: Record, histories: Sequence[str] = ()) -> MirrorRow:
    properties = dict(record.properties)
    return MirrorRow(kind, record.id, properties, record.updated_at, record.archived, histories)
