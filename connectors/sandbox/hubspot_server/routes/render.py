"""Records as JSON: only the requested properties, inline associations, history."""

from collections.abc import Sequence
from typing import Any

from connectors.sandbox.hubspot_server.errors import Refusal
from connectors.sandbox.hubspot_server.records.catalog import ObjectType, object_type
from connectors.sandbox.hubspot_server.records.crm import Crm
from connectors.sandbox.hubspot_server.records.record import Record
from connectors.sandbox.hubspot_server.times import instant

INLINE_MOST = 100
"""Associated ids given inline; the others are paged."""


def record_json(
    crm: Crm,
    record: Record,
    *,
    properties: Sequence[str] = (),
    history: Sequence[str] = (),
    associations: Sequence[ObjectType] = (),
) -> dict[str, Any]:
    """One record. Requested properties that are defined but empty are null; undefined ones are left out."""
    kind = record.kind
    names = dict.fromkeys(
        [*(properties or kind.defaults), kind.created, kind.last_modified, "hs_object_id", *history]
    )
    found: dict[str, Any] = {
        "id": record.id,
        "properties": {n: crm.value(record, n) for n in names if crm.schema.find(kind, n)},
    }
    if history:
        found["propertiesWithHistory"] = {
            n: [v.shown() for v in reversed(record.history.get(n, []))]
            for n in history
            if crm.schema.find(kind, n)
        }
    found |= _stamps(record)
    if associations:
        inline = {t.label: _inline(crm, record, t) for t in associations}
        if any(inline.values()):
            found["associations"] = {label: page for label, page in inline.items() if page}
    return found


def written_json(crm: Crm, record: Record, *, trace_id: str | None = None) -> dict[str, Any]:
    """A record as create and update return it: all values that are set."""
    found: dict[str, Any] = {"id": record.id, "properties": dict(sorted(record.values.items()))}
    found |= _stamps(record)
    if trace_id is not None and crm.settings.echo_trace_ids:
        found["objectWriteTraceId"] = trace_id
    return found


def association_kinds(names: Sequence[str]) -> list[ObjectType]:
    """Object types named in `associations=`. Raises Refusal 400."""
    return [object_type(n) for n in names]


def _stamps(record: Record) -> dict[str, Any]:
    found: dict[str, Any] = {
        "createdAt": instant(record.created_ms),
        "updatedAt": instant(record.updated_ms),
        "archived": record.archived,
    }
    if record.archived_ms is not None:
        found["archivedAt"] = instant(record.archived_ms)
    return found


def _inline(crm: Crm, record: Record, target: ObjectType) -> dict[str, Any] | None:
    rows: list[dict[str, str]] = []
    ids = crm.links.ids(record.kind, record.id, target)
    for ident in ids[:INLINE_MOST]:
        known = crm.links.types(record.kind, target)
        for type_id in sorted(crm.links.between((record.kind, record.id), (target, ident))):
            rows.append({"id": ident, "type": known[type_id].name})
    if not rows:
        return None
    found: dict[str, Any] = {"results": rows}
    if len(ids) > INLINE_MOST:
        found["paging"] = {"next": {"after": ids[INLINE_MOST]}}
    return found


def start_of_page(after: str | None) -> int:
    """`after` of a list as the id to start at. Raises Refusal 400."""
    if after is None:
        return 0
    if not after.isdigit():
        raise Refusal(400, f"after {after} is not a paging cursor of this list")
    return int(after)
