"""A deal with everything around it, read fresh from HubSpot in bulk: seven calls for up to a hundred deals, and two
more for each type of activity that the process asks for (see activities.py), and for quotes (see quotes.py).

Needs: scopes crm.objects.{deals,contacts,companies,line_items}.read.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from connectors.http.errors import TransientError
from connectors.hubspot.records import Link, Owner, Record
from flows.deals.activities import read_activities
from flows.deals.associated import associated_records
from flows.deals.quotes import read_quotes
from flows.retries import reading
from flows.rules.criteria.deal_facts import ActivityType, Quote
from flows.rules.criteria.judge import (
    Activity,
    DealFacts,
    Objection,
    Proof,
    asks_for_entries,
    entered_at,
    properties_of,
)
from flows.rules.pricing.pricing import PriceTable, PricingOptions, price_line_items
from flows.rules.process.sales_process import SalesProcess
from flows.services import Portal, Services

_FRESH_S = 60
_MOVE_FRESH_S = 5
DEAL_PROPERTIES = (
    "dealname",
    "dealstage",
    "pipeline",
    "amount",
    "closedate",
    "deal_currency_code",
    "hubspot_owner_id",
    "createdate",
    "hs_lastmodifieddate",
    "dealflow_lead_key",
    "dealflow_need",
    "dealflow_source",
    "dealflow_starts_on",
    "dealflow_proposal_sha256",
    "dealflow_contract_token",
    "dealflow_contract_status",
    "dealflow_flag",
)
CONTACT_PROPERTIES = (
    "email",
    "firstname",
    "lastname",
    "jobtitle",
    "phone",
    "lastmodifieddate",
    "hs_email_optout",
    "hs_email_bad_address",
    "hs_email_hard_bounce_reason_enum",
)
COMPANY_PROPERTIES = ("name", "domain", "address", "zip", "city", "state", "country", "hs_lastmodifieddate")
LINE_ITEM_PROPERTIES = (
    "name",
    "description",
    "quantity",
    "price",
    "discount",
    "hs_discount_percentage",
    "hs_term_in_months",
    "hs_recurring_billing_period",
    "recurringbillingfrequency",
    "hs_line_item_currency_code",
    "hs_tax_rate_group_id",
    "hs_position_on_quote",
    "hs_sku",
    "hs_lastmodifieddate",
)


@dataclass(frozen=True)
class DealContact:
    """A contact on a deal with its role keys."""

    record: Record
    roles: frozenset[str]

    @property
    def name(self) -> str:
        """First and last name, as far as known."""
        properties = self.record.properties
        return f"{properties.get('firstname') or ''} {properties.get('lastname') or ''}".strip()


@dataclass(frozen=True)
class DealFile:
    """One deal at `read_at`. `stage` is our key, None when the deal stands outside the process."""

    deal: Record
    stage: str | None
    contacts: tuple[DealContact, ...]
    companies: tuple[Record, ...]
    line_items: tuple[Record, ...]
    owner: Owner | None
    read_at: datetime
    activities: tuple[Activity, ...] = ()
    objections: tuple[Objection, ...] = ()
    quotes: tuple[Quote, ...] = ()
    entered: Mapping[str, datetime] = field(
        default_factory=dict
    )  # when it came into each stage, if asked for

    @property
    def id(self) -> str:
        """HubSpot's id of the deal (the surviving one after a merge)."""
        return self.deal.id

    @property
    def main_contact(self) -> DealContact | None:
        """Who documents are addressed to: the decision maker, else the signer, else the first contact."""
        for role in ("decision_maker", "signer"):
            for contact in self.contacts:
                if role in contact.roles:
                    return contact
        return self.contacts[0] if self.contacts else None

    def facts(
        self,
        *,
        documents: Iterable[str] = (),
        signature: str | None = None,
        filed: Mapping[str, Proof] | None = None,
    ) -> DealFacts:
        """What exit criteria are judged on."""
        return DealFacts(
            deal_id=self.id,
            stage=self.stage,
            properties=self.deal.properties,
            contacts={c.record.id: c.roles for c in self.contacts},
            companies=frozenset(c.id for c in self.companies),
            line_items=frozenset(i.id for i in self.line_items),
            documents=frozenset(documents),
            signature=signature,
            activities=self.activities,
            objections=self.objections,
            quotes=self.quotes,
            owner=_names_of(self.owner) if self.owner else None,
            entered=self.entered,
            filed=filed or {},
            read_at=self.read_at,
        )


