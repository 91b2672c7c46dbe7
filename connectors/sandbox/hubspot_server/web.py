"""The HTTP edge: authentication, rate limits and their headers, vendor error bodies, routes by template."""

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connectors.sandbox.hubspot_server import scopes
from connectors.sandbox.hubspot_server.errors import (
    Refusal,
    bad_json,
    correlation_id,
    html_page,
    missing_fields,
    rate_limit_body,
    status_body,
)
from connectors.sandbox.hubspot_server.portal import TIME_ZONE, Portal
from connectors.sandbox.hubspot_server.records.catalog import ObjectType, object_type
from connectors.sandbox.hubspot_server.records.record import Source

DATED = ("2026-03", "2026-09")
MAX_INPUTS = 100


@dataclass
class Call:
    """One API request with its parsed parts."""

    portal: Portal
    request: Request
    version: str  # v1, v3, v4 or a dated one
    args: dict[str, str]
    raw: bytes

    @property
    def binding(self) -> bool:
        """Whether the rules of 2026-09 apply."""
        return self.version == "2026-09"

    @property
    def source(self) -> Source:
        """This caller as the origin of changes."""
        return Source("INTEGRATION", str(self.portal.app_id))

    def kind(self, name: str = "object_type") -> ObjectType:
        """The object type of the path. Raises Refusal 400."""
        return object_type(self.args[name])

    def json(self) -> Any:
        """The JSON body. Raises Refusal 400 when it is not JSON."""
        try:
            return json.loads(self.raw)
        except ValueError:
            raise bad_json("the body is not JSON") from None

    def body(self) -> dict[str, Any]:
        """The JSON body, which must be an object. Raises Refusal 400."""
        found = self.json()
        if not isinstance(found, dict):
            raise bad_json("an object was expected")
        return found

    def inputs(self, most: int = MAX_INPUTS) -> list[dict[str, Any]]:
        """`inputs` of a batch: 1 to `most` objects. Raises Refusal 400."""
        found = self.body().get("inputs")
        if found is None:
            raise missing_fields(["inputs"])
        if not isinstance(found, list) or not all(isinstance(i, dict) for i in found):
            raise bad_json("inputs must be a list of objects")
        if not found:
            raise Refusal(400, "The batch has no inputs")
        if len(found) > most:
            raise Refusal(400, f"The batch has {len(found)} inputs, at most {most} are allowed")
        return found

    def names(self, parameter: str) -> list[str]:
        """A list in the query: repeated, comma-separated or both."""
        return [n for v in self.request.query_params.getlist(parameter) for n in v.split(",") if n]

    def text(self, parameter: str) -> str | None:
        """One query parameter."""
        return self.request.query_params.get(parameter) or None

    def flag(self, parameter: str, default: bool = False) -> bool:
        """A boolean in the query."""
        found = self.request.query_params.get(parameter)
        return default if found is None else found.lower() == "true"

    def number(self, parameter: str, default: int, most: int) -> int:
        """A whole number in the query from 1 to `most`. Raises Refusal 400."""
        text = self.request.query_params.get(parameter)
        if text is None:
            return default
        if not text.isdigit() or not 1 <= int(text) <= most:
            raise Refusal(400, f"{parameter} must be a number from 1 to {most}, not {text}")
        return int(text)


Handler = Callable[[Call], Awaitable[Response] | Awaitable[tuple[int, Any]]]


