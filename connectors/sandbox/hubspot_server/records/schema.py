"""Property definitions of the portal: the default ones, custom ones, groups, and the rules for changing them.

Source: https://developers.hubspot.com/docs/api-reference/crm/properties/guide (read 2026-04-13) and the
models of hubspot-api-client 12.0.0.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

import yaml

from connectors.sandbox.clock import Clock
from connectors.sandbox.hubspot_server.errors import Refusal, missing_fields
from connectors.sandbox.hubspot_server.records.catalog import TYPES, ObjectType
from connectors.sandbox.hubspot_server.times import instant

FIELD_TYPES = {
    "string": {"text", "textarea", "html", "phonenumber", "file", "calculation_equation"},
    "number": {"number", "calculation_equation", "calculation_rollup"},
    "bool": {"booleancheckbox", "calculation_equation"},
    "enumeration": {"select", "radio", "checkbox", "booleancheckbox", "calculation_equation"},
    "date": {"date"},
    "datetime": {"date", "calculation_equation"},
}
MAX_UNIQUE = 10  # unique custom properties per object type (properties guide)


@dataclass
class Property:
    """One property definition. `free` marks an enumeration without a list of options."""

    name: str
    label: str
    type: str
    field_type: str
    group: str
    options: list[dict[str, Any]] = field(default_factory=list)
    description: str = ""
    display_order: int = -1
    hidden: bool = False
    form_field: bool = False
    calculated: bool = False
    read_only: bool = False
    unique: bool = False
    builtin: bool = False
    free: bool = False
    multiple: bool = False
    archived: bool = False
    created_ms: int = 0
    updated_ms: int = 0
    archived_ms: int | None = None

    def shown(self) -> dict[str, Any]:
        """The definition as the properties API returns it."""
        found: dict[str, Any] = {
            "name": self.name,
            "label": self.label,
            "type": self.type,
            "fieldType": self.field_type,
            "description": self.description,
            "groupName": self.group,
            "options": [dict(o) for o in self.options],
            "displayOrder": self.display_order,
            "calculated": self.calculated,
            "externalOptions": False,
            "hasUniqueValue": self.unique,
            "hidden": self.hidden,
            "hubspotDefined": self.builtin,
            "modificationMetadata": {
                "archivable": not self.builtin,
                "readOnlyDefinition": self.builtin,
                "readOnlyOptions": self.builtin,
                "readOnlyValue": self.read_only,
            },
            "formField": self.form_field,
            "dataSensitivity": "non_sensitive",
            "createdAt": instant(self.created_ms),
            "updatedAt": instant(self.updated_ms),
            "archived": self.archived,
        }
        if self.archived_ms is not None:
            found["archivedAt"] = instant(self.archived_ms)
        return found


class Schema:
    """All property definitions and groups, per object type."""

    def __init__(self, clock: Clock, dynamic_options: Mapping[str, Any]) -> None:
        self._clock = clock
        self._dynamic = dynamic_options  # "@owners" -> function giving option dicts
        self._properties: dict[str, dict[str, Property]] = {t.key: {} for t in TYPES}
        self._groups: dict[str, dict[str, dict[str, Any]]] = {t.key: {} for t in TYPES}
        table = _default_table()
        for kind in TYPES:
            group = f"{kind.singular.replace('_', '')}information"
            self._groups[kind.key][group] = _group(group, f"{kind.singular} information", 0)
            rows = {**table["all"], **table[kind.key]}
            if kind.key == "contacts":
                del rows["hs_lastmodifieddate"]  # contacts have lastmodifieddate
            for name, row in rows.items():
                self._properties[kind.key][name] = self._builtin(name, group, row)

    def find(self, kind: ObjectType, name: str) -> Property | None:
        """The live definition called `name`, or None."""
        found = self._properties[kind.key].get(name)
        return None if found is None or found.archived else self._filled(found)

    def one(self, kind: ObjectType, name: str, *, archived: bool = False) -> Property:
        """The definition called `name`; Refusal 404 where there is none in that state."""
        found = self._properties[kind.key].get(name)
        if found is None or found.archived != archived:
            raise Refusal(404, f"Property {name} for object type {kind.type_id} does not exist")
        return self._filled(found)

    def all(self, kind: ObjectType, *, archived: bool = False) -> list[Property]:
        """Every definition of a type in that state."""
        return [self._filled(p) for p in self._properties[kind.key].values() if p.archived == archived]

    def add_builtin(self, kind: ObjectType, name: str, label: str, type_: str) -> None:
        """Add a calculated, read-only definition (stage timing properties come with each stage)."""
        group = next(iter(self._groups[kind.key]))
        self._properties[kind.key][name] = Property(
            name,
            label,
            type_,
            "date" if type_ == "datetime" else "number",
            group,
            calculated=True,
            read_only=True,
            builtin=True,
            created_ms=self._clock.now_ms(),
            updated_ms=self._clock.now_ms(),
        )

    def create(self, kind: ObjectType, body: Mapping[str, Any], *, need_display_order: bool) -> Property:
        """Create a custom property, or restore an archived one of that name.

        Refusal 400 for a bad definition, 409 OBJECT_ALREADY_EXISTS for a live one of that name.
        """
        missing = [n for n in ("name", "label", "type", "fieldType", "groupName") if not body.get(n)]
        if missing:
            raise missing_fields(missing)
        name = str(body["name"]).lower()
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,99}", name):
            raise Refusal(
                400,
                f"Property name {name} is not valid: lower-case letters, digits and underscores only",
            )
        known = self._properties[kind.key].get(name)
        if known is not None and not known.archived:
            raise Refusal(409, f"A property named '{name}' already exists.", category="OBJECT_ALREADY_EXISTS")
        made = Property(
            name,
            str(body["label"]),
            str(body["type"]),
            str(body["fieldType"]),
            str(body["groupName"]),
            created_ms=self._clock.now_ms(),
        )
        self._apply(kind, made, body, need_display_order)
        made.unique = bool(body.get("hasUniqueValue", False))
        if made.unique:
            self._check_unique(kind, made)
        self._properties[kind.key][name] = made
        return made

    def update(
        self, kind: ObjectType, name: str, body: Mapping[str, Any], *, need_display_order: bool
    ) -> Property:
        """Change a definition; hasUniqueValue cannot be changed afterwards (it is ignored)."""
        found = self.one(kind, name)
        allowed = {"label", "description", "displayOrder", "hidden", "groupName", "options"}
        if found.builtin and set(body) - allowed:
            raise Refusal(400, f"Property {name} is defined by HubSpot: its definition is read-only")
        for key, slot in (("label", "label"), ("groupName", "group")):
            if body.get(key):
                setattr(found, slot, str(body[key]))
        if body.get("type"):
            found.type = str(body["type"])
        if body.get("fieldType"):
            found.field_type = str(body["fieldType"])
        self._apply(kind, found, body, need_display_order)
        return found

    def archive(self, kind: ObjectType, name: str) -> None:
        """Archive a custom property; archiving again changes nothing. Refusal 400 for HubSpot's own."""
        found = self._properties[kind.key].get(name)
        if found is None:
            raise Refusal(404, f"Property {name} for object type {kind.type_id} does not exist")
        if found.builtin:
            raise Refusal(400, f"Property {name} is defined by HubSpot and cannot be archived")
        if not found.archived:
            found.archived, found.archived_ms = True, self._clock.now_ms()

    def groups(self, kind: ObjectType) -> dict[str, dict[str, Any]]:
        """Group name -> group, of one object type. The routes change it in place."""
        return self._groups[kind.key]

    def _apply(self, kind: ObjectType, target: Property, body: Mapping[str, Any], need_order: bool) -> None:
        if target.type not in FIELD_TYPES:
            raise Refusal(400, f"Property type {target.type} is not one of {sorted(FIELD_TYPES)}")
        if target.field_type not in FIELD_TYPES[target.type]:
            raise Refusal(400, f"Field type {target.field_type} does not go with type {target.type}")
        if target.group not in self._groups[kind.key]:
            raise Refusal(400, f"Property group {target.group} does not exist for {kind.type_id}")
        if "options" in body and target.type in ("enumeration", "bool"):
            target.options = _options(body["options"] or [], need_order)
        if target.type == "enumeration" and not target.options and not target.builtin:
            raise Refusal(400, "An enumeration property needs at least one option")
        target.multiple = target.field_type == "checkbox"
        target.description = str(body.get("description", target.description) or "")
        target.display_order = int(body.get("displayOrder", target.display_order))
        target.hidden = bool(body.get("hidden", target.hidden))
        target.form_field = bool(body.get("formField", target.form_field))
        target.updated_ms = self._clock.now_ms()

    def _check_unique(self, kind: ObjectType, made: Property) -> None:
        if kind.key == "products":
            raise Refusal(400, "Products cannot have custom unique properties")
        if made.type not in ("string", "number"):
            raise Refusal(400, f"A property of type {made.type} cannot be unique")
        have = sum(1 for p in self._properties[kind.key].values() if p.unique and not p.archived)
        if have >= MAX_UNIQUE:
            raise Refusal(400, f"{kind.key} already has {MAX_UNIQUE} unique properties")

    def _builtin(self, name: str, group: str, row: list[str]) -> Property:
        label, type_, field_type = row[:3]
        flags, options = (*row[3:], "", "")[:2]
        made = Property(name, label, type_, field_type, group, builtin=True)
        made.read_only, made.calculated, made.unique = "r" in flags, "c" in flags, "u" in flags
        made.multiple = field_type == "checkbox"
        made.free = options == "@free"
        if options.startswith("@") and not made.free:
            made.description = options  # filled on reading
        elif options and not made.free:
            pairs = [o.split("=", 1) for o in options.split(";")]
            made.options = [_option(value, text, n) for n, (value, text) in enumerate(pairs)]
        elif type_ == "bool":
            made.options = [_option("true", "Yes", 0), _option("false", "No", 1)]
        return made

    def _filled(self, prop: Property) -> Property:
        if prop.builtin and prop.description.startswith("@"):
            filled = Property(**{**prop.__dict__, "description": ""})
            filled.options = [
                _option(value, text, n) for n, (value, text) in enumerate(self._dynamic[prop.description]())
            ]
            return filled
        return prop


