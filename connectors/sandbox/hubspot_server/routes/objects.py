"""Single-record routes of the CRM: list, read, create, update, archive, merge, privacy deletion."""

from typing import Any

from connectors.sandbox.hubspot_server.errors import Refusal, bad_json, missing_fields
from connectors.sandbox.hubspot_server.portal import Portal
from connectors.sandbox.hubspot_server.records import merging
from connectors.sandbox.hubspot_server.records.catalog import ObjectType, object_type
from connectors.sandbox.hubspot_server.records.links import LinkType
from connectors.sandbox.hubspot_server.routes.render import (
    association_kinds,
    record_json,
    start_of_page,
    written_json,
)
from connectors.sandbox.hubspot_server.web import Call, Site

LIST_MOST = 100
LIST_MOST_HISTORY = 50
BASES = ("/crm/objects/{version}/{object_type}", "/crm/v3/objects/{object_type}")
Wanted = list[tuple[ObjectType, str, list[LinkType]]]
"""Inline associations of a create: target type, target id, link types."""


def mount(site: Site) -> None:
    """Add the routes."""
    one = [f"{b}/{{object_id}}" for b in BASES]
    site.serve("GET", BASES, list_page)
    site.serve("POST", BASES, create)
    site.serve("GET", one, read)
    site.serve("PATCH", one, update)
    site.serve("DELETE", one, archive)
    site.serve("POST", [f"{b}/merge" for b in BASES], merge)
    site.serve("POST", [f"{b}/gdpr-delete" for b in BASES], privacy_delete)


async def list_page(call: Call) -> tuple[int, Any]:
    """One page of records, by id; 10 by default, at most 100, with history at most 50."""
    kind, crm = call.kind(), call.portal.crm
    history = call.names("propertiesWithHistory")
    limit = call.number("limit", 10, LIST_MOST_HISTORY if history else LIST_MOST)
    start = start_of_page(call.text("after"))
    wanted = association_kinds(call.names("associations"))
    rows = [r for r in crm.all(kind, archived=call.flag("archived")) if int(r.id) >= start]
    page: dict[str, Any] = {
        "results": [
            record_json(crm, r, properties=call.names("properties"), history=history, associations=wanted)
            for r in rows[:limit]
        ]
    }
    if len(rows) > limit:
        after = rows[limit].id
        link = str(call.request.url.include_query_params(after=after))
        page["paging"] = {"next": {"after": after, "link": link}}
    return 200, page


async def read(call: Call) -> tuple[int, Any]:
    """One record by id or unique property; a merged id returns the survivor."""
    kind, crm = call.kind(), call.portal.crm
    wanted = association_kinds(call.names("associations"))
    asked = call.args["object_id"]
    record = crm.read(kind, asked, id_property=call.text("idProperty"), archived=call.flag("archived"))
    if not call.text("idProperty") and record.id != asked:
        wanted = []  # for the id of a merged record, associations come back empty
    return 200, record_json(
        crm,
        record,
        properties=call.names("properties"),
        history=call.names("propertiesWithHistory"),
        associations=wanted,
    )


async def create(call: Call) -> tuple[int, Any]:
    """Create one record, with inline associations."""
    body = call.body()
    portal, kind = call.portal, call.kind()
    wanted = inline_associations(portal, kind, body.get("associations"))
    checked = portal.checks.new(kind, body.get("properties", {}), binding=call.binding)
    need_associations(kind, wanted)
    record = portal.crm.create(kind, checked.values, call.source)
    connect_inline(call, kind, record.id, wanted)
    answer = written_json(portal.crm, record)
    if checked.warnings:
        answer["warnings"] = checked.warnings
    return 201, answer


