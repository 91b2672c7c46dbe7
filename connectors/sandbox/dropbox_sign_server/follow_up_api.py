"""Routes that act on a request after it was sent: remind, update, cancel, remove."""

from typing import Any

from fastapi import APIRouter, Request, Response

from connectors.sandbox.dropbox_sign_server import reading
from connectors.sandbox.dropbox_sign_server.engine import Engine
from connectors.sandbox.dropbox_sign_server.errors import VendorError, bad
from connectors.sandbox.dropbox_sign_server.forms import read_body
from connectors.sandbox.dropbox_sign_server.records import Signature, SignatureRequest
from connectors.sandbox.dropbox_sign_server.requests_api import shown
from connectors.sandbox.dropbox_sign_server.signers import Signers
from connectors.sandbox.dropbox_sign_server.state import State

_HOUR_S = 3600


def follow_up_router(state: State, engine: Engine, signers: Signers) -> APIRouter:
    """The four follow-up calls."""
    router = APIRouter(prefix="/v3/signature_request")
    clock = state.bench.clock

    @router.post("/remind/{signature_request_id}")
    async def remind(signature_request_id: str, request: Request) -> dict[str, Any]:
        """Remind one signer, not within an hour of the last reminder."""
        found = state.request(signature_request_id)
        fields = (await read_body(request)).fields
        email = reading.email(fields, "email_address", "email_address")
        name = reading.text(fields, "name")
        _check_open(found, "invalid_reminder")
        signature = _addressed(found, email, name)
        if signature not in found.turn():
            raise VendorError("invalid_reminder", "This signer is not asked to sign now")
        if (signature.last_reminded_at or 0) > clock.now_s() - _HOUR_S:
            raise VendorError("invalid_reminder", "A reminder was sent within the last hour")
        engine.remind(found, signature.signature_id)
        return shown(state, signature_request_id)

    @router.post("/update/{signature_request_id}")
    async def update(signature_request_id: str, request: Request) -> dict[str, Any]:
        """Change a signer's address or name, or the expiry. A new address makes a new signature_id."""
        found = state.request(signature_request_id)
        fields = (await read_body(request)).fields
        wanted = reading.needed(fields, "signature_id", "signature_id")
        _check_open(found, "bad_request")
        if found.appended_page:
            raise bad("A request with an appended signature page cannot be updated")
        signature = next((s for s in found.signatures if s.signature_id == wanted), None)
        if signature is None:
            raise VendorError("not_found", "Signature not found", "signature_id")
        _update(found, signature, fields, state)
        engine.watch_expiry(found)
        signers.plan(found)
        return shown(state, signature_request_id)

    @router.post("/cancel/{signature_request_id}")
    async def cancel(signature_request_id: str) -> Response:
        """Queue a cancellation: an empty 200; an event reports when it is done."""
        engine.cancel(state.request(signature_request_id))
        return Response(status_code=200, media_type="application/json")

    @router.post("/remove/{signature_request_id}")
    async def remove(signature_request_id: str) -> Response:
        """Give up access to a finished request, at once and permanently."""
        found = state.request(signature_request_id)
        if found.phase not in ("complete", "declined"):
            raise VendorError("signature_request_remove_failed", "The request is not finished")
        found.removed = True
        return Response(status_code=200, media_type="application/json")

    return router


def _check_open(found: SignatureRequest, closed: str) -> None:
    if found.phase == "processing":
        raise VendorError("conflict", "The request is still being processed")
    if found.phase == "expired" and closed != "invalid_reminder":
        raise VendorError("signature_request_expired", "The signature request has expired")
    if found.phase != "open":
        raise VendorError(closed, "The signature request is closed")


def _addressed(found: SignatureRequest, email: str, name: str | None) -> Signature:
    same = [s for s in found.signatures if s.email.lower() == email.lower()]
    if not same:
        raise bad("No signer has this e-mail address", "email_address")
    if name is not None:
        same = [s for s in same if s.name == name]
        if not same:
            raise bad("No signer has this name and e-mail address", "name")
    if len(same) > 1:
        raise bad("Several signers have this e-mail address: give the name", "name")
    return same[0]


def _update(found: SignatureRequest, signature: Signature, fields: reading.Fields, state: State) -> None:
    if not {"email_address", "name", "expires_at"} & set(fields):
        raise bad("Please provide email_address or name", "email_address")
    if signature.status == "signed":
        raise bad("This signer has signed already", "signature_id")
    new_email = reading.email(fields, "email_address", "email_address") if "email_address" in fields else None
    new_name = reading.needed(fields, "name", "name") if "name" in fields else None
    if "expires_at" in fields:
        found.expires_at = reading.expiry(fields, state.bench.clock.now_s())
    if new_name is not None:
        signature.name = new_name
    if new_email is not None and new_email != signature.email:
        found.note(state.bench.clock.now_s(), f"Address changed from {signature.email} to {new_email}")
        signature.email = new_email
        signature.signature_id = state.bench.new_hex(32)
        signature.bounced, signature.error, signature.last_reminded_at = False, None, None
