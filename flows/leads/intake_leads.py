"""Takes in leads: creates company, contact and deal; a lead from a buyer with an open deal joins that deal.

Trigger: `POST /leads`, an import.
Reads: companies by domain, contacts by e-mail, their open deals. Writes: the same, notes.
Once-key: the lead's key, a unique property of the deal; companies and contacts have unique keys too, so
every write here may be repeated. The inbox row is the intent.
Needs: scopes crm.objects.{contacts,companies,deals}.{read,write}.
"""

from collections.abc import Mapping, Sequence

from connectors.hubspot.records import Record
from flows.deals.writes import write_note, writer_for
from flows.leads.records import (
    OPEN_DEAL,
    Arrival,
    Batch,
    filled,
    find_companies,
    find_contacts,
    link_all,
    read_by,
    row_ok,
    upsert,
)
from flows.ledger.inbox import Event
from flows.retries import reading
from flows.rules.leads import Lead, deal_name, route
from flows.rules.outcome import Outcome, Step
from flows.services import Portal, Services


async def prepare(events: Sequence[Event], s: Services) -> dict[int, Arrival]:
    """Write all leads at once: a few batch calls for up to a hundred leads."""
    batch = Batch({e.id: Arrival(Lead(**e.content["lead"])) for e in events})
    await find_companies(s, batch)
    await find_contacts(s, batch)
    own = await _own_deals(s, batch)
    await _join_open_deals(s, batch, own)
    await _deals(s, batch, await s.portal(), own)
    await link_all(s, batch)
    return batch.arrivals


async def handle(event: Event, arrivals: Mapping[int, Arrival], s: Services) -> Outcome:
    """Report the result for one lead whose records are in HubSpot; an open deal that it joined gets a note."""
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


async def _join_open_deals(s: Services, batch: Batch, own: Mapping[str, Record]) -> None:
    """Let leads join the buyer's open deal in our pipeline: found by contact first, then by company."""
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
            lambda deal_ids=deal_ids: s.hubspot.read_batch("deals", deal_ids, properties=OPEN_DEAL)  # type: ignore[misc]
        )
        for arrival in known:
            mine = own.get(arrival.lead.key)
            candidates = [
                record
                for link in links.get(getattr(arrival, of), ())
                if (record := deals.records.get(link.to_id)) and _is_open(record, portal)
            ]
            # On a second try the lead's own deal exists already: the lead has not "joined" it.
            if mine is None and candidates:
                arrival.deal_id = min(candidates, key=lambda r: int(r.id)).id
                arrival.joined = True


async def _own_deals(s: Services, batch: Batch) -> Mapping[str, Record]:
    """Deals that an earlier try created for these leads, by lead key."""
    keys = {a.lead.key: a for a in batch.well}
    return await read_by(s, "deals", "dealflow_lead_key", keys)


async def _deals(s: Services, batch: Batch, portal: Portal, known: Mapping[str, Record]) -> None:
    """Create one deal for each lead, keyed by the lead: an existing deal is used as it is, never reset."""
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
        written = await upsert(s, "deals", "dealflow_lead_key", rows)
        for leader in (group[0] for group in groups.values()):
            if row_ok(leader, written, leader.lead.key):
                leader.deal_id = written.records[leader.lead.key].id


def _settled(group: list[Arrival]) -> list[Arrival]:
    """Those of one buyer's leads that still need a deal: none once one of them has it, because the others join it.

    The first one makes it; if HubSpot refuses that one, the next is tried.
    """
    owner = next((a for a in group if a.deal_id), None)
    waiting = [a for a in group if not a.deal_id and a.problem is None]
    if owner is None:
        return waiting
    for arrival in waiting:
        arrival.deal_id, arrival.joined = owner.deal_id, True
    return []


def _deal_values(s: Services, portal: Portal, lead: Lead, owner: str | None, routed: str) -> dict[str, str]:
    return filled(
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


def _is_open(deal: Record, portal: Portal) -> bool:
    closed = deal.properties.get("hs_is_closed") == "true"
    return deal.properties.get("pipeline") == portal.pipeline_id and not closed and not deal.archived
