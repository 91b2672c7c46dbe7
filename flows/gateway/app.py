"""The gateway's application: deliveries in, health and metrics out, the ops page for people."""

import hmac
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from fastapi.security import HTTPBasic, HTTPBasicCredentials

from config.settings import Settings, SettingsError
from flows.gateway import ops_page
from flows.gateway.deal_page import DealPage
from flows.gateway.receiver import Receiver
from flows.ledger import effects, inbox, presence, stage_checks
from flows.ledger.database import Ledger, StorageError
from flows.services import load_process

log = logging.getLogger(__name__)

_ALIVE_S = 30
_PRIVATE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
}
"""Headers of pages for people: no caching, and no scripts."""


def check(settings: Settings) -> None:
    """Check that every enabled route has its secret. Raises SettingsError naming a missing one."""
    settings.require("dropbox_sign_api_key")
    if settings.hubspot_webhooks == "on":
        settings.require("hubspot_client_secret")
    if settings.leads == "on" and not (settings.leads_token or settings.leads_hmac_secret):
        raise SettingsError(
            "DEALFLOW_LEADS_TOKEN (or DEALFLOW_LEADS_HMAC_SECRET) is not set: set one, or DEALFLOW_LEADS=off"
        )


def build_app(settings: Settings, ledger: Ledger, clock: Callable[[], datetime]) -> FastAPI:
    """Build the application. Raises SettingsError for a missing secret."""
    check(settings)
    receiver = Receiver(settings, ledger, clock)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        receiver.close()
        await ledger.close()

    app = FastAPI(
        title="dealflow gateway", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan
    )
    app.include_router(receiver.router())

    @app.get("/healthz")
    async def healthz() -> Response:
        """200 while deliveries can be stored and a live worker reaches Prefect; else 503 and the reason."""
        health = await health_of(ledger, clock())
        return JSONResponse(health, 200 if health["ok"] else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        """Counts for Prometheus; 503 while the ledger does not respond."""
        try:
            text = await _metrics(ledger, clock())
        except StorageError as problem:
            return PlainTextResponse(f"ledger: {problem.kind}\n", 503)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    if settings.ops_password is not None and settings.ops_password.get_secret_value():
        _add_ops_page(app, settings, ledger, clock)
    return app


async def health_of(ledger: Ledger, now: datetime) -> dict[str, Any]:
    """The health of the parts, as JSON values."""
    try:
        async with ledger.write() as tx:
            await presence.count(tx, "health.looks", now=now)  # a full disk is only noticed on a write
            inbox_states = await inbox.tally(tx)
            alive = await presence.alive(tx, since=now - timedelta(seconds=_ALIVE_S))
            due = await inbox.next_due(tx)
    except StorageError as problem:
        return {"ok": False, "ledger": problem.kind, "workers": 0}
    notes = [worker.note for worker in alive if worker.note]
    return {
        "ok": bool(alive) and all(worker.prefect_ok for worker in alive),
        "ledger": "ok",
        "workers": len(alive),
        "prefect": "away" if any(not w.prefect_ok for w in alive) else "ok" if alive else "unknown",
        "notes": notes or (["no worker is alive: start `dealflow worker`"] if not alive else []),
        "inbox": inbox_states,
        "oldest_due": due.isoformat() if due else None,
    }


async def _metrics(ledger: Ledger, now: datetime) -> str:
    async with ledger.read() as tx:
        inbox_states = await inbox.tally(tx)
        effect_states = await effects.tally(tx)
        totals = await presence.totals(tx)
        checks = await stage_checks.tally(tx)
        alive = await presence.alive(tx, since=now - timedelta(seconds=_ALIVE_S))
    lines = ["# HELP dealflow_inbox_events Inbox rows by state.", "# TYPE dealflow_inbox_events gauge"]
    lines += [f'dealflow_inbox_events{{state="{k}"}} {n}' for k, n in sorted(inbox_states.items())]
    lines += ["# HELP dealflow_effects Outward writes by state.", "# TYPE dealflow_effects gauge"]
    lines += [f'dealflow_effects{{state="{k}"}} {n}' for k, n in sorted(effect_states.items())]
    lines += ["# HELP dealflow_stage_checks_total Stage entries by what was found and done about it."]
    lines += ["# TYPE dealflow_stage_checks_total counter"]
    lines += [
        f'dealflow_stage_checks_total{{found="{found}",action="{action}"}} {n}'
        for (found, action), n in sorted(checks.items())
    ]
    lines += ["# HELP dealflow_count_total Refusals and other counts.", "# TYPE dealflow_count_total counter"]
    lines += [f'dealflow_count_total{{name="{k}"}} {n}' for k, n in sorted(totals.items())]
    lines += ["# HELP dealflow_workers_alive Workers seen lately.", "# TYPE dealflow_workers_alive gauge"]
    lines += [f"dealflow_workers_alive {len(alive)}"]
    lines += ["# HELP dealflow_prefect_ok Whether workers reach Prefect.", "# TYPE dealflow_prefect_ok gauge"]
    lines += [f"dealflow_prefect_ok {int(bool(alive) and all(w.prefect_ok for w in alive))}"]
    return "\n".join(lines) + "\n"


def _add_ops_page(app: FastAPI, settings: Settings, ledger: Ledger, clock: Callable[[], datetime]) -> None:
    password = settings.ops_password
    assert password is not None
    process = load_process(settings)
    basic = HTTPBasic(realm="dealflow")
    deals = DealPage(settings, process)

    def logged_in(given: Annotated[HTTPBasicCredentials, Depends(basic)]) -> None:
        user_ok = hmac.compare_digest(given.username.encode(), settings.ops_user.encode())
        password_ok = hmac.compare_digest(given.password.encode(), password.get_secret_value().encode())
        if not (user_ok and password_ok):
            raise HTTPException(401, "wrong user or password", {"WWW-Authenticate": 'Basic realm="dealflow"'})

    @app.get("/", dependencies=[Depends(logged_in)])
    async def ops() -> HTMLResponse:
        """The ops page."""
        return HTMLResponse(await ops_page.render(settings, process, ledger, clock()), headers=_PRIVATE)

    @app.get("/deals", dependencies=[Depends(logged_in)])
    async def deals_without_proof() -> HTMLResponse:
        """Deals in a stage without proof."""
        page = await ops_page.render_unproven(process, ledger, clock())
        return HTMLResponse(page, headers=_PRIVATE)

    @app.get("/deals/{deal_id}", dependencies=[Depends(logged_in)])
    async def deal(deal_id: str, stage: str | None = None) -> HTMLResponse:
        """The explanation of one deal."""
        page = await deals.render(deal_id, stage)
        return HTMLResponse(page.html, page.status, headers=_PRIVATE)
