"""Frozen records in HubSpot's words, and the functions that parse them.

Every `parse_*` takes JSON of any shape, ignores unknown fields, fills missing ones with None or empty, and
raises nothing but UnreadableAnswerError (when its id or name is missing).
The account's own settings (pipelines, properties, owners) are in `account_records.py` and also exported
here. Sources: developers.hubspot.com object, association and file guides, read 2026-11-22.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from connectors.http.errors import UnreadableAnswerError
from connectors.hubspot.account_records import (
    AccountDetails,
    Option,
    Owner,
    Pipeline,
    Property,
    Stage,
    parse_account,
    parse_owner,
    parse_pipeline,
    parse_property,
    parse_stage,
    pipeline_called,
)
from connectors.hubspot.lenient_json import (
    identifier,
    items,
    mapping,
    moment,
    next_after,
    required,
    text,
    whole,
)

__all__ = [
    "AccountDetails",
    "BatchRead",
    "BatchWrite",
    "FileRecord",
    "HistoryEntry",
    "Link",
    "LinkType",
    "ListPage",
    "NewLink",
    "Option",
    "Owner",
    "Pipeline",
    "Property",
    "Record",
    "RowError",
    "SearchPage",
    "SignedUrl",
    "Stage",
    "parse_account",
    "parse_file",
    "parse_label",
    "parse_link",
    "parse_owner",
    "parse_pipeline",
    "parse_property",
    "parse_record",
    "parse_signed_url",
    "parse_stage",
    "pipeline_called",
]


@dataclass(frozen=True)
class HistoryEntry:
    """One past value of a property. `at` is aware UTC; source_type says who wrote it (CRM_UI...)."""

    value: str | None
    at: datetime | None
    source_type: str | None
    source_id: str | None


@dataclass(frozen=True)
class Record:
    """A CRM object. All property values are text or None, as HubSpot keeps them; times are aware UTC.

    history has the newest first. associations: ids by object type as listed inline; `truncated` has the types
    whose inline list is incomplete (read those with `associated`). is_new: upsert answers only.
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
    """records by the requested id (or unique value); record.id differs from it after a merge.

    missing: HubSpot does not have the record. failed: it reported an error for these, so nothing is known.
    """

    records: Mapping[str, Record]
    missing: tuple[str, ...] = ()
    failed: Mapping[str, RowError] = field(default_factory=dict)


@dataclass(frozen=True)
class BatchWrite:
    """records and errors by the requested key; `unknown` keys were in neither: read them before repeating."""

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
    """One page of a search; total counts all matches (the index returns at most 10,000 of them)."""

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


# --- parsing -----------------------------------------------------------------------------------------------


def parse_record(data: object) -> Record:
    """A record from any object answer."""
    row = mapping(data)
    associated, truncated = _inline_links(mapping(row.get("associations")))
    return Record(
        id=required(row, "id", "record"),
        properties={name: text(value) for name, value in mapping(row.get("properties")).items()},
        created_at=moment(row.get("createdAt")),
        updated_at=moment(row.get("updatedAt")),
        archived=row.get("archived") is True,
        archived_at=moment(row.get("archivedAt")),
        history={
            name: tuple(_history_entry(mapping(one)) for one in items(entries))
            for name, entries in mapping(row.get("propertiesWithHistory")).items()
        },
        associations=associated,
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
    associated: dict[str, tuple[str, ...]] = {}
    truncated: set[str] = set()
    for name, block in data.items():
        kind = name.replace(" ", "_")  # requested as line_items, returned as "line items"
        rows = (mapping(one) for one in items(mapping(block).get("results")))
        ids = (identifier(row.get("id")) for row in rows)
        associated[kind] = tuple(dict.fromkeys(one for one in ids if one))
        if next_after(block):
            truncated.add(kind)
    return associated, frozenset(truncated)


def parse_label(data: object) -> LinkType:
    """An association type as listed by the labels endpoint or inside an association row."""
    row = mapping(data)
    number = whole(row.get("typeId"))
    if number is None:
        raise UnreadableAnswerError("hubspot", "parse", detail="an association type without its number")
    return LinkType(category=text(row.get("category")) or "", type_id=number, label=text(row.get("label")))


def parse_link(data: object) -> Link:
    """One `to` row of an association batch read."""
    row = mapping(data)
    types = tuple(parse_label(one) for one in items(row.get("associationTypes")))
    return Link(to_id=required(row, "toObjectId", "association"), types=types)


def parse_file(data: object) -> FileRecord:
    """A file."""
    row = mapping(data)
    return FileRecord(
        id=required(row, "id", "file"),
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
        url=required(row, "url", "signed address"),
        expires_at=moment(row.get("expiresAt")),
        name=text(row.get("name")),
        size=whole(row.get("size")),
    )
