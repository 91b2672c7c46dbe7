"""HubSpot's built-in association types, with direction, in one table.

Direction matters: deal→contact and contact→deal are two ids. Custom labels differ per account: read them with
`HubSpotClient.association_labels`. Source: developers.hubspot.com/docs, associations "associate records"
guide, and `hubspot/crm/association_type.py` of hubspot-api-client 12.0.0, both read 2026-11-22.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

HUBSPOT_DEFINED: Final = "HUBSPOT_DEFINED"
USER_DEFINED: Final = "USER_DEFINED"


class TypeId(NamedTuple):
    """One association type: from and to type, its number, and its meaning beyond "is associated"."""

    from_type: str
    to_type: str
    type_id: int
    meaning: str = ""


TYPE_IDS: Final[tuple[TypeId, ...]] = (
    TypeId("deals", "contacts", 3),
    TypeId("contacts", "deals", 4),
    TypeId("deals", "companies", 341),
    TypeId("companies", "deals", 342),
    TypeId("deals", "companies", 5, "primary"),
    TypeId("companies", "deals", 6, "primary"),
    TypeId("contacts", "companies", 279),
    TypeId("companies", "contacts", 280),
    TypeId("contacts", "companies", 1, "primary"),
    TypeId("companies", "contacts", 2, "primary"),
    TypeId("deals", "line_items", 19),
    TypeId("line_items", "deals", 20),
    TypeId("deals", "quotes", 63),
    TypeId("quotes", "deals", 64),
    TypeId("quotes", "line_items", 67),
    TypeId("quotes", "contacts", 69),
    TypeId("quotes", "companies", 71),
    TypeId("notes", "contacts", 202),
    TypeId("notes", "companies", 190),
    TypeId("notes", "deals", 214),
    TypeId("deals", "notes", 213),
    TypeId("notes", "leads", 855),
    TypeId("tasks", "contacts", 204),
    TypeId("tasks", "companies", 192),
    TypeId("tasks", "deals", 216),
    TypeId("deals", "tasks", 215),
    TypeId("emails", "contacts", 198),
    TypeId("emails", "deals", 210),
    TypeId("deals", "emails", 209),
    TypeId("deals", "deals", 313, "split"),
    TypeId("leads", "contacts", 608),
    TypeId("leads", "contacts", 578, "primary"),
    TypeId("leads", "companies", 610),
    TypeId("leads", "companies", 580, "primary"),
    TypeId("leads", "deals", 1037),
    TypeId("leads", "deals", 582, "primary"),
)

_BY_PAIR: Final[Mapping[tuple[str, str, str], int]] = {
    (row.from_type, row.to_type, row.meaning): row.type_id for row in TYPE_IDS
}


def type_id(from_type: str, to_type: str, meaning: str = "") -> int:
    """The number of a built-in type. Raises KeyError with the three arguments when there is none."""
    return _BY_PAIR[(from_type, to_type, meaning)]
