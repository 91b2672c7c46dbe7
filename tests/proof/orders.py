"""Any order, any repeats, any delay: stories whose deliveries hypothesis disturbs, and one end state for each ending.

The disturbances of a story's deliveries are a list of mishaps, one for each delivery in the order in which the vendors
made them; when the list is used up, the others arrive in order. `Played.log` has a line for each.
"""

import asyncio
import copy
import json
import random
import shutil
import sqlite3
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from connectors.sandbox.dropbox_sign_server.events import event_hash, form
from connectors.sandbox.hubspot_server.events import signed_headers
from flows.trials.rehearsal.world import API_KEY, CLIENT_SECRET, GATEWAY, Delivery
from tests.proof.desk_harness import DeskHarness, judged, open_environment, open_harness, tidy
from tests.proof.process_harness import Environment
from tests.proof.story import Story, rest
from tests.proof.verdict import Verdict

ENDINGS = ("sign", "decline", "expire", "cancel")
MISHAPS = (
    "on time",
    "twice",
    "a few minutes late",
    "days late",
    "dropped",
    "after its batch",  # the order within a batch is reversed
    "not stored at first",  # the gateway answers 503, the vendor retries
    "forged",
    "stale",
    "foreign",
    "another's",
    "claims another end",
    "crossed",
    "same second",
)
_BUSY_MS = 20
_MADE_UP = "0123456789abcdef0123456789abcdef01234567"
_CLAIMS = ("all_signed", "declined", "canceled", "expired", "invalid")


@dataclass(frozen=True)
class Order:
    """One example: how the contract ends, and the mishaps of its deliveries. It can be repeated as printed."""

    ending: str
    mishaps: tuple[tuple[str, int], ...]


@dataclass
class Played:
    """The result of an order, and its log with a line for each delivery."""

    order: Order
    verdict: Verdict
    log: list[str]

    def __str__(self) -> str:
        faults = self.verdict.duplicates + self.verdict.lost + self.verdict.stuck
        return "\n".join([f"{self.order!r}", *(f"  {line}" for line in self.log), *faults])


@dataclass
class MishapCourier:
    """Delivers as the order says. `late`: with the moment at which each arrives."""

    mishaps: Iterator[tuple[str, int]]
    log: list[str] = field(default_factory=list)
    late: list[tuple[datetime, Delivery]] = field(default_factory=list)
    expected_dead: set[str] = field(default_factory=set)  # request ids for which a dead event is right

    async def __call__(self, harness: DeskHarness, deliveries: list[Delivery]) -> int:
        """Deliver what is due and what is new."""
        now, count = harness.world.now, 0
        due = [delivery for at, delivery in self.late if at <= now]
        self.late = [(at, delivery) for at, delivery in self.late if at > now]
        for delivery in due:
            count += await self._bring(harness, delivery)
        later: list[Delivery] = []
        for delivery in deliveries:
            what, number = next(self.mishaps, ("on time", 0))
            self.log.append(f"{now:%d %b %H:%M} {delivery.vendor} {delivery.kind}: {what}")
            count += await self._apply(harness, delivery, what, number, later)
        for delivery in reversed(later):
            count += await self._bring(harness, delivery)
        return count

    async def _apply(
        self, harness: DeskHarness, delivery: Delivery, what: str, number: int, later: list[Delivery]
    ) -> int:
        now = harness.world.now
        if what == "dropped":
            return 0
        if what == "after its batch":
            later.append(delivery)
            return 0
        if what in ("a few minutes late", "days late"):
            unit = timedelta(days=1) if what == "days late" else timedelta(minutes=2)
            self.late.append((now + unit * (number + 1), delivery))
            return 0
        if what == "not stored at first":
            with _locked(harness):
                status = await harness.offer(_signed_now(delivery, now))
            assert status == 503, f"the gateway answered {status} although it could not store"
            self.late.append((now + timedelta(minutes=number + 1), delivery))
            return 0
        for other in await _extra_deliveries(harness, delivery, what, number, self.expected_dead):
            if what in ("forged", "stale"):
                status = await harness.offer(other)
                assert status == 401, f"the gateway answered {status} to what is {what}"
            else:
                await harness.deliver(other)
        return await self._bring(harness, delivery) + (
            await self._bring(harness, delivery) if what == "twice" else 0
        )

    async def _bring(self, harness: DeskHarness, delivery: Delivery) -> int:
        await harness.deliver(_signed_now(delivery, harness.world.now))
        return 1

    async def empty(self, harness: DeskHarness) -> None:
        """Let time pass until all late deliveries have arrived."""
        while self.late:
            await harness.world.advance(max(harness.world.now, min(at for at, _ in self.late)))
            await harness.settle()


