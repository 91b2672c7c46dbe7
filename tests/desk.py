"""What a worker does around a flow, without Prefect: record, claim, prepare, handle, settle."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import ModuleType
from typing import Any

from connectors.hubspot.client import HubSpotClient
from flows import retries
from flows.ledger import inbox, tables
from flows.ledger.inbox import Event, NewEvent
from flows.rules.outcome import Outcome
from flows.services import Services

Ended = Outcome | Exception


@contextmanager
def no_waiting() -> Iterator[None]:
    """Shorten the waits between tries: they are real seconds."""
    before = retries._FIRST_WAIT_S, retries._LONGEST_WAIT_S
    retries._FIRST_WAIT_S, retries._LONGEST_WAIT_S = 0.002, 0.004
    try:
        yield
    finally:
        retries._FIRST_WAIT_S, retries._LONGEST_WAIT_S = before


def without_pace(s: Services) -> HubSpotClient:
    """A client on the same connections that keeps none of HubSpot's limits: the stand-in's are lifted."""
    token = s.settings.hubspot_token
    assert token is not None
    return HubSpotClient(token.get_secret_value(), base_url=s.settings.hubspot_base_url, http=s.http[0])


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
