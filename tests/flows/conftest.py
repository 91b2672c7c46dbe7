"""Both stand-ins as a real process, provisioned by the real command; and services that talk to them.

Flow logic is driven without a Prefect server: events are recorded and claimed in a real ledger, then handed to
a flow module's own `prepare` and `handle` (see `Desk`). What came of it is read from the stand-ins' records.
"""

import asyncio
import contextlib
import json
import os
import queue
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import uvicorn

from config.settings import Settings, load_settings
from connectors.dropbox_sign.sender import ContractSender
from connectors.hubspot.portal import Portal
from flows import services
from flows.gateway.app import build_app
from flows.ledger import documents as papers
from flows.ledger import inbox, tables
from flows.ledger.database import Ledger, open_ledger
from flows.ledger.inbox import Event, NewEvent
from flows.operations.launch import free_port
from flows.provision.plan import plan
from flows.rules.outcome import Outcome
from flows.services import Services, load_process, open_services, utc_now
from tests.places import ROOT

OWNER = "71530011"
SECRETS = {
    "DEALFLOW_HUBSPOT_TOKEN": "test-token",
    "DEALFLOW_HUBSPOT_CLIENT_SECRET": "sandbox-client-secret",
    "DEALFLOW_DROPBOX_SIGN_API_KEY": "sandbox-api-key",
    "DEALFLOW_LEADS_TOKEN": "test-leads-token",
    "DEALFLOW_OPS_PASSWORD": "test-ops-password",
}


def pytest_configure(config: pytest.Config) -> None:
    """Our one own marker."""
    config.addinivalue_line("markers", "gate(**environment): settings for this test's gateway")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A hang of a stand-in shall not hold everybody up."""
    for item in items:
        if Path(__file__).parent in item.path.parents and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(120))


@dataclass
class StandIns:
    """Addresses and controls of both stand-ins. `hub` and `sign` reach `/_sandbox` and the vendor API."""

    hubspot_url: str
    sign_url: str
    hub: httpx.Client
    sign: httpx.Client
    offset_s: float = 0.0

    def now(self) -> datetime:
        """The stand-ins' virtual time, which our services use too."""
        return datetime.fromtimestamp(time.time() + self.offset_s, UTC)

    def advance(self, seconds: float) -> None:
        """Move virtual time forward for the stand-ins and for us."""
        ok(self.hub.post("/_sandbox/clock/advance", json={"seconds": seconds}))
        self.offset_s = ok(self.hub.get("/_sandbox/clock"))["now_ms"] / 1000 - time.time()

    def fault(self, vendor: str, kind: str, path: str, **more: Any) -> None:
        """Plant a fault at `hub` or `sign`."""
        ok(self._of(vendor).post("/_sandbox/faults", json={"kind": kind, "path": path, **more}))

    def clear_faults(self) -> None:
        """Take all faults away."""
        for vendor in (self.hub, self.sign):
            ok(vendor.delete("/_sandbox/faults"))

    def calls(self, vendor: str, path: str, method: str = "") -> list[dict[str, Any]]:
        """What was asked of `hub` or `sign`, by part of the path."""
        found = ok(self._of(vendor).get("/_sandbox/requests", params={"path": path, "method": method}))
        rows: list[dict[str, Any]] = found["requests"]
        return rows

    def forget_calls(self) -> None:
        """Start counting calls at zero."""
        for vendor in (self.hub, self.sign):
            ok(vendor.delete("/_sandbox/requests"))

    def records(self, object_type: str) -> list[dict[str, Any]]:
        """All HubSpot records of a type as the stand-in holds them, archived ones too."""
        rows: list[dict[str, Any]] = ok(self.hub.get("/_sandbox/state", params={"type": object_type}))[
            "records"
        ]
        return rows

    def record(self, object_type: str, record_id: str) -> dict[str, Any]:
        """One of them."""
        return next(r for r in self.records(object_type) if r["id"] == record_id)

    def files(self) -> list[dict[str, Any]]:
        """All files in HubSpot."""
        rows: list[dict[str, Any]] = ok(self.hub.get("/_sandbox/state", params={"type": "files"}))["files"]
        return rows

    def requests(self, deal_id: str | None = None) -> list[dict[str, Any]]:
        """Signature requests at Dropbox Sign, of one deal or all."""
        rows: list[dict[str, Any]] = ok(self.sign.get("/_sandbox/state"))["requests"]
        return [r for r in rows if deal_id is None or str(r["metadata"].get("deal_id")) == deal_id]

    def rep(self, object_type: str, **what: Any) -> dict[str, Any]:
        """A person changes something in HubSpot."""
        done: dict[str, Any] = ok(self.hub.post("/_sandbox/rep", json={"object_type": object_type, **what}))
        return done

    def seed(self, *records: Mapping[str, Any]) -> list[str]:
        """Records that are simply there, without webhooks. Returns their ids."""
        ids: list[str] = ok(self.hub.post("/_sandbox/seed", json={"records": list(records)}))["ids"]
        return ids

    def sign_act(self, request_id: str, email: str, does: str, **more: Any) -> dict[str, Any]:
        """A signer acts."""
        body = {"email": email, "does": does, **more}
        done: dict[str, Any] = ok(self.sign.post(f"/_sandbox/requests/{request_id}/act", json=body))
        return done

    def _of(self, vendor: str) -> httpx.Client:
        return {"hub": self.hub, "sign": self.sign}[vendor]


