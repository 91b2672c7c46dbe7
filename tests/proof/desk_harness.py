"""A stage whose worker sits at a desk in this process: for stories in which calls go wrong or deliveries are mixed up.

The desk is the rehearsal's (`flows.trials.rehearsal.desk`), its clients are the product's own over real HTTP with short
time-outs: nothing here is killed, so a story takes well under a second.
"""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx

from config.files import read_yaml
from connectors.dropbox_sign.client import DropboxSignClient
from connectors.dropbox_sign.sender import ContractSender
from connectors.http.errors import ConnectorError
from connectors.http.exchange import Timeouts, make_http
from connectors.hubspot.client import HubSpotClient
from flows import retries
from flows.hand_over.next_deal import follow_on_key
from flows.ledger import effects, inbox
from flows.reconcile.compare import reconcile_all
from flows.rules.process.sales_process import parse_process
from flows.trials.rehearsal.calendar import STARTS
from flows.trials.rehearsal.desk import Desk, load, open_desk
from flows.trials.rehearsal.world import API_KEY, Mail, World, open_world
from tests.proof.databases import SqliteLedgers
from tests.proof.director import PROCESS, House, stage_ids
from tests.proof.process import strict
from tests.proof.story import Story
from tests.proof.verdict import Verdict, judge

TOKEN = "proof"
TIMES = Timeouts(connect_s=1.0, read_s=0.4, write_s=1.0, pool_s=1.0, total_s=0.8)
"""Of the product's clients, in real seconds: a fault that hangs or drips lasts longer than this."""
_MINUTE = timedelta(minutes=1)
_SCHEDULE = timedelta(minutes=5)
_ROUNDS = 60
_SWEEPS = 6
_HELPS = 2

Courier = Callable[["DeskStage", list[Mail]], Awaitable[int]]
"""Carries the vendors' deliveries to the gateway, in its own way; returns how many it has brought."""


@asynccontextmanager
async def open_house(folder: Path) -> AsyncIterator[House]:
    """A sandbox whose HubSpot is provisioned; while it is open, what is tried again is tried without waiting."""
    process = strict(parse_process(read_yaml(PROCESS)))
    async with open_world(process, seed=7, starts=STARTS, meanwhile=load) as world:
        with _no_waiting():
            yield House(world, process, await stage_ids(world, process), folder)


@contextmanager
def _no_waiting() -> Iterator[None]:
    """The waits between tries are real seconds and nothing that a story is about."""
    before = retries._FIRST_WAIT_S, retries._LONGEST_WAIT_S
    retries._FIRST_WAIT_S, retries._LONGEST_WAIT_S = 0.002, 0.004
    try:
        yield
    finally:
        retries._FIRST_WAIT_S, retries._LONGEST_WAIT_S = before


async def in_order(stage: "DeskStage", mails: list[Mail]) -> int:
    """The courier of calm days."""
    for mail in mails:
        await stage.deliver(mail)
    return len(mails)