class Site:
    """The application and the portal that it serves now."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        self.operations: list[tuple[str, str]] = []
        self.app = FastAPI(redirect_slashes=False, docs_url=None, redoc_url=None, openapi_url=None)
        self.app.add_exception_handler(Refusal, _refused)
        self.app.add_exception_handler(HTTPException, _nobody_serves)
        self.app.add_exception_handler(500, _broke)

    def serve(self, method: str, templates: Sequence[str], handler: Handler) -> None:
        """Serve `method` at these path templates. `{version}` matches only the dated versions."""
        for template in templates:
            fixed = next((p for p in template.split("/") if p in ("v1", "v3", "v4")), "v3")

            async def endpoint(
                request: Request, _fixed: str = fixed, named: _Named = _Named(template)
            ) -> Response:
                request.scope["route"] = named  # the request log counts by template
                args = {k: str(v) for k, v in request.path_params.items()}
                version = args.pop("version", _fixed)
                if version not in (*DATED, _fixed):
                    raise HTTPException(404)
                call = Call(self.portal, request, version, args, await request.body())
                found = await handler(call)
                if isinstance(found, Response):
                    return found
                status, content = found
                return Response(status_code=status) if content is None else JSONResponse(content, status)

            self.operations.append((method, template))
            self.app.router.add_route(template, endpoint, methods=[method], include_in_schema=False)

    def show(self, template: str, handler: Callable[[Call], Awaitable[Response]]) -> None:
        """Serve a page for people here; it is not one of the vendor's operations."""

        async def endpoint(request: Request) -> Response:
            args = {k: str(v) for k, v in request.path_params.items()}
            return await handler(Call(self.portal, request, "", args, b""))

        self.app.router.add_route(template, endpoint, methods=["GET"], include_in_schema=False)


@dataclass(frozen=True)
class _Named:
    path: str


class Edge:
    """Middleware for authentication, rate limits and the headers of every answer."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app = app
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Authenticate, count, and call the application. Control paths and open paths are not checked."""
        path = scope.get("path", "")
        if scope["type"] != "http" or path.startswith(OPEN) or is_page(path):
            await self._app(scope, receive, send)
            return
        portal = self._site.portal
        search = path.endswith("/search") and scope["method"] == "POST"
        token = _bearer(scope)
        refused = _unauthorised(portal, token)
        if refused is None:
            day = portal.bench.clock.now().astimezone(ZoneInfo(TIME_ZONE))
            policy = portal.limits.admit(
                token, search=search, association="/associations/" in path, day=day.date().isoformat()
            )
            if policy is not None:
                refused = JSONResponse(rate_limit_body(policy), 429)
            else:
                scoped = scopes.refusal(portal.crm.settings.missing_scopes, scope["method"], path)
                refused = None if scoped is None else JSONResponse(scoped.body(), scoped.status)
        extra = {"x-hubspot-correlation-id": correlation_id()}
        if not search and token and not token.startswith("bad-"):
            extra |= portal.limits.headers(token)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", []),
                    *((k.lower().encode(), v.encode()) for k, v in extra.items()),
                ]
            await send(message)

        await (self._app if refused is None else refused)(scope, receive, with_headers)


OPEN = ("/_sandbox", "/oauth/", "/submissions/v3/integration/submit", "/hubfs/", "/signed-url-redirect/")


_PAGE = re.compile(r"/contacts/\d+/(record|files|objects)/")


def is_page(path: str) -> bool:
    """Whether a path is a page for people: no token, no limits, not in the request log."""
    return path == "/" or _PAGE.match(path) is not None


def _bearer(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            return token.strip() if scheme.lower() == "bearer" else ""
    return ""


def _unauthorised(portal: Portal, token: str) -> Response | None:
    if token and not token.startswith("bad-"):
        issued = portal.tokens.get(token)
        if issued is not None and issued["expires_ms"] <= portal.bench.clock.now_ms():
            expired = Refusal(
                401, "The OAuth token used to make this call expired", category="EXPIRED_AUTHENTICATION"
            )
            return JSONResponse(expired.body(), 401)
        return None
    text = "Authentication credentials not found. This API supports OAuth 2.0 authentication"
    if token:
        text = "The access token is not valid or was taken back"
    return JSONResponse(Refusal(401, text).body(), 401)


async def _refused(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Refusal)
    return JSONResponse(problem.body(), problem.status)


async def _nobody_serves(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    if request.url.path.startswith("/_sandbox"):
        return JSONResponse({"detail": problem.detail}, problem.status_code)
    title = {404: "Not Found", 405: "Method Not Allowed"}.get(problem.status_code, "Error")
    return Response(html_page(problem.status_code, title), problem.status_code, media_type="text/html")


async def _broke(request: Request, problem: Exception) -> Response:
    return JSONResponse(status_body(500), 500)
