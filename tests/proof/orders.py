"""Any order, any repeats, any delay: stories whose deliveries hypothesis mixes up, and one end state for each ending.

What befalls a story's deliveries is a list of mishaps, one for each delivery in the order in which the vendors made
them; when the list is used up, the rest arrives in good order. `Played.tale` says what became of each.
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
from flows.trials.rehearsal.world import API_KEY, CLIENT_SECRET, GATEWAY, Mail
from tests.proof.desk_stage import DeskStage, judged, open_house, open_stage, tidy
from tests.proof.director import House
from tests.proof.story import Story, rest
from tests.proof.verdict import Verdict

ENDINGS = ("sign", "decline", "expire", "cancel")
MISHAPS = (
    "on time",
    "twice",
    "a few minutes late",
    "days late",
    "dropped",
    "after its batch",  # the order within a batch turns round
    "not stored at first",  # the gateway answers 503, the vendor comes again
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
    """One example: how the contract ends, and what befalls the deliveries. Printed, it can be played again."""

    ending: str
    mishaps: tuple[tuple[str, int], ...]


@dataclass
class Played:
    """What came of an order, and how it went, a line a delivery."""

    order: Order
    verdict: Verdict
    tale: list[str]

    def __str__(self) -> str:
        faults = self.verdict.duplicates + self.verdict.lost + self.verdict.stuck
        return "\n".join([f"{self.order!r}", *(f"  {line}" for line in self.tale), *faults])


@dataclass
class Bag:
    """The courier: carries mails as the order has it. `late`: with the moment at which each arrives."""

    mishaps: Iterator[tuple[str, int]]
    tale: list[str] = field(default_factory=list)
    late: list[tuple[datetime, Mail]] = field(default_factory=list)
    expected_dead: set[str] = field(default_factory=set)  # request ids for which telling a person is right

    async def __call__(self, stage: DeskStage, mails: list[Mail]) -> int:
        """Bring what is due and what is new."""
        now, count = stage.world.now, 0
        due = [mail for at, mail in self.late if at <= now]
        self.late = [(at, mail) for at, mail in self.late if at > now]
        for mail in due:
            count += await self._bring(stage, mail)
        later: list[Mail] = []
        for mail in mails:
            what, number = next(self.mishaps, ("on time", 0))
            self.tale.append(f"{now:%d %b %H:%M} {mail.vendor} {mail.kind}: {what}")
            count += await self._befall(stage, mail, what, number, later)
        for mail in reversed(later):
            count += await self._bring(stage, mail)
        return count

    async def _befall(self, stage: DeskStage, mail: Mail, what: str, number: int, later: list[Mail]) -> int:
        now = stage.world.now
        if what == "dropped":
            return 0
        if what == "after its batch":
            later.append(mail)
            return 0
        if what in ("a few minutes late", "days late"):
            unit = timedelta(days=1) if what == "days late" else timedelta(minutes=2)
            self.late.append((now + unit * (number + 1), mail))
            return 0
        if what == "not stored at first":
            with _locked(stage):
                status = await stage.offer(_signed_now(mail, now))
            assert status == 503, f"the gateway answered {status} although it could not store"
            self.late.append((now + timedelta(minutes=number + 1), mail))
            return 0
        for other in await _beside(stage, mail, what, number, self.expected_dead):
            if what in ("forged", "stale"):
                status = await stage.offer(other)
                assert status == 401, f"the gateway answered {status} to what is {what}"
            else:
                await stage.deliver(other)
        return await self._bring(stage, mail) + (await self._bring(stage, mail) if what == "twice" else 0)

    async def _bring(self, stage: DeskStage, mail: Mail) -> int:
        await stage.deliver(_signed_now(mail, stage.world.now))
        return 1

    async def empty(self, stage: DeskStage) -> None:
        """Time passes until all that is late has arrived."""
        while self.late:
            await stage.world.advance(max(stage.world.now, min(at for at, _ in self.late)))
            await stage.settle()


async def _beside(
    stage: DeskStage, mail: Mail, what: str, number: int, expected_dead: set[str]
) -> list[Mail]:
    """What else arrives together with this delivery."""
    if mail.vendor == "hubspot":
        return _beside_hubspot(stage, mail, what, number)
    payload = mail.json()
    if what == "forged":
        payload["event"]["event_hash"] = event_hash("another key", "1", "x")
        return [replace(mail, body=form(API_KEY, payload)[0])]
    request = payload.get("signature_request")
    if not isinstance(request, dict):
        return []
    if what == "foreign":  # a request that somebody sent by hand from the same account
        return [_signed(mail, payload, signature_request_id=_MADE_UP, metadata={})]
    if what == "another's":  # of a deal and a ledger that are not ours
        others = {"dealflow_token": _MADE_UP, "deal_id": "4711"}
        return [_signed(mail, payload, signature_request_id=_MADE_UP, metadata=others)]
    if what == "claims another end":  # a proven event, replayed around a body that says more than is true
        kind = f"signature_request_{_CLAIMS[number % len(_CLAIMS)]}"
        return [_signed(mail, payload, kind=kind, is_complete=True, is_declined=True)]
    if what == "crossed":  # our token and deal around another request, where there is one
        ours = str(request["signature_request_id"])
        others = [r["signature_request_id"] for r in await stage.world.requests()]
        foreign = next((r for r in others if r != ours), _MADE_UP)
        expected_dead.add(foreign)
        return [_signed(mail, payload, signature_request_id=foreign)]
    if what == "same second":  # another signer's event of the same kind and moment
        twin = copy.deepcopy(payload)
        twin["event"]["event_metadata"]["related_signature_id"] = f"twin{number}"
        return [_signed(mail, twin)]
    return []


def _beside_hubspot(stage: DeskStage, mail: Mail, what: str, number: int) -> list[Mail]:
    at = _ms(stage.world.now)
    if what == "forged":
        return [_as_hubspot(mail, mail.body, at, secret="another secret")]
    if what == "stale":
        return [_as_hubspot(mail, mail.body, at - 600_000)]
    rows = json.loads(mail.body)
    if what in ("foreign", "another's", "crossed"):  # a deal that is not there (any more)
        changed = [{**row, "objectId": 990_000_000 + number, "eventId": 77_000 + number} for row in rows]
    elif what in ("same second", "claims another end"):
        changed = [{**row, "eventId": row["eventId"] + 500_000, "propertyValue": "no_stage"} for row in rows]
    else:
        return []
    return [_as_hubspot(mail, json.dumps(changed).encode(), at)]


def _signed(mail: Mail, payload: Mapping[str, Any], *, kind: str = "", **request: Any) -> Mail:
    """This payload with a proven event (the hash covers only time and type) and other words about the request."""
    changed = copy.deepcopy(dict(payload))
    event = changed["event"]
    event["event_type"] = kind or event["event_type"]
    event["event_hash"] = event_hash(API_KEY, event["event_time"], event["event_type"])
    changed["signature_request"] = {**changed["signature_request"], **request}
    body, headers = form("whoever replays it has no key", changed)
    return replace(mail, kind=event["event_type"], body=body, headers=headers)


def _signed_now(mail: Mail, now: datetime) -> Mail:
    """HubSpot signs each try with the time of that try; Dropbox Sign sends the same bytes again."""
    return _as_hubspot(mail, mail.body, _ms(now)) if mail.vendor == "hubspot" else mail


def _as_hubspot(mail: Mail, body: bytes, at_ms: int, secret: str = CLIENT_SECRET) -> Mail:
    return replace(mail, body=body, headers=signed_headers(secret, GATEWAY + mail.path, body, at_ms))


def _ms(now: datetime) -> int:
    return int(now.timestamp() * 1000)


@contextmanager
def _locked(stage: DeskStage) -> Iterator[None]:
    """Another process has the ledger's write lock."""
    other = sqlite3.connect(stage.home / "ledger.db", isolation_level=None)
    try:
        other.execute("begin immediate")
        yield
        other.execute("rollback")
    finally:
        other.close()