def ok(answer: httpx.Response) -> Any:
    """The answer's JSON; a refusal by a stand-in's control is a mistake of the test."""
    assert answer.is_success, f"{answer.request.url}: {answer.status_code} {answer.text}"
    return answer.json()


def clean_environment(**values: str) -> dict[str, str]:
    """The environment without settings of ours or of a proxy, plus these."""
    kept = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("DEALFLOW_", "PREFECT_")) and "proxy" not in k.lower()
    }
    return {**kept, **values}


def dealflow(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a dealflow command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "flows", *arguments],
        cwd=ROOT,
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def run_dealflow() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a dealflow command with just these settings in its environment."""
    return dealflow


@pytest.fixture(scope="session")
def stand_ins() -> Iterator[StandIns]:
    """The sandbox as `dealflow sandbox` starts it, provisioned by `dealflow provision --apply`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flows", "sandbox"],
        cwd=ROOT,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, "the sandbox did not start"
        urls = json.loads(line)
        done = dealflow("provision", "--apply", DEALFLOW_HUBSPOT_BASE_URL=urls["hubspot"], **SECRETS)
        assert done.returncode == 0, done.stderr
        with (
            httpx.Client(base_url=urls["hubspot"], timeout=30, trust_env=False) as hub,
            httpx.Client(base_url=urls["dropbox_sign"], timeout=30, trust_env=False) as sign,
        ):
            yield StandIns(urls["hubspot"], urls["dropbox_sign"], hub, sign)
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


@pytest.fixture(scope="session")
def portal_client(stand_ins: StandIns) -> Portal:
    """Set-up calls through the official package; loading it takes a second, so once."""
    return Portal("test-token", stand_ins.hubspot_url)


@pytest.fixture
def bare(stand_ins: StandIns) -> StandIns:
    """Empty stand-ins: HubSpot with its default pipeline only."""
    for vendor in (stand_ins.hub, stand_ins.sign):
        ok(vendor.post("/_sandbox/reset", json={"seed": 0}))
    ok(stand_ins.hub.put("/_sandbox/limits", json={"burst": 100_000, "search_per_s": 1000}))
    stand_ins.offset_s = ok(stand_ins.hub.get("/_sandbox/clock"))["now_ms"] / 1000 - time.time()
    return stand_ins


@pytest.fixture
def world(bare: StandIns, portal_client: Portal) -> StandIns:
    """Stand-ins whose HubSpot fits the process file (a reset takes that away, so it is made again: 0.2 s)."""
    for change in plan(portal_client, load_process(Settings())):
        change.apply()
    bare.forget_calls()
    return bare


@pytest.fixture
def settings(stand_ins: StandIns, tmp_path: Path) -> Settings:
    """Settings that point at the stand-ins; the ledger is a SQLite file of this test."""
    return load_settings(
        {
            **SECRETS,
            "DEALFLOW_HOME": str(tmp_path / "home"),
            "DEALFLOW_HUBSPOT_BASE_URL": stand_ins.hubspot_url,
            "DEALFLOW_HUBSPOT_BURST_PER_10S": "1000",
            "DEALFLOW_DROPBOX_SIGN_BASE_URL": stand_ins.sign_url + "/v3",
            "DEALFLOW_DROPBOX_SIGN_CALLS_PER_MINUTE": "1000",
        }
    )


