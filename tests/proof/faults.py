"""The fault matrix: two stories run once to learn their calls, then once for each call and each fault:
the signed story, and the slow buyer's for the calls that only it has.

There is no list of endpoints: they are read from the stand-ins' request logs of the run without faults.
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
from tests.proof.desk_harness import TOKEN, DeskHarness, judged, open_harness, sender_at, tidy
from tests.proof.forwarder import Forwarder
from tests.proof.process_harness import Environment
from tests.proof.story import Story, rest
from tests.proof.verdict import Verdict

_ID = re.compile(r"\d+|[0-9a-f]{20,}")
ANY_ID = r"[0-9A-Za-z-]+"
_SEND = "POST /v3/signature_request/send"
_DRAFT = "POST /crm/objects/2026-03/emails"
STORIES = ("sign", "slow")
_STRIDE = 5  # from one endpoint's fault to the next; coprime to their number
REFUSED = "connection refused"
_NEVER = "the fault never occurred"


def _digest(header: str) -> str:
    return f"sha256:{hashlib.sha256(header.encode()).hexdigest()[:12]}"


_CALLERS = {
    "hubspot": _digest(f"Bearer {TOKEN}"),
    "dropbox_sign": _digest(f"Basic {base64.b64encode(f'{API_KEY}:'.encode()).decode()}"),
}
"""How the request logs identify our calls: reps and observers call the stand-ins too, with other keys."""


@dataclass(frozen=True)
class Fault:
    """One way in which a call fails, once. `plant`: the fault for the stand-in; empty: nobody is listening."""

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
    """Method and path with ids folded, and how often the worker calls it in a run of `story` without faults."""

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
        """The path as a regular expression."""
        return "^" + re.escape(self.name.partition(" ")[2]).replace(r"\{id\}", ANY_ID) + "$"


@dataclass(frozen=True)
class Calm:
    """The runs without faults: endpoints, and for each story its calls by operation."""

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
    """The result of a case. `helped`: what a person had to do."""

    case: Case
    verdict: Verdict
    calls: Counter[str]
    helped: list[str]


def needs_a_person(endpoint: Endpoint, fault: Fault) -> bool:
    """Whether a person must decide; the person then retries the event, and it succeeds.

    HubSpot answers 409 to a write that collides with an existing record. For none of our calls that is transient,
    so the event is dead with the reason on it and nothing is repeated blindly. A follow-up continues without
    its e-mail draft: the next one writes it.
    """
    return fault.name == "409" and endpoint.vendor == "hubspot" and endpoint.name != _DRAFT


async def learn(environment: Environment) -> Calm:
    """Run the stories without faults. Raises AssertionError when one fails."""
    found: dict[str, Endpoint] = {}
    calls: dict[str, Counter[str]] = {}
    for story in STORIES:
        before = {
            vendor: (await _log(environment, vendor))["total"] for vendor in ("hubspot", "dropbox_sign")
        }
        async with open_harness(environment, follow_ups=story == "slow") as harness:
            verdict = await _play(harness, story)
            calls[story] = harness.desk.tally.calls
        if not verdict.ok or harness.helped:
            raise AssertionError(f"{story} fails without any fault: {verdict}, {harness.helped}")
        for vendor, seen in before.items():
            rows = (await _log(environment, vendor, since=seen))["requests"]
            ours = (
                r for r in rows if r["headers"].get("authorization") == _CALLERS[vendor]
            )  # not those of people
            met = Counter(f"{row['method']} {_folded(row['path'])}" for row in ours)
            for name, count in sorted(met.items()):
                found.setdefault(name, Endpoint(vendor, name, count, story))
    return Calm(tuple(found.values()), calls)


def cases_of(calm: Calm, *, only: int | None = None) -> list[Case]:
    """All pairs in a fixed order, or the first `only` of them, which are spread evenly over endpoints and faults.

    The affected call of an endpoint rotates with the faults: over all faults, each call is tried.
    """
    cases = []
    for turn in range(len(FAULTS)):
        for at, endpoint in enumerate(calm.endpoints):
            number = (_STRIDE * at + turn) % len(FAULTS)
            cases.append(Case(endpoint, FAULTS[number], 1 + (at + number) % endpoint.calls))
    return cases[:only]


async def run_faults(
    environment: Environment,
    *,
    only: int | None = None,
    report: Callable[[Tried], None] = lambda _tried: None,
) -> list[Tried]:
    """Learn, then try every case (about `only` of them). Each verdict also reports too many calls."""
    calm = await learn(environment)
    tried = []
    for case in cases_of(calm, only=only):
        tried.append(await run_case(environment, case, calm))
        report(tried[-1])
    return tried


async def run_case(environment: Environment, case: Case, calm: Calm) -> Tried:
    """Run the story with one fault and judge it.

    The number of HubSpot's webhook batches, and so of reads, differs by one or two between
    runs: if a late call does not occur, the first one is tried instead.
    """
    tried = await _try(environment, case, calm)
    if tried.verdict.lost == [_NEVER] and 1 < case.nth <= case.endpoint.calls:
        return await _try(environment, replace(case, nth=1), calm)
    return tried


async def _try(environment: Environment, case: Case, calm: Calm) -> Tried:
    async with open_harness(environment, follow_ups=case.endpoint.story == "slow") as harness:
        if case.fault.plant:
            verdict = await _with_planned_fault(harness, case)
        elif case.endpoint.name == _SEND:
            verdict = await _with_nobody_there(harness, case)
        else:
            with _refusing(harness, case) as struck:
                verdict = await _play(harness, case.endpoint.story)
            if not struck:
                verdict.lost.append(_NEVER)
        _judge_calls(harness.desk.tally.calls, calm.calls[case.endpoint.story], verdict)
        expected = needs_a_person(case.endpoint, case.fault)
        # Prefect shows a failed sync and runs the next on schedule: nobody needs to do anything.
        if bool(harness.helped) != expected and not (expected and harness.failed_sweeps):
            verdict.stuck.append(f"a person was {'' if harness.helped else 'not '}needed: {harness.helped}")
        if verdict.ok:
            shutil.rmtree(harness.home, ignore_errors=True)
        return Tried(case, verdict, harness.desk.tally.calls, harness.helped)


async def _play(harness: DeskHarness, ending: str) -> Verdict:
    story, verdict = Story(harness.environment.stories, ending), Verdict()
    try:
        await story.play(harness)
        for _ in range(2):  # the first sync of a ledger reads all deals, the next one what has changed
            await harness.sweep()
            await rest(harness, minutes=20)
    except AssertionError as problem:
        verdict.lost.append(str(problem))
    except Exception:
        verdict.lost.append(traceback.format_exc(limit=4))
    verdict.add(await judged(harness, story))
    await tidy(harness.environment, [story])
    return verdict


async def _with_planned_fault(harness: DeskHarness, case: Case) -> Verdict:
    client = harness.world.hub if case.endpoint.vendor == "hubspot" else harness.world.sign
    where = {"path": case.endpoint.path, "method": case.endpoint.method, "after": case.nth - 1}
    where |= {"caller": _CALLERS[case.endpoint.vendor]}
    planted = await client.post("/_sandbox/faults", json={**case.fault.plant, **where, "times": 1})
    assert planted.status_code == 201, planted.text
    verdict = await _play(harness, case.endpoint.story)
    if not [f for f in (await client.get("/_sandbox/faults")).json() if f["hits"]]:
        verdict.lost.append(_NEVER)
    await client.delete("/_sandbox/faults")
    return verdict


@contextmanager
def _refusing(harness: DeskHarness, case: Case) -> Iterator[list[int]]:
    """Send our nth call to a port where nobody listens. The yielded list is filled when that happens."""
    place = socket.socket()
    place.bind(("127.0.0.1", 0))  # ours, but not listening: the kernel refuses
    client = harness.desk.s.http[0 if case.endpoint.vendor == "hubspot" else 1]
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


async def _with_nobody_there(harness: DeskHarness, case: Case) -> Verdict:
    """Contracts are sent by the vendor's own SDK: its first call is refused, later ones succeed."""
    parts = urlsplit(harness.world.sign_url)
    forwarder = Forwarder((parts.hostname or "", parts.port or 0), listening=False)
    try:
        base_url = f"http://127.0.0.1:{forwarder.port}/v3"
        esign = harness.desk.s.esign
        assert isinstance(esign, DropboxSign)
        sender = sender_at(harness.desk, base_url, on_call=forwarder.restore)
        harness.desk.s.esign = replace(esign, sender=sender)
        verdict = await _play(harness, case.endpoint.story)
    finally:
        forwarder.close()
    if harness.desk.tally.calls["dropbox_sign send"] < 2:
        verdict.lost.append(_NEVER)
    return verdict


def _judge_calls(calls: Counter[str], calm: Counter[str], verdict: Verdict) -> None:
    """The number of calls must be limited, in total and per operation."""
    if calls.total() > 3 * calm.total() + 60:
        verdict.stuck.append(f"{calls.total()} calls instead of {calm.total()}")
    for operation, count in calls.items():
        if count > 2 * calm[operation] + 12:
            verdict.stuck.append(f"{count} calls of {operation} instead of {calm[operation]}")


def _folded(path: str) -> str:
    return "/".join("{id}" if _ID.fullmatch(part) else part for part in path.split("/"))


async def _log(environment: Environment, vendor: str, *, since: int = 0) -> dict[str, Any]:
    client = environment.world.hub if vendor == "hubspot" else environment.world.sign
    found: dict[str, Any] = (
        await client.get("/_sandbox/requests", params={"since": since, "limit": 20_000})
    ).json()
    return found


def sentences(tried: Sequence[Tried]) -> str:
    """The failures, one line each."""
    return "\n".join(
        f"{t.case}: {t.verdict.duplicates + t.verdict.lost + t.verdict.stuck}"
        for t in tried
        if not t.verdict.ok
    )