@dataclass
class DeskStage:
    """One story's stage, see `story.Stage`: a fresh ledger, a desk, a courier.

    `helped`: what a person did about events that were given up and effects in quarantine. `scheduled`: the sync runs
    by itself every five minutes of virtual time, as `prefect.yaml` has it; else only when the story asks for it.
    `follow_ups`: what is scheduled includes the look for deals that do not get on.
    """

    house: House
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
        return self.house.world

    @property
    def stage_ids(self) -> dict[str, str]:
        """Our key -> HubSpot's id."""
        return self.house.stage_ids

    @property
    def counter_signer(self) -> str:
        """Our own signer's address."""
        person = self.house.process.seller.counter_signer
        return person.email if person else ""

    async def lead(self, fields: dict[str, str]) -> str:
        """Send the form. Raises AssertionError when it is not taken."""
        token = self.desk.s.settings.leads_token
        assert token is not None
        headers = {"Authorization": f"Bearer {token.get_secret_value()}"}
        gateway = self.desk.gateway
        request = gateway.build_request("POST", "/leads", json=fields, headers=headers)
        answer = await self._taken(request, "lead")
        key: str = answer.json()["lead"]
        return key

    async def deliver(self, mail: Mail) -> None:
        """Bring it to the gateway, byte for byte. Raises AssertionError when it is not taken."""
        await self._taken(self._request(mail), mail.vendor)

    async def offer(self, mail: Mail) -> int:
        """Bring it once, whatever the gateway answers; the status."""
        return (await self.desk.gateway.send(self._request(mail))).status_code

    async def settle(self) -> None:
        """Until nothing is delivered and nothing handled any more."""
        for _ in range(_ROUNDS):
            await self.world.advance(self.world.now + _MINUTE)
            if self.scheduled and self.world.now - self._swept_at >= _SCHEDULE:
                await self._sync()
            brought = await self.courier(self, await self.world.mail())
            handled = await self.desk.work()
            if not brought and not handled and not await self._a_person_helps():
                return
        raise AssertionError("the worker does not come to rest")

    async def sweep(self) -> None:
        """The scheduled flows, until they have gone through: a run that fails is followed by the next."""
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
        """A run that fails is shown by Prefect, and comes again on schedule."""
        try:
            await scheduled
        except ConnectorError:
            self.failed_sweeps += 1
            return False
        return True

    async def _a_person_helps(self) -> bool:
        """Somebody reads the ops page: what was given up is tried again, quarantine ends after a look at the vendor."""
        if not self.a_person:
            return False
        s, before = self.desk.s, len(self.helped)
        sent = {str(r["metadata"].get("dealflow_token")) for r in await self.world.requests()}
        async with s.ledger.write() as tx:
            for effect in await effects.listing(tx, states=("quarantined",)):
                word = f"released {effect.kind}"
                if effect.token not in sent and self.helped.count(word) < _HELPS:
                    await effects.release(tx, effect.key, why="looked: it is not there")
                    self.helped.append(word)
            for event in await inbox.listing(tx, states=("dead",)):
                word = f"retried {event.kind} {event.id}"
                if self.helped.count(word) < _HELPS and await inbox.retry(tx, event.id, now=s.clock()):
                    self.helped.append(word)
        return len(self.helped) > before

    def _request(self, mail: Mail) -> httpx.Request:
        return self.desk.gateway.build_request(
            "POST", mail.path, content=mail.body, headers=dict(mail.headers)
        )

    async def _taken(self, request: httpx.Request, source: str) -> httpx.Response:
        answer = await self.desk.gateway.send(request)
        if answer.status_code not in (200, 202):
            raise AssertionError(f"the gateway answered {answer.status_code} to {source}: {answer.text}")
        self.taken.add((source, hashlib.sha256(request.content).hexdigest()))
        return answer


@asynccontextmanager
async def open_stage(
    house: House,
    *,
    courier: Courier = in_order,
    scheduled: bool = False,
    a_person: bool = True,
    follow_ups: bool = False,
) -> AsyncIterator[DeskStage]:
    """The next story's stage. Its clients use httpx's own transport, because real network errors are the point."""
    number = await house.next_story()
    home = house.folder / f"{number:04d}"
    await SqliteLedgers(house.folder).fresh(home)
    # A seed of its own: tokens must be unlike those of earlier stories, whose requests the vendor still shows.
    async with open_desk(house.world, process_file=PROCESS, home=home, seed=number) as desk:
        desk.s.process = house.process
        s = desk.s
        for client in s.http:
            await client.aclose()
        hub, sign = s.http = [make_http(TIMES), make_http(TIMES)]
        s.hubspot = HubSpotClient(
            TOKEN, base_url=s.settings.hubspot_base_url, http=hub, timeouts=TIMES, on_call=desk.tally.called
        )
        s.dropbox_sign = DropboxSignClient(
            API_KEY,
            base_url=s.settings.dropbox_sign_base_url,
            http=sign,
            timeouts=TIMES,
            on_call=desk.tally.called,
        )
        s.sender = sender_at(desk, s.settings.dropbox_sign_base_url)
        await house.world.mail()  # what earlier stories left in the log is not this one's
        yield DeskStage(house, home, desk, courier, scheduled, a_person, follow_ups)


def sender_at(desk: Desk, base_url: str, on_call: Callable[[], None] = lambda: None) -> ContractSender:
    """The sender of contracts at this address; `on_call` is told of each call, in the sender's own thread."""

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


async def judged(stage: DeskStage, story: Story) -> Verdict:
    """What the sandbox's records and the ledger say about this story."""
    house = stage.house
    return await judge(story, house.world, house.stage_ids, house.process, stage.taken, stage.desk.s.ledger)


async def tidy(house: House, stories: Sequence[Story]) -> None:
    """Take these stories' deals off the board, so that the next story's syncs read only its own."""
    deals, name = [story.deal_id for story in stories if story.deal_id], "dealflow_lead_key"
    after = await house.world.board([follow_on_key(d) for d in deals], [name], id_property=name)
    for deal_id in (*deals, *(str(d["id"]) for d in after.values())):
        await house.world.rep("deals", id=deal_id, archive=True)
