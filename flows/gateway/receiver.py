"""The routes that vendors and web forms call: verify the bytes, store them durably, acknowledge. Nothing else.

Not verified: 401 and a count. Too large: 413. Cannot store: 503, so that the sender tries again.
"""

import hashlib
import hmac
import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy.exc
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import SecretStr
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from config.settings import Settings
from connectors.dropbox_sign import callback as sign_callback
from connectors.errors import ForgedEventError, MalformedEventError
from connectors.hubspot import webhook as hubspot_webhook
from connectors.hubspot.webhook import HubSpotEvent
from flows.ledger import inbox, presence
from flows.ledger.database import Ledger
from flows.ledger.inbox import NewEvent
from flows.rules.leads import LeadError, parse_lead
from flows.wake import Knocker

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 1024 * 1024
_SECRET_HEADERS = {"authorization", "cookie", "x-dealflow-token"}
_DEAL_TYPES = {"0-3", "deal", "deals"}
_RECORD_ID = re.compile(r"[0-9]{1,20}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class TooLargeError(Exception):
    """The body is over the limit."""


class Receiver:
    """The deliveries' side of the gateway."""

    def __init__(self, settings: Settings, ledger: Ledger, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._ledger = ledger
        self._clock = clock
        self._knocker = Knocker(ledger)

    def router(self) -> APIRouter:
        """Routes for which a secret is set; the others are not there at all."""
        router = APIRouter()
        settings = self._settings
        if settings.hubspot_webhooks == "on" and _set(settings.hubspot_client_secret):
            router.add_api_route("/webhooks/hubspot", self.hubspot, methods=["POST"], name="hubspot")
        if _set(settings.dropbox_sign_api_key):
            router.add_api_route(
                "/webhooks/dropbox-sign", self.dropbox_sign, methods=["POST"], name="dropbox_sign"
            )
        if settings.leads == "on" and (_set(settings.leads_token) or _set(settings.leads_hmac_secret)):
            router.add_api_route("/leads", self.leads, methods=["POST"], name="leads", status_code=202)
        return router

    def close(self) -> None:
        """Let go of the socket that wakes workers."""
        self._knocker.close()

    async def hubspot(self, request: Request) -> Response:
        """HubSpot's webhooks: signature v3 (five minutes either way), else v1."""
        try:
            body = await _body(request)
        except TooLargeError:
            return await self._refused("hubspot", 413, "the body is over 1 MiB")
        secret = self._settings.hubspot_client_secret
        assert secret is not None
        query = f"?{request.url.query}" if request.url.query else ""
        url = f"{self._settings.base_url}{request.url.path}{query}"
        try:
            hubspot_webhook.verify(
                "POST", url, body, request.headers, secret.get_secret_value(), self._clock()
            )
        except ForgedEventError as problem:
            return await self._refused("hubspot", 401, problem.reason)
        try:
            found = hubspot_webhook.parse(body)
        except MalformedEventError as problem:
            events = [_dead("hubspot", body, problem.reason)]
        else:
            events = [_hubspot_event(event, self._settings.hubspot_portal_id) for event in found]
        return await self._stored("hubspot", request, body, events, JSONResponse({"stored": len(events)}))

    async def dropbox_sign(self, request: Request) -> Response:
        """Dropbox Sign's callbacks: one form field `json`; the answer's text is what the vendor counts as received."""
        try:
            body = await _body(request)
        except TooLargeError:
            return await self._refused("dropbox_sign", 413, "the body is over 1 MiB")
        text = await _json_field(request, body)
        if text is None:
            return await self._refused("dropbox_sign", 401, "there is no json field")
        try:
            found = sign_callback.verify_and_parse(
                text, self._sign_keys(), request.headers.get("content-sha256")
            )
        except ForgedEventError as problem:
            return await self._refused("dropbox_sign", 401, problem.reason)
        except MalformedEventError as problem:
            events = [_dead("dropbox_sign", body, problem.reason)]
        else:
            events = [_sign_event(found)]
        answer = PlainTextResponse(sign_callback.ANSWER)
        return await self._stored("dropbox_sign", request, body, events, answer)

    async def leads(self, request: Request) -> Response:
        """Inbound leads, JSON or form: a bearer token, or an HMAC of the body."""
        try:
            body = await _body(request)
        except TooLargeError:
            return await self._refused("lead", 413, "the body is over 1 MiB")
        if not self._lead_is_proven(request, body):
            return await self._refused("lead", 401, "no valid token or signature")
        try:
            lead = parse_lead(
                await _lead_fields(request, body),
                submission_key=request.headers.get("idempotency-key", ""),
                day=self._clock().date().isoformat(),
            )
        except LeadError as problem:
            answer = JSONResponse({"error": str(problem), "field": problem.field}, 422)
            if problem.field != "body":
                return answer
            return await self._stored("lead", request, body, [_dead("lead", body, str(problem))], answer)
        event = NewEvent("lead", lead.key, "lead.received", lead.lane, {"lead": asdict(lead)})
        return await self._stored(
            "lead", request, body, [event], JSONResponse({"lead": lead.key, "status": "stored"}, 202)
        )

    def _sign_keys(self) -> list[str]:
        keys = [self._settings.dropbox_sign_api_key, *self._settings.dropbox_sign_callback_keys]
        return [key.get_secret_value() for key in keys if key is not None and _set(key)]

    def _lead_is_proven(self, request: Request, body: bytes) -> bool:
        token, secret = self._settings.leads_token, self._settings.leads_hmac_secret
        if secret is not None and _set(secret):
            given = request.headers.get("x-dealflow-signature", "").removeprefix("sha256=")
            wanted = hmac.new(secret.get_secret_value().encode(), body, hashlib.sha256).hexdigest()
            if hmac.compare_digest(given.encode(), wanted.encode()):
                return True
        if token is not None and _set(token):
            scheme, _, given = request.headers.get("authorization", "").partition(" ")
            wanted = token.get_secret_value()
            if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), wanted.encode()):
                return True
        return False

    async def _stored(
        self, source: str, request: Request, body: bytes, events: list[NewEvent], answer: Response
    ) -> Response:
        """One transaction for the delivery and its events; only then the acknowledgement."""
        headers = {k: v for k, v in request.headers.items() if k not in _SECRET_HEADERS}
        now = self._clock()
        try:
            async with self._ledger.write() as tx:
                delivery_id = await inbox.store_delivery(
                    tx, source=source, headers=headers, body=body, now=now
                )
                recorded = await inbox.record(tx, events, now=now, delivery_id=delivery_id)
            if recorded.new:
                await self._knocker.knock()
        except (sqlalchemy.exc.SQLAlchemyError, OSError) as problem:
            return self._cannot_store(source, problem)
        log.info(
            "delivery stored source=%s delivery_id=%s new=%s known=%s",
            source,
            delivery_id,
            len(recorded.new),
            recorded.known,
        )
        return answer

    async def _refused(self, source: str, status: int, why: str) -> Response:
        """Nothing is kept of it but a count."""
        log.warning("delivery refused source=%s status=%s reason=%s", source, status, why)
        try:
            async with self._ledger.write() as tx:
                await presence.count(tx, f"refused.{source}.{status}", now=self._clock())
        except (sqlalchemy.exc.SQLAlchemyError, OSError) as problem:
            return self._cannot_store(source, problem)
        return JSONResponse({"error": why}, status)

    def _cannot_store(self, source: str, problem: Exception) -> Response:
        log.error("ledger not writable source=%s problem=%s", source, type(problem).__name__)
        return JSONResponse({"error": "cannot store at the moment: try again"}, 503)


