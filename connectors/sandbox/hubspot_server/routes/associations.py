"""Association routes: default and labelled associations, single and in batches.

Status codes follow the endpoint table: batch/create is 201 up to 2026-03 and 200 in 2026-09; batch/archive is
204 in v4 and 200 in the dated versions.
"""

from typing import Any

from connectors.sandbox.hubspot_server.errors import Refusal, bad_json, missing_fields, not_found
from connectors.sandbox.hubspot_server.records.catalog import ObjectType
from connectors.sandbox.hubspot_server.records.crm import Crm
from connectors.sandbox.hubspot_server.records.links import LinkType
from connectors.sandbox.hubspot_server.records.record import Record
from connectors.sandbox.hubspot_server.times import instant
from connectors.sandbox.hubspot_server.web import Call, Site

RECORDS = ("/crm/objects/{version}", "/crm/v4/objects")
BATCHES = ("/crm/associations/{version}", "/crm/v4/associations")
READ_MOST, CREATE_MOST, ARCHIVE_MOST = 1_000, 2_000, 100
PAGE_MOST = 500


def mount(site: Site) -> None:
    """Add the routes."""
    one = "/{object_type}/{object_id}/associations/{to_type}"
    site.serve(
        "PUT",
        [f"{b}/{{object_type}}/{{object_id}}/associations/default/{{to_type}}/{{to_id}}" for b in RECORDS],
        put_default,
    )
    site.serve("GET", [f"{b}{one}" for b in RECORDS], read_one)
    site.serve("PUT", [f"{b}{one}/{{to_id}}" for b in RECORDS], put_labelled)
    site.serve("DELETE", [f"{b}{one}/{{to_id}}" for b in RECORDS], delete_pair)
    pair = "/{object_type}/{to_type}"
    for path, handler in (
        ("batch/associate/default", batch_default),
        ("batch/create", batch_create),
        ("batch/read", batch_read),
        ("batch/archive", batch_archive),
        ("batch/labels/archive", batch_labels_archive),
    ):
        site.serve("POST", [f"{b}{pair}/{path}" for b in BATCHES], handler)


async def put_default(call: Call) -> tuple[int, Any]:
    """Associate two records without a label; repeating is harmless."""
    kind, target = call.kind(), call.kind("to_type")
    a, b = _pair(call, kind, call.args["object_id"], target, call.args["to_id"])
    call.portal.crm.connect_by(call.source, (kind, a.id), (target, b.id), [])
    return 200, _batch(call, _both(call.portal.crm, kind, a.id, target, b.id))


async def put_labelled(call: Call) -> tuple[int, Any]:
    """Associate two records by these types; other labels of the pair are removed."""
    kind, target = call.kind(), call.kind("to_type")
    specs = call.json()
    if not isinstance(specs, list) or not specs:
        raise bad_json("a list of association types was expected")
    a, b = _pair(call, kind, call.args["object_id"], target, call.args["to_id"])
    types = _types(call.portal.crm, kind, target, specs)
    call.portal.crm.connect_by(call.source, (kind, a.id), (target, b.id), types, replace_labels=True)
    return 201, _labels_between(kind, a.id, target, b.id, types)


async def delete_pair(call: Call) -> tuple[int, Any]:
    """Remove all associations of a pair."""
    kind, target = call.kind(), call.kind("to_type")
    call.portal.crm.disconnect_by(call.source, (kind, call.args["object_id"]), (target, call.args["to_id"]))
    return 204, None


async def read_one(call: Call) -> tuple[int, Any]:
    """The associations of one record to one type, paged."""
    kind, target, crm = call.kind(), call.kind("to_type"), call.portal.crm
    record = crm.read(kind, call.args["object_id"], follow=False)
    limit = call.number("limit", PAGE_MOST, PAGE_MOST)
    rows, after = _page(crm, kind, record.id, target, call.text("after"), limit)
    answer: dict[str, Any] = {"results": rows}
    if after is not None:
        link = str(call.request.url.include_query_params(after=after))
        answer["paging"] = {"next": {"after": after, "link": link}}
    return 200, answer


async def batch_read(call: Call) -> tuple[int, Any]:
    """The associations of up to 1,000 records; those without any are listed in errors with a 207."""
    kind, target, crm = call.kind(), call.kind("to_type"), call.portal.crm
    crm.links.types(kind, target)
    results: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for row in call.inputs(READ_MOST):
        ident = str(row.get("id", ""))
        rows, after = _page(crm, kind, ident, target, row.get("after"), PAGE_MOST)
        if not rows:
            errors.append(_none_found(kind, ident, target))
            continue
        found: dict[str, Any] = {"from": {"id": ident}, "to": rows}
        if after is not None:
            found["paging"] = {"next": {"after": after}}
        results.append(found)
    call.portal.bench.dice.shuffle(results)
    return (207 if errors else 200), _batch(call, results, errors)


async def batch_default(call: Call) -> tuple[int, Any]:
    """Associate up to 2,000 pairs without a label."""
    kind, target, crm = call.kind(), call.kind("to_type"), call.portal.crm
    results: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for row in call.inputs(CREATE_MOST):
        try:
            a, b = _pair(call, kind, _id(row, "from"), target, _id(row, "to"))
        except Refusal as no:
            if no.status != 404:
                raise
            errors.append(no.row())
            continue
        crm.connect_by(call.source, (kind, a.id), (target, b.id), [])
        results += _both(crm, kind, a.id, target, b.id)
    # The endpoint table has no 207 here: errors are in a 200.
    return 200, _batch(call, results, errors)


