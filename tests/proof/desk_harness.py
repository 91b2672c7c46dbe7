"""Runs a story with a worker in this process, for stories with failing calls or reordered deliveries.

The desk is the rehearsal's (`flows.trials.rehearsal.desk`); its clients are the product's, over real HTTP with short
time-outs: no process is killed, so a story takes less than a second.
"""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import httpx

from config.files import read_yaml
from connectors.dropbox_sign.client import DropboxSignClient
from connectors.dropbox_sign.sender import ContractSender
from connectors.dropbox_sign.service import DropboxSign
from connectors.http.errors import ConnectorError
from connectors.http.exchange import Timeouts, make_http
from connectors.hubspot.client import HubSpotClient
from flows.hand_over.next_deal import follow_on_key
from flows.ledger import effects, inbox
from flows.reconcile.compare import reconcile_all
from flows.rules.process.sales_process import parse_process
from flows.trials.rehearsal.calendar import STARTS
from flows.trials.rehearsal.desk import Desk, load, open_desk
from flows.trials.rehearsal.world import API_KEY, Delivery, World, open_world
from tests.desk import no_waiting
from tests.proof.databases import SqliteLedgers
from tests.proof.process_harness import PROCESS, Environment, stage_ids
from tests.proof.story import Story
from tests.proof.strict_process import strict
from tests.proof.verdict import Verdict, judge

TOKEN = "proof"
TIMES = Timeouts(connect_s=1.0, read_s=0.4, write_s=1.0, pool_s=1.0, total_s=0.8)
"""Time-outs of the product's clients, in real seconds: a fault that hangs or drips lasts longer."""
_MINUTE = timedelta(minutes=1)
_SCHEDULE = timedelta(minutes=5)
_ROUNDS = 60
_SWEEPS = 6
_HELPS = 2

Courier = Callable[["DeskHarness", list[Delivery]], Awaitable[int]]
"""Takes the vendors' deliveries to the gateway; returns how many it delivered."""


@asynccontextmanager
async def open_environment(folder: Path) -> AsyncIterator[Environment]:
    """A sandbox whose HubSpot is provisioned; while it is open, retries do not wait."""
    process = strict(parse_process(read_yaml(PROCESS)))
    async with open_world(process, seed=7, starts=STARTS, meanwhile=load) as world:
        with no_waiting():
            yield Environment(world, process, await stage_ids(world, process), folder)


async def in_order(harness: "DeskHarness", deliveries: list[Delivery]) -> int:
    """The normal courier: everything once and in order."""
    for delivery in deliveries:
        await harness.deliver(delivery)
    return len(deliveries)


@dataclass
class DeskHarness:
    """The harness of one story, see `story.Harness`: a fresh ledger, a desk, a courier.

    `helped`: what a person did about dead events and quarantined effects. `scheduled`: the sync runs
    by itself every five minutes of virtual time, as in `prefect.yaml`; else only when the story calls it.
    `follow_ups`: the scheduled flows include the follow-up of stalled deals.
    """

    environment: Environment
    home: Path
    desk: Desk
    courier: Courier = in_order
    scheduled: bool = False
    a_person: bool = True
    follow_ups: bool = False
    taken: set[tuple[str, str]] = field(default_factory=set)
    helped: list[str] = field(default_factory=list)
    failed_sweeps: int = 0

    def __post_init__(self) -> None:
        self._swept_at = self.world.now

    @property
    def world(self) -> World:
        """The stand-ins."""
        return self.environment.world

    @property
    def stage_ids(self) -> dict[str, str]:
        """Stage key -> HubSpot's id."""
        return self.environment.stage_ids

    @property
    def counter_signer(self) -> str:
        """Our own signer's address."""
        person = self.environment.process.seller.counter_signer
        return person.email if person else ""

    async def lead(self, fields: dict[str, str]) -> str:
        """Send the form. Raises AssertionError when it is not accepted."""
        token = self.desk.s.settings.leads_token
        assert token is not None
        headers = {"Authorization": f"Bearer {token.get_secret_value()}"}
        gateway = self.desk.gateway
        request = gateway.build_request("POST", "/leads", json=fields, headers=headers)
        answer = await self._taken(request, "lead")
        key: str = answer.json()["lead"]
        return key

    async def deliver(self, delivery: Delivery) -> None:
        """Deliver it to the gateway, byte for byte. Raises AssertionError when it is not accepted."""
        await self._taken(self._request(delivery), delivery.vendor)

    async def offer(self, delivery: Delivery) -> int:
        """Deliver it once, whatever the gateway answers; returns the status."""
        return (await self.desk.gateway.send(self._request(delivery))).status_code

    async def settle(self) -> None:
        """Work until there is nothing to deliver and nothing to handle."""
        for _ in range(_ROUNDS):
            await self.world.advance(self.world.now + _MINUTE)
            if self.scheduled and self.world.now - self._swept_at >= _SCHEDULE:
                await self._sync()
            brought = await self.courier(self, await self.world.deliveries())
            handled = await self.desk.work()
            if not brought and not handled and not await self._a_person_helps():
                return
        raise AssertionError("the worker does not become idle")

    async def sweep(self) -> None:
        """Run the scheduled flows until they succeed: a failed run is followed by the next."""
        for _ in range(_SWEEPS):
            if (
                await self._sync()
                and await self._reconcile()
                and (not self.follow_ups or await self._passes(self.desk.follow_up()))
            ):
                break
            await self.world.advance(self.world.now + _SCHEDULE)
        else:
            raise AssertionError("the scheduled flows fail again and again")
        await self.settle()

    async def _sync(self) -> bool:
        self._swept_at = self.world.now
        return await self._passes(self.desk.sweep())

    async def _reconcile(self) -> bool:
        return await self._passes(reconcile_all(self.desk.s))

    async def _passes(self, scheduled: Awaitable[object]) -> bool:
        """Whether the run succeeded. In production Prefect shows a failed run and starts the next on schedule."""
        try:
            await scheduled
        except ConnectorError:
            self.failed_sweeps += 1
            return False
        return True

    async def _a_person_helps(self) -> bool:
        """A person reads the ops page, retries dead events, and releases quarantined effects after a check."""
        if not self.a_person:
            return False
        s, before = self.desk.s, len(self.helped)
        sent = {str(r["metadata"].get("dealflow_token")) for r in await self.world.requests()}
        async with s.ledger.write() as tx:
            for effect in await effects.listing(tx, states=("quarantined",)):
                word = f"released {effect.kind}"
                if effect.token not in sent and self.helped.count(word) < _HELPS:
                    await effects.release(tx, effect.key, why="checked: it is not there")
                    self.helped.append(word)
            for event in await inbox.listing(tx, states=("dead",)):
                word = f"retried {event.kind} {event.id}"
                if self.helped.count(word) < _HELPS and await inbox.retry(tx, event.id, now=s.clock()):
                    self.helped.append(word)
        return len(self.helped) > before

    def _request(self, delivery: Delivery) -> httpx.Request:
        return self.desk.gateway.build_request(
            "POST", delivery.path, content=delivery.body, headers=dict(delivery.headers)
        )

    async def _taken(self, request: httpx.Request, source: str) -> httpx.Response:
        answer = await self.desk.gateway.send(request)
        if answer.status_code not in (200, 202):
            raise AssertionError(f"the gateway answered {answer.status_code} to {source}: {answer.text}")
        self.taken.add((source, hashlib.sha256(request.content).hexdigest()))
        return answer