def deal_properties(process: SalesProcess, extra: Iterable[str] = ()) -> tuple[str, ...]:
    """Every deal property that the process or a template asks for, without repeats."""
    return tuple(dict.fromkeys([*DEAL_PROPERTIES, *properties_of(process), *extra]))


async def read_deals(
    s: Services,
    deal_ids: Sequence[str],
    *,
    history: bool = False,
    whole_past: bool = False,
    activities: bool = True,
    types: Sequence[ActivityType] | None = None,
) -> dict[str, DealFile]:
    """Deal files by the id asked for; deals that HubSpot does not have are left out. `history`: of the stage, also
    read where a criterion asks for it; `whole_past`: and of the properties that criteria look at. `activities`: False
    where nothing is judged; `types`: which, else those that criteria ask for.

    Raises TransientError when HubSpot answers an error for one of them: that says nothing about the deal.
    """
    portal = await s.portal()
    ids = list(dict.fromkeys(deal_ids))
    if not ids:
        return {}
    wanted = _template_properties(s)
    of_stage = history or whole_past or (activities and asks_for_entries(s.process))
    deals = await reading(
        lambda: s.hubspot.read_batch(
            "deals",
            ids,
            properties=deal_properties(s.process, wanted["deal"]),
            history=(
                *(("dealstage",) if of_stage else ()),
                *(properties_of(s.process) if whole_past else ()),
            ),
        )
    )
    for error in deals.failed.values():
        raise TransientError(
            "hubspot", "read_batch_deals", detail="a row was not read", category=error.category
        )
    real = sorted({record.id for record in deals.records.values()})
    properties = {
        "contacts": (*CONTACT_PROPERTIES, *wanted["contact"]),
        "companies": (*COMPANY_PROPERTIES, *wanted["company"]),
        "line_items": LINE_ITEM_PROPERTIES,
    }
    beside = await asyncio.gather(
        *(associated_records(s, kind, real, asked) for kind, asked in properties.items())
    )
    links = {kind: found for kind, (found, _) in zip(properties, beside, strict=True)}
    contacts, companies, line_items = (records for _, records in beside)
    happened = await read_activities(s, real, types) if activities else {}
    quotes = await read_quotes(s, real) if activities else {}
    owners = {owner.id: owner for owner in portal.owners}
    now = s.clock()
    files: dict[str, DealFile] = {}
    for asked, deal in deals.records.items():
        on_deal = {kind: links[kind].get(deal.id, ()) for kind in links}
        ours = deal.properties.get("pipeline") == portal.pipeline_id
        stage = portal.stage_key(deal.properties.get("dealstage")) if ours else None
        files[asked] = DealFile(
            deal=deal,
            stage=stage,
            contacts=tuple(
                DealContact(contacts[link.to_id], _roles(link, portal))
                for link in _sorted(on_deal["contacts"])
                if link.to_id in contacts
            ),
            companies=tuple(
                companies[link.to_id]
                for link in _primary_first(on_deal["companies"])
                if link.to_id in companies
            ),
            line_items=tuple(
                line_items[link.to_id] for link in _sorted(on_deal["line_items"]) if link.to_id in line_items
            ),
            owner=owners.get(deal.properties.get("hubspot_owner_id") or ""),
            read_at=now,
            activities=happened[deal.id].activities if deal.id in happened else (),
            objections=happened[deal.id].objections if deal.id in happened else (),
            quotes=quotes.get(deal.id, ()),
            entered=_entered(s.process, portal, deal, stage),
        )
    return files


async def read_with_history(s: Services, deal_ids: Sequence[str]) -> dict[str, DealFile]:
    """Deal files that hold every entry of the deal into a stage."""
    return await read_deals(s, deal_ids, history=True)


async def read_deal(s: Services, deal_id: str) -> DealFile | None:
    """One deal file, or None when HubSpot has no such deal."""
    return (await read_deals(s, [deal_id])).get(deal_id)


