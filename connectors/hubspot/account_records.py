"""Records of an account's settings: pipelines, stages, properties, owners, details; and their parsers.

Sources: developers.hubspot.com pipeline, property, owner and account guides, read 2026-11-22.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from connectors.hubspot.lenient_json import identifier, items, mapping, required, text, whole


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
        """Whether it is closed with probability 1."""
        return self.is_closed and self.probability == 1

    @property
    def is_lost(self) -> bool:
        """Whether it is closed with probability 0."""
        return self.is_closed and self.probability == 0


@dataclass(frozen=True)
class Pipeline:
    """A pipeline and its stages in display order."""

    id: str
    label: str
    display_order: int
    stages: tuple[Stage, ...]
    archived: bool = False

    def stage_called(self, name: str) -> Stage | None:
        """The live stage with this id, else the one with this label."""
        return _called(name, self.stages)


def pipeline_called(name: str, pipelines: Iterable[Pipeline]) -> Pipeline | None:
    """The live pipeline with this id, else the first with this label."""
    return _called(name, pipelines)


Named = TypeVar("Named", Stage, Pipeline)


def _called(name: str, rows: Iterable[Named]) -> Named | None:
    live = [row for row in rows if not row.archived]
    found = next((row for row in live if row.id == name), None)
    return found or next((row for row in live if row.label == name), None)


@dataclass(frozen=True)
class Option:
    """An allowed value of an enumeration: `value` is what is stored."""

    value: str
    label: str
    hidden: bool = False
    description: str = ""


@dataclass(frozen=True)
class Property:
    """A property's definition. Do not write it when calculated or read_only_value is set."""

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
    description: str = ""


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


def parse_pipeline(data: object) -> Pipeline:
    """A pipeline with its stages sorted by display order."""
    row = mapping(data)
    stages = sorted((parse_stage(one) for one in items(row.get("stages"))), key=lambda one: one.display_order)
    return Pipeline(
        id=required(row, "id", "pipeline"),
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
        id=required(row, "id", "stage"),
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
        name=required(row, "name", "property"),
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
        description=text(row.get("description")) or "",
    )


def _option(row: Mapping[str, Any]) -> Option:
    value = text(row.get("value")) or ""
    return Option(
        value=value,
        label=text(row.get("label")) or value,
        hidden=row.get("hidden") is True,
        description=text(row.get("description")) or "",
    )


def parse_owner(data: object) -> Owner:
    """An owner."""
    row = mapping(data)
    teams = (text(mapping(one).get("name")) for one in items(row.get("teams")))
    return Owner(
        id=required(row, "id", "owner"),
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
        portal_id=required(row, "portalId", "account"),
        account_type=text(row.get("accountType")),
        time_zone=text(row.get("timeZone")),
        company_currency=text(row.get("companyCurrency")),
        additional_currencies=tuple(one for one in currencies if one),
        ui_domain=text(row.get("uiDomain")),
        data_hosting_location=text(row.get("dataHostingLocation")),
    )


def _decimal(value: object) -> Decimal | None:
    try:
        number = Decimal(text(value) or "")
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _truth(value: object) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "true")
