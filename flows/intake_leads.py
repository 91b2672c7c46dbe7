"""Inbound leads become company, contact and deal; a lead of a buyer with an open deal joins that deal.

Trigger: `POST /leads`, an import.
Reads: companies by domain, contacts by e-mail, their open deals. Writes: the same, notes.
Once-key: the lead's key, a unique property of the deal; companies and contacts have unique keys of their own, so
every write here may be repeated. The inbox row is the intent.
Needs: scopes crm.objects.{contacts,companies,deals}.{read,write}.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from connectors.errors import RejectedError, TransientError
from connectors.hubspot.client import Filter
from connectors.hubspot.records import BatchWrite, Record, RowError
from flows.filing import write_note, writer_for
from flows.ledger.inbox import Event
from flows.retries import reading, repeating
from flows.rules.leads import Lead, deal_name, route
from flows.rules.outcome import Outcome, Step
from flows.runs import run_events
from flows.services import Portal, Services

KIND = "lead.received"
_SEARCH_CHARS = 2_500  # of domains: keeps the whole search body under HubSpot's 3,000
_OPEN_DEAL = ("dealname", "dealstage", "pipeline", "hs_is_closed")


@flow(name="intake-leads", persist_result=False)
async def intake_leads(event_ids: list[int] | None = None) -> State[Any]:
    """Bring the leads of these inbox events into HubSpot."""
    return await run_events(event_ids, prepare=prepare, handle=handle)


@dataclass
class Arrival:
    """Where one lead has come to. `problem`: HubSpot refused a row of it."""

    lead: Lead
    company_id: str = ""
    contact_id: str = ""
    deal_id: str = ""
    joined: bool = False  # an open deal took it in
    new_company: bool = False
    new_contact: bool = False
    routed: str = ""
    problem: Exception | None = None


@dataclass
class _Batch:
    arrivals: dict[int, Arrival] = field(default_factory=dict)

    @property
    def well(self) -> list[Arrival]:
        return [a for a in self.arrivals.values() if a.problem is None]


async def prepare(events: Sequence[Event], s: Services) -> dict[int, Arrival]:
    """All leads at once: a handful of batch calls for up to a hundred leads."""
    batch = _Batch({e.id: Arrival(Lead(**e.content["lead"])) for e in events})
    await _companies(s, batch)
    await _contacts(s, batch)
    await _join_open_deals(s, batch)
    await _deals(s, batch, await s.portal())
    await _associations(s, batch)
    return batch.arrivals


async def handle(event: Event, arrivals: Mapping[int, Arrival], s: Services) -> Outcome:
    """Everything is in HubSpot: say what became of this lead; an open deal that took it in gets a note."""
    arrival = arrivals[event.id]
    if arrival.problem is not None:
        raise arrival.problem
    waited_s = (s.clock() - event.received_at).total_seconds()
    known = {True: "created", False: "known"}
    steps = [
        Step(
            f"contact {known[arrival.new_contact]}", f"contact {arrival.contact_id}", "by e-mail, else phone"
        )
    ]
    if arrival.company_id:
        why = "by domain, else name"
        steps.append(Step(f"company {known[arrival.new_company]}", f"company {arrival.company_id}", why))
    if arrival.joined:
        note_id = await write_note(
            s,
            writer_for(s, event),
            deal_id=arrival.deal_id,
            cause=f"lead:{arrival.lead.key}",
            text=f"New inbound inquiry from a contact on this deal ({arrival.lead.source}).\n{arrival.lead.message}",
        )
        steps.append(Step("joined the open deal", f"deal {arrival.deal_id}", "one buyer, one open deal"))
        steps.append(Step("wrote a note", f"note {note_id}", "so that the rep sees the inquiry"))
        return Outcome("done", "lead joined an open deal", deal_id=arrival.deal_id, steps=tuple(steps))
    steps.append(Step("deal created", f"deal {arrival.deal_id}", f"{waited_s:.1f} s after the lead came in"))
    steps.append(Step("owner set", f"deal {arrival.deal_id}", arrival.routed))
    return Outcome("done", "lead became a deal", deal_id=arrival.deal_id, steps=tuple(steps))


async def _companies(s: Services, batch: _Batch) -> None:
    """Companies by domain where HubSpot has them; the rest by our unique key, which makes repeats harmless."""
    wanted = [a for a in batch.well if a.lead.company_key]
    by_domain = await _companies_by_domain(s, sorted({a.lead.domain for a in wanted if a.lead.domain}))
    rows: dict[str, dict[str, str]] = {}
    for arrival in wanted:
        lead = arrival.lead
        if lead.domain in by_domain:
            arrival.company_id = by_domain[lead.domain]
        else:
            row = {"name": lead.display_company, "domain": lead.domain, "country": lead.country}
            rows[lead.company_key] = {**_filled(row), "dealflow_company_key": lead.company_key}
    written = await _upsert(s, "companies", "dealflow_company_key", rows)
    for arrival in wanted:
        key = arrival.lead.company_key
        if not arrival.company_id and _row_ok(arrival, written, key):
            arrival.company_id = written.records[key].id
            arrival.new_company = key in written.created


async def _companies_by_domain(s: Services, domains: Sequence[str]) -> dict[str, str]:
    """Search may lag, so it only finds companies; that one is not found never decides anything alone."""
    found: dict[str, str] = {}
    for some in _portions(domains):
        page = await reading(
            lambda some=some: s.hubspot.search(  # type: ignore[misc]
                "companies", filters=[Filter("domain", "IN", values=some)], properties=["domain"]
            )
        )
        for record in sorted(page.records, key=lambda r: int(r.id), reverse=True):
            found[(record.properties.get("domain") or "").lower()] = record.id
    return found


def _portions(domains: Sequence[str]) -> Iterator[tuple[str, ...]]:
    portion: list[str] = []
    for domain in domains:
        if portion and sum(len(d) + 3 for d in (*portion, domain)) > _SEARCH_CHARS:
            yield tuple(portion)
            portion = []
        portion.append(domain)
    if portion:
        yield tuple(portion)


async def _contacts(s: Services, batch: _Batch) -> None:
    """Known contacts keep what they say and only gain what they lack; new ones are upserted by e-mail or phone key."""
    with_email = _grouped((a.lead.email, a) for a in batch.well if a.lead.email)
    by_phone = _grouped((a.lead.contact_key, a) for a in batch.well if not a.lead.email)
    for id_property, wanted in (("email", with_email), ("dealflow_contact_key", by_phone)):
        known = await _read_by(s, "contacts", id_property, wanted)
        gaps: dict[str, dict[str, str]] = {}
        rows: dict[str, dict[str, str]] = {}
        for key, arrivals in wanted.items():
            values = _contact_values(arrivals[0].lead)
            record = known.get(key)
            if record is None:
                rows[key] = {**values, id_property: key}
                continue
            lacking = {k: v for k, v in values.items() if not (record.properties.get(k) or "").strip()}
            if lacking:
                gaps.setdefault(record.id, {}).update(lacking)
            for arrival in arrivals:
                arrival.contact_id = record.id
        written = await _upsert(s, "contacts", id_property, rows)
        for key in rows:
            for arrival in wanted[key]:
                if _row_ok(arrival, written, key):
                    arrival.contact_id = written.records[key].id
                    arrival.new_contact = key in written.created
        if gaps:
            await repeating(lambda gaps=gaps: s.hubspot.batch_update("contacts", gaps))  # type: ignore[misc]


def _grouped(pairs: Iterable[tuple[str, Arrival]]) -> dict[str, list[Arrival]]:
    """Leads of one person may stand in different lanes, e.g. by two spellings of one phone number."""
    found: dict[str, list[Arrival]] = {}
    for key, arrival in pairs:
        found.setdefault(key, []).append(arrival)
    return found


def _contact_values(lead: Lead) -> dict[str, str]:
    return _filled(
        {
            "firstname": lead.first_name,
            "lastname": lead.last_name,
            "phone": lead.phone,
            "jobtitle": lead.job_title,
            "country": lead.country,
        }
    )


async def _join_open_deals(s: Services, batch: _Batch) -> None:
    """A buyer with an open deal in our pipeline does not get a second one: by contact first, then by company."""
    portal = await s.portal()
    for kind, of in (("contacts", "contact_id"), ("companies", "company_id")):
        known = [
            a for a in batch.well if not a.deal_id and getattr(a, of) and not getattr(a, "new_" + of[:-3])
        ]
        ids = sorted({getattr(a, of) for a in known})
        if not ids:
            continue
        links = await reading(lambda kind=kind, ids=ids: s.hubspot.associated(kind, "deals", ids))  # type: ignore[misc]
        deal_ids = sorted({link.to_id for found in links.values() for link in found})
        if not deal_ids:
            continue
        deals = await reading(
            lambda deal_ids=deal_ids: s.hubspot.read_batch("deals", deal_ids, properties=_OPEN_DEAL)  # type: ignore[misc]
        )
        own = await _own_deals(s, batch)
        for arrival in known:
            mine = own.get(arrival.lead.key)
            candidates = [
                record
                for link in links.get(getattr(arrival, of), ())
                if (record := deals.records.get(link.to_id)) and _is_open(record, portal)
            ]
            # On a second try the deal that this very lead made is there already: it has not "joined" it.
            if mine is None and candidates:
                arrival.deal_id = min(candidates, key=lambda r: int(r.id)).id
                arrival.joined = True


async def _own_deals(s: Services, batch: _Batch) -> Mapping[str, Record]:
    """Deals that an earlier try made for these leads, by lead key."""
    keys = {a.lead.key: a for a in batch.well}
    return await _read_by(s, "deals", "dealflow_lead_key", keys)


async def _deals(s: Services, batch: _Batch, portal: Portal) -> None:
    """One deal a lead, keyed by the lead: a deal that is there already is taken as it is, never set back."""
    known = await _own_deals(s, batch)
    owners = [(o.id, o.email or "") for o in portal.owners]
    groups: dict[str, list[Arrival]] = {}  # buyer -> its leads of this batch that need a deal
    for arrival in batch.well:
        _, arrival.routed = route(arrival.lead, s.process.routing, owners)
        if arrival.joined:
            continue
        group = groups.setdefault(arrival.company_id or arrival.contact_id, [])
        if arrival.lead.key in known:
            arrival.deal_id = known[arrival.lead.key].id
            if _is_open(known[arrival.lead.key], portal):
                group.insert(0, arrival)
        else:
            group.append(arrival)
    while groups := {buyer: left for buyer, group in groups.items() if (left := _settled(group))}:
        rows = {}
        for leader in (group[0] for group in groups.values()):
            owner, _ = route(leader.lead, s.process.routing, owners)
            rows[leader.lead.key] = _deal_values(s, portal, leader.lead, owner, leader.routed)
        written = await _upsert(s, "deals", "dealflow_lead_key", rows)
        for leader in (group[0] for group in groups.values()):
            if _row_ok(leader, written, leader.lead.key):
                leader.deal_id = written.records[leader.lead.key].id


def _settled(group: list[Arrival]) -> list[Arrival]:
    """Those of one buyer's leads that still need a deal: none once one of them has it, for then all others join it.

    The first in line makes it; where HubSpot refuses that one, the next is tried.
    """
    owner = next((a for a in group if a.deal_id), None)
    waiting = [a for a in group if not a.deal_id and a.problem is None]
    if owner is None:
        return waiting
    for arrival in waiting:
        arrival.deal_id, arrival.joined = owner.deal_id, True
    return []


def _deal_values(s: Services, portal: Portal, lead: Lead, owner: str | None, routed: str) -> dict[str, str]:
    return _filled(
        {
            "dealflow_lead_key": lead.key,
            "dealname": deal_name(lead),
            "pipeline": portal.pipeline_id,
            "dealstage": portal.stage_ids[s.process.first.key],
            "amount": lead.budget,
            "deal_currency_code": s.process.currency,
            "hubspot_owner_id": owner or "",
            "dealflow_need": lead.message,
            "dealflow_source": lead.source,
            "dealflow_route_reason": routed,
        }
    )


async def _associations(s: Services, batch: _Batch) -> None:
    """Contact, company and deal know each other; repeating an association is harmless."""
    well = [a for a in batch.well if a.deal_id and a.contact_id]
    pairs = {
        ("contacts", "companies"): {(a.contact_id, a.company_id) for a in well if a.company_id},
        ("deals", "contacts"): {(a.deal_id, a.contact_id) for a in well},
        ("deals", "companies"): {(a.deal_id, a.company_id) for a in well if a.company_id},
    }
    for (left, right), wanted in pairs.items():
        if wanted and await _link(s, left, right, wanted):
            await _find_whose_link_fails(s, left, right, well)


async def _link(s: Services, left: str, right: str, pairs: set[tuple[str, str]]) -> RowError | None:
    """Link these pairs; the first error that HubSpot answers for one."""
    errors = await repeating(lambda: s.hubspot.associate_default(left, right, sorted(pairs)))
    return errors[0] if errors else None


async def _find_whose_link_fails(s: Services, left: str, right: str, arrivals: Sequence[Arrival]) -> None:
    """The answer does not say which pair failed: one by one, so that the failure concerns its own lead alone."""
    for arrival in arrivals:
        one, other = getattr(arrival, f"{_ID_OF[left]}_id"), getattr(arrival, f"{_ID_OF[right]}_id")
        error = await _link(s, left, right, {(one, other)}) if one and other else None
        if error is not None:
            arrival.problem = RejectedError(
                "hubspot", "associate_default", category=error.category, status=error.status
            )


_ID_OF = {"deals": "deal", "contacts": "contact", "companies": "company"}


async def _read_by(
    s: Services, object_type: str, id_property: str, keys: Iterable[str]
) -> Mapping[str, Record]:
    wanted = sorted(keys)
    if not wanted:
        return {}
    properties = {
        "contacts": (
            "email",
            "firstname",
            "lastname",
            "phone",
            "jobtitle",
            "country",
            "dealflow_contact_key",
            "hs_additional_emails",  # by which a person is found too; not asked for, it is not matched
        ),
        "deals": (*_OPEN_DEAL, "dealflow_lead_key"),
    }[object_type]
    read = await reading(
        lambda: s.hubspot.read_batch(object_type, wanted, properties=properties, id_property=id_property)
    )
    return read.records


async def _upsert(
    s: Services, object_type: str, id_property: str, rows: Mapping[str, Mapping[str, str]]
) -> BatchWrite:
    if not rows:
        return BatchWrite({})
    return await repeating(lambda: s.hubspot.batch_upsert(object_type, id_property, rows))


def _row_ok(arrival: Arrival, written: BatchWrite, key: str) -> bool:
    """Whether this lead's row went through; a refused row concerns this lead alone."""
    if key in written.records:
        return True
    error = written.errors.get(key)
    if error is None:
        arrival.problem = TransientError(
            "hubspot", "batch_upsert", detail="a row was not answered", applied="maybe"
        )
    else:
        arrival.problem = RejectedError(
            "hubspot",
            "batch_upsert",
            category=error.category,
            properties=error.properties,
            status=error.status,
        )
    return False


def _is_open(deal: Record, portal: Portal) -> bool:
    closed = deal.properties.get("hs_is_closed") == "true"
    return deal.properties.get("pipeline") == portal.pipeline_id and not closed and not deal.archived


def _filled(values: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in values.items() if v}
