"""Pages for people at the addresses of HubSpot's own app: lists, one record, its files. No token is needed."""

from pathlib import Path
from typing import Any

from fastapi import Response
from fastapi.responses import RedirectResponse

from connectors.sandbox.hubspot_server.errors import Refusal
from connectors.sandbox.hubspot_server.pages import record_page, timeline, wording
from connectors.sandbox.hubspot_server.portal import Portal
from connectors.sandbox.hubspot_server.records.catalog import ObjectType, object_type
from connectors.sandbox.hubspot_server.records.record import Record
from connectors.sandbox.hubspot_server.times import to_ms
from connectors.sandbox.hubspot_server.web import Call, Site
from connectors.sandbox.webpages import page

_HERE = Path(__file__).parent
_RECORD = "/contacts/{portal_id}/record/{object_type}/{record_id}"
LIST_MOST = 200
"""Most records on one list; the others are only counted."""
FILE_LINK_S = 600


def mount(site: Site) -> None:
    """Add the pages. They are not part of the vendor's API, so they are not listed among its operations."""
    site.show("/", deals)
    site.show("/contacts/{portal_id}/objects/{object_type}/views/all/list", listing)
    site.show(_RECORD, record)
    site.show(_RECORD + "/", record)
    site.show("/contacts/{portal_id}/files/{file_id}", file)


async def deals(call: Call) -> Response:
    """`GET /`: all deals, last changed first."""
    return _list(call.portal, object_type("deals"))


async def listing(call: Call) -> Response:
    """All records of a type."""
    try:
        _same_account(call)
        return _list(call.portal, call.kind())
    except Refusal as no:
        return _missing(call.portal, no.message)


async def record(call: Call) -> Response:
    """One record. A merged id shows the survivor and says so; an archived one says so."""
    portal = call.portal
    try:
        _same_account(call)
        kind = call.kind()
    except Refusal as no:
        return _missing(portal, no.message)
    found = portal.crm.find(kind, call.args["record_id"])
    if found is None:
        return _missing(portal, f"There is no {kind.singular} with the id {call.args['record_id']}.")
    return page(_HERE, "record.html", **_record(portal, found, asked=call.args["record_id"]))


async def file(call: Call) -> Response:
    """Redirect to the bytes of a file, by a new signed URL."""
    portal = call.portal
    try:
        _same_account(call)
        found = portal.files.one(call.args["file_id"])
    except Refusal as no:
        return _missing(portal, no.message)
    expires_ms = portal.bench.clock.now_ms() + FILE_LINK_S * 1000
    query = f"expires={expires_ms}&signature={portal.files.sign(found.id, expires_ms)}"
    return RedirectResponse(f"/signed-url-redirect/{portal.portal_id}/{found.id}?{query}", 303)


def _same_account(call: Call) -> None:
    if call.args["portal_id"] != str(call.portal.portal_id):
        raise Refusal(404, f"This account has the number {call.portal.portal_id}.")


def _frame(portal: Portal, here: str) -> dict[str, Any]:
    """The common part of every page: the account and links to the lists."""
    kinds = [object_type(k) for k in record_page.PAGED]
    return {
        "portal_id": portal.portal_id,
        "now": wording.moment(str(portal.bench.clock.now_ms())),
        "here": here,
        "lists": [(k.key.capitalize(), _list_path(portal, k), len(portal.crm.all(k)), k.key) for k in kinds],
    }


def _list_path(portal: Portal, kind: ObjectType) -> str:
    return (
        "/" if kind.key == "deals" else f"/contacts/{portal.portal_id}/objects/{kind.type_id}/views/all/list"
    )


def _missing(portal: Portal, why: str) -> Response:
    return page(_HERE, "missing.html", status=404, why=why, **_frame(portal, ""))


def _record(portal: Portal, found: Record, *, asked: str) -> dict[str, Any]:
    pipeline, stage = record_page.place(portal, found) if found.kind.key == "deals" else (None, None)
    sides = [(k.capitalize(), record_page.neighbours(portal, found, k)) for k in record_page.PAGED]
    values = record_page.all_values(portal, found)
    return {
        **_frame(portal, found.kind.key),
        "record": found,
        "asked": asked,
        "name": record_page.name(found),
        "list_path": _list_path(portal, found.kind),
        "pipeline": pipeline,
        "stage": stage,
        "stage_pill": record_page.stage_pill(stage),
        "amount": record_page.amount(portal, found) if found.kind.key == "deals" else "",
        "owner": record_page.owner(portal, found.values.get("hubspot_owner_id")),
        "path": record_page.path(portal, found) if found.kind.key == "deals" else [],
        "rows": record_page.key_rows(portal, found),
        "blocks": record_page.custom_blocks(portal, found),
        "values": values,
        "sides": [(label, rows) for label, rows in sides if label.lower() != found.kind.key or rows],
        "line_items": record_page.line_items(portal, found) if found.kind.key == "deals" else [],
        "quotes": record_page.neighbours(portal, found, "quotes") if found.kind.key == "deals" else [],
        "entries": timeline.timeline(portal, found),
    }


def _list(portal: Portal, kind: ObjectType) -> Response:
    records = sorted(portal.crm.all(kind), key=lambda r: (r.updated_ms, r.id), reverse=True)
    rows = [_line(portal, r) for r in records[:LIST_MOST]]
    left = len(records) - len(rows)
    return page(_HERE, "list.html", kind=kind, rows=rows, left=left, **_frame(portal, kind.key))


def _line(portal: Portal, record: Record) -> dict[str, Any]:
    values = record.values
    deal = record.kind.key == "deals"
    pipeline, stage = record_page.place(portal, record) if deal else (None, None)
    companies = record_page.neighbours(portal, record, "companies") if record.kind.key != "companies" else []
    closes = values.get("closedate", "")
    return {
        "href": record_page.href(portal, record.kind, record.id),
        "name": record_page.name(record),
        "id": record.id,
        "stage": stage.label if stage else values.get("dealstage", ""),
        "pill": record_page.stage_pill(stage),
        "pipeline": pipeline.label if pipeline else "",
        "amount": record_page.amount(portal, record) if deal else "",
        "closes": wording.date(str(to_ms(closes))) if closes else "",
        "owner": record_page.owner(portal, values.get("hubspot_owner_id")),
        "company": companies[0] if companies else None,
        "contact": values.get("email", "") or values.get("domain", ""),
        "job": values.get("jobtitle", "") or values.get("industry", ""),
        "changed": wording.moment(str(record.updated_ms)),
    }
