"""The Dropbox Sign part of `/_sandbox`: robots, actions and events by hand, limits, the whole state."""

import hashlib
import re
from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from connectors.sandbox.dropbox_sign_server import account_views, views
from connectors.sandbox.dropbox_sign_server.events import Events, is_loopback
from connectors.sandbox.dropbox_sign_server.knobs import Knobs
from connectors.sandbox.dropbox_sign_server.records import Does, Robot, SignatureRequest
from connectors.sandbox.dropbox_sign_server.signers import Signers
from connectors.sandbox.dropbox_sign_server.state import State


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RobotIn(_Strict):
    """A signer robot: the first whose pattern is found in the address decides."""

    email: str
    does: Does
    after_s: float = Field(0.0, ge=0)
    reason: str | None = None
    answers: dict[str, str] = {}


class ActIn(_Strict):
    """A signer acts now; `to_email` and `to_name` are for reassign."""

    email: str
    does: Does
    reason: str | None = None
    answers: dict[str, str] = {}
    to_email: str | None = None
    to_name: str | None = None


class CallbackIn(_Strict):
    """Where events go: the account's URL, or an app's if `client_id` is given."""

    url: str | None
    client_id: str | None = None


class EventIn(_Strict):
    """An event by hand. Without a known request id a foreign request is made up; `overrides` change its shown
    fields; `api_key` signs with another key (a forgery); `event_time` may be any time."""

    event_type: str
    signature_request_id: str | None = None
    related_signature_id: str | None = None
    event_message: str | None = None
    event_time: str | None = None
    overrides: dict[str, Any] = {}
    api_key: str | None = None
    client_id: str | None = None
    url: str | None = None


def sandbox_router(state: State, events: Events, signers: Signers) -> APIRouter:
    """The routes in addition to the shared ones of `connectors.sandbox.control`."""
    router = APIRouter(prefix="/_sandbox", tags=["sandbox"])

    @router.get("/limits")
    async def limits() -> dict[str, Any]:
        """All limits and delays."""
        return state.knobs.model_dump()

    @router.put("/limits")
    async def set_limits(change: dict[str, Any]) -> dict[str, Any]:
        """Change some limits or delays; the others stay."""
        try:
            wanted = Knobs(**{**state.knobs.model_dump(), **change})
        except ValidationError as problem:
            raise HTTPException(422, problem.errors(include_url=False, include_context=False)) from problem
        for name in type(wanted).model_fields:
            setattr(state.knobs, name, getattr(wanted, name))
        if "quota" in change and wanted.quota is not None:
            state.account.quota = wanted.quota
        return state.knobs.model_dump()

    @router.get("/robots")
    async def robots() -> list[dict[str, Any]]:
        """The active robots."""
        return [dict(vars(r)) for r in state.robots]

    @router.put("/robots")
    async def set_robots(wanted: list[RobotIn]) -> dict[str, Any]:
        """Replace all robots; open requests follow the new ones from now on."""
        for robot in wanted:
            try:
                re.compile(robot.email)
            except re.error as problem:
                raise HTTPException(422, f"email is not a regular expression: {problem}") from problem
        signers.set_robots([Robot(**robot.model_dump()) for robot in wanted])
        return {"robots": len(wanted)}

    @router.post("/requests/{request_id}/act")
    async def act(request_id: str, wanted: ActIn) -> dict[str, Any]:
        """One signer acts now, whatever the robots say."""
        found = state.request(request_id)
        matching = [s for s in found.signatures if s.email.lower() == wanted.email.lower()]
        signature = next((s for s in matching if s in found.turn()), matching[0] if matching else None)
        if signature is None:
            raise HTTPException(404, "no signer has this e-mail address")
        to = (wanted.to_email, wanted.to_name or wanted.to_email) if wanted.to_email else None
        signers.act(found, signature, wanted.does, reason=wanted.reason, answers=wanted.answers, to=to)
        return request_state(found)

    @router.put("/callback")
    async def set_callback(wanted: CallbackIn) -> dict[str, Any]:
        """Set the callback URL on this machine, or none."""
        if wanted.url and not is_loopback(wanted.url):
            raise HTTPException(422, "the stand-in delivers to this machine only")
        owner = state.app(wanted.client_id) if wanted.client_id else state.account
        owner.callback_url = wanted.url or None
        return {"callback_url": owner.callback_url}

    @router.post("/events", status_code=202)
    async def send_event(wanted: EventIn) -> dict[str, Any]:
        """Send any event, true or not, to the given or the account's URL."""
        url = wanted.url or state.account.callback_url
        if not url or not is_loopback(url):
            raise HTTPException(422, "no callback URL on this machine is set")
        row = events.post(
            wanted.event_type,
            _content(state, wanted),
            url,
            app_id=wanted.client_id,
            client_id=wanted.client_id,
            related=wanted.related_signature_id,
            message=wanted.event_message,
            event_time=wanted.event_time,
            api_key=wanted.api_key,
        )
        return {"delivery_id": row.id}

    @router.get("/state")
    async def whole_state() -> dict[str, Any]:
        """The whole state, for assertions."""
        return {
            "account": account_views.account(state.account),
            "apps": [account_views.api_app(app, state.account) for app in state.apps.values()],
            "templates": {t.title: t.template_id for t in state.templates.values()},
            "robots": [dict(vars(r)) for r in state.robots],
            "limits": state.knobs.model_dump(),
            "requests": [request_state(r) for r in state.requests.values()],
        }

    return router


