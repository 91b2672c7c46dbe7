"""The content of a record's page: name, stage path, key values, neighbours, line items. See also `timeline.py`."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from connectors.sandbox.hubspot_server.pages import wording
from connectors.sandbox.hubspot_server.portal import CURRENCY, Portal
from connectors.sandbox.hubspot_server.records.catalog import ObjectType, object_type
from connectors.sandbox.hubspot_server.records.pipelines import Pipeline, Stage
from connectors.sandbox.hubspot_server.records.record import Record

PAGED = ("deals", "contacts", "companies")
"""Types with their own page, to which other pages link."""
_KEY = {
    "deals": "amount hubspot_owner_id closedate dealtype hs_priority hs_next_step description "
    "closed_lost_reason closed_won_reason createdate hs_lastmodifieddate",
    "contacts": "email phone mobilephone jobtitle company lifecyclestage hs_lead_status hubspot_owner_id "
    "country website createdate lastmodifieddate",
    "companies": "domain phone industry city country numberofemployees annualrevenue lifecyclestage "
    "hubspot_owner_id createdate hs_lastmodifieddate",
}
_NAMES = {
    "companies": ("name", "domain"),
    "line_items": ("name",),
    "products": ("name",),
    "quotes": ("hs_title",),
    "leads": ("hs_lead_name",),
    "tasks": ("hs_task_subject",),
    "emails": ("hs_email_subject",),
    "calls": ("hs_call_title",),
    "meetings": ("hs_meeting_title",),
}


@dataclass(frozen=True)
class Row:
    """One value with its label."""

    label: str
    text: str
    href: str = ""


@dataclass(frozen=True)
class Step:
    """One stage on the path. `state`: done, now, won, lost, skipped or ahead."""

    label: str
    state: str
    entered: str
    spent: str


@dataclass(frozen=True)
class Neighbour:
    """An associated record with the labels of its link."""

    name: str
    href: str
    sub: str
    labels: list[str]


@dataclass
class Block:
    """A group of values."""

    label: str
    rows: list[Row] = field(default_factory=list)


def href(portal: Portal, kind: ObjectType, ident: str) -> str:
    """Path of a record's page, as in HubSpot's own app."""
    return f"/contacts/{portal.portal_id}/record/{kind.type_id}/{ident}"


def name(record: Record) -> str:
    """The name of the record for people."""
    values = record.values
    if record.kind.key == "contacts":
        whole = " ".join(p for p in (values.get("firstname"), values.get("lastname")) if p)
        return whole or values.get("email") or f"Contact {record.id}"
    for prop in _NAMES.get(record.kind.key, ("dealname",)):
        if values.get(prop):
            return values[prop]
    return f"{record.kind.singular.replace('_', ' ').capitalize()} {record.id}"


def owner(portal: Portal, ident: str | None) -> str:
    """The owner's name; the id if it is unknown; empty without one."""
    found = next((o for o in portal.owners if o.id == ident), None)
    return f"{found.first_name} {found.last_name}" if found else (ident or "")


def place(portal: Portal, record: Record) -> tuple[Pipeline | None, Stage | None]:
    """Pipeline and stage of a deal, if they still exist."""
    pipeline = portal.pipelines.of(record.kind).get(record.values.get("pipeline", ""))
    return pipeline, pipeline.stages.get(record.values.get("dealstage", "")) if pipeline else None


def stage_pill(stage: Stage | None) -> str:
    """Colour of a stage: good when won, bad when lost."""
    if stage is None or not stage.closed:
        return ""
    return "good" if stage.won else "bad"


def amount(portal: Portal, record: Record, prop: str = "amount") -> str:
    """An amount with its currency."""
    return wording.money(record.values.get(prop), record.values.get("deal_currency_code", CURRENCY))


def path(portal: Portal, record: Record) -> list[Step]:
    """The stages of a deal's pipeline in order, each past, current or ahead."""
    pipeline, now = place(portal, record)
    if pipeline is None:
        return []
    stages = sorted(pipeline.stages.values(), key=lambda s: s.order)
    at = next((n for n, s in enumerate(stages) if s is now), -1)
    return [_step(portal, record, stage, now, ahead=n > at) for n, stage in enumerate(stages)]


