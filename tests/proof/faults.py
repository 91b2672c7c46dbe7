"""The fault matrix: two stories are played once to learn which calls they make, then once for each call and each fault:
the signed story, and the slow buyer's for the calls that only it has.

Nobody lists the endpoints: they are read from the stand-ins' request logs of the calm playing.
"""

import base64
import hashlib
import re
import shutil
import socket
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import httpx

from connectors.dropbox_sign.service import DropboxSign
from flows.trials.rehearsal.world import API_KEY
from tests.proof.desk_stage import TOKEN, DeskStage, judged, open_stage, sender_at, tidy
from tests.proof.director import House
from tests.proof.forwarder import Forwarder
from tests.proof.story import Story, rest
from tests.proof.verdict import Verdict

_ID = re.compile(r"\d+|[0-9a-f]{20,}")
ANY_ID = r"[0-9A-Za-z-]+"
_SEND = "POST /v3/signature_request/send"
_DRAFT = "POST /crm/objects/2026-03/emails"
STORIES = ("sign", "slow")
_STRIDE = 5  # from one endpoint's fault to the next one's; shares no factor with their number
REFUSED = "connection refused"
_NEVER = "the fault never struck"


def _digest(header: str) -> str:
    return f"sha256:{hashlib.sha256(header.encode()).hexdigest()[:12]}"


_CALLERS = {
    "hubspot": _digest(f"Bearer {TOKEN}"),
    "dropbox_sign": _digest(f"Basic {base64.b64encode(f'{API_KEY}:'.encode()).decode()}"),
}
"""How the request logs show who called: reps and observers call the stand-ins too, under keys of their own."""


@dataclass(frozen=True)
class Fault:
    """One way in which a call goes wrong, once. `plant`: what the stand-in is told; empty: nobody is listening."""

    name: str
    plant: Mapping[str, Any] = field(default_factory=dict, compare=False)


FAULTS = (
    Fault("429 with hints", {"kind": "status", "status": 429, "headers": {"Retry-After": "7"}}),
    Fault("429 without hints", {"kind": "status", "status": 429}),
    Fault("409", {"kind": "status", "status": 409}),
    Fault("500", {"kind": "status", "status": 500}),
    Fault("502", {"kind": "status", "status": 502}),
    Fault("502 after the commit", {"kind": "status_after", "status": 502}),
    Fault(REFUSED),
    Fault("reset before", {"kind": "reset_before"}),
    Fault("reset after the commit", {"kind": "reset_after"}),
    Fault("time-out before", {"kind": "timeout_before", "delay_s": 0.6}),
    Fault("time-out after the commit", {"kind": "timeout_after", "delay_s": 0.6}),
    Fault("slow drip", {"kind": "drip", "delay_s": 1.2}),
    Fault("200 with an HTML page", {"kind": "html", "status": 200}),
    Fault("502 with an HTML page", {"kind": "html", "status": 502}),
    Fault("truncated JSON", {"kind": "truncated"}),
    Fault("unknown fields", {"kind": "odd_fields"}),
    Fault("odd types", {"kind": "odd_types"}),
)


@dataclass(frozen=True)
class Endpoint:
    """Method and path with ids folded, and how often the worker calls it in a calm playing of `story`."""

    vendor: str
    name: str
    calls: int
    story: str = STORIES[0]

    @property
    def method(self) -> str:
        """GET, POST, ..."""
        return self.name.partition(" ")[0]

    @property
    def path(self) -> str:
        """As a regular expression."""
        return "^" + re.escape(self.name.partition(" ")[2]).replace(r"\{id\}", ANY_ID) + "$"


@dataclass(frozen=True)
class Calm:
    """What playings without faults need: endpoints, and for each story its calls by operation."""

    endpoints: tuple[Endpoint, ...]
    calls: Mapping[str, Counter[str]]


@dataclass(frozen=True)
class Case:
    """The worker's `nth` request (from 1) to this endpoint meets this fault."""

    endpoint: Endpoint
    fault: Fault
    nth: int

    def __str__(self) -> str:
        return f"{self.fault.name} at call {self.nth} of {self.endpoint.name}"


