"""A clock that tests move, a worker on the inbox, and a vendor that answers by script."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.ledger import effects, inbox
from flows.ledger.database import Ledger
from flows.ledger.effects import Effect, Plan, Writer, perform
from flows.ledger.inbox import Event, NewEvent

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class Clock:
    """Only moves when a test moves it."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now


class Desk:
    """One worker on the inbox."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.ledger = ledger
        self.clock = clock
        self._made = 0

    async def put(self, lane: str = "deal:1", **more: Any) -> int:
        """Record one event; returns its id."""
        self._made += 1
        values: dict[str, Any] = {
            "source": "test",
            "key": f"event {self._made}",
            "kind": "contract.due",
            "lane": lane,
            "content": {},
        }
        event = NewEvent(**{**values, **more})
        async with self.ledger.write() as tx:
            done = await inbox.record(tx, [event], now=self.clock())
        assert len(done.new) == 1
        return done.new[0]

    async def take(
        self, owner: str = "a", *, lease_s: float = 120, limit: int = 50, **more: Any
    ) -> list[Event]:
        """Claim what is due."""
        async with self.ledger.write() as tx:
            return await inbox.claim(tx, owner=owner, now=self.clock(), lease_s=lease_s, limit=limit, **more)

    async def settle(self, event_id: int, state: str, *, owner: str = "a", **more: Any) -> None:
        async with self.ledger.write() as tx:
            await inbox.settle(tx, event_id, owner=owner, state=state, now=self.clock(), **more)

    async def row(self, event_id: int) -> Event:
        async with self.ledger.read() as tx:
            return (await inbox.load(tx, [event_id]))[0]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def desk(ledger: Ledger, clock: Clock) -> Desk:
    return Desk(ledger, clock)


@pytest.fixture
def desk_at(clock: Clock) -> Callable[[Ledger], Desk]:
    """A desk on another handle of the database."""
    return lambda ledger: Desk(ledger, clock)


class Vendor:
    """Answers tries by script: errors, None for an answer. `has`: what it did; `shows`: whether checks find it."""

    key = "contract:1:1"
    plan = Plan(checks_s=[60, 180], again=1)

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.script: list[BaseException | None] = []
        self.commits = True
        self.shows = True
        self.has: list[str] = []
        self.tries = 0
        self.looks = 0

    async def attempt(self, token: str) -> dict[str, Any]:
        self.tries += 1
        known = await self.stored()
        assert known.state == "intended", "tried before the intent was written down"
        assert known.token == token
        problem = self.script.pop(0) if self.script else None
        if self.commits:
            self.has.append(token)
        if problem is not None:
            raise problem
        return {"request_id": f"r{len(self.has)}"}

    async def find(self, token: str) -> dict[str, Any] | None:
        self.looks += 1
        return {"request_id": "seen"} if self.shows and token in self.has else None

    async def do(self, writer: Writer, plan: Plan = plan, **more: Any) -> Any:
        """One `perform` with this vendor."""
        return await perform(
            writer,
            key=self.key,
            kind="send_contract",
            attempt=self.attempt,
            find=self.find,
            plan=plan,
            **more,
        )

    async def stored(self) -> Effect:
        """The effect's row."""
        async with self.ledger.read() as tx:
            effect = await effects.by_key(tx, self.key)
        assert effect is not None, "tried before the intent was written down"
        return effect


@pytest.fixture
def vendor(ledger: Ledger) -> Vendor:
    return Vendor(ledger)


@pytest.fixture
async def writer(desk: Desk) -> Writer:
    """Holds the lease on one event for a year, so that leases only matter in the tests about leases."""
    event_id = await desk.put()
    await desk.take("a", lease_s=366 * 86_400)
    return Writer(desk.ledger, "a", event_id, desk.clock)
