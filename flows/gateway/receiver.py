"""The routes that vendors and web forms call: verify the bytes, store them durably, acknowledge. Nothing else.

Not verified: 401 and a count. Too large: 413. Cannot store: 503, so that the sender tries again.
"""

import hashlib
import hmac
import logging
from collections.abc import Callable
from datetime import datetime

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import SecretStr

from config.settings import Settings
from connectors.http.errors import ForgedEventError, MalformedEventError
from connectors.hubspot import webhook as hubspot_webhook
from flows.errors import FlowError
from flows.gateway.events import esign_event, esign_payload, hubspot_events, lead_event, unreadable
from flows.ledger import inbox, presence
from flows.ledger.database import Ledger, StorageError
from flows.ledger.inbox import NewEvent
from flows.ledger.wake import WakeSender
from flows.rules.leads import LeadError
from flows.services import esign_callbacks

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 1024 * 1024
_SECRET_HEADERS = {"authorization", "cookie", "x-dealflow-token"}


class TooLargeError(FlowError):
    """The body is over the limit."""


class Receiver:
    """The routes of the gateway that take deliveries."""

    def __init__(self, settings: Settings, ledger: Ledger, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._ledger = ledger
        self._clock = clock
        self._wake_sender = WakeSender(ledger)
        self._esign = esign_callbacks(settings)

    def router(self) -> APIRouter:
        """The routes for which a secret is set; the others do not exist."""
        router = APIRouter()
        settings = self._settings
        if settings.hubspot_webhooks == "on" and _set(settings.hubspot_client_secret):
            router.add_api_route("/webhooks/hubspot", self.hubspot, methods=["POST"], name="hubspot")
        if _set(settings.dropbox_sign_api_key):
            router.add_api_route("/webhooks/dropbox-sign", self.esign, methods=["POST"], name="dropbox_sign")
        if settings.leads == "on" and (_set(settings.leads_token) or _set(settings.leads_hmac_secret)):
            router.add_api_route("/leads", self.leads, methods=["POST"], name="leads", status_code=202)
        return router

    def close(self) -> None:
        """Close the socket that wakes workers."""
        self._wake_sender.close()

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
        events = hubspot_events(body, self._settings.hubspot_portal_id)
        return await self._stored("hubspot", request, body, events, JSONResponse({"stored": len(events)}))

    async def esign(self, request: Request) -> Response:
        """The e-signature service's callbacks: one form field; the vendor counts only its own text as received."""
        source = self._esign.vendor
        try:
            body = await _body(request)
        except TooLargeError:
            return await self._refused(source, 413, "the body is over 1 MiB")
        payload = await esign_payload(request.headers, body, self._esign)
        if payload is None:
            return await self._refused(source, 401, f"there is no {self._esign.form_field} field")
        try:
            found = self._esign.verify(payload, request.headers)
        except ForgedEventError as problem:
            return await self._refused(source, 401, problem.reason)
        except MalformedEventError as problem:
            events = [unreadable(source, body, problem.reason)]
        else:
            events = [esign_event(found, source)]
        return await self._stored(source, request, body, events, PlainTextResponse(self._esign.answer))

    async def leads(self, request: Request) -> Response:
        """Inbound leads, JSON or form: a bearer token, or an HMAC of the body."""
        try:
            body = await _body(request)
        except TooLargeError:
            return await self._refused("lead", 413, "the body is over 1 MiB")
        if not self._lead_is_proven(request, body):
            return await self._refused("lead", 401, "no valid token or signature")
        try:
            event = await lead_event(request.headers, body, self._clock().date())
        except LeadError as problem:
            answer = JSONResponse({"error": str(problem), "field": problem.field}, 422)
            if problem.field != "body":
                return answer
            return await self._stored("lead", request, body, [unreadable("lead", body, str(problem))], answer)
        return await self._stored(
            "lead", request, body, [event], JSONResponse({"lead": event.key, "status": "stored"}, 202)
        )

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
        """Store the delivery and its events in one transaction; only then acknowledge."""
        headers = {k: v for k, v in request.headers.items() if k not in _SECRET_HEADERS}
        now = self._clock()
        try:
            async with self._ledger.write() as tx:
                delivery_id = await inbox.store_delivery(
                    tx, source=source, headers=headers, body=body, now=now
                )
                recorded = await inbox.record(tx, events, now=now, delivery_id=delivery_id)
            if recorded.new:
                await self._wake_sender.wake()
        except StorageError as problem:
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
        """Refuse a delivery; only a count is stored."""
        log.warning("delivery refused source=%s status=%s reason=%s", source, status, why)
        try:
            async with self._ledger.write() as tx:
                await presence.count(tx, f"refused.{source}.{status}", now=self._clock())
        except StorageError as problem:
            return self._cannot_store(source, problem)
        return JSONResponse({"error": why}, status)

    def _cannot_store(self, source: str, problem: StorageError) -> Response:
        log.error("ledger not writable source=%s problem=%s", source, problem.kind)
        return JSONResponse({"error": "cannot store at the moment: try again"}, 503)


def _set(secret: SecretStr | None) -> bool:
    return secret is not None and secret.get_secret_value() != ""


async def _body(request: Request) -> bytes:
    """The raw bytes, at most 1 MiB; the rest is not read."""
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