@pytest.fixture
async def s(world: StandIns, settings: Settings) -> AsyncIterator[Services]:
    """The services a worker has, on the stand-ins' time. A send waits two seconds for its answer."""
    opened = await open_services(settings)
    opened.clock = world.now
    key = settings.dropbox_sign_api_key
    assert key is not None
    sender = ContractSender(
        key.get_secret_value(), base_url=settings.dropbox_sign_base_url, timeout_s=(2.0, 2.0)
    )
    opened.esign = replace(opened.esign, sender=sender)
    with services.override(opened):
        yield opened
    await opened.close()


Ended = Outcome | Exception


@dataclass
class Desk:
    """What a worker does around a flow, in short: record, claim, prepare, handle, settle."""

    s: Services
    count: int = 0

    async def record(
        self,
        kind: str,
        deal_id: str | None = None,
        *,
        lane: str | None = None,
        source: str = "stage",
        key: str | None = None,
        content: Mapping[str, Any] | None = None,
    ) -> int:
        """Put an event into the inbox; returns its id."""
        self.count += 1
        event = NewEvent(
            source=source,
            key=key or f"test:{self.count}",
            kind=kind,
            lane=lane or f"deal:{deal_id}",
            content=content or {},
            deal_id=deal_id,
        )
        async with self.s.ledger.write() as tx:
            done = await inbox.record(tx, [event], now=self.s.clock())
        assert len(done.new) == 1, "the key is known already"
        return done.new[0]

    async def claim(
        self, ids: Sequence[int] | None = None, kinds: Sequence[str] | None = None
    ) -> list[Event]:
        """Take what is due under a lease."""
        async with self.s.ledger.write() as tx:
            return await inbox.claim(
                tx,
                owner=self.s.owner,
                now=self.s.clock(),
                lease_s=3600,
                limit=1000,
                kinds=kinds,
                only_ids=ids,
            )

    async def work(self, flow: ModuleType, events: Sequence[Event]) -> dict[int, Ended]:
        """Hand claimed events to a flow module's logic and settle them. Failures are values here."""
        ended: dict[int, Ended] = {}
        prepared = await flow.prepare(events, self.s)
        for event in events:
            try:
                ended[event.id] = await flow.handle(event, prepared, self.s)
            except Exception as problem:
                ended[event.id] = problem
            await self._settle(event, ended[event.id])
        return ended

    async def run(self, flow: ModuleType, *ids: int) -> Ended:
        """Claim these rows (whenever they are due) and work them; the last one's end."""
        async with self.s.ledger.write() as tx:
            await tx.execute(
                tables.inbox.update().where(tables.inbox.c.id.in_(ids)).values(due_at=self.s.clock())
            )
        events = await self.claim(ids)
        assert [e.id for e in events] == sorted(ids), "rows are not free to claim"
        return (await self.work(flow, events))[ids[-1]]

    async def do(self, flow: ModuleType, kind: str, deal_id: str, **more: Any) -> Ended:
        """Record one event and work it."""
        return await self.run(flow, await self.record(kind, deal_id, **more))

    async def open_events(self, kind: str | None = None) -> list[Event]:
        """Rows that are not done with, oldest first."""
        async with self.s.ledger.read() as tx:
            rows = await inbox.listing(tx, states=inbox.OPEN, limit=1000)
        return sorted((r for r in rows if kind is None or r.kind == kind), key=lambda r: r.id)

    async def event(self, event_id: int) -> Event:
        """One row."""
        async with self.s.ledger.read() as tx:
            return (await inbox.load(tx, [event_id]))[0]

    async def _settle(self, event: Event, end: Ended) -> None:
        now = self.s.clock()
        state = end.state if isinstance(end, Outcome) else "parked"
        due_at = now + timedelta(hours=1) if state in ("held", "parked") else None
        reason = "; ".join(end.reasons) if isinstance(end, Outcome) else type(end).__name__
        async with self.s.ledger.write() as tx:
            await inbox.settle(
                tx, event.id, owner=self.s.owner, state=state, now=now, reason=reason or None, due_at=due_at
            )


