"""The simulated signers: they hear of a contract by its event, and sign, view, decline or forget it."""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from flows.trials.rehearsal.rates import Rates
from flows.trials.rehearsal.world import Delivery, World

MISTYPED = "mistyped.invalid"
"""The domain of addresses that do not exist."""
_REASONS = (
    "The payment terms do not suit us",
    "The start is too early for us",
    "Legal wants another liability clause",
)
_ENDED = ("declined", "expired", "canceled", "all_signed", "invalid", "error")


@dataclass
class _Request:
    request_id: str
    waiting: list[str]  # addresses in signing order
    dice: random.Random
    fate: str  # signs, declines or forgets
    next_at: datetime
    looked: bool = False


@dataclass
class Signers:
    """All signers. `ours`: the counter-signer's address."""

    world: World
    rates: Rates
    seed: int
    ours: str
    bounced: set[str] = field(default_factory=set)
    _open: dict[str, _Request] = field(default_factory=dict)

    def read(self, deliveries: list[Delivery]) -> None:
        """Take in new contracts, and those that ended."""
        for delivery in deliveries:
            if delivery.vendor != "dropbox_sign":
                continue
            shown = delivery.json()["signature_request"]
            kind = delivery.kind.removeprefix("signature_request_")
            if kind == "sent":
                self._take(shown)
            elif kind in _ENDED:
                self._open.pop(shown["signature_request_id"], None)

    def _take(self, shown: dict[str, object]) -> None:
        about = shown["metadata"]
        signatures = shown["signatures"]
        assert isinstance(about, dict) and isinstance(signatures, list)
        dice = random.Random(f"{self.seed} signers {about.get('deal_id')} {about.get('revision')}")
        waiting = [s["signer_email_address"] for s in sorted(signatures, key=lambda s: s["order"] or 0)]
        roll = dice.random()
        fate = "declines" if roll < self.rates.declines else "signs"
        if self.rates.declines <= roll < self.rates.declines + self.rates.lets_it_expire:
            fate = "forgets"
        request_id = str(shown["signature_request_id"])
        request = _Request(request_id, waiting, dice, fate, self.world.now)
        self._open[request_id] = request
        self._plan(request)

    def _plan(self, request: _Request) -> None:
        days = self.rates.signs_after_days
        if request.waiting and request.waiting[0] == self.ours:
            days = self.rates.counter_signs_after_days
        request.next_at = self.world.now + timedelta(days=days * request.dice.lognormvariate(0, 0.5))

    async def act(self) -> None:
        """Let the signers who are due act now."""
        for request in [r for r in self._open.values() if r.next_at <= self.world.now]:
            await self._one(request)

    async def _one(self, request: _Request) -> None:
        email = request.waiting[0]
        ours = email == self.ours
        if email.endswith(MISTYPED):
            if request.request_id not in self.bounced:
                await self.world.act(request.request_id, email, "bounce")
                self.bounced.add(request.request_id)
            del self._open[request.request_id]
        elif request.fate == "forgets" and not ours:
            del self._open[request.request_id]
        elif request.fate == "declines" and not ours:
            await self.world.act(request.request_id, email, "decline", reason=request.dice.choice(_REASONS))
            del self._open[request.request_id]
        elif not request.looked and request.dice.random() < self.rates.only_looks_first:
            request.looked = True
            await self.world.act(request.request_id, email, "view")
            request.next_at = self.world.now + timedelta(days=1)
        else:
            await self._sign(request, email)

    async def _sign(self, request: _Request, email: str) -> None:
        signed = await self.world.act(request.request_id, email, "sign")
        request.waiting.pop(0)
        request.looked = False
        if not signed or not request.waiting:
            del self._open[request.request_id]
        else:
            self._plan(request)