async def _extra_deliveries(
    harness: DeskHarness, delivery: Delivery, what: str, number: int, expected_dead: set[str]
) -> list[Delivery]:
    """The other deliveries that arrive together with this one."""
    if delivery.vendor == "hubspot":
        return _extra_from_hubspot(harness, delivery, what, number)
    payload = delivery.json()
    if what == "forged":
        payload["event"]["event_hash"] = event_hash("another key", "1", "x")
        return [replace(delivery, body=form(API_KEY, payload)[0])]
    request = payload.get("signature_request")
    if not isinstance(request, dict):
        return []
    if what == "foreign":  # a request that somebody sent by hand from the same account
        return [_signed(delivery, payload, signature_request_id=_MADE_UP, metadata={})]
    if what == "another's":  # of a deal and a ledger that are not ours
        others = {"dealflow_token": _MADE_UP, "deal_id": "4711"}
        return [_signed(delivery, payload, signature_request_id=_MADE_UP, metadata=others)]
    if what == "claims another end":  # a verified event, replayed with a body that claims too much
        kind = f"signature_request_{_CLAIMS[number % len(_CLAIMS)]}"
        return [_signed(delivery, payload, kind=kind, is_complete=True, is_declined=True)]
    if what == "crossed":  # our token and deal with another request, if there is one
        ours = str(request["signature_request_id"])
        others = [r["signature_request_id"] for r in await harness.world.requests()]
        foreign = next((r for r in others if r != ours), _MADE_UP)
        expected_dead.add(foreign)
        return [_signed(delivery, payload, signature_request_id=foreign)]
    if what == "same second":  # another signer's event of the same kind and moment
        twin = copy.deepcopy(payload)
        twin["event"]["event_metadata"]["related_signature_id"] = f"twin{number}"
        return [_signed(delivery, twin)]
    return []


def _extra_from_hubspot(harness: DeskHarness, delivery: Delivery, what: str, number: int) -> list[Delivery]:
    at = _ms(harness.world.now)
    if what == "forged":
        return [_as_hubspot(delivery, delivery.body, at, secret="another secret")]
    if what == "stale":
        return [_as_hubspot(delivery, delivery.body, at - 600_000)]
    rows = json.loads(delivery.body)
    if what in ("foreign", "another's", "crossed"):  # a deal that does not exist
        changed = [{**row, "objectId": 990_000_000 + number, "eventId": 77_000 + number} for row in rows]
    elif what in ("same second", "claims another end"):
        changed = [{**row, "eventId": row["eventId"] + 500_000, "propertyValue": "no_stage"} for row in rows]
    else:
        return []
    return [_as_hubspot(delivery, json.dumps(changed).encode(), at)]


def _signed(delivery: Delivery, payload: Mapping[str, Any], *, kind: str = "", **request: Any) -> Delivery:
    """This payload with a valid event (the hash covers only time and type) and other content about the request."""
    changed = copy.deepcopy(dict(payload))
    event = changed["event"]
    event["event_type"] = kind or event["event_type"]
    event["event_hash"] = event_hash(API_KEY, event["event_time"], event["event_type"])
    changed["signature_request"] = {**changed["signature_request"], **request}
    body, headers = form("whoever replays it has no key", changed)
    return replace(delivery, kind=event["event_type"], body=body, headers=headers)


def _signed_now(delivery: Delivery, now: datetime) -> Delivery:
    """HubSpot signs each try with the time of that try; Dropbox Sign sends the same bytes again."""
    return _as_hubspot(delivery, delivery.body, _ms(now)) if delivery.vendor == "hubspot" else delivery


