"""One buyer's story as people and vendors play it, from the lead to the end of the contract.

Every step says what people do, then lets the worker come to rest. Who the worker is (a process that may be killed, a
desk whose calls go wrong) and how deliveries reach it is the stage's affair.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from flows.trials.rehearsal.world import Mail, World

LEADS_TOKEN = "proof-leads"  # opens nothing but the proof's own gateway


class Stage(Protocol):
    """Where a story is played."""

    world: World
    stage_ids: dict[str, str]

    async def lead(self, fields: dict[str, str]) -> str:
        """Send the web form until the gateway has taken it; returns the lead's key."""

    async def settle(self) -> None:
        """Deliver what the vendors say and let the worker work until nothing moves."""

    async def sweep(self) -> None:
        """The scheduled flows run once: sync, reconcile, and in a slow story the look for what is to be followed up."""


@dataclass
class Story:
    """A buyer, numbered so that many can be on one sandbox.

    `ending`: what the signer does; "slow" is a buyer who keeps everybody waiting twice, and signs in the end.
    """

    number: int
    ending: str = "sign"
    deal_id: str = ""
    contact_id: str = ""
    request_ids: list[str] = field(default_factory=list)
    own_part: Callable[[bool], None] = lambda _begins: None
    """Called as a part begins (True) or ends that stories with another ending do not have."""

    @property
    def won(self) -> bool:
        """Whether the deal is won in the end."""
        return self.ending in ("sign", "slow")

    @property
    def email(self) -> str:
        """The buyer's address."""
        return f"ada@engines{self.number}.example"

    @property
    def form(self) -> dict[str, str]:
        """What the buyer puts into the web form."""
        return {
            "first_name": "Ada",
            "last_name": f"Byron-{self.number}",
            "email": self.email,
            "company": f"Analytical Engines {self.number} Ltd",
            "budget": "24000",
            "message": "Contracts are copied by hand.",
        }

    async def play(self, stage: Stage) -> None:
        """From the lead to the end of the contract."""
        await self.to_deal(stage)
        await self.to_presentation(stage)
        await self.to_closing_too_early(stage)
        if self.ending == "slow":
            await self.to_flag(stage)
        await self.to_closing(stage)
        if self.ending == "slow":
            await self.to_reminder(stage)
        await self.to_end(stage)

    async def to_deal(self, stage: Stage) -> None:
        """The lead becomes a deal."""
        key = await stage.lead(self.form)
        await stage.settle()
        found = await stage.world.board([key], ["dealflow_lead_key"], id_property="dealflow_lead_key")
        for _ in range(6):
            if found:
                break
            await rest(stage, minutes=10)
            found = await stage.world.board([key], ["dealflow_lead_key"], id_property="dealflow_lead_key")
        if not found:
            raise AssertionError("the lead never became a deal")
        self.deal_id = str(found[key]["id"])

    async def to_presentation(self, stage: Stage) -> None:
        """The rep completes company and positions, and presents: a proposal is filed."""
        world, deal = stage.world, await self._deal(stage.world)
        self.contact_id = deal["associations"]["contacts"][0]["id"]
        company_id = deal["associations"]["companies"][0]["id"]
        address = {"address": "12 Difference Row", "city": "London", "country": "United Kingdom"}
        await world.rep("companies", id=company_id, properties=address)
        link = {"to_type": "deals", "to_id": self.deal_id}
        seats = {"name": "Seats", "quantity": "12", "price": "95"}
        await world.rep("line_items", create=True, properties=seats, associations=[link])
        await self._move(stage, "presentation")

        async def filed() -> bool:
            return bool(await self._shows(stage, "dealflow_proposal_file_id"))

        await _until(stage, filed, minutes=10, otherwise="the proposal was never filed")

    async def to_closing_too_early(self, stage: Stage) -> None:
        """A rep closes although nobody is named who signs: the deal is moved back, and its owner told."""
        await self._move(stage, "closing")

        async def moved_back() -> bool:
            return await self._shows(stage, "dealstage") == stage.stage_ids["presentation"]

        await _until(stage, moved_back, minutes=10, otherwise="the deal was never moved back")

    async def to_flag(self, stage: Stage) -> None:
        """Nobody says who signs: followed up until the deal is listed for disqualification."""
        self.own_part(True)
        await self._move(stage, "discussion")
        for _ in range(3):
            await self._days(stage, 8)

        async def flagged() -> bool:
            return bool(await self._shows(stage, "dealflow_flag"))

        await _until(stage, flagged, minutes=30, otherwise="the deal was never flagged")
        self.own_part(False)

    async def to_reminder(self, stage: Stage) -> None:
        """The flag goes; the signer lets the contract lie, and is reminded."""
        self.own_part(True)
        await self._days(stage, 4)
        await self._days(stage, 1)

        async def reminded() -> bool:
            flag = await self._shows(stage, "dealflow_flag")
            return not flag and bool(await reminders(self, stage.world))

        await _until(stage, reminded, minutes=30, otherwise="nobody was reminded, or the flag stayed")
        self.own_part(False)

    async def to_closing(self, stage: Stage) -> None:
        """The buyer names who signs, the rep closes: a contract goes out."""
        signer = {"to_type": "contacts", "to_id": self.contact_id, "label": "Signer"}
        await stage.world.rep("deals", id=self.deal_id, associations=[signer])
        await self._move(stage, "closing")

        async def sent() -> bool:
            self.request_ids = [r["signature_request_id"] for r in await requests_of(self, stage.world)]
            return bool(self.request_ids)

        # A send in doubt is looked for several times, up to half an hour apart.
        await _until(stage, sent, minutes=30, otherwise="no contract ever went out")

    async def to_end(self, stage: Stage) -> None:
        """Every signer does what this story says; the worker reads it back."""
        if self.ending != "slow":
            self.own_part(True)
        for request_id in self.request_ids:
            if self.ending == "cancel":
                await stage.world.cancel(request_id)
            elif self.ending != "ignore":
                await self.signers_act(stage, request_id)
        if self.ending == "expire":
            await stage.world.advance(stage.world.now + timedelta(days=31))
        await stage.settle()
        await rest(stage, minutes=10, times=3)

    async def signers_act(self, stage: Stage, request_id: str) -> None:
        """All in turn sign, or the first declines."""
        counter = stage_counter(stage)
        people = [self.email, *([counter] if counter else [])]
        does = "sign" if self.won else "decline" if self.ending == "decline" else None
        if does is None:
            return
        for email in people:
            more = {"reason": "Too dear"} if does == "decline" else {}
            if not await stage.world.act(request_id, email, does, **more):
                raise AssertionError(f"the stand-in does not let a signer {does}")
            if does == "decline":
                return

    async def _days(self, stage: Stage, days: int) -> None:
        await rest(stage, minutes=days * 24 * 60)
        await stage.sweep()

    async def _move(self, stage: Stage, key: str) -> None:
        await stage.world.rep("deals", id=self.deal_id, properties={"dealstage": stage.stage_ids[key]})
        await stage.settle()

    async def _deal(self, world: World) -> dict[str, Any]:
        return await world.rep("deals", id=self.deal_id)

    async def _shows(self, stage: Stage, name: str) -> str | None:
        found: str | None = (await self._deal(stage.world))["properties"].get(name)
        return found