def _step(portal: Portal, record: Record, stage: Stage, now: Stage | None, *, ahead: bool) -> Step:
    entered = portal.crm.value(record, f"hs_v2_date_entered_{stage.id}") or ""
    spent = portal.crm.value(record, f"hs_v2_cumulative_time_in_{stage.id}") or ""
    if stage is now:
        state = "now" if not stage.closed else ("won" if stage.won else "lost")
    elif ahead and not entered:
        state = "ahead"
    else:
        state = "done" if entered else "skipped"
    return Step(
        stage.label,
        state,
        wording.moment(entered) if entered else "",
        wording.span(int(spent)) if spent.isdigit() and entered else "",
    )


def key_rows(portal: Portal, record: Record) -> list[Row]:
    """The values that a rep reads first. Empty ones are left out."""
    names = _KEY.get(record.kind.key, "").split()
    return [row for prop in names if (row := _row(portal, record, prop)) is not None]


def custom_blocks(portal: Portal, record: Record) -> list[Block]:
    """Values of properties that the account defined, by property group."""
    groups = portal.schema.groups(record.kind)
    found: dict[str, Block] = {}
    for prop in portal.schema.all(record.kind):
        row = None if prop.builtin else _row(portal, record, prop.name)
        if row is not None:
            label = str(groups.get(prop.group, {}).get("label", prop.group))
            found.setdefault(prop.group, Block(label)).rows.append(row)
    return list(found.values())


def all_values(portal: Portal, record: Record) -> list[tuple[str, str]]:
    """Every value as in the API, by internal name."""
    names = {p.name for p in portal.schema.all(record.kind)} | set(record.values)
    rows = ((n, portal.crm.value(record, n)) for n in sorted(names))
    return [(n, value) for n, value in rows if value]


def neighbours(portal: Portal, record: Record, kind: str) -> list[Neighbour]:
    """Associated records of a type, oldest link first, with the labels of the link."""
    target = object_type(kind)
    return [
        Neighbour(
            name(other),
            href(portal, target, other.id) if kind in PAGED else "",
            _sub(portal, other),
            _labels(portal, record, other),
        )
        for other in _others(portal, record, target)
    ]


def line_items(portal: Portal, record: Record) -> list[dict[str, str]]:
    """Line items as a table: name, quantity, unit price, discount, amount."""
    rows = []
    for item in _others(portal, record, object_type("line_items")):
        values = item.values
        percent, unit = values.get("hs_discount_percentage"), values.get("discount")
        rows.append(
            {
                "name": name(item),
                "sku": values.get("hs_sku", ""),
                "quantity": values.get("quantity", "1"),
                "price": wording.money(values.get("price"), ""),
                "discount": f"{percent} %" if percent else wording.money(unit, ""),
                "amount": wording.money(values.get("amount"), ""),
            }
        )
    return rows


def _others(portal: Portal, record: Record, target: ObjectType) -> Iterable[Record]:
    for ident in portal.crm.links.ids(record.kind, record.id, target):
        other = portal.crm.find(target, ident)
        if other is not None and not other.archived:
            yield other


def _labels(portal: Portal, record: Record, other: Record) -> list[str]:
    known = portal.crm.links.types(record.kind, other.kind)
    have = portal.crm.links.between((record.kind, record.id), (other.kind, other.id))
    return [label for type_id in sorted(have) if (label := known[type_id].label)]


def _sub(portal: Portal, record: Record) -> str:
    values = record.values
    if record.kind.key == "contacts":
        return "\n".join(v for v in (values.get("jobtitle"), values.get("email")) if v)
    if record.kind.key == "companies":
        return values.get("domain", "") if values.get("name") else ""
    if record.kind.key == "deals":
        stage = place(portal, record)[1]
        return " · ".join(v for v in (stage.label if stage else "", amount(portal, record)) if v)
    return values.get("hs_status", "")


def _row(portal: Portal, record: Record, prop: str) -> Row | None:
    value = portal.crm.value(record, prop)
    definition = portal.schema.find(record.kind, prop)
    if not value or definition is None:
        return None
    if prop == "amount":
        return Row(definition.label, amount(portal, record))
    if prop == "hubspot_owner_id":
        return Row(definition.label, owner(portal, value))
    if value in portal.files.files and not definition.builtin:
        return Row(definition.label, value, f"/contacts/{portal.portal_id}/files/{value}")
    link = value if value.startswith(("http://", "https://")) and " " not in value else ""
    return Row(definition.label, wording.shown(definition, value), link)
