"""One buyer's story: the steps of people and vendors from the lead to the end of the contract.

Each step does what people do, then lets the worker become idle. The harness decides how the worker runs (in a process
that may be killed, at a desk whose calls fail) and how deliveries reach it.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from flows.trials.rehearsal.world import Delivery, World

LEADS_TOKEN = "proof-leads"  # opens nothing but the proof's own gateway


class Harness(Protocol):
    """What a story needs to run."""

    world: World
    stage_ids: dict[str, str]

    async def lead(self, fields: dict[str, str]) -> str:
        """Send the web form until the gateway has accepted it; returns the lead's key."""

    async def settle(self) -> None:
        """Deliver the vendors' events and let the worker work until it is idle."""

    async def sweep(self) -> None:
        """Run the scheduled flows once: sync, reconcile, and in a slow story the follow-up."""


@dataclass
class Story:
    """A buyer, numbered so that many can be on one sandbox.

    `ending`: what the signer does; a "slow" buyer delays twice and signs in the end.
    """

    number: int
    ending: str = "sign"
    deal_id: str = ""
    contact_id: str = ""
    request_ids: list[str] = field(default_factory=list)
    own_part: Callable[[bool], None] = lambda _begins: None
    """Called when a part that only this ending has begins (True) or ends (False)."""

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
        """The buyer's web form."""
        return {
            "first_name": "Ada",
            "last_name": f"Byron-{self.number}",
            "email": self.email,
            "company": f"Analytical Engines {self.number} Ltd",
            "budget": "24000",
            "message": "Contracts are copied by hand.",
        }

    async def play(self, harness: Harness) -> None:
        """From the lead to the end of the contract."""
        await self.to_deal(harness)
        await self.to_presentation(harness)
        await self.to_closing_too_early(harness)
        if self.ending == "slow":
            await self.to_flag(harness)
        await self.to_closing(harness)
        if self.ending == "slow":
            await self.to_reminder(harness)
        await self.to_end(harness)

    async def to_deal(self, harness: Harness) -> None:
        """The lead becomes a deal."""
        key = await harness.lead(self.form)
        await harness.settle()
        found = await harness.world.board([key], ["dealflow_lead_key"], id_property="dealflow_lead_key")
        for _ in range(6):
            if found:
                break
            await rest(harness, minutes=10)
            found = await harness.world.board([key], ["dealflow_lead_key"], id_property="dealflow_lead_key")
        if not found:
            raise AssertionError("the lead never became a deal")
        self.deal_id = str(found[key]["id"])

    async def to_presentation(self, harness: Harness) -> None:
        """The rep completes company and line items, and presents: a proposal is filed."""
        world, deal = harness.world, await self._deal(harness.world)
        self.contact_id = deal["associations"]["contacts"][0]["id"]
        company_id = deal["associations"]["companies"][0]["id"]
        address = {"address": "12 Difference Row", "city": "London", "country": "United Kingdom"}
        await world.rep("companies", id=company_id, properties=address)
        link = {"to_type": "deals", "to_id": self.deal_id}
        seats = {"name": "Seats", "quantity": "12", "price": "95"}
        await world.rep("line_items", create=True, properties=seats, associations=[link])
        await self._move(harness, "presentation")

        async def filed() -> bool:
            return bool(await self._shows(harness, "dealflow_proposal_file_id"))

        await _until(harness, filed, minutes=10, otherwise="the proposal was never filed")

    async def to_closing_too_early(self, harness: Harness) -> None:
        """A rep closes without a named signer: the deal is moved back, and its owner is notified."""
        await self._move(harness, "closing")

        async def moved_back() -> bool:
            return await self._shows(harness, "dealstage") == harness.stage_ids["presentation"]

        await _until(harness, moved_back, minutes=10, otherwise="the deal was never moved back")

    async def to_flag(self, harness: Harness) -> None:
        """No signer is named: the deal is followed up until it is listed for disqualification."""
        self.own_part(True)
        await self._move(harness, "discussion")
        for _ in range(3):
            await self._days(harness, 8)

        async def flagged() -> bool:
            return bool(await self._shows(harness, "dealflow_flag"))

        await _until(harness, flagged, minutes=30, otherwise="the deal was never flagged")
        self.own_part(False)

    async def to_reminder(self, harness: Harness) -> None:
        """The flag is removed; the signer does not sign, and is reminded."""
        self.own_part(True)
        await self._days(harness, 4)
        await self._days(harness, 1)

        async def reminded() -> bool:
            flag = await self._shows(harness, "dealflow_flag")
            return not flag and bool(await reminders(self, harness.world))

        await _until(harness, reminded, minutes=30, otherwise="nobody was reminded, or the flag stayed")
        self.own_part(False)

    async def to_closing(self, harness: Harness) -> None:
        """The buyer names the signer, the rep closes: a contract goes out."""
        signer = {"to_type": "contacts", "to_id": self.contact_id, "label": "Signer"}
        await harness.world.rep("deals", id=self.deal_id, associations=[signer])
        await self._move(harness, "closing")

        async def sent() -> bool:
            self.request_ids = [r["signature_request_id"] for r in await requests_of(self, harness.world)]
            return bool(self.request_ids)

        # A send with an unknown outcome is checked several times, up to half an hour apart.
        await _until(harness, sent, minutes=30, otherwise="no contract ever went out")

    async def to_end(self, harness: Harness) -> None:
        """Every signer acts as this story says; the worker reads the result back."""
        if self.ending != "slow":
            self.own_part(True)
        for request_id in self.request_ids:
            if self.ending == "cancel":
                await harness.world.cancel(request_id)
            elif self.ending != "ignore":
                await self.signers_act(harness, request_id)
        if self.ending == "expire":
            await harness.world.advance(harness.world.now + timedelta(days=31))
        await harness.settle()
        await rest(harness, minutes=10, times=3)

    async def signers_act(self, harness: Harness, request_id: str) -> None:
        """All in turn sign, or the first declines."""
        counter = counter_signer_of(harness)
        people = [self.email, *([counter] if counter else [])]
        does = "sign" if self.won else "decline" if self.ending == "decline" else None
        if does is None:
            return
        for email in people:
            more = {"reason": "Too dear"} if does == "decline" else {}
            if not await harness.world.act(request_id, email, does, **more):
                raise AssertionError(f"the stand-in does not let a signer {does}")
            if does == "decline":
                return

    async def _days(self, harness: Harness, days: int) -> None:
        await rest(harness, minutes=days * 24 * 60)
        await harness.sweep()

    async def _move(self, harness: Harness, key: str) -> None:
        await harness.world.rep("deals", id=self.deal_id, properties={"dealstage": harness.stage_ids[key]})
        await harness.settle()

    async def _deal(self, world: World) -> dict[str, Any]:
        return await world.rep("deals", id=self.deal_id)

    async def _shows(self, harness: Harness, name: str) -> str | None:
        found: str | None = (await self._deal(harness.world))["properties"].get(name)
        return found


