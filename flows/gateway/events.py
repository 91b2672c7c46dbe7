"""Which events the bytes of a proven delivery carry. The gateway reads them, and a replay reads them again.

Nothing is verified or stored here.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from typing import Any

from fastapi import Request
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from connectors.http.errors import MalformedEventError
from connectors.hubspot import webhook as hubspot_webhook
from connectors.hubspot.webhook import HubSpotEvent
from flows.contracts.esign import Callback, Callbacks
from flows.ledger.inbox import NewEvent
from flows.processes import DEAL_CHANGED, LEAD_RECEIVED, SIGNATURE_EVENT
from flows.rules.leads import LeadError, parse_lead
from flows.services import esign_callbacks

_DEAL_TYPES = {"0-3", "deal", "deals"}
_RECORD_ID = re.compile(r"[0-9]{1,20}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")


async def read_again(
    source: str, headers: Mapping[str, str], body: bytes, *, day: date, portal_id: str
) -> list[NewEvent]:
    """The events in a stored delivery, as the gateway reads them. `day`: its arrival day, UTC.

    Raises LeadError for a lead that would be refused.
    """
    if source == "hubspot":
        return hubspot_events(body, portal_id)
    if source == "lead":
        return [await lead_event(headers, body, day)]
    callbacks = esign_callbacks()
    payload = await esign_payload(headers, body, callbacks)
    try:
        return [esign_event(callbacks.parse(payload or ""), source)]
    except MalformedEventError as problem:
        return [unreadable(source, body, problem.reason)]


def hubspot_events(body: bytes, portal_id: str) -> list[NewEvent]:
    """HubSpot's events; a single "unreadable" event when the bytes cannot be parsed."""
    try:
        found = hubspot_webhook.parse(body)
    except MalformedEventError as problem:
        return [unreadable("hubspot", body, problem.reason)]
    return [_hubspot_event(event, portal_id) for event in found]


async def lead_event(headers: Mapping[str, str], body: bytes, day: date) -> NewEvent:
    """The event of one lead, JSON or form. Raises LeadError naming the field."""
    lead = parse_lead(
        await _lead_fields(headers, body),
        submission_key=headers.get("idempotency-key", ""),
        day=day.isoformat(),
    )
    return NewEvent("lead", lead.key, LEAD_RECEIVED, lead.lane, {"lead": asdict(lead)})


async def esign_payload(headers: Mapping[str, str], body: bytes, callbacks: Callbacks) -> str | None:
    """The e-signature callback's payload: its form field, or the whole body when it is sent as JSON."""
    if "application/json" in headers.get("content-type", ""):
        return body.decode("utf-8", "replace")
    try:
        value = (await _form(headers, body)).get(callbacks.form_field)
    except LeadError:
        return None
    return value if isinstance(value, str) else None


def esign_event(found: Callback, source: str) -> NewEvent:
    """What a callback says: ours by the token in its metadata, else to be looked up by its request."""
    key = found.key
    token, deal_id = found.metadata.get("dealflow_token"), _deal_id(found.metadata.get("deal_id"))
    request_id = found.request_id if _REQUEST_ID.fullmatch(found.request_id or "") else None
    ours = bool(token and deal_id)
    ended = None
    if found.is_test:
        ended = ("ignored", "the vendor's test of the callback address")
    elif request_id is None and found.is_about_request:
        ended = ("dead", "a signature request event that names no request")
    elif request_id is None:
        ended = ("ignored", f"nothing is done on {found.event_type}")
    return NewEvent(
        source=source,
        key=key,
        kind=SIGNATURE_EVENT,
        lane=f"deal:{deal_id}" if ours else f"request:{request_id or key}",
        content={
            "type": found.event_type,
            "request_id": request_id,
            "signature_id": found.related_signature_id,
            "token": token if ours else None,
        },
        deal_id=deal_id if ours else None,
        occurred_at=found.occurred_at,
        ended=ended,
    )


def unreadable(source: str, body: bytes, reason: str) -> NewEvent:
    """The event of a verified delivery that cannot be parsed: kept for a person."""
    digest = hashlib.sha256(body).hexdigest()
    return NewEvent(
        source, f"unreadable:{digest}", "unreadable", f"unreadable:{digest}", {}, ended=("dead", reason)
    )


async def _form(headers: Mapping[str, str], body: bytes) -> FormData:
    """Parse a form. Raises LeadError when it is not a form."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    try:
        return await Request({"type": "http", "headers": raw}, receive).form(max_files=0, max_fields=100)
    except (MultiPartException, HTTPException, ValueError, KeyError) as problem:
        raise LeadError("body", f"the form cannot be read ({type(problem).__name__})") from None


async def _lead_fields(headers: Mapping[str, str], body: bytes) -> Mapping[str, Any]:
    kind = headers.get("content-type", "").split(";")[0].strip().lower()
    if kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
        return _writable(dict(await _form(headers, body)))
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise LeadError("body", "the body is not JSON (send JSON or a form)") from None
    if not isinstance(fields, dict):
        raise LeadError("body", "the body must be a JSON object with the lead's fields")
    return _writable(fields)


def _writable(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """JSON may contain lone surrogates, which UTF-8 cannot: they could be neither stored nor sent."""
    for name, value in fields.items():
        if _halves(name):
            raise LeadError("body", "a field's name is not valid Unicode")
        if isinstance(value, str) and _halves(value):
            raise LeadError(name[:60], f"{name[:60]} is not valid Unicode")
    return fields


def _halves(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def _hubspot_event(event: HubSpotEvent, portal_id: str) -> NewEvent:
    key = hubspot_webhook.event_key(event)
    deal_id = _deal_of(event)
    ended = None
    if portal_id and event.portal_id and event.portal_id != portal_id:
        ended = ("ignored", "it is about another HubSpot account")
    elif deal_id is None:
        ended = ("ignored", f"nothing is done on {event.subscription_type or 'an event without a type'}")
    also = sorted(_merged_away(event) - {deal_id}) if deal_id else []
    return NewEvent(
        source="hubspot",
        key=key,
        kind=DEAL_CHANGED if deal_id else "hubspot.other",
        lane=f"hint:{key}",  # a hint to read the deal: its order does not matter
        content={
            "type": event.subscription_type,
            "property": event.property_name,
            "also": also,
        },
        deal_id=deal_id,
        occurred_at=event.occurred_at,
        hint=not also,
        ended=ended,
    )


def _deal_of(event: HubSpotEvent) -> str | None:
    """The deal id of an event, None when it is about another record."""
    subject, _, what = event.subscription_type.partition(".")
    if subject == "object" and event.object_type_id not in _DEAL_TYPES:
        return None
    if what == "associationChange":
        kind = (event.association_type or "").upper()
        if kind.startswith("DEAL_"):
            return _deal_id(event.from_object_id)
        return _deal_id(event.to_object_id) if kind.endswith("_DEAL") else None
    if subject not in ("deal", "object"):
        return None
    return _deal_id(event.new_object_id or event.primary_object_id or event.object_id)


def _merged_away(event: HubSpotEvent) -> set[str]:
    """Deals that a merge left behind: the mirror must read them too."""
    if not event.merged_object_ids:
        return set()
    ids = (event.object_id, event.primary_object_id, *event.merged_object_ids)
    return {found for found in map(_deal_id, ids) if found}


def _deal_id(text: str | None) -> str | None:
    """HubSpot's record ids are whole numbers; anything else would make a later batch read fail."""
    return text if text and _RECORD_ID.fullmatch(text) else None
