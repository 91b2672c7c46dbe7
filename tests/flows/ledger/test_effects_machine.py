"""Any interleaving of answers, losses, deaths and take-overs: the vendor never has two, and it comes to an end."""

import asyncio
import itertools
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from connectors.http.errors import ConnectorError, RateLimitedError, RejectedError, TransientError
from flows.ledger import effects, inbox
from flows.ledger.database import Ledger, open_ledger
from flows.ledger.effects import Plan, QuarantinedError, StillUnknownError, Writer, perform
from flows.ledger.inbox import Event, LeaseLostError, NewEvent
from tests.amount import few

LEASE_S = 120.0
PLAN_S = [60.0, 180.0]
FATES = ("answers", "answer lost", "request lost", "rate limited", "rejected", "dies before", "dies after")
EXPECTED = (ConnectorError, StillUnknownError, QuarantinedError, LeaseLostError)


class Death(BaseException):
    """The process dies here."""


class World(RuleBasedStateMachine):
    """Two events ask for the same write; each may be in the hands of any worker at any time."""

    ledgers: tuple[Ledger, Ledger]
    runner: asyncio.Runner
    clock: Any
    numbers = itertools.count()

    @initialize(lag_s=st.sampled_from([0.0, 50.0, 230.0]), again=st.sampled_from([0, 1, None]))
    def begin(self, lag_s: float, again: int | None) -> None:
        """`lag_s`: how long the vendor's search hides what it has; the plan's checks last longer."""
        self.lag_s, self.plan = lag_s, Plan(checks_s=PLAN_S, again=again)
        number = next(self.numbers)
        self.key, self.kind = f"contract:{number}:1", f"kind {number}"
        self.committed: list[Any] = []  # when the vendor did it
        self.held: dict[int, str] = {}  # event -> the worker that believes to hold it
        self.before: list[tuple[int, str]] = []  # workers that lost an event
        self.events = self.runner.run(self._record(number))
        for event_id in self.events:
            self._take(event_id)

    async def _record(self, number: int) -> list[int]:
        wanted = [NewEvent("test", f"{number}:{n}", self.kind, f"lane {number}:{n}", {}) for n in range(2)]
        async with self.ledgers[0].write() as tx:
            return (await inbox.record(tx, wanted, now=self.clock())).new

    def _take(self, event_id: int) -> None:
        owner = f"worker {next(self.numbers)}"

        async def claim() -> list[Event]:
            async with self.ledgers[0].write() as tx:
                return await inbox.claim(
                    tx, owner=owner, now=self.clock(), lease_s=LEASE_S, limit=1, only_ids=[event_id]
                )

        if self.runner.run(claim()):
            if event_id in self.held:
                self.before.append((event_id, self.held[event_id]))
            self.held[event_id] = owner

    def _perform(
        self, event_id: int, owner: str, fate: str, *, look_fails: bool = False, nested: bool = False
    ) -> None:
        async def attempt(_token: str) -> dict[str, Any]:
            if nested:  # meanwhile the other event's worker asks for the same
                other = next(e for e in self.events if e != event_id)
                had = len(self.committed)
                await self._meanwhile(other)
                assert len(self.committed) == had
            if fate in ("answers", "answer lost", "dies after"):
                self.committed.append(self.clock())
            if fate.startswith("dies"):
                raise Death
            if fate in ("answer lost", "request lost"):
                raise TransientError("dropbox_sign", "send", applied="maybe")
            if fate == "rate limited":
                raise RateLimitedError("dropbox_sign", "send", status=429)
            if fate == "rejected":
                raise RejectedError("dropbox_sign", "send", status=400)
            return {"request_id": f"r{len(self.committed)}"}

        async def find(token: str) -> dict[str, Any] | None:
            if look_fails:
                raise TransientError("dropbox_sign", "list")
            return self._seen()

        writer = Writer(self.ledgers[0], owner, event_id, self.clock)
        try:
            self.runner.run(
                perform(writer, key=self.key, kind="x", attempt=attempt, find=find, plan=self.plan)
            )
        except (*EXPECTED, Death):
            pass
        else:
            assert len(self.committed) == 1, "said to be done, and it is not"

    async def _meanwhile(self, event_id: int) -> None:
        async def attempt(_token: str) -> dict[str, Any]:
            self.committed.append(self.clock())
            return {"request_id": "of the other"}

        async def find(_token: str) -> dict[str, Any] | None:
            return self._seen()

        writer = Writer(self.ledgers[1], self.held[event_id], event_id, self.clock)
        try:
            await perform(writer, key=self.key, kind="x", attempt=attempt, find=find, plan=self.plan)
        except EXPECTED:
            return
        raise AssertionError("the other one was told that it is done while it was being tried")

    def _seen(self) -> dict[str, Any] | None:
        shown = [at for at in self.committed if self.clock() >= at + timedelta(seconds=self.lag_s)]
        return {"request_id": "r1"} if shown else None

    @rule(
        which=st.integers(0, 1), fate=st.sampled_from(FATES), look_fails=st.booleans(), nested=st.booleans()
    )
    def work(self, which: int, fate: str, look_fails: bool, nested: bool) -> None:
        """A worker handles its event now, whether it is the time for it or not."""
        event_id = self.events[which]
        self._perform(event_id, self.held[event_id], fate, look_fails=look_fails, nested=nested)

    @rule(which=st.integers(0, 1))
    def an_operator_replays_it(self, which: int) -> None:
        """Several tries within a moment."""
        for _ in range(len(PLAN_S) + 2):
            self._perform(self.events[which], self.held[self.events[which]], "answers")

    @rule(seconds=st.sampled_from([1.0, 30.0, 61.0, 119.0]))
    def time_passes(self, seconds: float) -> None:
        """The leases run on (nobody renews them here)."""
        self.clock.forward(seconds)

    @rule(which=st.integers(0, 1))
    def somebody_takes_over(self, which: int) -> None:
        """After the lease has run out; before, the claim finds nothing."""
        self._take(self.events[which])

    @precondition(lambda self: self.before)
    @rule(data=st.data())
    def a_dead_worker_wakes(self, data: Any) -> None:
        """It still believes that it holds its event: it changes nothing at the vendor."""
        event_id, owner = data.draw(st.sampled_from(self.before))
        had = len(self.committed)
        self._perform(event_id, owner, "answers")
        assert len(self.committed) == had

    @invariant()
    def the_vendor_never_has_two(self) -> None:
        """Promise 2."""
        assert len(getattr(self, "committed", ())) <= 1

    def teardown(self) -> None:
        """From here on nothing fails: it ends, and the ledger matches the vendor."""
        if not hasattr(self, "events"):
            return
        for _ in range(12):
            self.clock.forward(LEASE_S + PLAN_S[-1])
            for event_id in self.events:
                self._take(event_id)
                self._perform(event_id, self.held[event_id], "answers")
        effect = self.runner.run(self._effect())
        assert effect.state in ("done", "quarantined")
        assert len(self.committed) == (effect.state == "done")
        if effect.state == "quarantined":
            assert self.plan.again is not None
            assert effect.resends == self.plan.again

    async def _effect(self) -> Any:
        async with self.ledgers[0].read() as tx:
            return await effects.by_key(tx, self.key)


@pytest.mark.slow
@pytest.mark.sampled
@pytest.mark.timeout(few(1800, 300))
def test_any_interleaving(ledger_url: str, clock: Any) -> None:
    """No order of answers, lost requests, deaths, take-overs and early repeats makes the vendor do it twice."""
    with asyncio.Runner() as runner:
        opened = tuple(runner.run(open_ledger(ledger_url, migrate=False)) for _ in range(2))
        try:
            machine = type("Here", (World,), {"ledgers": opened, "runner": runner, "clock": clock})
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=few(200, 20),
                    stateful_step_count=15,
                    deadline=None,
                    derandomize=True,
                    phases=[
                        Phase.generate
                    ],  # shrinking on a real database takes longer than reading 15 steps
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            for ledger in opened:
                runner.run(ledger.close())
