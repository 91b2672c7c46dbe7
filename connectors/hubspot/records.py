"""Frozen records in HubSpot's words, and the functions that read them out of answers.

Every `parse_*` takes JSON of any shape, ignores unknown fields, fills missing ones with None or empty, and
raises nothing but ContractError (when the one thing that makes the record useful, its id or name, is absent).
Sources: developers.hubspot.com object, pipeline, property, owner, file and account guides, read 2026-11-22.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from connectors.errors import ContractError


@dataclass(frozen=True)
class HistoryEntry:
    """One past value of a property. `at` is aware UTC; source_type says who wrote it (CRM_UI,
    INTEGRATION...)."""

    value: str | None
    at: datetime | None
    source_type: str | None
    source_id: str | None


@dataclass(frozen=True)
class Record:
    """A CRM object. All property values are text or None, as HubSpot keeps them; times are aware UTC.

    history holds newest first. associations: ids by object type as listed inline; `truncated` names the types
    whose inline list goes on (read those with `associated`). is_new: upsert answers only.
    """

    id: str
    properties: Mapping[str, str | None] = field(default_factory=dict)
    created_at: datetime | None = None
    updated_at: datetime | None = None
    archived: bool = False
    archived_at: datetime | None = None
    history: Mapping[str, tuple[HistoryEntry, ...]] = field(default_factory=dict)
    associations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    truncated: frozenset[str] = frozenset()
    is_new: bool | None = None
    write_trace_id: str | None = None


@dataclass(frozen=True)
class RowError:
    """Why one row of a batch failed, without the vendor's text (it quotes values)."""

    category: str | None
    status: int | None = None
    properties: tuple[str, ...] = ()
    existing_id: str | None = None


@dataclass(frozen=True)
class BatchRead:
    """records by the id (or unique value) asked for; record.id differs from it after a merge.

    missing: HubSpot knows no such record. failed: it answered an error for these, so nothing is known.
    """

    records: Mapping[str, Record]
    missing: tuple[str, ...] = ()
    failed: Mapping[str, RowError] = field(default_factory=dict)


@dataclass(frozen=True)
class BatchWrite:
    """records and errors by the key asked for; `unknown` keys were in neither: read them before repeating."""

    records: Mapping[str, Record]
    errors: Mapping[str, RowError] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()

    @property
    def created(self) -> frozenset[str]:
        """Keys whose record did not exist before."""
        return frozenset(key for key, record in self.records.items() if record.is_new)


@dataclass(frozen=True)
class ListPage:
    """One page; `after` is the cursor of the next, None at the end."""

    records: tuple[Record, ...]
    after: str | None


@dataclass(frozen=True)
class SearchPage:
    """One page of a search; total counts all matches (the index gives out at most 10,000 of them)."""

    records: tuple[Record, ...]
    total: int
    after: str | None


@dataclass(frozen=True)
class LinkType:
    """What an association means; label is None for the plain one."""

    category: str
    type_id: int
    label: str | None


@dataclass(frozen=True)
class Link:
    """An associated record and all meanings of that association (their order is not stable)."""

    to_id: str
    types: tuple[LinkType, ...]


@dataclass(frozen=True)
class NewLink:
    """An association to make together with a new record."""

    to_id: str
    type_id: int
    category: str = "HUBSPOT_DEFINED"


@dataclass(frozen=True)
class Stage:
    """A pipeline stage. probability runs from 0 to 1; won and lost follow from it and is_closed, never the
    label."""

    id: str
    label: str
    display_order: int
    probability: Decimal | None
    is_closed: bool
    archived: bool = False

    @property
    def is_won(self) -> bool:
        """Closed with certainty."""
        return self.is_closed and self.probability == 1

    @property
    def is_lost(self) -> bool:
        """Closed without a chance."""
        return self.is_closed and self.probability == 0


@dataclass(frozen=True)
class Pipeline:
    """A pipeline and its stages in display order."""

    id: str
    label: str
    display_order: int
    stages: tuple[Stage, ...]
    archived: bool = False


@dataclass(frozen=True)
class Option:
    """An allowed value of an enumeration: `value` is what is stored."""

    value: str
    label: str
    hidden: bool = False


@dataclass(frozen=True)
class Property:
    """A property's definition. Do not write when calculated or read_only_value."""

    name: str
    label: str
    type: str
    field_type: str
    group_name: str
    options: tuple[Option, ...] = ()
    has_unique_value: bool = False
    calculated: bool = False
    read_only_value: bool = False
    hubspot_defined: bool = False
    hidden: bool = False
    archived: bool = False


