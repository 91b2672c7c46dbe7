"""Pages for people: all requests, one request with its signers, and its PDF. A person can sign there by hand."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from connectors.sandbox.dropbox_sign_server.errors import VendorError
from connectors.sandbox.dropbox_sign_server.files_api import downloadable
from connectors.sandbox.dropbox_sign_server.records import Signature, SignatureRequest
from connectors.sandbox.dropbox_sign_server.rendering import rendered
from connectors.sandbox.dropbox_sign_server.signers import Signers
from connectors.sandbox.dropbox_sign_server.state import State
from connectors.sandbox.webpages import page

_HERE = Path(__file__).parent
LIST_MOST = 200
"""Most requests on the list; the others are only counted."""
_WORDS = {
    "processing": ("Being prepared", "plain"),
    "open": ("Out for signature", ""),
    "complete": ("Completed", "good"),
    "declined": ("Declined", "bad"),
    "expired": ("Expired", "bad"),
    "error": ("Failed", "bad"),
    "canceled": ("Cancelled", "bad"),
}
_SIGNER_PILLS = {"signed": "good", "declined": "bad", "expired": "bad", "on_hold": "warn"}


def is_page(path: str) -> bool:
    """Whether a path is a read-only page for people: it is not logged and meets no faults."""
    return path == "/" or path.startswith("/home/")


def pages_router(state: State, signers: Signers) -> APIRouter:
    """The pages. No key is needed."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def everything() -> Response:
        """All requests, newest first."""
        return _list(state)

    @router.get("/home/manage")
    async def manage(guid: str = "") -> Response:
        """The requester's view of a request."""
        return _seen(state, guid)

    @router.get("/home/document")
    async def document(guid: str = "") -> Response:
        """The PDF in its present state, in the browser."""
        try:
            content = await rendered(state, downloadable(state, guid), "pdf")
        except VendorError as refusal:
            return _missing(state, refusal)
        return Response(
            content,
            media_type="application/pdf",
            headers={"Content-Disposition": f'inline; filename="{guid}.pdf"'},
        )

    @router.get("/sign/{signature_request_id}")
    async def sign_page(signature_request_id: str) -> Response:
        """The state of the request, with buttons for the signers whose turn it is."""
        return _seen(state, signature_request_id)

    @router.post("/sign/{signature_request_id}")
    async def act(signature_request_id: str, request: Request) -> Response:
        """One signer signs or declines."""
        return await _act(state, signers, signature_request_id, request)

    return router


async def _act(state: State, signers: Signers, request_id: str, request: Request) -> Response:
    try:
        found = state.request(request_id)
    except VendorError as refusal:
        return _missing(state, refusal)
    form = await request.form()
    signature = next((s for s in found.signatures if s.signature_id == form.get("signature_id")), None)
    does = form.get("does")
    if signature is None or does not in ("sign", "decline"):
        return _page(state, found, problem="This signer is not on the request any more.", status=400)
    try:
        reason = str(form.get("reason") or "") or None
        signers.act(found, signature, "sign" if does == "sign" else "decline", reason=reason)
    except VendorError as refusal:
        return _page(state, found, problem=refusal.msg, status=refusal.status)
    return RedirectResponse(f"/sign/{request_id}", status_code=303)


def _seen(state: State, request_id: str) -> Response:
    try:
        return _page(state, state.request(request_id))
    except VendorError as refusal:
        return _missing(state, refusal)


def _frame(state: State) -> dict[str, Any]:
    return {
        "requester": state.account.email,
        "now": _moment(state.bench.clock.now_s()),
        "count": sum(not r.removed for r in state.requests.values()),
    }


def _missing(state: State, refusal: VendorError) -> Response:
    why = {
        404: "There is no such signature request.",
        410: "This signature request was cancelled.",
        409: "The documents are still being prepared. Try again in a moment.",
    }.get(refusal.status, refusal.msg)
    return page(_HERE, "missing.html", status=refusal.status, why=why, **_frame(state))


def _list(state: State) -> Response:
    newest = sorted((r for r in state.requests.values() if not r.removed), key=lambda r: -r.created_s)
    rows = [
        {
            "id": r.id,
            "title": r.draft.title,
            "status": _WORDS[r.phase],
            "open": r.phase != "canceled",
            "signers": [(s.name, s.status == "signed") for s in r.signatures],
            "test_mode": r.draft.test_mode,
            "created": _moment(r.created_at),
        }
        for r in newest[:LIST_MOST]
    ]
    return page(_HERE, "list.html", rows=rows, left=len(newest) - len(rows), **_frame(state))


def _page(state: State, found: SignatureRequest, *, problem: str = "", status: int = 200) -> Response:
    turn, draft = found.turn(), found.draft
    ordered = any(s.order is not None for s in found.signatures)
    return page(
        _HERE,
        "sign.html",
        status=status,
        request=found,
        title=draft.title,
        phase=_WORDS[found.phase],
        problem=problem,
        message=draft.message or "",
        subject=draft.subject or "",
        allow_decline=draft.allow_decline,
        signers=[_signer(s, may_act=s in turn, ordered=ordered) for s in found.signatures],
        documents=[f.name for f in draft.files],
        has_pdf=not found.files_busy and found.phase not in ("expired", "error"),
        metadata=sorted((k, str(v)) for k, v in draft.metadata.items()),
        facts=_facts(found),
        history=[(_moment(at, seconds=True), line) for at, line in reversed(found.history)],
        **_frame(state),
    )


def _signer(signature: Signature, *, may_act: bool, ordered: bool) -> dict[str, Any]:
    done = [
        ("signed", signature.signed_at),
        ("viewed", signature.last_viewed_at),
        ("reminded", signature.last_reminded_at),
    ]
    words = signature.status.replace("_", " ")
    if signature.status == "awaiting_signature" and not may_act and ordered:
        words = "waits for the signers before"
    return {
        "id": signature.signature_id,
        "number": (signature.order or 0) + 1 if ordered else signature.index + 1,
        "name": signature.name,
        "email": signature.email,
        "role": signature.role or "",
        "words": "address bounced" if signature.bounced else words,
        "pill": "bad"
        if signature.bounced
        else _SIGNER_PILLS.get(signature.status, "" if may_act else "plain"),
        "times": " · ".join(f"{what} {_moment(at)}" for what, at in done if at is not None),
        "reason": signature.decline_reason or signature.error or "",
        "may_act": may_act,
    }


def _facts(found: SignatureRequest) -> list[tuple[str, str]]:
    rows = [
        ("Sent", _moment(found.created_at)),
        ("Expires", _moment(found.expires_at) if found.expires_at else "never"),
        ("Copies to", ", ".join(found.draft.cc)),
        ("Template", ", ".join(found.draft.template_ids or [])),
        ("What went wrong", found.error or ""),
        ("Cancelling", "queued" if found.cancel_queued else ""),
        ("Id", found.id),
    ]
    return [(label, text) for label, text in rows if text]


def _moment(at_s: float, *, seconds: bool = False) -> str:
    when = datetime.fromtimestamp(at_s, UTC)
    clock = f"{when:%H:%M:%S}" if seconds else f"{when:%H:%M}"
    return f"{when.day} {when:%b %Y}, {clock} UTC"
