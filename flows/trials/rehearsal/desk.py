"""Gateway and worker without Prefect: deliveries go through the real gateway, events through the flows' own logic.

One thing at a time, in the inbox's order, by virtual time: parked and held events wait until they are due.
"""

import importlib
import math
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from config.settings import Settings
from connectors.dropbox_sign.client import DropboxSignClient
from connectors.dropbox_sign.sender import ContractSender
from connectors.dropbox_sign.service import DropboxSign
from connectors.http.exchange import CallRecord
from connectors.http.pacing import dropbox_sign_pace
from connectors.hubspot.client import HubSpotClient
from flows import services
from flows.deals.stage_entries import watch_from_now
from flows.deals.sync_deals import sweep
from flows.errors import FlowError
from flows.follow_up import sweep as follow_up_sweep
from flows.gateway.app import build_app
from flows.ledger import inbox
from flows.ledger.database import open_ledger
from flows.ledger.inbox import Event
from flows.processes import FLOWS, Flow, by_flow
from flows.services import Services, open_services
from flows.trials.rehearsal.loopback import PlainClient, loopback_client
from flows.trials.rehearsal.world import API_KEY, CLIENT_SECRET, GATEWAY, Delivery, World
from flows.worker.settle import Ended, fail, finish

_LEADS_TOKEN = "rehearsal-leads"  # noqa: S105  # opens nothing but the rehearsal
_SIGN_ANSWER = "Hello API Event Received"
_ROUNDS = 200
_PLENTY = 1_000_000_000


class DeskError(FlowError):
    """The gateway refused a delivery, or the inbox does not become idle: a fault of the product."""


@dataclass
class Tally:
    """Counts what the worker does."""

    calls: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    summaries: Counter[str] = field(default_factory=Counter)
    held: dict[tuple[str, str], set[int]] = field(default_factory=dict)
    dead: list[tuple[str, str]] = field(default_factory=list)

    def called(self, call: CallRecord) -> None:
        """One vendor call."""
        self.calls[f"{call.vendor} {call.operation}"] += 1

    def note(self, one: Ended) -> None:
        """One event handled."""
        self.ended[one.state] += 1
        if one.state == "done" and one.outcome is not None:
            self.summaries[f"{one.event.kind}: {one.outcome.summary}"] += 1
        if one.state == "held" and one.outcome is not None:
            for reason in one.outcome.reasons:
                self.held.setdefault((one.event.kind, reason), set()).add(one.event.id)
        if one.state == "dead":
            self.dead.append((one.event.kind, one.reason))


@dataclass
class Desk:
    """Gateway and worker of the rehearsal."""

    s: Services
    gateway: httpx.AsyncClient
    tally: Tally

    async def lead(self, fields: Mapping[str, str]) -> str:
        """A buyer sends the form; returns the lead's key."""
        headers = {"Authorization": f"Bearer {_LEADS_TOKEN}"}
        answer = await self.gateway.post("/leads", json=dict(fields), headers=headers)
        if answer.status_code != 202:
            raise DeskError(f"the gateway answered {answer.status_code} to a lead: {answer.text}")
        key: str = answer.json()["lead"]
        return key

    async def take_in(self, deliveries: list[Delivery]) -> None:
        """Deliver to the gateway, byte for byte. Raises DeskError when it refuses a delivery."""
        for delivery in deliveries:
            answer = await self.gateway.post(
                delivery.path, content=delivery.body, headers=dict(delivery.headers)
            )
            well = answer.status_code == 200
            if not well or (delivery.vendor == "dropbox_sign" and answer.text != _SIGN_ANSWER):
                raise DeskError(
                    f"the gateway answered {answer.status_code} to {delivery.vendor} {delivery.kind}"
                )

    async def work(self) -> int:
        """Handle everything that is due; returns how many events that was."""
        handled = 0
        for _ in range(_ROUNDS):
            done = await self._round()
            if not done:
                return handled
            handled += done
        raise DeskError(f"the inbox is not idle after {_ROUNDS} rounds at {self.s.clock()}")

    async def sweep(self) -> None:
        """The scheduled sync."""
        await sweep(self.s)

    async def follow_up(self) -> None:
        """The scheduled check for stalled deals."""
        await follow_up_sweep.sweep(self.s)

    async def _round(self) -> int:
        """Claim due events and handle them by flow, oldest first, as several lanes of a worker would."""
        s = self.s
        async with s.ledger.write() as tx:
            events = await inbox.claim(
                tx,
                owner=s.owner,
                now=s.clock(),
                lease_s=s.settings.worker_lease_s,
                limit=s.settings.worker_batch_max,
            )
        for flow in by_flow([e.kind for e in events]):
            await self._hand_over(flow, [e for e in events if e.kind in flow.kinds])
        return len(events)

    async def _hand_over(self, flow: Flow, events: list[Event]) -> None:
        s = self.s
        logic = flow.load()
        try:
            prepared = await logic.prepare(events, s)
        except Exception as problem:
            for event in events:
                self.tally.note(await fail(event, problem, s))
            return
        for event in events:
            self.tally.note(await finish(event, logic.handle, prepared, s))