@dataclass(frozen=True)
class Owner:
    """A user who can own records. hubspot_owner_id takes `id`, not `user_id`."""

    id: str
    user_id: str | None
    email: str | None
    first_name: str | None
    last_name: str | None
    archived: bool
    teams: tuple[str, ...] = ()


@dataclass(frozen=True)
class AccountDetails:
    """The portal: its id, time zone name and currency codes."""

    portal_id: str
    account_type: str | None
    time_zone: str | None
    company_currency: str | None
    additional_currencies: tuple[str, ...]
    ui_domain: str | None
    data_hosting_location: str | None


@dataclass(frozen=True)
class FileRecord:
    """A file in the file manager; size in bytes. A PRIVATE file's url does not open: use signed_url."""

    id: str
    name: str | None
    path: str | None
    url: str | None
    size: int | None
    access: str | None
    created_at: datetime | None = None


@dataclass(frozen=True)
class SignedUrl:
    """A short-lived address of a file: it needs no key, so keep it out of logs."""

    url: str = field(repr=False)
    expires_at: datetime | None = None
    name: str | None = None
    size: int | None = None


# --- reading -----------------------------------------------------------------------------------------------


def parse_record(data: object) -> Record:
    """A record from any object answer."""
    row = mapping(data)
    linked, truncated = _inline_links(mapping(row.get("associations")))
    return Record(
        id=_required(row, "id", "record"),
        properties={name: text(value) for name, value in mapping(row.get("properties")).items()},
        created_at=moment(row.get("createdAt")),
        updated_at=moment(row.get("updatedAt")),
        archived=row.get("archived") is True,
        archived_at=moment(row.get("archivedAt")),
        history={
            name: tuple(_history_entry(mapping(one)) for one in items(entries))
            for name, entries in mapping(row.get("propertiesWithHistory")).items()
        },
        associations=linked,
        truncated=truncated,
        is_new=row["new"] if isinstance(row.get("new"), bool) else None,
        write_trace_id=text(row.get("objectWriteTraceId")),
    )


def _history_entry(row: Mapping[str, Any]) -> HistoryEntry:
    return HistoryEntry(
        value=text(row.get("value")),
        at=moment(row.get("timestamp")),
        source_type=text(row.get("sourceType")),
        source_id=text(row.get("sourceId")),
    )


def _inline_links(data: Mapping[str, Any]) -> tuple[dict[str, tuple[str, ...]], frozenset[str]]:
    linked: dict[str, tuple[str, ...]] = {}
    truncated: set[str] = set()
    for name, block in data.items():
        kind = name.replace(" ", "_")  # asked as line_items, answered as "line items"
        rows = (mapping(one) for one in items(mapping(block).get("results")))
        ids = (identifier(row.get("id")) for row in rows)
        linked[kind] = tuple(dict.fromkeys(one for one in ids if one))
        if next_after(block):
            truncated.add(kind)
    return linked, frozenset(truncated)


def parse_pipeline(data: object) -> Pipeline:
    """A pipeline with its stages sorted by display order."""
    row = mapping(data)
    stages = sorted((parse_stage(one) for one in items(row.get("stages"))), key=lambda one: one.display_order)
    return Pipeline(
        id=_required(row, "id", "pipeline"),
        label=text(row.get("label")) or "",
        display_order=whole(row.get("displayOrder")) or 0,
        stages=tuple(stages),
        archived=row.get("archived") is True,
    )


def parse_stage(data: object) -> Stage:
    """A stage; metadata values come as text ("true", "1.0")."""
    row = mapping(data)
    metadata = mapping(row.get("metadata"))
    return Stage(
        id=_required(row, "id", "stage"),
        label=text(row.get("label")) or "",
        display_order=whole(row.get("displayOrder")) or 0,
        probability=_decimal(metadata.get("probability")),
        is_closed=_truth(metadata.get("isClosed")),
        archived=row.get("archived") is True,
    )