@dataclass
class Tried:
    """What came of a case. `helped`: what a person had to do."""

    case: Case
    verdict: Verdict
    calls: Counter[str]
    helped: list[str]


def needs_a_person(endpoint: Endpoint, fault: Fault) -> bool:
    """Where the right end is that a person decides; that person then tries the event again, and all is well.

    HubSpot answers 409 to a write that collides with a record that is there. To none of our calls that is a passing
    thing, so the event is given up with the reason on it and nothing is repeated blindly. A follow-up goes on without
    its e-mail draft: the next one brings it.
    """
    return fault.name == "409" and endpoint.vendor == "hubspot" and endpoint.name != _DRAFT


async def learn(house: House) -> Calm:
    """Play the stories calmly. Raises AssertionError when one does not end well by itself."""
    found: dict[str, Endpoint] = {}
    calls: dict[str, Counter[str]] = {}
    for story in STORIES:
        before = {vendor: (await _log(house, vendor))["total"] for vendor in ("hubspot", "dropbox_sign")}
        async with open_stage(house, follow_ups=story == "slow") as stage:
            verdict = await _play(stage, story)
            calls[story] = stage.desk.tally.calls
        if not verdict.ok or stage.helped:
            raise AssertionError(f"{story} goes wrong without any fault: {verdict}, {stage.helped}")
        for vendor, seen in before.items():
            rows = (await _log(house, vendor, since=seen))["requests"]
            ours = (r for r in rows if r["headers"].get("authorization") == _CALLERS[vendor])  # not people's
            met = Counter(f"{row['method']} {_folded(row['path'])}" for row in ours)
            for name, count in sorted(met.items()):
                found.setdefault(name, Endpoint(vendor, name, count, story))
    return Calm(tuple(found.values()), calls)


def cases_of(calm: Calm, *, only: int | None = None) -> list[Case]:
    """All pairs in a fixed order, or the first `only` of them, which are spread evenly over endpoints and faults.

    Which of an endpoint's calls is struck goes round with the faults: over all faults, each gets its turn.
    """
    cases = []
    for turn in range(len(FAULTS)):
        for at, endpoint in enumerate(calm.endpoints):
            number = (_STRIDE * at + turn) % len(FAULTS)
            cases.append(Case(endpoint, FAULTS[number], 1 + (at + number) % endpoint.calls))
    return cases[:only]


async def run_faults(
    house: House, *, only: int | None = None, tell: Callable[[Tried], None] = lambda _tried: None
) -> list[Tried]:
    """Learn, then try every case (about `only` of them). Each one's verdict also says when it called too often."""
    calm = await learn(house)
    tried = []
    for case in cases_of(calm, only=only):
        tried.append(await run_case(house, case, calm))
        tell(tried[-1])
    return tried


async def run_case(house: House, case: Case, calm: Calm) -> Tried:
    """Play the story with one fault in it and judge it.

    How many batches HubSpot's webhooks come in, and so how many reads they cause, differs by one or two between
    playings: a late call that never came is tried with the first one instead.
    """
    tried = await _try(house, case, calm)
    if tried.verdict.lost == [_NEVER] and 1 < case.nth <= case.endpoint.calls:
        return await _try(house, replace(case, nth=1), calm)
    return tried


async def _try(house: House, case: Case, calm: Calm) -> Tried:
    async with open_stage(house, follow_ups=case.endpoint.story == "slow") as stage:
        if case.fault.plant:
            verdict = await _with_planted(stage, case)
        elif case.endpoint.name == _SEND:
            verdict = await _with_nobody_there(stage, case)
        else:
            with _refusing(stage, case) as struck:
                verdict = await _play(stage, case.endpoint.story)
            if not struck:
                verdict.lost.append(_NEVER)
        _judge_calls(stage.desk.tally.calls, calm.calls[case.endpoint.story], verdict)
        expected = needs_a_person(case.endpoint, case.fault)
        # A sync that fails is seen in Prefect and comes again on schedule: nobody needs to do anything.
        if bool(stage.helped) != expected and not (expected and stage.failed_sweeps):
            verdict.stuck.append(f"a person was {'' if stage.helped else 'not '}needed: {stage.helped}")
        if verdict.ok:
            shutil.rmtree(stage.home, ignore_errors=True)
        return Tried(case, verdict, stage.desk.tally.calls, stage.helped)


