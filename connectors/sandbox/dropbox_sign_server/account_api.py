"""Routes about the account, its API apps and its templates."""

from typing import Any

from fastapi import APIRouter, Request

from connectors.sandbox.dropbox_sign_server import account_views, reading, views
from connectors.sandbox.dropbox_sign_server.errors import VendorError, bad
from connectors.sandbox.dropbox_sign_server.events import is_loopback
from connectors.sandbox.dropbox_sign_server.forms import read_body
from connectors.sandbox.dropbox_sign_server.requests_api import alone, paging
from connectors.sandbox.dropbox_sign_server.state import State


def account_router(state: State) -> APIRouter:
    """`/v3/account`, `/v3/api_app/{client_id}` and `/v3/template`."""
    router = APIRouter(prefix="/v3")

    @router.get("/account")
    async def account(request: Request) -> dict[str, Any]:
        """The account, its callback URL and its remaining quotas."""
        own = {"account_id": state.account.account_id, "email_address": state.account.email}
        for name, value in own.items():
            if request.query_params.get(name, value) != value:
                raise VendorError("not_found", "Account not found", name)
        return {"account": account_views.account(state.account)}

    @router.put("/account")
    async def change_account(request: Request) -> dict[str, Any]:
        """Set the callback URL (an empty text clears it) and the locale."""
        fields = (await read_body(request)).fields
        if "callback_url" in fields:
            state.account.callback_url = callback_url(fields)
        state.account.locale = reading.text(fields, "locale") or state.account.locale
        return {"account": account_views.account(state.account)}

    @router.get("/api_app/{client_id}")
    async def api_app(client_id: str) -> dict[str, Any]:
        """One API app."""
        return {"api_app": account_views.api_app(state.app(client_id), state.account)}

    @router.put("/api_app/{client_id}")
    async def change_api_app(client_id: str, request: Request) -> dict[str, Any]:
        """Change only the fields given."""
        app, fields = state.app(client_id), (await read_body(request)).fields
        domains = reading.strings(fields, "domains")
        if len(domains) > 10:
            raise bad("An app may have up to 10 domains", "domains")
        name = reading.needed(fields, "name", "name") if "name" in fields else app.name
        if "callback_url" in fields:
            app.callback_url = callback_url(fields)
        app.name, app.domains = name, domains or app.domains
        return {"api_app": account_views.api_app(app, state.account)}

    @router.get("/template/list")
    async def templates(request: Request) -> dict[str, Any]:
        """All templates; `query` searches titles."""
        page, size = paging(request)
        wanted = request.query_params.get("query", "").removeprefix("title:").lower()
        async with alone(state, "template list", state.knobs.list_takes_s):
            rows = [t for t in state.templates.values() if wanted in t.title.lower()]
        return views.page_of(
            rows, page, size, "templates", lambda row: account_views.template(row, state.account)
        )

    @router.get("/template/{template_id}")
    async def template(template_id: str) -> dict[str, Any]:
        """One template with its roles, fields and merge fields."""
        return {"template": account_views.template(state.template(template_id), state.account)}

    return router


def callback_url(fields: reading.Fields) -> str | None:
    """A URL on this machine, or None for an empty text. Raises VendorError (400)."""
    url = (reading.text(fields, "callback_url") or "").strip()
    if url and not is_loopback(url):
        raise bad("The stand-in delivers to this machine only: use a loopback URL", "callback_url")
    return url or None