@pytest.fixture
def desk(s: Services) -> Desk:
    """The worker's desk on this test's ledger."""
    return Desk(s)


BUYER = {
    "name": "Analytical Engines Ltd",
    "domain": "analytical-engines.example",
    "address": "12 Difference Row",
    "city": "London",
    "zip": "EC2A 4BX",
    "country": "United Kingdom",
}
ADA = {"email": "ada@analytical-engines.example", "firstname": "Ada", "lastname": "Byron", "jobtitle": "Head"}
ITEM = {"name": "Onboarding workshop", "quantity": "2", "price": "1800"}


@dataclass
class Sales:
    """A portal with deals in it, as a sales team would have them."""

    world: StandIns
    s: Services

    async def deal(
        self,
        stage: str,
        *,
        name: str = "Contract desk",
        labels: Sequence[str] = ("Signer", "Decision maker"),
        contact: Mapping[str, str] | None = ADA,
        company: Mapping[str, str] | None = BUYER,
        items: Sequence[Mapping[str, str]] = (ITEM,),
        proposal: bool = True,
        **properties: str,
    ) -> str:
        """A deal standing in `stage` that meets every exit criterion, except for what is left out."""
        portal = await self.s.portal()
        links: list[dict[str, Any]] = []
        rows: list[dict[str, Any]] = []
        if company is not None:
            rows.append({"object_type": "companies", "key": "c", "properties": dict(company)})
            links.append({"to_type": "companies", "to_id": "@c"})
        if contact is not None:
            rows.append({"object_type": "contacts", "key": "p", "properties": dict(contact)})
            links += [{"to_type": "contacts", "to_id": "@p", "label": label} for label in labels] or [
                {"to_type": "contacts", "to_id": "@p"}
            ]
        for at, item in enumerate(items):
            rows.append({"object_type": "line_items", "key": f"i{at}", "properties": dict(item)})
            links.append({"to_type": "line_items", "to_id": f"@i{at}"})
        values = {
            "dealname": name,
            "pipeline": portal.pipeline_id,
            "dealstage": portal.stage_ids[stage],
            "amount": "24000",
            "deal_currency_code": "EUR",
            "hubspot_owner_id": OWNER,
            "dealflow_need": "Every contract signed and filed within a day.",
            **properties,
        }
        rows.append(
            {
                "object_type": "deals",
                "properties": {k: v for k, v in values.items() if v},
                "associations": links,
            }
        )
        deal_id = self.world.seed(*rows)[-1]
        if proposal:
            await self.proposal_on_file(deal_id)
        return deal_id

    async def proposal_on_file(self, deal_id: str) -> None:
        """As if a proposal had been filed before."""
        async with self.s.ledger.write() as tx:
            paper = await papers.freeze(
                tx,
                deal_id=deal_id,
                kind="proposal",
                source_sha256="0" * 64,
                sha256="1" * 64,
                title="Proposal",
                content=b"%PDF-earlier",
                now=self.s.clock(),
            )
            await papers.note_file(tx, paper.id, "1")

    async def stage_of(self, deal_id: str) -> str | None:
        """Our key for the stage the deal stands in at HubSpot."""
        portal = await self.s.portal()
        return portal.stage_key(self.world.record("deals", deal_id)["properties"].get("dealstage"))

    async def move(self, deal_id: str, stage: str) -> None:
        """A person moves the deal."""
        portal = await self.s.portal()
        self.world.rep("deals", id=deal_id, properties={"dealstage": portal.stage_ids[stage]})

    def contact_of(self, deal_id: str) -> str:
        """The id of the deal's first contact."""
        found: str = self.world.record("deals", deal_id)["associations"]["contacts"][0]["id"]
        return found

    def notes_of(self, deal_id: str) -> list[dict[str, Any]]:
        """The notes on a deal."""
        linked = self.world.record("deals", deal_id)["associations"].get("notes", [])
        ids = {link["id"] for link in linked}
        return [n for n in self.world.records("notes") if n["id"] in ids]

    async def opened(self, request_id: str) -> None:
        """Wait until a signature request has been processed and is out for signature."""
        for _ in range(200):
            found = next(r for r in self.world.requests() if r["signature_request_id"] == request_id)
            if found["phase"] != "processing":
                return
            await asyncio.sleep(0.02)
        raise AssertionError("the request was never processed")