def _as_hubspot(delivery: Delivery, body: bytes, at_ms: int, secret: str = CLIENT_SECRET) -> Delivery:
    return replace(delivery, body=body, headers=signed_headers(secret, GATEWAY + delivery.path, body, at_ms))


def _ms(now: datetime) -> int:
    return int(now.timestamp() * 1000)


@contextmanager
def _locked(harness: DeskHarness) -> Iterator[None]:
    """Another process has the ledger's write lock."""
    other = sqlite3.connect(harness.home / "ledger.db", isolation_level=None)
    try:
        other.execute("begin immediate")
        yield
        other.execute("rollback")
    finally:
        other.close()


async def play(environment: Environment, order: Order) -> Played:
    """Run the story with these mishaps; at the end let time pass and the scheduled flows run."""
    courier, verdict = MishapCourier(iter(order.mishaps)), Verdict()
    async with open_harness(environment, courier=courier, scheduled=True, a_person=False) as harness:
        await _short_database_wait(harness)
        story = Story(environment.stories, order.ending)
        try:
            await story.play(harness)
            await courier.empty(harness)
            await harness.sweep()
            await rest(harness, minutes=20)
        except AssertionError as problem:
            verdict.lost.append(str(problem))
        except Exception:
            verdict.lost.append(traceback.format_exc(limit=4))
        found = await judged(harness, story)
        right = tuple(courier.expected_dead)
        found.stuck = [s for s in found.stuck if not any(f"dead: request {r}:" in s for r in right)]
        verdict.add(found)
        await tidy(environment, [story])
        if verdict.ok:
            shutil.rmtree(harness.home, ignore_errors=True)
        return Played(order, verdict, courier.log)


async def _short_database_wait(harness: DeskHarness) -> None:
    """Shorten the gateway's wait for another writer: it answers 503 at once instead of after fifteen seconds."""
    engine = harness.desk.s.ledger.engine
    await engine.dispose()

    @sa.event.listens_for(engine.sync_engine, "connect")
    def on_connect(raw: Any, _record: Any) -> None:
        raw.cursor().execute(f"PRAGMA busy_timeout={_BUSY_MS}")


def orders() -> st.SearchStrategy[Order]:
    """Any ending, any mishaps."""
    mishap = st.tuples(st.sampled_from(MISHAPS), st.integers(0, 4))
    return st.builds(Order, st.sampled_from(ENDINGS), st.lists(mishap, min_size=12, max_size=40).map(tuple))


def drawn(examples: int, seed_: int) -> list[Order]:
    """Examples that hypothesis draws: the same ones for the same seed, each ending among the first four.

    Drawing is cheap compared with a run: so more are drawn than run, and near copies are left out.
    """
    found: list[Order] = []

    @seed(seed_)
    @settings(
        max_examples=examples * 20,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(orders())
    def draw(order: Order) -> None:
        found.append(order)

    draw()
    lively = [o for o in found if len({what for what, _ in o.mishaps[:8]}) > 3]
    unlike = list({o.mishaps[:3]: o for o in lively}.values())
    random.Random(seed_).shuffle(unlike)
    return [replace(o, ending=ENDINGS[n % len(ENDINGS)]) for n, o in enumerate(unlike[:examples])]


async def run_orders(
    environment: Environment,
    *,
    examples: int,
    seed: int = 7,
    report: Callable[[Played], None] = lambda _played: None,
) -> list[Played]:
    """Run this many orders, drawn with this seed."""
    played = []
    for order in drawn(examples, seed):
        played.append(await play(environment, order))
        report(played[-1])
    return played


def play_again(order: Order, folder: Path) -> Played:
    """To examine a failure: run one printed order on its own sandbox."""

    async def once() -> Played:
        async with open_environment(folder) as environment:
            return await play(environment, order)

    return asyncio.run(once())


def sentences(played: Sequence[Played]) -> str:
    """The failed orders, each with its log."""
    return "\n\n".join(str(p) for p in played if not p.verdict.ok)