def template_facts(s: Services, file: DealFile) -> dict[str, dict[str, str | None]]:
    """What document templates may draw on: deal, company, contact, owner and seller values by name."""
    contact, owner, seller = file.main_contact, file.owner, s.process.seller
    company = file.companies[0] if file.companies else None
    facts: dict[str, dict[str, str | None]] = {
        "deal": {**file.deal.properties, "hs_object_id": file.id},
        "company": dict(company.properties) if company else {},
        "contact": dict(contact.record.properties) if contact else {},
        "owner": {},
        "seller": {
            "name": seller.name,
            "address": seller.address,
            "email": seller.email,
            "governing_law": seller.governing_law,
            "payment_days": str(seller.payment_days),
            "signer_name": seller.counter_signer.name if seller.counter_signer else None,
            "signer_title": seller.counter_signer.title if seller.counter_signer else None,
        },
    }
    if owner:
        facts["owner"] = {
            "email": owner.email,
            "firstname": owner.first_name,
            "lastname": owner.last_name,
            "name": f"{owner.first_name or ''} {owner.last_name or ''}".strip(),
        }
    facts["deal"]["deal_currency_code"] = facts["deal"].get("deal_currency_code") or s.process.currency
    return facts


async def fresh_deal(
    s: Services,
    deal_id: str,
    files: Mapping[str, DealFile],
    read: Callable[[Services, Sequence[str]], Awaitable[dict[str, DealFile]]] = read_deals,
) -> DealFile | None:
    """The deal from a bulk read, or read again when that is older than a minute; None when HubSpot has it no more."""
    file = files.get(deal_id)
    if file is not None and (s.clock() - file.read_at).total_seconds() <= _FRESH_S:
        return file
    return (await read(s, [deal_id])).get(deal_id)


async def stage_now(s: Services, file: DealFile) -> tuple[str, str | None]:
    """The deal's stage, HubSpot's id and our key, asked again when it was read with a batch a while ago.

    For a move: HubSpot has no conditional update, so the closer the look, the smaller the gap.
    """
    properties: Mapping[str, str | None] = file.deal.properties
    if (s.clock() - file.read_at).total_seconds() > _MOVE_FRESH_S:
        properties = (
            await reading(lambda: s.hubspot.read("deals", file.id, properties=("dealstage", "pipeline")))
        ).properties
    portal, stage_id = await s.portal(), properties.get("dealstage") or ""
    ours = properties.get("pipeline") == portal.pipeline_id
    return stage_id, portal.stage_key(stage_id) if ours else None


def dated(asked_at: datetime, now: datetime) -> datetime:
    """The day that documents carry: when it was asked for, so that a second try makes the same document; but what
    had to wait for longer than a day is dated now.
    """
    return asked_at if now - asked_at < timedelta(days=1) else now


def price_deal(s: Services, file: DealFile) -> PriceTable:
    """The deal's line items as a priced table. Raises PricingError."""
    currency = file.deal.properties.get("deal_currency_code") or s.process.currency
    return price_line_items([i.properties for i in file.line_items], PricingOptions(currency=currency))


def _entered(process: SalesProcess, portal: Portal, deal: Record, stage: str | None) -> dict[str, datetime]:
    """When the deal came into each stage, from its history as far as that was read; writing it again is no entry."""
    entries: list[tuple[str, datetime]] = []
    before: str | None = None
    for past in reversed(deal.history.get("dealstage", ())):
        key = portal.stage_key(past.value)
        if key is not None and past.at is not None and past.value != before:
            entries.append((key, past.at))
        before = past.value
    return entered_at(process, stage, entries)


def _names_of(owner: Owner) -> frozenset[str]:
    """By what a process file may mean an owner: teams, and the e-mail address."""
    return frozenset(name.casefold() for name in (*owner.teams, owner.email or "") if name)


def _roles(link: Link, portal: Portal) -> frozenset[str]:
    keys = ((t.category, t.type_id) for t in link.types)
    return frozenset(portal.roles[key] for key in keys if key in portal.roles)


def _sorted(links: Iterable[Link]) -> list[Link]:
    return sorted(links, key=lambda link: int(link.to_id))


def _primary_first(links: Iterable[Link]) -> list[Link]:
    return sorted(links, key=lambda link: (all(t.type_id != 5 for t in link.types), int(link.to_id)))


def _template_properties(s: Services) -> dict[str, list[str]]:
    """Properties that only the templates ask for, per kind of record."""
    wanted: dict[str, list[str]] = {"deal": [], "company": [], "contact": []}
    declarations = [t.declaration for t in s.templates.values()] + [e.declaration for e in s.emails.values()]
    for declaration in declarations:
        for variable in declaration.variables.values():
            prefix, _, name = variable.source.partition(".")
            if prefix in wanted:
                wanted[prefix].append(name)
    return wanted