def _set(secret: SecretStr | None) -> bool:
    return secret is not None and secret.get_secret_value() != ""


async def _body(request: Request) -> bytes:
    """The raw bytes, at most 1 MiB; what goes on is not read."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        raise TooLargeError
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise TooLargeError
        chunks.append(chunk)
    return b"".join(chunks)


async def _form(request: Request, body: bytes) -> FormData:
    """The form in bytes that were read already. Raises LeadError when it is no form."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    try:
        return await Request(request.scope, receive).form(max_files=0, max_fields=100)
    except (MultiPartException, HTTPException, ValueError, KeyError) as problem:
        raise LeadError("body", f"the form cannot be read ({type(problem).__name__})") from None


async def _json_field(request: Request, body: bytes) -> str | None:
    """Dropbox Sign's payload: the `json` form field, or the whole body when it is sent as JSON."""
    if "application/json" in request.headers.get("content-type", ""):
        return body.decode("utf-8", "replace")
    try:
        value = (await _form(request, body)).get("json")
    except LeadError:
        return None
    return value if isinstance(value, str) else None


async def _lead_fields(request: Request, body: bytes) -> Mapping[str, Any]:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
        return _writable(dict(await _form(request, body)))
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise LeadError("body", "the body is not JSON (send JSON or a form)") from None
    if not isinstance(fields, dict):
        raise LeadError("body", "the body must be a JSON object with the lead's fields")
    return _writable(fields)


def _writable(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """JSON may hold halves of characters that no UTF-8 text can: they could be neither stored nor sent on."""
    for name, value in fields.items():
        if _halves(name):
            raise LeadError("body", "a field's name is not valid Unicode")
        if isinstance(value, str) and _halves(value):
            raise LeadError(name[:60], f"{name[:60]} is not valid Unicode")
    return fields


def _halves(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def _dead(source: str, body: bytes, reason: str) -> NewEvent:
    """A delivery from a proven sender that cannot be read: kept for a person."""
    digest = hashlib.sha256(body).hexdigest()
    return NewEvent(
        source, f"unreadable:{digest}", "unreadable", f"unreadable:{digest}", {}, ended=("dead", reason)
    )


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
        kind="deal.changed" if deal_id else "hubspot.other",
        lane=f"hint:{key}",  # a hint to read the deal: no order to keep
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
    """The deal that an event is about, None when it is about something else."""
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
    """Deals that a merge left behind: the mirror must look at them too."""
    if not event.merged_object_ids:
        return set()
    ids = (event.object_id, event.primary_object_id, *event.merged_object_ids)
    return {found for found in map(_deal_id, ids) if found}


def _deal_id(text: str | None) -> str | None:
    """HubSpot's record ids are whole numbers; anything else would fail a whole batch read later."""
    return text if text and _RECORD_ID.fullmatch(text) else None


def _sign_event(found: sign_callback.Callback) -> NewEvent:
    key = sign_callback.event_key(found)
    token, deal_id = found.metadata.get("dealflow_token"), _deal_id(found.metadata.get("deal_id"))
    request_id = found.request_id if _REQUEST_ID.fullmatch(found.request_id or "") else None
    ours = bool(token and deal_id)
    ended = None
    if found.event_type == "callback_test":
        ended = ("ignored", "the vendor's test of the callback address")
    elif request_id is None and found.event_type.startswith("signature_request_"):
        ended = ("dead", "a signature request event that names no request")
    elif request_id is None:
        ended = ("ignored", f"nothing is done on {found.event_type}")
    return NewEvent(
        source="dropbox_sign",
        key=key,
        kind="signature.event",
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
