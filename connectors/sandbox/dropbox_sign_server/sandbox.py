"""Builds the stand-in: one application on one bench, with the gate first and the vendor's error bodies last."""

from collections.abc import Awaitable, Callable, Mapping

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from connectors.sandbox.clock import Clock
from connectors.sandbox.control import control_router
from connectors.sandbox.docs import docs_router
from connectors.sandbox.dropbox_sign_server.access import check_key, tier_of
from connectors.sandbox.dropbox_sign_server.account_api import account_router
from connectors.sandbox.dropbox_sign_server.control import sandbox_router
from connectors.sandbox.dropbox_sign_server.engine import Engine
from connectors.sandbox.dropbox_sign_server.errors import VendorError, error_body
from connectors.sandbox.dropbox_sign_server.events import Events, is_loopback, new_deliveries
from connectors.sandbox.dropbox_sign_server.files_api import files_router
from connectors.sandbox.dropbox_sign_server.follow_up_api import follow_up_router
from connectors.sandbox.dropbox_sign_server.pages import is_page, pages_router
from connectors.sandbox.dropbox_sign_server.requests_api import requests_router
from connectors.sandbox.dropbox_sign_server.signers import Signers
from connectors.sandbox.dropbox_sign_server.state import State
from connectors.sandbox.faults import Faults
from connectors.sandbox.requestlog import RequestLog
from connectors.sandbox.snapshots import Parts, Snapshots
from connectors.sandbox.wire import Wire
from connectors.sandbox.world import Bench

Next = Callable[[Request], Awaitable[Response]]


class DropboxSignSandbox:
    """The Dropbox Sign stand-in: `asgi` to serve, `bench` to inspect, `public_url` for its links."""

    def __init__(self, clock: Clock, *, seed: int, callback_url: str | None, api_key: str) -> None:
        if callback_url is not None and not is_loopback(callback_url):
            raise ValueError("callback_url must be on this machine: the stand-in calls nobody else")
        self.bench = Bench("dropbox_sign", clock, RequestLog(), Faults(seed), new_deliveries(clock))
        self.state = State(self.bench, api_key, callback_url)
        self.snapshots = Snapshots(
            self.bench, Parts(self.state.kept, self.state.take_back, self.state.under_way)
        )
        self.events = Events(self.state)
        self.engine = Engine(self.state, self.events)
        self.signers = Signers(self.engine)
        wire = Wire(self._app(), clock=clock, log=self.bench.log, faults=self.bench.faults, aside=is_page)
        wire.error_body = error_body
        self.asgi: ASGIApp = wire
        self.reset(seed)

    @property
    def public_url(self) -> str:
        """Its address for callers, without a slash at the end."""
        return self.state.public_url

    @public_url.setter
    def public_url(self, url: str) -> None:
        self.state.public_url = url.rstrip("/")

    def reset(self, seed: int) -> None:
        """Start over with this seed: same seed and same calls, same ids. The clock continues."""
        self.bench.reset(seed)
        self.state.reset()

    def _app(self) -> FastAPI:
        app = FastAPI(title="Dropbox Sign stand-in", docs_url=None, redoc_url=None, openapi_url=None)
        app.middleware("http")(self._gate)
        app.add_exception_handler(VendorError, _refused)
        app.add_exception_handler(HTTPException, _no_route)
        app.include_router(control_router(self.bench, self.reset, self.snapshots))
        app.include_router(sandbox_router(self.state, self.events, self.signers))
        app.include_router(files_router(self.state))
        app.include_router(pages_router(self.state, self.signers))
        app.include_router(follow_up_router(self.state, self.engine, self.signers))
        app.include_router(requests_router(self.state, self.engine))
        app.include_router(account_router(self.state))
        app.include_router(docs_router(app, "Dropbox Sign"))
        return app

    async def _gate(self, request: Request, call_next: Next) -> Response:
        """Key first, then the budget. A send is counted by its own route, which knows about test mode."""
        path = request.url.path
        if not self.state.public_url:
            self.public_url = str(request.base_url)
        if not path.startswith("/v3/"):
            return await call_next(request)
        try:
            check_key(request)
            if not path.startswith("/v3/signature_request/send"):
                request.state.rate_headers = self.state.budgets.take(tier_of(request.method, path))
        except VendorError as refusal:
            return await _refused(request, refusal)
        response = await call_next(request)
        _spell_out(response, getattr(request.state, "rate_headers", {}))
        return response


def build(clock: Clock, *, seed: int, callback_url: str | None, api_key: str) -> DropboxSignSandbox:
    """A fresh stand-in on this clock. Raises ValueError for a callback URL that is not on this machine."""
    return DropboxSignSandbox(clock, seed=seed, callback_url=callback_url, api_key=api_key)


async def _refused(_request: Request, problem: Exception) -> Response:
    assert isinstance(problem, VendorError)
    response = JSONResponse(problem.body(), status_code=problem.status)
    _spell_out(response, problem.headers)
    return response


def _spell_out(response: Response, headers: Mapping[str, str]) -> None:
    # Bypasses Starlette's lower-casing: the vendor's capitals matter to clients that compare case-sensitively.
    response.raw_headers.extend((name.encode(), value.encode()) for name, value in headers.items())


async def _no_route(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    if request.url.path.startswith("/_sandbox"):
        return JSONResponse({"detail": problem.detail}, status_code=problem.status_code)
    return JSONResponse(error_body(problem.status_code), status_code=problem.status_code)
