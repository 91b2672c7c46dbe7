"""A clock that is moved by hand, and shorthands for putting events in and taking them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.ledger import inbox
from flows.ledger.database import Ledger
from flows.ledger.inbox import Event, NewEvent

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now


class Desk:
    """One worker at the inbox."""

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
