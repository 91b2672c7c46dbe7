"""The official SDK on one side, the stand-in in its own thread on the other, a real socket between."""

import asyncio
import copy
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dropbox_sign
import httpx
import pytest
import typst
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connectors.sandbox import dropbox_sign_server
from connectors.sandbox.clock import Clock
from tests.places import SHARED

API_KEY = "contract-test-key"


@dataclass
class Standing:
    """A running stand-in with a receiver for its events."""

    url: str
    control: httpx.Client
    events: list[dict[str, Any]] = field(default_factory=list)
    seen: list["Seen"] = field(default_factory=list)
    api_key: str = API_KEY

    def until(self, holds: Callable[[], bool], within_s: float = 60.0) -> None:
        """Wait for something to become true; fail when it does not."""
        end = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < end, f"not within {within_s} s: {self.types()}"
            time.sleep(0.02)

    def types(self, request_id: str | None = None) -> list[str]:
        """Event types so far, of one request where given."""
        return [
            e["event"]["event_type"]
            for e in self.events
            if request_id is None or e.get("signature_request", {}).get("signature_request_id") == request_id
        ]

    def now_s(self) -> int:
        """Virtual time: earlier tests may have moved it."""
        return int(self.get("/_sandbox/clock")["now_ms"] / 1000)

    def robots(self, *robots: dict[str, Any]) -> None:
        assert self.control.put("/_sandbox/robots", json=list(robots)).status_code == 200

    def limits(self, **change: Any) -> None:
        assert self.control.put("/_sandbox/limits", json=change).status_code == 200

    def advance(self, seconds: float) -> None:
        assert self.control.post("/_sandbox/clock/advance", json={"seconds": seconds}).status_code == 200

    def act(self, request_id: str, email: str, does: str, **more: Any) -> None:
        body = {"email": email, "does": does, **more}
        answer = self.control.post(f"/_sandbox/requests/{request_id}/act", json=body)
        assert answer.status_code == 200, answer.text

    def get(self, path: str, **params: Any) -> Any:
        """The raw JSON of a vendor call, for the schemas."""
        answer = self.control.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()


@dataclass(frozen=True)
class Seen:
    """One request to the stand-in, as its bytes arrived."""

    method: str
    path: str
    query: str
    content_type: str
    body: bytes


class Recorder:
    """Middleware that records every vendor call completely (the request log leaves out files and forms)."""

    def __init__(self, app: ASGIApp, seen: list[Seen]) -> None:
        self._app = app
        self._seen = seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not scope["path"].startswith("/v3/"):
            await self._app(scope, receive, send)
            return
        kept: list[bytes] = []

        async def listening() -> Message:
            message = await receive()
            kept.append(message.get("body", b""))
            return message

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":  # before the caller can go on
                self._note(scope, b"".join(kept))
            await send(message)

        await self._app(scope, listening, noting)

    def _note(self, scope: Scope, body: bytes) -> None:
        headers = {k.decode().lower(): v.decode() for k, v in scope["headers"]}
        kind, query = headers.get("content-type", ""), scope["query_string"].decode()
        self._seen.append(Seen(scope["method"], scope["path"], query, kind, body))


def _serve(
    ready: threading.Event, told: dict[str, Any], events: list[dict[str, Any]], seen: list[Seen]
) -> None:
    async def receiver(scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        events.append(json.loads(body.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"Hello API Event Received"})

    async def main() -> None:
        clock, socks, servers = Clock(), [], []
        for _ in range(2):
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            sock.bind(("127.0.0.1", 0))
            socks.append(sock)
        urls = [f"http://127.0.0.1:{s.getsockname()[1]}" for s in socks]
        stand_in = dropbox_sign_server.build(clock, seed=3, callback_url=f"{urls[1]}/hook", api_key=API_KEY)
        stand_in.public_url = urls[0]
        for app in (Recorder(stand_in.asgi, seen), receiver):
            servers.append(
                uvicorn.Server(
                    uvicorn.Config(
                        app,
                        log_level="warning",
                        lifespan="off",
                        timeout_graceful_shutdown=1,
                        timeout_keep_alive=75,
                    )
                )
            )
        tasks = [asyncio.create_task(s.serve([sock])) for s, sock in zip(servers, socks, strict=True)]
        ticking = asyncio.create_task(clock.run())
        while not all(s.started for s in servers):
            await asyncio.sleep(0.01)
        stop = asyncio.Event()
        told.update(url=urls[0], stop=stop, loop=asyncio.get_running_loop())
        ready.set()
        await stop.wait()
        ticking.cancel()
        await stand_in.bench.deliveries.close()
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*tasks, ticking, return_exceptions=True)

    asyncio.run(main())


@pytest.fixture(scope="session")
def _running() -> Iterator[Standing]:
    ready, told = threading.Event(), {}
    events: list[dict[str, Any]] = []
    seen: list[Seen] = []
    thread = threading.Thread(target=_serve, args=(ready, told, events, seen), daemon=True)
    thread.start()
    assert ready.wait(10), "the stand-in did not start"
    with httpx.Client(base_url=told["url"], auth=(API_KEY, ""), timeout=20, trust_env=False) as control:
        yield Standing(told["url"], control, events, seen)
    told["loop"].call_soon_threadsafe(told["stop"].set)
    thread.join(10)


