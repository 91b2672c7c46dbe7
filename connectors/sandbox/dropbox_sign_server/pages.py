"""The page behind `signing_url` and `details_url`: in a rehearsal, people can sign by hand."""

from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from connectors.sandbox.dropbox_sign_server.documents import utc_text
from connectors.sandbox.dropbox_sign_server.errors import VendorError
from connectors.sandbox.dropbox_sign_server.records import SignatureRequest
from connectors.sandbox.dropbox_sign_server.signers import Signers
from connectors.sandbox.dropbox_sign_server.state import State


def pages_router(state: State, signers: Signers) -> APIRouter:
    """`/sign/{id}` and the requester's page, which shows the same. No key is needed: it is a rehearsal."""
    router = APIRouter(include_in_schema=False)

    @router.get("/sign/{signature_request_id}")
    async def sign_page(signature_request_id: str) -> Response:
        """Where the request stands, with buttons for those whose turn it is."""
        return _page(state, state.request(signature_request_id))

    @router.get("/home/manage")
    async def manage(guid: str) -> Response:
        """The requester's view of it."""
        return _page(state, state.request(guid))

    @router.post("/sign/{signature_request_id}")
    async def act(signature_request_id: str, request: Request) -> Response:
        """One signer signs or declines."""
        found = state.request(signature_request_id)
        form = await request.form()
        signature = next((s for s in found.signatures if s.signature_id == form.get("signature_id")), None)
        does = form.get("does")
        if signature is None or does not in ("sign", "decline"):
            return _page(state, found, problem="This signer is not on the request any more.", status=400)
        try:
            signers.act(
                found,
                signature,
                "sign" if does == "sign" else "decline",
                reason=str(form.get("reason") or "") or None,
            )
        except VendorError as refusal:
            return _page(state, found, problem=refusal.msg, status=refusal.status)
        return RedirectResponse(f"/sign/{signature_request_id}", status_code=303)

    return router


@cache
def _template() -> Template:
    loader = FileSystemLoader(Path(__file__).parent / "paper")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined).get_template("sign.html")


def _page(state: State, found: SignatureRequest, *, problem: str = "", status: int = 200) -> HTMLResponse:
    turn = found.turn()
    text = _template().render(
        title=found.draft.title,
        phase=found.phase.capitalize(),
        requester=state.account.email,
        problem=problem,
        allow_decline=found.draft.allow_decline,
        signers=[
            {
                "id": s.signature_id,
                "name": s.name,
                "email": s.email,
                "status": s.status.replace("_", " "),
                "may_act": s in turn,
            }
            for s in found.signatures
        ],
        history=[(utc_text(at), line) for at, line in found.history],
    )
    return HTMLResponse(text, status_code=status)
