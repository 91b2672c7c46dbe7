"""Batch routes: read, create, update, upsert, archive; 207 if some rows fail and the rules allow it.

Rules as seen in recorded answers (facts section 3): with trace ids on every input, create and upsert may be partial;
one id twice refuses everything; results come back in no particular order.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from connectors.sandbox.hubspot_server.errors import Refusal, missing_fields
from connectors.sandbox.hubspot_server.records.catalog import ObjectType
from connectors.sandbox.hubspot_server.records.crm import Crm
from connectors.sandbox.hubspot_server.records.record import Record
from connectors.sandbox.hubspot_server.records.values import Checked, text_of
from connectors.sandbox.hubspot_server.routes.objects import (
    BASES,
    Wanted,
    connect_inline,
    inline_associations,
    need_associations,
)
from connectors.sandbox.hubspot_server.routes.render import record_json, written_json
from connectors.sandbox.hubspot_server.times import instant
from connectors.sandbox.hubspot_server.web import Call, Site


def mount(site: Site) -> None:
    """Add the routes."""
    for name, handler in (
        ("read", read),
        ("create", create),
        ("update", update),
        ("upsert", upsert),
        ("archive", archive),
    ):
        site.serve("POST", [f"{b}/batch/{name}" for b in BASES], handler)


async def read(call: Call) -> tuple[int, Any]:
    """Up to 100 records by id or unique property; unknown ones are listed in errors with a 207."""
    body, kind, crm = call.body(), call.kind(), call.portal.crm
    ids = _ids(call)
    _no_twins(kind, ids, body.get("idProperty"))
    found: list[dict[str, Any]] = []
    missing: list[str] = []
    for ident in ids:
        record = crm.locate(kind, ident, body.get("idProperty"))
        if record is None or record.archived != call.flag("archived"):
            missing.append(ident)
            continue
        found.append(
            record_json(
                crm,
                record,
                properties=body.get("properties") or (),
                history=body.get("propertiesWithHistory") or (),
            )
        )
    return _answer(call, 200, found, _missing_rows(kind, missing))


async def create(call: Call) -> tuple[int, Any]:
    """Up to 100 new records. Without unique trace ids on all inputs one bad row refuses all."""
    kind, portal = call.kind(), call.portal
    inputs = call.inputs()
    traced = _traced(inputs)
    claimed = _Claims(portal.crm, kind)
    good: list[tuple[dict[str, Any], Checked, Wanted]] = []
    bad: list[tuple[dict[str, Any], Refusal]] = []
    for row in inputs:
        try:
            wanted = inline_associations(portal, kind, row.get("associations"))
            checked = portal.checks.new(kind, row.get("properties", {}), binding=call.binding)
            need_associations(kind, wanted)
            claimed.take(checked.values)
        except Refusal as no:
            bad.append((row, no))
        else:
            good.append((row, checked, wanted))
    if bad and not traced:
        raise _first([no for _, no in bad])
    made = []
    for row, checked, wanted in good:
        record = portal.crm.create(kind, checked.values, call.source)
        connect_inline(call, kind, record.id, wanted)
        made.append(written_json(portal.crm, record, trace_id=row.get("objectWriteTraceId")))
    errors = [no.row(str(row["objectWriteTraceId"])) for row, no in bad]
    return _answer(call, 201, made, errors, [w for _, c, _ in good for w in c.warnings])


async def update(call: Call) -> tuple[int, Any]:
    """Change up to 100 records; unknown ids give a 207, a bad value refuses all."""
    kind, portal = call.kind(), call.portal
    inputs = call.inputs()
    _no_twins(kind, _ids(call), inputs[0].get("idProperty"))
    planned: list[tuple[Record, Checked, dict[str, Any]]] = []
    missing: list[str] = []
    for row in inputs:
        if row.get("idProperty") == "email" and kind.key == "contacts":
            raise Refusal(400, "Cannot use non-unique 0-1 property email to identify a record")
        # The id of a merged record works for a single PATCH, not here (facts section 5).
        record = portal.crm.locate(kind, str(row.get("id", "")), row.get("idProperty"), follow=False)
        if record is None or record.archived:
            missing.append(str(row.get("id", "")))
            continue
        planned.append(
            (record, portal.checks.change(record, row.get("properties", {}), binding=call.binding), row)
        )
    claimed = _Claims(portal.crm, kind)
    for _, checked, _ in planned:
        claimed.take(checked.values)
    done = []
    for record, checked, row in planned:
        portal.crm.update(record, checked.values, call.source)
        done.append(written_json(portal.crm, record, trace_id=row.get("objectWriteTraceId")))
    warnings = [w for _, c, _ in planned for w in c.warnings]
    return _answer(call, 200, done, _missing_rows(kind, missing), warnings)


@dataclass
class _Upsert:
    row: dict[str, Any]
    record: Record | None
    checked: Checked


async def upsert(call: Call) -> tuple[int, Any]:
    """Create or change up to 100 records by a unique property; rows say whether they are new."""
    kind, portal = call.kind(), call.portal
    inputs = call.inputs()
    _no_twins(kind, _ids(call), inputs[0].get("idProperty"))
    traced = _traced(inputs)
    claimed = _Claims(portal.crm, kind)
    planned: list[_Upsert] = []
    bad: list[tuple[dict[str, Any], Refusal]] = []
    for row in inputs:
        try:
            planned.append(_plan(call, kind, row))
            claimed.take(planned[-1].checked.values)
        except Refusal as no:
            bad.append((row, no))
            if planned and planned[-1].row is row:
                planned.pop()
    if bad and not traced:
        raise _first([no for _, no in bad])
    done = []
    for plan in planned:
        record = plan.record
        if record is None:
            record = portal.crm.create(kind, plan.checked.values, call.source)
        else:
            portal.crm.update(record, plan.checked.values, call.source)
        trace_id = plan.row.get("objectWriteTraceId")
        done.append({**written_json(portal.crm, record, trace_id=trace_id), "new": plan.record is None})
    errors = [no.row(str(row["objectWriteTraceId"])) for row, no in bad]
    return _answer(call, 200, done, errors, [w for p in planned for w in p.checked.warnings])


async def archive(call: Call) -> tuple[int, Any]:
    """Archive up to 100 records; unknown ids are ignored."""
    kind, crm = call.kind(), call.portal.crm
    for ident in _ids(call):
        record = crm.find(kind, ident)
        if record is not None and not record.archived:
            crm.archive(record, call.source)
    return 204, None


class _Claims:
    """Unique values that earlier rows of the same batch take."""

    def __init__(self, crm: Crm, kind: ObjectType) -> None:
        self._names = [
            p.name for p in crm.schema.all(kind) if p.unique or (kind.key, p.name) == ("contacts", "email")
        ]
        self._kind = kind
        self._taken: set[tuple[str, str]] = set()

    def take(self, values: dict[str, str]) -> None:
        """Raises Refusal 409 when an earlier row has one of the unique values."""
        mine = {(n, values[n]) for n in self._names if values.get(n)}
        if mine & self._taken:
            raise Refusal(409, f"{self._kind.singular.capitalize()} already exists.", category="CONFLICT")
        self._taken |= mine


def _plan(call: Call, kind: ObjectType, row: dict[str, Any]) -> _Upsert:
    portal = call.portal
    name = row.get("idProperty")
    if not name or row.get("id") in (None, ""):
        raise missing_fields(["id", "idProperty"])
    if name != "hs_object_id":
        portal.crm.unique.need(kind, name)
    record = portal.crm.locate(kind, str(row["id"]), name)
    given = dict(row.get("properties") or {})
    if record is not None and not record.archived:
        return _Upsert(row, record, portal.checks.change(record, given, binding=call.binding))
    if name == "hs_object_id":
        raise Refusal(404, f"Object not found. objectId={row['id']}", category="OBJECT_NOT_FOUND")
    if text_of(given.get(name)) in (None, ""):
        given[name] = row["id"]
    return _Upsert(row, None, portal.checks.new(kind, given, binding=call.binding))


def _ids(call: Call) -> list[str]:
    ids = [str(row.get("id") or "") for row in call.inputs()]
    if not all(ids):
        raise missing_fields(["id"])
    return ids


def _no_twins(kind: ObjectType, ids: list[str], id_property: Any) -> None:
    if (kind.key, id_property) == ("contacts", "email"):
        ids = [i.strip().lower() for i in ids]
    twins = [i for i, n in Counter(ids).items() if n > 1]
    if twins:
        raise Refusal(400, f"Duplicate IDs found in batch input: [{', '.join(twins)}]. IDs must be unique")


def _traced(inputs: list[dict[str, Any]]) -> bool:
    traces = [row.get("objectWriteTraceId") for row in inputs]
    return all(traces) and len(set(traces)) == len(traces)


def _first(refusals: list[Refusal]) -> Refusal:
    conflicts = [r for r in refusals if r.status == 409]
    if len(conflicts) > 1 and conflicts[0] is refusals[0]:
        # Several collide: the answer has no id (recorded answer).
        return Refusal(409, conflicts[0].message.split(" Existing ID")[0], category="CONFLICT")
    return refusals[0]


def _missing_rows(kind: ObjectType, missing: list[str]) -> list[dict[str, Any]]:
    if not missing:
        return []
    text = f"Could not get some {kind.singular.upper()} objects, they may be deleted or not exist."
    return [Refusal(404, text, category="OBJECT_NOT_FOUND", context={"ids": missing}).row()]


def _answer(
    call: Call,
    status: int,
    results: list[dict[str, Any]],
    errors: list[dict[str, Any]],
    warnings: list[dict[str, Any]] | None = None,
) -> tuple[int, Any]:
    bench = call.portal.bench
    bench.dice.shuffle(results)
    moment = instant(bench.clock.now_ms())
    body: dict[str, Any] = {
        "status": "COMPLETE",
        "results": results,
        "startedAt": moment,
        "completedAt": moment,
    }
    if warnings:
        body["warnings"] = warnings
    if errors:
        return 207, {**body, "numErrors": len(errors), "errors": errors}
    return status, body
