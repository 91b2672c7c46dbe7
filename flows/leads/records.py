"""One batch of leads and its HubSpot records: companies, contacts and associations, by batch
calls. Every write may be repeated: companies and contacts have unique keys, associations are idempotent.

A row that HubSpot refuses affects only its own lead.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from connectors.http.errors import RejectedError, TransientError
from connectors.hubspot.client import Filter
from connectors.hubspot.records import BatchWrite, Record, RowError
from flows.retries import reading, repeating
from flows.rules.leads import Lead
from flows.services import Services

_SEARCH_CHARS = 2_500  # of domains: keeps the whole search body under HubSpot's 3,000
OPEN_DEAL = ("dealname", "dealstage", "pipeline", "hs_is_closed")


@dataclass
class Arrival:
    """The state of one lead. `problem`: HubSpot refused one of its rows."""

    lead: Lead
    company_id: str = ""
    contact_id: str = ""
    deal_id: str = ""
    joined: bool = False  # it joined an open deal
    new_company: bool = False
    new_contact: bool = False
    routed: str = ""
    problem: Exception | None = None


@dataclass
class Batch:
    """All leads of one run, by inbox row."""

    arrivals: dict[int, Arrival] = field(default_factory=dict)

    @property
    def well(self) -> list[Arrival]:
        """Leads without a refused row so far."""
        return [a for a in self.arrivals.values() if a.problem is None]


async def find_companies(s: Services, batch: Batch) -> None:
    """Find companies by domain; upsert the others by our unique key, which makes repeats harmless."""
    wanted = [a for a in batch.well if a.lead.company_key]
    by_domain = await _companies_by_domain(s, sorted({a.lead.domain for a in wanted if a.lead.domain}))
    rows: dict[str, dict[str, str]] = {}
    for arrival in wanted:
        lead = arrival.lead
        if lead.domain in by_domain:
            arrival.company_id = by_domain[lead.domain]
        else:
            row = {"name": lead.display_company, "domain": lead.domain, "country": lead.country}
            rows[lead.company_key] = {**filled(row), "dealflow_company_key": lead.company_key}
    written = await upsert(s, "companies", "dealflow_company_key", rows)
    for arrival in wanted:
        key = arrival.lead.company_key
        if not arrival.company_id and row_ok(arrival, written, key):
            arrival.company_id = written.records[key].id
            arrival.new_company = key in written.created


async def _companies_by_domain(s: Services, domains: Sequence[str]) -> dict[str, str]:
    """Search companies. Search may lag, so a missing result alone decides nothing."""
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


async def find_contacts(s: Services, batch: Batch) -> None:
    """Known contacts only get values that they lack; new ones are upserted by e-mail or phone key."""
    with_email = _grouped((a.lead.email, a) for a in batch.well if a.lead.email)
    by_phone = _grouped((a.lead.contact_key, a) for a in batch.well if not a.lead.email)
    for id_property, wanted in (("email", with_email), ("dealflow_contact_key", by_phone)):
        known = await read_by(s, "contacts", id_property, wanted)
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
        written = await upsert(s, "contacts", id_property, rows)
        for key in rows:
            for arrival in wanted[key]:
                if row_ok(arrival, written, key):
                    arrival.contact_id = written.records[key].id
                    arrival.new_contact = key in written.created
        if gaps:
            await repeating(lambda gaps=gaps: s.hubspot.batch_update("contacts", gaps))  # type: ignore[misc]


def _grouped(pairs: Iterable[tuple[str, Arrival]]) -> dict[str, list[Arrival]]:
    """Group leads of one person, who may be in different lanes, e.g. by two formats of one phone number."""
    found: dict[str, list[Arrival]] = {}
    for key, arrival in pairs:
        found.setdefault(key, []).append(arrival)
    return found


def _contact_values(lead: Lead) -> dict[str, str]:
    return filled(
        {
            "firstname": lead.first_name,
            "lastname": lead.last_name,
            "phone": lead.phone,
            "jobtitle": lead.job_title,
            "country": lead.country,
        }
    )


async def link_all(s: Services, batch: Batch) -> None:
    """Associate contact, company and deal; repeating an association is harmless."""
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
    """Associate these pairs; returns the first error that HubSpot reports."""
    errors = await repeating(lambda: s.hubspot.associate_default(left, right, sorted(pairs)))
    return errors[0] if errors else None


async def _find_whose_link_fails(s: Services, left: str, right: str, arrivals: Sequence[Arrival]) -> None:
    """Retry one pair at a time: the answer does not say which one failed, and a failure affects only its own lead."""
    for arrival in arrivals:
        one, other = getattr(arrival, f"{_ID_OF[left]}_id"), getattr(arrival, f"{_ID_OF[right]}_id")
        error = await _link(s, left, right, {(one, other)}) if one and other else None
        if error is not None:
            arrival.problem = RejectedError(
                "hubspot", "associate_default", category=error.category, status=error.status
            )


_ID_OF = {"deals": "deal", "contacts": "contact", "companies": "company"}


async def read_by(
    s: Services, object_type: str, id_property: str, keys: Iterable[str]
) -> Mapping[str, Record]:
    """The records with these unique values, by value."""
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
            "hs_additional_emails",  # also finds a person; HubSpot only matches it when it is requested
        ),
        "deals": (*OPEN_DEAL, "dealflow_lead_key"),
    }[object_type]
    read = await reading(
        lambda: s.hubspot.read_batch(object_type, wanted, properties=properties, id_property=id_property)
    )
    return read.records


async def upsert(
    s: Services, object_type: str, id_property: str, rows: Mapping[str, Mapping[str, str]]
) -> BatchWrite:
    """Create or update by unique value: repeating gives the same records."""
    if not rows:
        return BatchWrite({})
    return await repeating(lambda: s.hubspot.batch_upsert(object_type, id_property, rows))


def row_ok(arrival: Arrival, written: BatchWrite, key: str) -> bool:
    """Whether this lead's row was accepted; a refused row affects only this lead."""
    if key in written.records:
        return True
    error = written.errors.get(key)
    if error is None:
        arrival.problem = TransientError(
            "hubspot", "batch_upsert", detail="the answer lacks a row", applied="maybe"
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


def filled(values: Mapping[str, str]) -> dict[str, str]:
    """The values that are not empty: an empty text would clear the value in HubSpot."""
    return {k: v for k, v in values.items() if v}