async def play(house: House, order: Order) -> Played:
    """Play the story with these mishaps; at the end time passes and the schedule goes on."""
    bag, verdict = Bag(iter(order.mishaps)), Verdict()
    async with open_stage(house, courier=bag, scheduled=True, a_person=False) as stage:
        await _impatient(stage)
        story = Story(house.stories, order.ending)
        try:
            await story.play(stage)
            await bag.empty(stage)
            await stage.sweep()
            await rest(stage, minutes=20)
        except AssertionError as problem:
            verdict.lost.append(str(problem))
        except Exception:
            verdict.lost.append(traceback.format_exc(limit=4))
        found = await judged(stage, story)
        right = tuple(bag.expected_dead)
        found.stuck = [s for s in found.stuck if not any(f"dead: request {r}:" in s for r in right)]
        verdict.add(found)
        await tidy(house, [story])
        if verdict.ok:
            shutil.rmtree(stage.home, ignore_errors=True)
        return Played(order, verdict, bag.tale)


async def _impatient(stage: DeskStage) -> None:
    """The gateway does not wait for another writer: where it would answer 503 after fifteen seconds, it does so now."""
    engine = stage.desk.s.ledger.engine
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

    Drawing costs nothing beside playing: so more are drawn than played, and near copies are left out.
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
    house: House,
    *,
    examples: int,
    seed: int = 7,
    tell: Callable[[Played], None] = lambda _played: None,
) -> list[Played]:
    """Play so many orders, drawn with this seed."""
    played = []
    for order in drawn(examples, seed):
        played.append(await play(house, order))
        tell(played[-1])
    return played


def play_again(order: Order, folder: Path) -> Played:
    """For whoever looks into a failure: one printed order, on a sandbox of its own."""

    async def once() -> Played:
        async with open_house(folder) as house:
            return await play(house, order)

    return asyncio.run(once())


def sentences(played: Sequence[Played]) -> str:
    """Those that went wrong, each as a story."""
    return "\n\n".join(str(p) for p in played if not p.verdict.ok)