async def batch_create(call: Call) -> tuple[int, Any]:
    """Associate up to 2,000 pairs by given types; labels of a pair are replaced."""
    kind, target, crm = call.kind(), call.kind("to_type"), call.portal.crm
    planned = []
    errors: list[dict[str, Any]] = []
    for row in call.inputs(CREATE_MOST):
        types = _types(crm, kind, target, row.get("types") or [])
        try:
            a, b = _pair(call, kind, _id(row, "from"), target, _id(row, "to"))
        except Refusal as no:
            if no.status != 404:
                raise
            errors.append(no.row())
            continue
        planned.append((a.id, b.id, types))
    results = []
    for from_id, to_id, types in planned:
        crm.connect_by(call.source, (kind, from_id), (target, to_id), types, replace_labels=True)
        results.append(_labels_between(kind, from_id, target, to_id, types))
    if errors:
        return 207, _batch(call, results, errors)
    return (200 if call.binding else 201), _batch(call, results)


async def batch_archive(call: Call) -> tuple[int, Any]:
    """Remove all associations of given pairs: up to 100 from-records."""
    kind, target = call.kind(), call.kind("to_type")
    for row in call.inputs(ARCHIVE_MOST):
        for other in row.get("to") or []:
            call.portal.crm.disconnect_by(
                call.source, (kind, _id(row, "from")), (target, str(other.get("id")))
            )
    return (204, None) if call.version == "v4" else (200, _batch(call, []))


async def batch_labels_archive(call: Call) -> tuple[int, Any]:
    """Remove given labels from pairs; the unlabelled association stays unless it is given."""
    kind, target, crm = call.kind(), call.kind("to_type"), call.portal.crm
    for row in call.inputs(CREATE_MOST):
        types = {t.type_id for t in _types(crm, kind, target, row.get("types") or [])}
        crm.disconnect_by(call.source, (kind, _id(row, "from")), (target, _id(row, "to")), types)
    return (204, None) if call.version == "v4" else (200, _batch(call, []))


def _pair(
    call: Call, kind: ObjectType, from_id: str, target: ObjectType, to_id: str
) -> tuple[Record, Record]:
    crm = call.portal.crm
    crm.links.types(kind, target)
    found = []
    for one, ident in ((kind, from_id), (target, to_id)):
        record = crm.find(one, ident)
        if record is None or record.archived:
            raise not_found(one.singular.upper(), ident)
        found.append(record)
    return found[0], found[1]


def _types(crm: Crm, kind: ObjectType, target: ObjectType, specs: list[Any]) -> list[LinkType]:
    found = []
    for spec in specs:
        try:
            category, type_id = str(spec["associationCategory"]), int(spec["associationTypeId"])
        except (KeyError, TypeError, ValueError):
            raise missing_fields(["associationCategory", "associationTypeId"]) from None
        found.append(crm.links.typed(kind, target, category, type_id))
    if not found:
        raise missing_fields(["types"])
    return found


def _page(
    crm: Crm, kind: ObjectType, ident: str, target: ObjectType, after: Any, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    known = crm.links.types(kind, target)
    ids = crm.links.ids(kind, ident, target)
    start = next((n for n, other in enumerate(ids) if other == str(after)), 0) if after else 0
    rows = []
    for other in ids[start : start + limit]:
        types = sorted(crm.links.between((kind, ident), (target, other)), reverse=True)
        rows.append({"toObjectId": int(other), "associationTypes": [known[t].shown() for t in types]})
    return rows, ids[start + limit] if start + limit < len(ids) else None


def _both(crm: Crm, kind: ObjectType, a: str, target: ObjectType, b: str) -> list[dict[str, Any]]:
    plain = crm.links.default(kind, target)
    return [
        {
            "from": {"id": from_id},
            "to": {"id": to_id},
            "associationSpec": {"associationCategory": plain.category, "associationTypeId": type_id},
        }
        for from_id, to_id, type_id in ((a, b, plain.type_id), (b, a, plain.twin_id))
    ]


def _labels_between(
    kind: ObjectType, from_id: str, target: ObjectType, to_id: str, types: list[LinkType]
) -> dict[str, Any]:
    return {
        "fromObjectTypeId": kind.type_id,
        "fromObjectId": int(from_id),
        "toObjectTypeId": target.type_id,
        "toObjectId": int(to_id),
        "labels": [t.label for t in types if t.label],
    }


def _none_found(kind: ObjectType, ident: str, target: ObjectType) -> dict[str, Any]:
    return Refusal(
        404,
        f"No {target.singular} is associated with {kind.singular} {ident}.",
        category="OBJECT_NOT_FOUND",
        sub_category="crm.associations.NO_ASSOCIATIONS_FOUND",
        context={
            "fromObjectId": [ident],
            "fromObjectType": [kind.singular],
            "toObjectType": [target.singular],
        },
    ).row()


def _id(row: dict[str, Any], side: str) -> str:
    found = row.get(side)
    if not isinstance(found, dict) or not found.get("id"):
        raise missing_fields([f"{side}.id"])
    return str(found["id"])


def _batch(
    call: Call, results: list[dict[str, Any]], errors: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    moment = instant(call.portal.bench.clock.now_ms())
    found = {"status": "COMPLETE", "results": results, "startedAt": moment, "completedAt": moment}
    return {**found, "numErrors": len(errors), "errors": errors} if errors else found
