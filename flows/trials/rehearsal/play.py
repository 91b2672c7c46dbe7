"""Simulates a quarter in virtual time. People act, the vendors deliver, the worker works, time passes.

Everything happens one after another in this process, so the same seed gives the same ledger, byte for byte.
"""

import gc
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from config.files import read_yaml
from flows.deals.activities import OBJECTS, Happened, asked_types
from flows.errors import FlowError
from flows.hand_over.next_deal import follows_on
from flows.ledger.snapshot import compact_copy, fingerprint
from flows.rules.process.sales_process import SalesProcess, parse_process
from flows.trials.rehearsal.buyers import Buyer, Lead, buyers, leads
from flows.trials.rehearsal.calendar import HOURS, STARTS, ticks
from flows.trials.rehearsal.desk import Desk, Tally, load, open_desk
from flows.trials.rehearsal.evidence import Case
from flows.trials.rehearsal.journal import logged
from flows.trials.rehearsal.rates import Rates
from flows.trials.rehearsal.reps import Reps
from flows.trials.rehearsal.signers import Signers
from flows.trials.rehearsal.world import World, open_world

_MINUTE = timedelta(minutes=1)
_FRIDAY = 4
_ROUNDS = 60
Progress = Callable[[int, datetime], None]
"""Called with the number of simulated calendar days and the virtual time."""


class PlayError(FlowError):
    """The simulation does not become idle: events repeat without end. The text says when."""


@dataclass(frozen=True)
class Plan:
    """What to rehearse. `ledger`: where to keep it (default: deleted). `follow_ups`: run them on each working day."""

    process_file: Path
    deals: int = 200
    days: int = 90
    seed: int = 7
    rates: Rates = field(default_factory=Rates)
    ledger: Path | None = None
    starts: datetime = STARTS
    follow_ups: bool = False


@dataclass
class Played:
    """The result: the stand-ins' own records, and our counts."""

    plan: Plan
    process: SalesProcess
    stage_ids: dict[str, str]
    cases: list[Case]
    leads: int
    joined: int
    tally: Tally
    ends: datetime
    deals: list[dict[str, Any]] = field(default_factory=list)
    follow_ons: list[dict[str, Any]] = field(default_factory=list)
    line_items: list[dict[str, Any]] = field(default_factory=list)
    quotes: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    happened: dict[str, Happened] = field(default_factory=dict)  # by deal id, if criteria need it
    files: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    fingerprint: str = ""
    seconds: float = 0.0


async def play(plan: Plan, progress: Progress = lambda _day, _now: None) -> Played:
    """Run the simulation and return its result.

    Raises ConfigFileError, ProcessError, LaunchError, ProvisionError; DeskError or PlayError for faults of the product.
    """
    began = time.monotonic()
    process = parse_process(read_yaml(plan.process_file))
    gc.freeze()  # imported modules stay: the collector need not scan them repeatedly
    gc.set_threshold(20_000, 50, 100)
    with tempfile.TemporaryDirectory(prefix="dealflow-rehearsal-") as folder:
        home = Path(folder)
        async with (
            open_world(process, seed=plan.seed, starts=plan.starts, meanwhile=load) as world,
            open_desk(world, process_file=plan.process_file, home=home, seed=plan.seed) as desk,
        ):
            played = await _Play(plan, world, desk).run(progress)
        ledger = home / "ledger.db"
        compact_copy(ledger, home / "compact.db")
        played.fingerprint = fingerprint(home / "compact.db")
        if plan.ledger is not None:
            plan.ledger.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(home / "compact.db", plan.ledger)
    played.seconds = time.monotonic() - began
    return played


