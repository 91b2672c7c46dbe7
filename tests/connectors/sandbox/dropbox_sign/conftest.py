"""One stand-in and one callback receiver for all tests here, on loopback ports; each test starts from a reset."""

import asyncio
import contextlib
import inspect
import itertools
import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import typst
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from connectors.sandbox import dropbox_sign_server
from connectors.sandbox.clock import Clock

API_KEY = "stand-in-test-key"
PROCESSING_S = 0.02
"""Shorter than the stand-in's own 0.2 s: nearly every test waits for it once."""

CONTRACT = r"""
#set page(paper: "a4", margin: 2.5cm)
= Contract
Price: [text-merge|noreq|sender|Price|price_1]
#v(3cm)
#TAGS
"""


@dataclass
class Receiver:
    """Takes one test's callbacks and answers as configured. `got` holds (headers, raw body, payload)."""

    url: str = ""
    status: int = 200
    answer: str = "Hello API Event Received"
    got: list[tuple[dict[str, str], bytes, dict[str, Any]]] = field(default_factory=list)

    def take(self, headers: dict[str, str], body: bytes) -> tuple[int, str]:
        text = body.split(b'name="json"\r\n\r\n', 1)[1].rsplit(b"\r\n--", 1)[0]
        self.got.append((headers, body, json.loads(text)))
        return self.status, self.answer

    def types(self, request_id: str | None = None) -> list[str]:
        """Event types in order of arrival, of one request where given."""
        return [
            p["event"]["event_type"]
            for _, _, p in self.got
            if request_id is None or p.get("signature_request", {}).get("signature_request_id") == request_id
        ]

    def last(self, event_type: str) -> dict[str, Any]:
        """The payload of the last event of a type."""
        return next(p for _, _, p in reversed(self.got) if p["event"]["event_type"] == event_type)


@dataclass
class World:
    """The objects that a test uses."""

    api: httpx.AsyncClient
    receiver: Receiver
    sandbox: dropbox_sign_server.DropboxSignSandbox
    clock: Clock

    async def send(self, **change: Any) -> httpx.Response:
        """A send with two ordered signers and a tagged contract; `change` alters the JSON fields."""
        files = change.pop("files", None) or [("contract.pdf", contract_pdf())]
        body: dict[str, Any] = {
            "title": "Contract for Acme",
            "signers": [
                {"name": "Jane Buyer", "email_address": "jane@buyer.example", "order": 0},
                {"name": "Ola Nordmann", "email_address": "ola@supplier.example", "order": 1},
            ],
            "metadata": {"token": "tok0001", "deal": "42"},
            "test_mode": True,
            "use_text_tags": True,
            "allow_decline": True,
        }
        body = {k: v for k, v in {**body, **change}.items() if v is not None}
        form = {k: v if isinstance(v, str) else json.dumps(v) for k, v in body.items()}
        parts = {f"files[{n}]": (name, content) for n, (name, content) in enumerate(files)}
        return await self.api.post("/v3/signature_request/send", data=form, files=parts)

    async def sent(self, **change: Any) -> str:
        """Send, wait until it is sent, return its id."""
        answer = await self.send(**change)
        assert answer.status_code == 200, answer.text
        request_id: str = answer.json()["signature_request"]["signature_request_id"]
        await self.until(lambda: "signature_request_sent" in self.receiver.types(request_id))
        return request_id

    async def get(self, request_id: str) -> dict[str, Any]:
        answer = await self.api.get(f"/v3/signature_request/{request_id}")
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()["signature_request"]
        return shown

    async def act(self, request_id: str, email: str, does: str, **more: Any) -> httpx.Response:
        body = {"email": email, "does": does, **more}
        return await self.api.post(f"/_sandbox/requests/{request_id}/act", json=body)

    async def limits(self, **change: Any) -> None:
        answer = await self.api.put("/_sandbox/limits", json=change)
        assert answer.status_code == 200, answer.text

    async def advance(self, seconds: float) -> None:
        """Move the clock and let the resulting callbacks arrive."""
        answer = await self.api.post("/_sandbox/clock/advance", json={"seconds": seconds})
        assert answer.status_code == 200
        await asyncio.sleep(0.05)

    async def state(self, request_id: str) -> dict[str, Any]:
        rows = (await self.api.get("/_sandbox/state")).json()["requests"]
        found: dict[str, Any] = next(r for r in rows if r["signature_request_id"] == request_id)
        return found

    async def until(self, holds: Callable[[], bool], within_s: float = 60.0) -> None:
        """Wait for something to become true; fail loudly when it does not."""
        end = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < end, f"not within {within_s} s; events so far: {self.receiver.types()}"
            await asyncio.sleep(0.01)