async def requests_of(story: Story, world: World) -> list[dict[str, Any]]:
    """The signature requests for the story's deal, as the stand-in has them."""
    return [r for r in await world.requests() if str(r["metadata"].get("deal_id")) == story.deal_id]


async def reminders(story: Story, world: World) -> list[str]:
    """The reminders of Dropbox Sign, one for each."""
    said = [line["text"] for request in await requests_of(story, world) for line in request["history"]]
    return [text for text in said if text.startswith("Reminder to ")]


async def _until(
    harness: Harness, holds: Callable[[], Awaitable[bool]], *, minutes: float, otherwise: str
) -> None:
    """Check every so many minutes. Raises AssertionError with `otherwise` after a dozen checks."""
    for _ in range(12):
        if await holds():
            return
        await rest(harness, minutes=minutes)
    raise AssertionError(otherwise)


def counter_signer_of(harness: Harness) -> str:
    """The address of our own counter-signer, empty if the process has none."""
    found: str = getattr(harness, "counter_signer", "")
    return found


async def rest(harness: Harness, *, minutes: float, times: int = 1) -> None:
    """Let time pass: leases end, parked events become due, unknown outcomes are checked."""
    for _ in range(times):
        await harness.world.advance(harness.world.now + timedelta(minutes=minutes))
        await harness.settle()


def shuffled(deliveries: list[Delivery], dice: random.Random) -> list[Delivery]:
    """Another order, some twice."""
    twice = [m for m in deliveries if dice.random() < 0.3]
    mixed = [*deliveries, *twice]
    dice.shuffle(mixed)
    return mixed