class _Play:
    """One run."""

    def __init__(self, plan: Plan, world: World, desk: Desk) -> None:
        self._plan, self._world, self._desk = plan, world, desk
        self._cases: list[Case] = []
        self._waiting: dict[
            str, tuple[Lead, Buyer, datetime]
        ] = {}  # lead key -> time sent; not on the board yet
        self._leads = self._joined = 0

    async def run(self, progress: Progress) -> Played:
        plan, world, s = self._plan, self._world, self._desk.s
        portal = await s.portal()
        counter = s.process.seller.counter_signer
        self._signers = Signers(world, plan.rates, plan.seed, counter.email.lower() if counter else "")
        self._reps = Reps(
            world,
            s.process,
            plan.rates,
            self._signers,
            dict(portal.stage_ids),
            world.property_types,
            tuple(s.templates.values()),
        )
        everybody = buyers(plan.deals, seed=plan.seed, rates=plan.rates)
        coming = list(leads(everybody, starts=plan.starts, days=plan.days, rates=plan.rates))
        by_number = {b.number: b for b in everybody}
        for now in ticks(plan.days, plan.starts):
            await self._settle(now)
            while coming and coming[0].arrives_at <= now:
                lead = coming.pop(0)
                await self._send(lead, by_number[lead.follows or lead.number])
            await self._signers.act()
            await self._let_reps_work()
            await self._settle()
            if plan.follow_ups and now.hour == HOURS[0]:
                await self._desk.follow_up()
                await self._settle()
            if now.hour == HOURS[-1] and now.weekday() == _FRIDAY:
                await self._desk.sweep()  # webhooks have reported everything: this only tests the safety net
                await self._settle()
            progress((now - plan.starts).days + 1, now)
        await self._settle(plan.starts + timedelta(days=plan.days))
        return await self._result()

    async def _settle(self, until: datetime | None = None) -> None:
        """Let time pass (at least a minute), deliver the vendors' events, let the worker work, until it is idle."""
        for at in range(_ROUNDS):
            await self._world.advance(until if until and at == 0 else self._world.now + _MINUTE)
            deliveries = await self._world.deliveries()
            await self._desk.take_in(deliveries)
            self._signers.read(deliveries)
            if await self._desk.work() == 0:
                return
        raise PlayError(f"the worker is still busy an hour after {self._world.now:%Y-%m-%d %H:%M}")

    async def _send(self, lead: Lead, buyer: Buyer) -> None:
        key = await self._desk.lead(lead.fields)
        self._waiting[key] = (lead, buyer, self._world.now)
        self._leads += 1

    async def _let_reps_work(self) -> None:
        await self._look_for_new_deals()
        now = self._world.now
        due = [c for c in self._cases if not c.over and c.next_at <= now]
        if not due:
            return
        board = await self._world.board([c.deal_id for c in due], self._reps.watched)
        for case in due:
            if case.deal_id in board:
                await self._reps.work(case, board[case.deal_id])

    async def _look_for_new_deals(self) -> None:
        """Adopt new deals. The lead of a buyer with an open deal joined that deal: it has no deal of its own."""
        asked = list(self._waiting)
        if not asked:
            return
        found = await self._world.board(asked, ["dealflow_lead_key"], id_property="dealflow_lead_key")
        for key in asked:
            lead, buyer, sent_at = self._waiting[key]
            if key in found:
                del self._waiting[key]
                self._cases.append(await self._reps.adopt(lead.number, buyer, str(found[key]["id"])))
            elif self._world.now - sent_at > timedelta(days=1):
                del self._waiting[key]
                self._joined += 1

    async def _result(self) -> Played:
        world, s = self._world, self._desk.s
        activities = {kind: await world.records(OBJECTS[kind]) for kind in asked_types(s.process)}
        deals = await world.records("deals")
        follow_ons = [d for d in deals if follows_on(d["properties"].get("dealflow_lead_key"))]
        return Played(
            plan=self._plan,
            process=s.process,
            stage_ids=dict((await s.portal()).stage_ids),
            cases=self._cases,
            leads=self._leads,
            joined=self._joined,
            tally=self._desk.tally,
            ends=world.now,
            deals=[d for d in deals if d not in follow_ons],
            follow_ons=follow_ons,
            line_items=await world.records("line_items"),
            quotes=await world.records("quotes"),
            notes=await world.records("notes"),
            tasks=await world.records("tasks"),
            happened=logged(activities, s.process),
            files=await world.records("files"),
            requests=await world.requests(),
        )
