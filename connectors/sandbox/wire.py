"""The ASGI shell around a stand-in: logs each request and applies faults on the real socket."""

import hashlib
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connectors.sandbox.clock import Clock
from connectors.sandbox.faults import Fault, Faults, hang
from connectors.sandbox.requestlog import RequestLog, RequestRow

_HTML = b"<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"


class Wire:
    """Wraps the vendor application. Control calls (`/_sandbox`) and paths for which `aside` is true (pages for
    people) are neither logged nor faulted."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        clock: Clock,
        log: RequestLog,
        faults: Faults,
        aside: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._app = app
        self._aside = aside
        self._clock = clock
        self._log = log
        self._faults = faults
        self.error_body: Any = None  # vendor's function: status -> error body as a dict

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request: read the body, log it, apply a fault or answer."""
        if scope["type"] != "http" or scope["path"].startswith("/_sandbox") or self._aside(scope["path"]):
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        body = await _read(receive)
        row = self._open(scope, body)
        fault = self._faults.pick(row.method, row.path, row.headers.get("authorization", ""))
        answer = _Answer()
        try:
            if fault is not None:
                row.fault = fault.kind
            if fault is None or fault.kind not in _BEFORE:
                if fault is not None and fault.kind == "slow":
                    await hang(fault.delay_s)
                await self._app(scope, _replay(body), answer.take)
                row.status = answer.status
            await self._reply(scope, send, row, fault, answer)
        finally:
            row.duration_ms = round((time.perf_counter() - started) * 1000, 2)
            route = scope.get("route")
            row.operation = getattr(route, "path", "") or row.path
            self._log.close(row)

    def _open(self, scope: Scope, body: bytes) -> RequestRow:
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        row = self._log.open(
            at_ms=self._clock.now_ms(),
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"].decode("latin-1"),
            headers=headers,
        )
        row.request_bytes = len(body)
        row.body_sha256 = hashlib.sha256(body).hexdigest() if body else ""
        row.body = _parsed(body, headers.get("content-type", ""))
        return row

    async def _reply(
        self, scope: Scope, send: Send, row: RequestRow, fault: Fault | None, answer: "_Answer"
    ) -> None:
        if fault is None or fault.kind == "slow":
            await answer.play(send)
            return
        match fault.kind:
            case "status" | "status_after":
                content = fault.body
                if content is None and self.error_body is not None:
                    content = self.error_body(fault.status)
                row.status = fault.status
                raw = json.dumps(content or {}).encode()
                await _send(send, fault.status, raw, b"application/json", fault.headers)
            case "html":
                row.status = fault.status
                await _send(send, fault.status, _HTML, b"text/html", fault.headers)
            case "reset_before" | "reset_after":
                _drop(send)
            case "timeout_before" | "timeout_after":
                await hang(fault.delay_s)
                _drop(send)
            case "truncated":
                # The length is still that of the whole body: the reader sees the connection end too early.
                await send(answer.start())
                await send(
                    {
                        "type": "http.response.body",
                        "body": answer.body[: len(answer.body) // 2],
                        "more_body": True,
                    }
                )
                _drop(send)
            case "odd_fields":
                await answer.changed(_with_unknown_fields).play(send)
            case "odd_types":
                await answer.changed(_with_odd_types).play(send)
            case "drip":
                await answer.drip(send, fault.delay_s)


_BEFORE = {"status", "html", "reset_before", "timeout_before"}


class _Answer:
    """The application's whole answer, buffered so that a fault can change it."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message.get("headers", []))
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")

    def start(self) -> Message:
        return {"type": "http.response.start", "status": self.status, "headers": self.headers}

    async def play(self, send: Send) -> None:
        await send(self.start())
        await send({"type": "http.response.body", "body": self.body})

    async def drip(self, send: Send, over_s: float) -> None:
        await send(self.start())
        steps = min(len(self.body), 50) or 1
        size = -(-len(self.body) // steps) if self.body else 0
        for at in range(0, len(self.body), size or 1):
            await send({"type": "http.response.body", "body": self.body[at : at + size], "more_body": True})
            await hang(over_s / steps)
        await send({"type": "http.response.body", "body": b""})

    def changed(self, change: Callable[[Any], Any]) -> "_Answer":
        """The same answer with changed JSON content; other content stays."""
        try:
            content = json.loads(self.body)
        except ValueError:
            return self
        odd = _Answer()
        odd.status, odd.body = self.status, json.dumps(change(content)).encode()
        odd.headers = [
            (k, str(len(odd.body)).encode() if k.lower() == b"content-length" else v) for k, v in self.headers
        ]
        return odd


def _with_unknown_fields(content: Any) -> Any:
    if isinstance(content, dict):
        content["x_new_in_a_later_release"] = {"nested": [1, "two", None]}
        for value in content.values():
            if isinstance(value, dict):
                value["x_new_flag"] = True
    return content


def _with_odd_types(content: Any) -> Any:
    if isinstance(content, list):
        return [_with_odd_types(one) for one in content]
    if isinstance(content, dict):
        odd = {name: _with_odd_types(value) for name, value in content.items()}
        if isinstance(odd.get("id"), str) and str(odd["id"]).isdigit():
            odd["id"] = int(odd["id"])
        return odd | {"x_new_in_a_later_release": [None, {"nested": 1.5}]}
    if isinstance(content, (int, float)) and not isinstance(content, bool):
        return str(content)
    return content


def _drop(send: Send) -> None:
    # uvicorn gives us the bound method of its request cycle; its transport is the socket.
    cycle = getattr(send, "__self__", None)
    transport = getattr(cycle, "transport", None)
    if transport is None:
        raise RuntimeError("cannot drop the connection: not running under uvicorn")
    transport.abort()


async def _send(send: Send, status: int, body: bytes, content_type: bytes, extra: dict[str, str]) -> None:
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    headers += [(k.encode(), v.encode()) for k, v in extra.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _read(receive: Receive) -> bytes:
    chunks = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    return b"".join(chunks)


def _replay(body: bytes) -> Receive:
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _parsed(body: bytes, content_type: str) -> object:
    if not body:
        return None
    try:
        if "json" in content_type:
            parsed: object = json.loads(body)
            return parsed
        if "x-www-form-urlencoded" in content_type:
            return parse_qs(body.decode())
    except ValueError:
        return None
    return None