def parse_property(data: object) -> Property:
    """A property definition."""
    row = mapping(data)
    modification = mapping(row.get("modificationMetadata"))
    return Property(
        name=_required(row, "name", "property"),
        label=text(row.get("label")) or "",
        type=text(row.get("type")) or "",
        field_type=text(row.get("fieldType")) or "",
        group_name=text(row.get("groupName")) or "",
        options=tuple(_option(mapping(one)) for one in items(row.get("options"))),
        has_unique_value=row.get("hasUniqueValue") is True,
        calculated=row.get("calculated") is True,
        read_only_value=modification.get("readOnlyValue") is True,
        hubspot_defined=row.get("hubspotDefined") is True,
        hidden=row.get("hidden") is True,
        archived=row.get("archived") is True,
    )


def _option(row: Mapping[str, Any]) -> Option:
    value = text(row.get("value")) or ""
    return Option(value=value, label=text(row.get("label")) or value, hidden=row.get("hidden") is True)


def parse_owner(data: object) -> Owner:
    """An owner."""
    row = mapping(data)
    teams = (text(mapping(one).get("name")) for one in items(row.get("teams")))
    return Owner(
        id=_required(row, "id", "owner"),
        user_id=identifier(row.get("userId")),
        email=text(row.get("email")),
        first_name=text(row.get("firstName")),
        last_name=text(row.get("lastName")),
        archived=row.get("archived") is True,
        teams=tuple(one for one in teams if one),
    )


def parse_account(data: object) -> AccountDetails:
    """The account details."""
    row = mapping(data)
    currencies = (text(one) for one in items(row.get("additionalCurrencies")))
    return AccountDetails(
        portal_id=_required(row, "portalId", "account"),
        account_type=text(row.get("accountType")),
        time_zone=text(row.get("timeZone")),
        company_currency=text(row.get("companyCurrency")),
        additional_currencies=tuple(one for one in currencies if one),
        ui_domain=text(row.get("uiDomain")),
        data_hosting_location=text(row.get("dataHostingLocation")),
    )


def parse_label(data: object) -> LinkType:
    """An association type as listed by the labels endpoint or inside an association row."""
    row = mapping(data)
    number = whole(row.get("typeId"))
    if number is None:
        raise ContractError("hubspot", "parse", detail="an association type without its number")
    return LinkType(category=text(row.get("category")) or "", type_id=number, label=text(row.get("label")))


def parse_link(data: object) -> Link:
    """One `to` row of an association batch read."""
    row = mapping(data)
    types = tuple(parse_label(one) for one in items(row.get("associationTypes")))
    return Link(to_id=_required(row, "toObjectId", "association"), types=types)


def parse_file(data: object) -> FileRecord:
    """A file."""
    row = mapping(data)
    return FileRecord(
        id=_required(row, "id", "file"),
        name=text(row.get("name")),
        path=text(row.get("path")),
        url=text(row.get("url")),
        size=whole(row.get("size")),
        access=text(row.get("access")),
        created_at=moment(row.get("createdAt")),
    )


def parse_signed_url(data: object) -> SignedUrl:
    """A signed address."""
    row = mapping(data)
    return SignedUrl(
        url=_required(row, "url", "signed address"),
        expires_at=moment(row.get("expiresAt")),
        name=text(row.get("name")),
        size=whole(row.get("size")),
    )


# --- loose JSON --------------------------------------------------------------------------------------------


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """The value if it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []


def next_after(data: object) -> str | None:
    """The cursor of the next page in an answer's `paging`."""
    return identifier(mapping(mapping(mapping(data).get("paging")).get("next")).get("after"))


def text(value: object) -> str | None:
    """A JSON scalar as HubSpot would write it; arrays and objects as JSON text."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    return json.dumps(value)


def identifier(value: object) -> str | None:
    """An id as text: ids arrive as strings in objects and as numbers in associations and events."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return str(value) or None


def whole(value: object) -> int | None:
    """A whole number, also from text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdigit() and len(value) < 20:
        return int(value)
    return None


def moment(value: object) -> datetime | None:
    """A time, aware UTC, from ISO 8601 text or epoch milliseconds; None when it is neither."""
    try:
        number = whole(value)
        if number is not None:
            return datetime.fromtimestamp(number / 1000, UTC)
        if isinstance(value, str):
            parsed = datetime.fromisoformat(value)
            return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None


def _decimal(value: object) -> Decimal | None:
    try:
        number = Decimal(text(value) or "")
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _truth(value: object) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "true")


def _required(row: Mapping[str, Any], key: str, what: str) -> str:
    found = identifier(row.get(key))
    if found is None:
        raise ContractError("hubspot", "parse", detail=f"{what} without {key}")
    return found