async def requests_of(story: Story, world: World) -> list[dict[str, Any]]:
    """The signature requests for the story's deal, as the stand-in holds them."""
    return [r for r in await world.requests() if str(r["metadata"].get("deal_id")) == story.deal_id]


async def reminders(story: Story, world: World) -> list[str]:
    """Whom Dropbox Sign reminded, once for each time."""
    said = [line["text"] for request in await requests_of(story, world) for line in request["history"]]
    return [text for text in said if text.startswith("Reminder to ")]


async def _until(
    stage: Stage, holds: Callable[[], Awaitable[bool]], *, minutes: float, otherwise: str
) -> None:
    """Look, and look again after so many minutes. Raises AssertionError, saying `otherwise`, after a dozen looks."""
    for _ in range(12):
        if await holds():
            return
        await rest(stage, minutes=minutes)
    raise AssertionError(otherwise)


def stage_counter(stage: Stage) -> str:
    """The address of our own counter-signer, empty where the process has none."""
    found: str = getattr(stage, "counter_signer", "")
    return found


async def rest(stage: Stage, *, minutes: float, times: int = 1) -> None:
    """Time passes; leases end, what is parked falls due, doubts are looked into."""
    for _ in range(times):
        await stage.world.advance(stage.world.now + timedelta(minutes=minutes))
        await stage.settle()


def shuffled(mails: list[Mail], dice: random.Random) -> list[Mail]:
    """Another order, some twice."""
    twice = [m for m in mails if dice.random() < 0.3]
    mixed = [*mails, *twice]
    dice.shuffle(mixed)
    return mixed