def load() -> None:
    """Import the flows and the vendors' packages, for which the first events would otherwise wait (seconds)."""
    for module in (*(flow.logic for flow in FLOWS.values() if flow.kinds), "dropbox_sign", "hubspot"):
        importlib.import_module(module)


@asynccontextmanager
async def open_desk(world: World, *, process_file: Path, home: Path, seed: int) -> AsyncIterator[Desk]:
    """Open ledger, clients and gateway in virtual time; tokens and random numbers are seeded, so runs are equal."""
    settings = _settings(world, process_file, home)
    tally = Tally()
    s = await open_services(settings)
    try:
        for client in s.http:
            await client.aclose()
        s.http = [loopback_client(world.hubspot_url), loopback_client(world.sign_url)]
        hubspot_http, sign_http = s.http
        key = API_KEY
        s.hubspot = HubSpotClient(
            "rehearsal", base_url=settings.hubspot_base_url, http=hubspot_http, on_call=tally.called
        )
        s.esign = DropboxSign(
            DropboxSignClient(
                key, base_url=settings.dropbox_sign_base_url, http=sign_http, on_call=tally.called
            ),
            ContractSender(key, base_url=settings.dropbox_sign_base_url, on_call=tally.called),
            dropbox_sign_pace(standard=_PLENTY, high=_PLENTY),
        )
        tokens = random.Random(f"{seed} tokens")
        s.new_token = lambda: f"{tokens.getrandbits(128):032x}"
        s.dice = random.Random(f"{seed} dice")
        s.clock = lambda: world.now
        s.portal_fresh_s = math.inf
        s.owner = "rehearsal"
        await s.ledger.close()
        s.ledger = await open_ledger(settings.database, migrate=False, throw_away=True)
        transport = httpx.ASGITransport(build_app(settings, s.ledger, s.clock))
        async with PlainClient(GATEWAY, transport) as gateway:
            with services.override(s):
                await watch_from_now(s)
                yield Desk(s, gateway, tally)
    finally:
        await s.close()


def _settings(world: World, process_file: Path, home: Path) -> Settings:
    given: dict[str, Any] = {
        "home": home,
        "process_file": process_file,
        "hubspot_token": "rehearsal",
        "hubspot_base_url": world.hubspot_url,
        "hubspot_app_url": "https://app.hubspot.example",
        "hubspot_client_secret": CLIENT_SECRET,
        "dropbox_sign_api_key": API_KEY,
        "dropbox_sign_base_url": f"{world.sign_url}/v3",
        "dropbox_sign_app_url": "https://app.dropbox-sign.example",
        "leads_token": _LEADS_TOKEN,
        "public_url": GATEWAY,
        # A held event is tried again when its deal changes; every third day in addition is enough here.
        "worker_hold_retry_s": 3 * 86_400,
    }
    return Settings.model_validate(given)
