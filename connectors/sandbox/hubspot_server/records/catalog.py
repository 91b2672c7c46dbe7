"""The portal's object types, their names in paths, and the properties that a new record needs."""

from dataclasses import dataclass, field

from connectors.sandbox.hubspot_server.errors import Refusal


@dataclass(frozen=True)
class ObjectType:
    """One CRM object type. `singular` is the word in error texts and association names."""

    key: str  # the plural path name
    type_id: str  # for example 0-3
    singular: str
    label: str  # key of inline associations; with a space for line items
    last_modified: str
    created: str
    defaults: tuple[str, ...]  # returned when no property is asked for
    required: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    event: str = ""  # name in webhook subscription types, empty when there are none
    mergeable: bool = False
    activity: bool = False
    aliases: tuple[str, ...] = field(default=())


def _activity(key: str, type_id: str, singular: str) -> ObjectType:
    return ObjectType(
        key,
        type_id,
        singular,
        key,
        "hs_lastmodifieddate",
        "hs_createdate",
        (),
        required=("hs_timestamp",),
        activity=True,
    )


TYPES: tuple[ObjectType, ...] = (
    ObjectType(
        "deals",
        "0-3",
        "deal",
        "deals",
        "hs_lastmodifieddate",
        "createdate",
        ("amount", "closedate", "dealname", "dealstage", "pipeline"),
        required=("dealname", "dealstage"),
        event="deal",
        mergeable=True,
    ),
    ObjectType(
        "contacts",
        "0-1",
        "contact",
        "contacts",
        "lastmodifieddate",
        "createdate",
        ("email", "firstname", "lastname"),
        one_of=("email", "firstname", "lastname"),
        event="contact",
        mergeable=True,
    ),
    ObjectType(
        "companies",
        "0-2",
        "company",
        "companies",
        "hs_lastmodifieddate",
        "createdate",
        ("domain", "name"),
        one_of=("name", "domain"),
        event="company",
        mergeable=True,
    ),
    ObjectType(
        "line_items",
        "0-8",
        "line_item",
        "line items",
        "hs_lastmodifieddate",
        "createdate",
        ("amount", "quantity", "hs_product_id"),
        event="line_item",
        aliases=("line_item",),
    ),
    ObjectType(
        "products",
        "0-7",
        "product",
        "products",
        "hs_lastmodifieddate",
        "createdate",
        ("description", "name", "price"),
        event="product",
    ),
    ObjectType(
        "quotes",
        "0-14",
        "quote",
        "quotes",
        "hs_lastmodifieddate",
        "hs_createdate",
        ("hs_title", "hs_expiration_date", "hs_public_url_key", "hs_status"),
        required=("hs_title", "hs_expiration_date"),
    ),
    ObjectType(
        "leads",
        "0-136",
        "lead",
        "leads",
        "hs_lastmodifieddate",
        "hs_createdate",
        ("hs_lead_name",),
        required=("hs_lead_name",),
    ),
    _activity("notes", "0-46", "note"),
    _activity("tasks", "0-27", "task"),
    _activity("emails", "0-49", "email"),
    _activity("calls", "0-48", "call"),
    _activity("meetings", "0-47", "meeting"),
)

_BY_NAME = {
    name: t for t in TYPES for name in (t.key, t.type_id, t.singular, t.singular.upper(), *t.aliases)
} | {t.key.upper(): t for t in TYPES}


def object_type(name: str) -> ObjectType:
    """The type called `name` in a path: plural, singular or type id. Raises Refusal 400 for any other.

    HubSpot's answer for an unknown type carries no category (recorded answer, facts section 3).
    """
    found = _BY_NAME.get(name) or _BY_NAME.get(name.lower())
    if found is None:
        raise Refusal(400, f"Unable to infer object type from: {name}", category="")
    return found