@asynccontextmanager
async def open_harness(
    environment: Environment,
    *,
    courier: Courier = in_order,
    scheduled: bool = False,
    a_person: bool = True,
    follow_ups: bool = False,
) -> AsyncIterator[DeskHarness]:
    """Open the next story's harness. Its clients use httpx's own transport, for real network errors."""
    number = await environment.next_story()
    home = environment.folder / f"{number:04d}"
    await SqliteLedgers(environment.folder).fresh(home)
    # Its own seed: tokens must differ from those of earlier stories, whose requests the vendor still has.
    async with open_desk(environment.world, process_file=PROCESS, home=home, seed=number) as desk:
        desk.s.process = environment.process
        s = desk.s
        for client in s.http:
            await client.aclose()
        hub, sign = s.http = [make_http(TIMES), make_http(TIMES)]
        s.hubspot = HubSpotClient(
            TOKEN, base_url=s.settings.hubspot_base_url, http=hub, timeouts=TIMES, on_call=desk.tally.called
        )
        client = DropboxSignClient(
            API_KEY,
            base_url=s.settings.dropbox_sign_base_url,
            http=sign,
            timeouts=TIMES,
            on_call=desk.tally.called,
        )
        assert isinstance(s.esign, DropboxSign)
        sender = sender_at(desk, s.settings.dropbox_sign_base_url)
        s.esign = replace(s.esign, client=client, sender=sender)
        await environment.world.deliveries()  # skip the log of earlier stories
        yield DeskHarness(environment, home, desk, courier, scheduled, a_person, follow_ups)


def sender_at(desk: Desk, base_url: str, on_call: Callable[[], None] = lambda: None) -> ContractSender:
    """The sender of contracts at this address; `on_call` runs for each call, in the sender's thread."""

    def called(call: object) -> None:
        desk.tally.called(call)  # type: ignore[arg-type]
        on_call()

    return ContractSender(
        API_KEY,
        base_url=base_url,
        timeout_s=(TIMES.connect_s, TIMES.read_s),
        total_s=TIMES.total_s,
        on_call=called,
    )


async def judged(harness: DeskHarness, story: Story) -> Verdict:
    """The verdict on this story from the sandbox's records and the ledger."""
    environment = harness.environment
    return await judge(
        story,
        environment.world,
        environment.stage_ids,
        environment.process,
        harness.taken,
        harness.desk.s.ledger,
    )


async def tidy(environment: Environment, stories: Sequence[Story]) -> None:
    """Archive these stories' deals, so that the syncs of the next story read only its own."""
    deals, name = [story.deal_id for story in stories if story.deal_id], "dealflow_lead_key"
    after = await environment.world.board([follow_on_key(d) for d in deals], [name], id_property=name)
    for deal_id in (*deals, *(str(d["id"]) for d in after.values())):
        await environment.world.rep("deals", id=deal_id, archive=True)
