"""Routes that create and list signature requests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import APIRouter, Request

from connectors.sandbox.dropbox_sign_server import reading, views
from connectors.sandbox.dropbox_sign_server.drafts import read_send
from connectors.sandbox.dropbox_sign_server.engine import Engine
from connectors.sandbox.dropbox_sign_server.errors import VendorError, bad
from connectors.sandbox.dropbox_sign_server.forms import Body, read_body
from connectors.sandbox.dropbox_sign_server.records import Draft
from connectors.sandbox.dropbox_sign_server.search import compile_query
from connectors.sandbox.dropbox_sign_server.state import State
from connectors.sandbox.dropbox_sign_server.templates import read_send_with_template


def requests_router(state: State, engine: Engine) -> APIRouter:
    """`send`, `send_with_template`, `list` and one request."""
    router = APIRouter(prefix="/v3/signature_request")
    clock, bench = state.bench.clock, state.bench

    @router.post("/send")
    async def send(request: Request) -> dict[str, Any]:
        """Accept documents and signers. The 200 only accepts it: see the events."""
        body = await _counted_body(request, state)
        return await _send(
            state,
            engine,
            body,
            lambda: read_send(body, now_s=clock.now_s(), new_hex=bench.new_hex),
            guard="send",
        )

    @router.post("/send_with_template")
    async def send_with_template(request: Request) -> dict[str, Any]:
        """Accept roles and values for templates. No duplicate guard is documented here, so there is none."""
        body = await _counted_body(request, state)
        return await _send(
            state,
            engine,
            body,
            lambda: read_send_with_template(
                body, find=state.template, now_s=clock.now_s(), new_hex=bench.new_hex
            ),
            guard=None,
        )

    @router.get("/list")
    async def list_requests(request: Request) -> dict[str, Any]:
        """Newest first; a query finds only indexed requests."""
        page, size = paging(request)
        wanted = request.query_params.get("query", "").strip()
        test = compile_query(wanted, state.account.email) if wanted else None
        account_id = request.query_params.get("account_id", "all")
        if account_id not in ("all", state.account.account_id):
            raise VendorError("forbidden", "This account is not on your team", "account_id")
        async with alone(state, "list", state.knobs.list_takes_s):
            indexed = clock.now_s() - state.knobs.search_lag_s
            rows = [
                found
                for found in sorted(state.requests.values(), key=lambda r: -r.created_s)
                if found.phase != "canceled"
                and not found.removed
                and (test is None or (found.created_s <= indexed and test(found)))
            ]
        return views.page_of(
            rows,
            page,
            size,
            "signature_requests",
            lambda found: views.signature_request(found, state.account, state.public_url),
        )

    @router.get("/{signature_request_id}")
    async def one(signature_request_id: str) -> dict[str, Any]:
        """One request: 410 once cancelled."""
        return shown(state, signature_request_id)

    return router


def shown(state: State, request_id: str) -> dict[str, Any]:
    """`SignatureRequestGetResponse`. Raises VendorError (404, 410)."""
    found = state.request(request_id)
    return {"signature_request": views.signature_request(found, state.account, state.public_url)}


def paging(request: Request) -> tuple[int, int]:
    """`page` from 1 and `page_size` 1 to 100 (20). Raises VendorError (400)."""
    page = reading.whole(request.query_params, "page")
    size = reading.whole(request.query_params, "page_size")
    page, size = 1 if page is None else page, 20 if size is None else size
    if page < 1:
        raise bad("page must be at least 1", "page")
    if not 1 <= size <= 100:
        raise bad("page_size must be between 1 and 100", "page_size")
    return page, size


@contextlib.asynccontextmanager
async def alone(state: State, mark: str | None, takes_s: float) -> AsyncIterator[None]:
    """Hold a lock for the duration of a call. Raises VendorError (409) for a second call with the same mark."""
    if mark is not None:
        if mark in state.in_flight:
            raise VendorError("conflict", "An identical request is already being processed.")
        state.in_flight.add(mark)
    try:
        await asyncio.sleep(takes_s)
        yield
    finally:
        if mark is not None:
            state.in_flight.discard(mark)


async def _counted_body(request: Request, state: State) -> Body:
    """The body of a send, counted in the test budget or the high tier (the gate does not count sends)."""
    body = await read_body(request)
    tier = "test" if str(body.fields.get("test_mode", "")).lower() in ("1", "true") else "high"
    request.state.rate_headers = state.budgets.take("test" if tier == "test" else "high")
    return body


async def _send(
    state: State, engine: Engine, body: Body, read: Callable[[], Draft], guard: str | None
) -> dict[str, Any]:
    mark = f"{guard}:{body.fingerprint()}" if guard else None
    async with alone(state, mark, state.knobs.send_takes_s):
        draft = read()
        if draft.client_id is not None and draft.client_id not in state.apps:
            raise bad("client_id is not one of your apps", "client_id")
        made = engine.accept(draft)
        answer = shown(state, made.id)
        if state.knobs.unconfirmed_sender:
            draft.warnings.append(
                {
                    "warning_name": "unconfirmed",
                    "warning_msg": "The request is on hold until the sender confirms the e-mail address",
                }
            )
        if draft.warnings:
            answer["warnings"] = draft.warnings
        return answer