@pytest.fixture
def sales(world: StandIns, s: Services) -> Sales:
    """The sales team's hand in HubSpot."""
    return Sales(world, s)


@dataclass
class Gate:
    """The gateway as it runs: uvicorn on a free port. `public` is the address that vendors believe to call."""

    url: str
    public: str
    ledger: Ledger
    client: httpx.AsyncClient
    database: Path

    async def post(self, path: str, **more: Any) -> httpx.Response:
        """Call it."""
        return await self.client.post(path, **more)

    async def get(self, path: str, **more: Any) -> httpx.Response:
        """Call it."""
        return await self.client.get(path, **more)

    async def raw(self, request: bytes) -> bytes:
        """Exactly these bytes, and all that comes back."""
        port = int(self.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(request)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            async with asyncio.timeout(20):
                return await reader.read(200_000)
        finally:
            writer.close()

    def rows(self, table: str) -> list[dict[str, Any]]:
        """What is really in the database, read past all our code."""
        with contextlib.closing(sqlite3.connect(self.database)) as db:
            db.row_factory = sqlite3.Row
            order = "id" if table in ("inbox", "deliveries") else "1"
            found = [dict(row) for row in db.execute(f"select * from {table} order by {order}")]
        for row in found:
            for name in ("content", "headers", "outcome"):
                if isinstance(row.get(name), str):
                    row[name] = json.loads(row[name])
        return found

    async def until(self, look: Callable[[], Any], within_s: float = 10) -> Any:
        """The first truth that `look` gives."""
        async with asyncio.timeout(within_s):
            while not (found := look()):
                await asyncio.sleep(0.02)
        return found


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """It runs in a thread: signals are not its business."""
        yield


@pytest.fixture
def make_gate(tmp_path: Path) -> Iterator[Callable[..., Gate]]:
    """Starts gateways in threads of their own, each with its own loop and ledger, as `dealflow gateway` does."""
    with contextlib.ExitStack() as running:
        yield lambda **environment: running.enter_context(_gateway(tmp_path, environment))


@contextlib.contextmanager
def _gateway(tmp_path: Path, environment: Mapping[str, str]) -> Iterator[Gate]:
    settings = load_settings(
        {
            **SECRETS,
            "DEALFLOW_HOME": str(tmp_path / "gate"),
            "DEALFLOW_GATEWAY_PORT": str(free_port()),
            "DEALFLOW_PUBLIC_URL": "https://sales.example.com/hooks-of-ours",
            **environment,
        }
    )
    ready: queue.Queue[tuple[_Server, Ledger] | BaseException] = queue.Queue()

    async def serve() -> None:
        try:
            ledger = await open_ledger(settings.database)
            app = build_app(settings, ledger, utc_now)
        except BaseException as problem:
            ready.put(problem)
            return
        config = uvicorn.Config(
            app, host=settings.gateway_host, port=settings.gateway_port, log_config=None, access_log=False
        )
        server = _Server(config)
        ready.put((server, ledger))
        await server.serve()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    started = ready.get(timeout=30)
    if isinstance(started, BaseException):
        raise started
    server, ledger = started
    while not server.started:
        assert thread.is_alive(), "the gateway did not start"
        time.sleep(0.01)
    url = f"http://{settings.gateway_host}:{settings.gateway_port}"
    client = httpx.AsyncClient(base_url=url, timeout=30, trust_env=False)
    try:
        yield Gate(url, settings.base_url, ledger, client, tmp_path / "gate" / "ledger.db")
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.fixture
async def gate(make_gate: Callable[..., Gate], request: pytest.FixtureRequest) -> AsyncIterator[Gate]:
    """One gateway; `@pytest.mark.gate(DEALFLOW_...=...)` changes its settings."""
    marker = request.node.get_closest_marker("gate")
    opened = await asyncio.to_thread(make_gate, **(marker.kwargs if marker else {}))
    yield opened
    await opened.client.aclose()