@pytest.fixture
def standing(_running: Standing) -> Standing:
    """The stand-in, reset."""
    _running.control.post("/_sandbox/reset", json={"seed": 3})
    _running.events.clear()
    _running.seen.clear()
    return _running


@pytest.fixture
def sdk(standing: Standing) -> Iterator[dropbox_sign.ApiClient]:
    """The official client, unmodified, pointed at the stand-in."""
    configuration = dropbox_sign.Configuration(host=f"{standing.url}/v3", username=API_KEY)
    configuration.retries = False
    with dropbox_sign.ApiClient(configuration) as client:
        yield client


@pytest.fixture(scope="session")
def contract_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tagged contract on disk."""
    source = r"""
    #set page(paper: "a4")
    = Contract
    #for tag in ("[sig|req|signer1]", "[date|req|signer1]", "[text|noreq|signer1|Order|po]",
      "[check|noreq|signer1|News|news]", "[sig|req|signer2]", "[initial|req|signer2]") {
      text(fill: white, tag)
      v(1cm)
    }
    """
    path = tmp_path_factory.mktemp("contract") / "contract.pdf"
    path.write_bytes(bytes(typst.compile(source.encode(), ignore_system_fonts=True)))
    return path


def shared(name: str) -> Path:
    """A file or folder of the vendor's material, if it is available; else a visible skip."""
    found = SHARED / "specs" / "dropbox_sign" / name
    if not found.exists():
        pytest.skip(f"NOT CHECKED AGAINST THE VENDOR'S OWN MATERIAL: {name} not found; set DEALFLOW_SHARED")
    return found


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder with the official sample payloads."""
    return shared("examples/json")


@pytest.fixture(scope="session")
def spec() -> dict[str, Any]:
    """The official OpenAPI description, if the reading material is available."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    parsed: dict[str, Any] = yaml.load(
        shared("openapi-2026-07.yaml").read_text(), Loader=loader
    )  # a safe loader
    return parsed


def _json_schema(node: Any) -> Any:
    """OpenAPI 3.0 as JSON Schema: nullable becomes a type."""
    if isinstance(node, list):
        return [_json_schema(n) for n in node]
    if not isinstance(node, dict):
        return node
    out = {k: _json_schema(v) for k, v in node.items() if k not in ("nullable", "example", "discriminator")}
    if node.get("format") == "binary":
        out.pop("format")
    if node.get("nullable") is True:
        return {"anyOf": [out, {"type": "null"}]}
    return out


@pytest.fixture(scope="session")
def faults(spec: dict[str, Any]) -> Callable[[Any, Any], list[str]]:
    """`faults(schema, value)`: the ways in which the value breaks the description; a schema by name or in full."""
    import jsonschema

    document = {"components": _json_schema(copy.deepcopy(spec["components"]))}

    def find(schema: Any, value: Any) -> list[str]:
        wanted = (
            {"$ref": f"#/components/schemas/{schema}"} if isinstance(schema, str) else _json_schema(schema)
        )
        errors = jsonschema.Draft4Validator({**document, **wanted}).iter_errors(value)
        return [f"{'/'.join(map(str, e.absolute_path))}: {e.message}"[:300] for e in errors]

    return find


@pytest.fixture(scope="session")
def check(faults: Callable[[Any, Any], list[str]]) -> Callable[[str, Any], None]:
    """`check(schema_name, value)`: fails with every fault."""

    def validate(name: str, value: Any) -> None:
        assert faults(name, value) == []

    return validate


@pytest.fixture(scope="session")
def strange(spec: dict[str, Any]) -> Callable[[str, Any], set[str]]:
    """`strange(schema_name, value)`: properties that the description does not know, as dotted paths."""

    def look(schema: dict[str, Any], value: Any, where: str) -> Iterator[str]:
        if "$ref" in schema:
            schema = spec["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        if isinstance(value, list):
            for one in value:
                yield from look(schema.get("items", {}), one, where)
        if not isinstance(value, dict):
            return
        arms = [schema, *schema.get("allOf", ())]
        if any("oneOf" in a or "discriminator" in a for a in arms):
            return  # the shape depends on the value: its own test checks the schema of that shape
        if any(a.get("additionalProperties") for a in arms):
            return
        known: dict[str, Any] = {}
        for arm in arms:
            if "$ref" in arm:
                arm = spec["components"]["schemas"][arm["$ref"].rsplit("/", 1)[1]]
            known |= arm.get("properties", {})
        for key, one in value.items():
            here = f"{where}.{key}".lstrip(".")
            if not known:
                continue  # an object without a description may contain anything
            if key not in known:
                yield here
            else:
                yield from look(known[key], one, here)

    return lambda name, value: set(look(spec["components"]["schemas"][name], value, ""))