@cache
def _default_table() -> dict[str, dict[str, list[str]]]:
    text = resources.files(__package__ or "").joinpath("portal_properties.yaml").read_text("utf-8")
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is ten times as fast
    found: dict[str, dict[str, list[str]]] = yaml.load(text, loader)  # noqa: S506  (both are safe)
    return found


def _option(value: str, label: str, order: int) -> dict[str, Any]:
    return {"label": label, "value": value, "displayOrder": order, "hidden": False, "description": ""}


def _options(given: list[Mapping[str, Any]], need_order: bool) -> list[dict[str, Any]]:
    found = []
    for n, option in enumerate(given):
        if option.get("value") in (None, "") or not option.get("label"):
            raise missing_fields([f"options[{n}].label", f"options[{n}].value"])
        if need_order and not isinstance(option.get("displayOrder"), int):
            # Since 2026-09 (specification difference): options include their order.
            raise missing_fields([f"options[{n}].displayOrder"])
        found.append({**_option(str(option["value"]), str(option["label"]), n), **option})
    values = [o["value"] for o in found]
    if len(set(values)) != len(values):
        raise Refusal(400, "Option values must be unique")
    return found


def _group(name: str, label: str, order: int) -> dict[str, Any]:
    return {"name": name, "label": label, "displayOrder": order, "archived": False}