async def update(call: Call) -> tuple[int, Any]:
    """Change properties of one record; an empty text clears."""
    body = call.body()
    portal = call.portal
    if "properties" not in body:
        raise missing_fields(["properties"])
    record = portal.crm.read(call.kind(), call.args["object_id"], id_property=call.text("idProperty"))
    checked = portal.checks.change(record, body["properties"], binding=call.binding)
    portal.crm.update(record, checked.values, call.source)
    answer = written_json(portal.crm, record)
    if checked.warnings:
        answer["warnings"] = checked.warnings
    return 200, answer


async def archive(call: Call) -> tuple[int, Any]:
    """Move one record to the recycle bin; an unknown or archived id answers 204 as well."""
    crm = call.portal.crm
    record = crm.find(call.kind(), call.args["object_id"])
    if record is not None and not record.archived:
        crm.archive(record, call.source)
    return 204, None


async def merge(call: Call) -> tuple[int, Any]:
    """Merge two records of one type."""
    body = call.body()
    kind, crm = call.kind(), call.portal.crm
    missing = [n for n in ("primaryObjectId", "objectIdToMerge") if not body.get(n)]
    if missing:
        raise missing_fields(missing)
    if not kind.mergeable:
        raise Refusal(400, f"Records of type {kind.type_id} cannot be merged")
    primary = crm.read(kind, str(body["primaryObjectId"]))
    other = crm.read(kind, str(body["objectIdToMerge"]))
    if primary is other:
        raise Refusal(400, "A record cannot be merged with itself")
    return 200, written_json(crm, merging.merge(crm, primary, other, call.source))


async def privacy_delete(call: Call) -> tuple[int, Any]:
    """Delete a contact permanently."""
    body = call.body()
    kind, crm = call.kind(), call.portal.crm
    if kind.key != "contacts":
        raise Refusal(400, "Only contacts can be deleted this way")
    record = crm.locate(kind, str(body.get("objectId", "")), body.get("idProperty"))
    if record is not None:
        crm.forget(record)
    return 204, None


def inline_associations(portal: Portal, kind: ObjectType, given: Any) -> Wanted:
    """Check `associations` of a create input: type ids must fit the direction, targets must exist."""
    if given is None:
        return []
    if not isinstance(given, list):
        raise bad_json("associations must be a list")
    found: Wanted = []
    for row in given:
        try:
            ident, types = str(row["to"]["id"]), row["types"]
            specs = [(str(t["associationCategory"]), int(t["associationTypeId"])) for t in types]
        except (KeyError, TypeError, ValueError):
            raise missing_fields(["associations.to.id", "associations.types"]) from None
        if not specs:
            raise missing_fields(["associations.types"])
        target = _target_of(portal, kind, specs[0][1])
        record = portal.crm.find(target, ident)
        if record is None or record.archived:
            raise Refusal(
                400,
                f"{target.singular.upper()}={ident} is not valid",
                category="INVALID_OBJECT_IDS",
                context={"ids": [ident]},
            )
        typed = [portal.crm.links.typed(kind, target, c, t) for c, t in specs]
        found.append((target, record.id, typed))
    return found


def need_associations(kind: ObjectType, wanted: Wanted) -> None:
    """Check that a lead is created on an existing contact. Raises Refusal 400."""
    if kind.key == "leads" and not any(t.key == "contacts" for t, _, _ in wanted):
        raise Refusal(
            400,
            "Error creating LEAD. A lead needs an association with a contact (type 578 or 608).",
            context={"properties": ["hs_associated_contact"]},
        )


def connect_inline(call: Call, kind: ObjectType, ident: str, wanted: Wanted) -> None:
    """Create the associations of a create input."""
    for target, other, types in wanted:
        call.portal.crm.connect_by(call.source, (kind, ident), (target, other), types)


def _target_of(portal: Portal, kind: ObjectType, type_id: int) -> ObjectType:
    target = portal.crm.links.target(kind, type_id)
    if target is None:
        raise Refusal(
            400,
            f"Association type {type_id} does not start at {kind.type_id}",
            sub_category="crm.associations.INVALID_ASSOCIATION_TYPE",
        )
    return object_type(target)