def request_state(request: SignatureRequest) -> dict[str, Any]:
    """The full state of one request. `signed_sha256` is of the last downloaded PDF, None before that."""
    pdf = request.handed_out.get("pdf")
    return {
        "signature_request_id": request.id,
        "phase": request.phase,
        "title": request.draft.title,
        "metadata": request.draft.metadata,
        "test_mode": request.draft.test_mode,
        "created_at": request.created_at,
        "expires_at": request.expires_at,
        "cancel_queued": request.cancel_queued,
        "removed": request.removed,
        "appended_page": request.appended_page,
        "error": request.error,
        "files_busy": request.files_busy,
        "template_ids": request.draft.template_ids,
        "files": [
            {"name": f.name, "sha256": hashlib.sha256(f.content).hexdigest()} for f in request.draft.files
        ],
        "original_sha256": hashlib.sha256(request.original).hexdigest() if request.original else None,
        "signed_sha256": hashlib.sha256(pdf).hexdigest() if pdf else None,
        "fields": [
            {"type": f.type, "signer": f.signer, "api_id": f.api_id, "name": f.name, "page": f.page}
            for f in request.draft.fields
        ],
        "signers": [
            {
                "signature_id": s.signature_id,
                "email": s.email,
                "name": s.name,
                "role": s.role,
                "order": s.order,
                "status": s.status,
                "bounced": s.bounced,
                "signed_at": s.signed_at,
                "last_reminded_at": s.last_reminded_at,
            }
            for s in request.signatures
        ],
        "history": [{"at": at, "text": text} for at, text in request.history],
    }


def _content(state: State, wanted: EventIn) -> views.Json:
    kind = wanted.event_type
    if kind in ("callback_test",):
        return {}
    if kind == "account_confirmed":
        return {"account": {**account_views.account(state.account), **wanted.overrides}}
    if kind.startswith("template_"):
        first = next(iter(state.templates.values()))
        return {"template": {**account_views.template(first, state.account), **wanted.overrides}}
    known = state.requests.get(wanted.signature_request_id or "")
    if known is not None:
        shown = views.signature_request(known, state.account, state.public_url)
    else:
        request_id = wanted.signature_request_id or state.bench.new_hex(40)
        shown = views.foreign_request(request_id, int(state.bench.clock.now_s()), state.public_url)
    return {"signature_request": {**shown, **wanted.overrides}}