async def _play(stage: DeskStage, ending: str) -> Verdict:
    story, verdict = Story(stage.house.stories, ending), Verdict()
    try:
        await story.play(stage)
        for _ in range(2):  # the first sync of a ledger reads all deals, the next one what has changed
            await stage.sweep()
            await rest(stage, minutes=20)
    except AssertionError as problem:
        verdict.lost.append(str(problem))
    except Exception:
        verdict.lost.append(traceback.format_exc(limit=4))
    verdict.add(await judged(stage, story))
    await tidy(stage.house, [story])
    return verdict


async def _with_planted(stage: DeskStage, case: Case) -> Verdict:
    client = stage.world.hub if case.endpoint.vendor == "hubspot" else stage.world.sign
    where = {"path": case.endpoint.path, "method": case.endpoint.method, "after": case.nth - 1}
    where |= {"caller": _CALLERS[case.endpoint.vendor]}
    planted = await client.post("/_sandbox/faults", json={**case.fault.plant, **where, "times": 1})
    assert planted.status_code == 201, planted.text
    verdict = await _play(stage, case.endpoint.story)
    if not [f for f in (await client.get("/_sandbox/faults")).json() if f["hits"]]:
        verdict.lost.append(_NEVER)
    await client.delete("/_sandbox/faults")
    return verdict


@contextmanager
def _refusing(stage: DeskStage, case: Case) -> Iterator[list[int]]:
    """The nth call of ours goes to a port where nobody listens. What is yielded fills when it has."""
    place = socket.socket()
    place.bind(("127.0.0.1", 0))  # ours, but not listening: the kernel refuses
    client = stage.desk.s.http[0 if case.endpoint.vendor == "hubspot" else 1]
    met: list[int] = []
    struck: list[int] = []

    async def divert(request: httpx.Request) -> None:
        if request.method == case.endpoint.method and re.search(case.endpoint.path, request.url.path):
            met.append(1)
            if len(met) == case.nth:
                struck.append(1)
                request.url = request.url.copy_with(port=place.getsockname()[1])

    client.event_hooks = {"request": [divert]}
    try:
        yield struck
    finally:
        place.close()


async def _with_nobody_there(stage: DeskStage, case: Case) -> Verdict:
    """Contracts leave through the vendor's own SDK: its first call finds nobody listening, later ones do."""
    parts = urlsplit(stage.world.sign_url)
    door = Forwarder((parts.hostname or "", parts.port or 0), listening=False)
    try:
        base_url = f"http://127.0.0.1:{door.port}/v3"
        esign = stage.desk.s.esign
        assert isinstance(esign, DropboxSign)
        sender = sender_at(stage.desk, base_url, on_call=door.restore)
        stage.desk.s.esign = replace(esign, sender=sender)
        verdict = await _play(stage, case.endpoint.story)
    finally:
        door.close()
    if stage.desk.tally.calls["dropbox_sign send"] < 2:
        verdict.lost.append(_NEVER)
    return verdict


def _judge_calls(calls: Counter[str], calm: Counter[str], verdict: Verdict) -> None:
    """Bounded as a whole, and no operation hammered."""
    if calls.total() > 3 * calm.total() + 60:
        verdict.stuck.append(f"{calls.total()} calls instead of {calm.total()}")
    for operation, count in calls.items():
        if count > 2 * calm[operation] + 12:
            verdict.stuck.append(f"{count} calls of {operation} instead of {calm[operation]}")


def _folded(path: str) -> str:
    return "/".join("{id}" if _ID.fullmatch(part) else part for part in path.split("/"))


async def _log(house: House, vendor: str, *, since: int = 0) -> dict[str, Any]:
    client = house.world.hub if vendor == "hubspot" else house.world.sign
    found: dict[str, Any] = (
        await client.get("/_sandbox/requests", params={"since": since, "limit": 20_000})
    ).json()
    return found


def sentences(tried: Sequence[Tried]) -> str:
    """What went wrong, a line each."""
    return "\n".join(
        f"{t.case}: {t.verdict.duplicates + t.verdict.lost + t.verdict.stuck}"
        for t in tried
        if not t.verdict.ok
    )