@cache
def contract_pdf(*tags: str) -> bytes:
    """A contract with these tags in white, or with a signature and a date for two signers."""
    wanted = tags or ("[sig|req|signer1]", "[date|req|signer1]", "[sig|req|signer2]", "[date|req|signer2]")
    lines = " #v(1.2cm) ".join(f'#text(fill: white, size: 8pt)[#"{tag}"]' for tag in wanted)
    source = CONTRACT.replace("#TAGS", lines).replace(
        "[text-merge|noreq|sender|Price|price_1]", '#"[text-merge|noreq|sender|Price|price_1]"'
    )
    return bytes(typst.compile(source.encode(), ignore_system_fonts=True))


@dataclass
class Sink:
    """The target of callbacks. A late one of an earlier test, known by its path, is accepted and ignored."""

    url: str = ""
    now: Receiver = field(default_factory=Receiver)
    tests: Iterator[int] = field(default_factory=itertools.count)

    def fresh(self) -> Receiver:
        self.now = Receiver(f"{self.url}/{next(self.tests)}")
        return self.now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        status, answer = 200, "Hello API Event Received"
        if (self.url + scope["path"]).startswith(self.now.url + "/"):
            headers = {k.decode().lower(): v.decode() for k, v in scope["headers"]}
            status, answer = self.now.take(headers, body)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": answer.encode()})


@contextlib.asynccontextmanager
async def _up(app: ASGIApp) -> AsyncIterator[str]:
    # With the protocol named, asyncio sets TCP_NODELAY; without it answers wait 40 ms for an ACK.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1, timeout_keep_alive=75
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve([sock]))
    while not server.started:
        await asyncio.sleep(0.005)
    yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    server.should_exit = True
    await asyncio.gather(task, return_exceptions=True)


@dataclass
class Running:
    """The part that all tests share: starting it for each test took longer than the tests themselves."""

    api: httpx.AsyncClient
    sink: Sink
    sandbox: dropbox_sign_server.DropboxSignSandbox
    clock: Clock


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _running() -> AsyncIterator[Running]:
    sink, clock = Sink(), Clock()
    sandbox = dropbox_sign_server.build(clock, seed=7, callback_url=None, api_key=API_KEY)
    async with _up(sink) as sink.url, _up(sandbox.asgi) as url:
        sandbox.public_url = url
        ticking = asyncio.create_task(clock.run())
        async with httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as api:
            yield Running(api, sink, sandbox, clock)
        ticking.cancel()
        await sandbox.bench.deliveries.close()


@pytest_asyncio.fixture(loop_scope="session")
async def world(_running: Running) -> World:
    """A reset stand-in (only its clock has moved), its own receiver, and a client with a key."""
    receiver, sandbox = _running.sink.fresh(), _running.sandbox
    _running.clock.clear()
    sandbox.state.first_callback_url = f"{receiver.url}/hook"
    sandbox.reset(7)
    sandbox.state.knobs.processing_s = PROCESSING_S
    _running.api.auth = httpx.BasicAuth(API_KEY, "")
    return World(_running.api, receiver, sandbox, _running.clock)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One event loop for all tests of this folder: the server lives in it."""
    here, one_loop = Path(__file__).parent, pytest.mark.asyncio(loop_scope="session")
    for item in items:
        if here in item.path.parents and inspect.iscoroutinefunction(getattr(item, "obj", None)):
            item.add_marker(one_loop, append=False)


@pytest.fixture
def make_contract() -> Callable[..., bytes]:
    """Makes a PDF with these tags."""
    return contract_pdf
