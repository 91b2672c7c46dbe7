"""What every event-driven flow does around its own logic: take the events it was given, prepare them in bulk,
handle each in a task of its own, write down how each ended, and show it in the Prefect UI.

An event that fails parks alone; the rest goes on. The ledger is the record, Prefect the view: nothing here
relies on Prefect for safety, and parameters are ids only.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.context import get_run_context
from prefect.states import Completed, Failed

from connectors.errors import AuthError, ConnectorError, RejectedError, TransientError
from flows import services
from flows.ledger import inbox
from flows.ledger.effects import QuarantinedError, StillUnknownError
from flows.ledger.inbox import Event, LeaseLostError, NewEvent
from flows.retries import ODD_TRIES, park_delay_s
from flows.rules.outcome import Outcome
from flows.services import Services, SetupError

log = logging.getLogger(__name__)

_AT_ONCE = 8

Prepare = Callable[[Sequence[Event], Services], Awaitable[Any]]
"""Reads in bulk what the events need; raises only what concerns them all."""
Handle = Callable[[Event, Any, Services], Awaitable[Outcome]]
"""Handles one event with what `prepare` gave."""


class ParkedError(Exception):
    """The event was put back: the text says why and when it is tried again (no personal data)."""


class BuriedError(Exception):
    """The event was dead-lettered: the text says why (no personal data)."""


@dataclass(frozen=True)
class _Work:
    services: Services
    handle: Handle
    prepared: Any
    events: Mapping[int, Event]
    ended: dict[int, tuple[str, Outcome | None, str]]  # event id -> state, outcome, reason


_work: ContextVar[_Work] = ContextVar("dealflow_work")


async def run_events(event_ids: Sequence[int] | None, *, prepare: Prepare, handle: Handle) -> State[Any]:
    """Handle these inbox rows and return the state that the flow run ends in.

    Rows that another worker holds or that have ended are left alone. Completed: all ended; Held: some wait
    for a person; Failed "Parked": some are tried again later.
    """
    async with services.use() as s:
        events = await _take(s, list(event_ids or []))
        if not events:
            return Completed(message="Nothing to do: the events are handled or held elsewhere.")
        try:
            prepared = await prepare(events, s)
        except Exception as problem:
            ended = {e.id: await _fail(e, problem, s) for e in events}
            return _final(ended)
        work = _Work(s, handle, prepared, {e.id: e for e in events}, {})
        token = _work.set(work)
        try:
            gate = asyncio.Semaphore(_AT_ONCE)
            await asyncio.gather(*(_one(e, gate) for e in events))
        finally:
            _work.reset(token)
        await _show(s, work)
        return _final(work.ended)


async def _one(event: Event, gate: asyncio.Semaphore) -> None:
    async with gate:
        # No tags on tasks: each would cost a round trip (measured 270/s against 41/s).
        name = f"deal {event.deal_id}" if event.deal_id else f"event {event.id}"
        run = _handle_event.with_options(task_run_name=name)
        await run(event.id, return_state=True)  # type: ignore[misc]  # Prefect's overloads miss this one


@task(name="handle-event", persist_result=False, cache_policy=NO_CACHE, retries=0)
async def _handle_event(event_id: int) -> str:
    """One event. Fails visibly when the event was parked or dead-lettered; that is written down already."""
    work = _work.get()
    event, s = work.events[event_id], work.services
    try:
        outcome = await work.handle(event, work.prepared, s)
    except Exception as problem:
        work.ended[event_id] = state, _, reason = await _fail(event, problem, s)
        raise (BuriedError if state == "dead" else ParkedError)(reason) from None
    await _settle(event, outcome, s)
    work.ended[event_id] = outcome.state, outcome, outcome.summary
    return outcome.summary


async def _take(s: Services, event_ids: list[int]) -> list[Event]:
    """The rows this process holds; rows nobody holds are claimed first (a run retried from the UI)."""
    async with s.ledger.write() as tx:
        rows = await inbox.load(tx, event_ids)
        ours = [r for r in rows if r.state == "claimed" and r.lease_owner == s.owner]
        if len(ours) == len(rows):
            return ours
        claimed = await inbox.claim(
            tx,
            owner=s.owner,
            now=s.clock(),
            lease_s=s.settings.worker_lease_s,
            limit=len(event_ids),
            only_ids=[r.id for r in rows if r not in ours],
        )
    return sorted([*ours, *claimed], key=lambda e: e.id)


async def _settle(event: Event, outcome: Outcome, s: Services) -> None:
    now = s.clock()
    due_at = now + timedelta(seconds=s.settings.worker_hold_retry_s) if outcome.state == "held" else None
    async with s.ledger.write() as tx:
        await inbox.settle(
            tx,
            event.id,
            owner=s.owner,
            state=outcome.state,
            now=now,
            reason="; ".join(outcome.reasons) or (outcome.summary if outcome.state == "ignored" else None),
            outcome=outcome.as_json(),
            due_at=due_at,
            deal_id=outcome.deal_id,
        )
    log.info(
        "event handled event_id=%s kind=%s deal_id=%s outcome=%s",
        event.id,
        event.kind,
        outcome.deal_id or event.deal_id,
        outcome.state,
    )


async def _fail(event: Event, problem: Exception, s: Services) -> tuple[str, Outcome | None, str]:
    """Put a failed event back, or bury it when trying again cannot help. Returns its new state and the reason."""
    if isinstance(problem, LeaseLostError):
        return "lost", None, str(problem)
    now = s.clock()
    state, wait_s = _verdict(event, problem, s)
    reason = _reason(problem)
    due_at = now + timedelta(seconds=wait_s) if state == "parked" else None
    if isinstance(problem, StillUnknownError):
        due_at = problem.look_at
    try:
        async with s.ledger.write() as tx:
            await inbox.settle(
                tx, event.id, owner=s.owner, state=state, now=now, reason=reason, due_at=due_at
            )
    except LeaseLostError as lost:
        return "lost", None, str(lost)
    log.warning(
        "event failed event_id=%s kind=%s deal_id=%s outcome=%s attempt=%s reason=%s",
        event.id,
        event.kind,
        event.deal_id,
        state,
        event.attempts,
        reason,
        exc_info=not isinstance(problem, (ConnectorError, StillUnknownError, QuarantinedError, SetupError)),
    )
    when = f"; next try {due_at:%Y-%m-%d %H:%M:%S} UTC" if due_at else ""
    return state, None, f"{reason}{when}"


def _verdict(event: Event, problem: Exception, s: Services) -> tuple[str, float]:
    """parked with the seconds to wait, or dead."""
    first_s, max_s = s.settings.worker_park_first_s, s.settings.worker_park_max_s
    hint_s = problem.retry_after_s if isinstance(problem, ConnectorError) else None
    delay_s = park_delay_s(event.attempts, first_s=first_s, max_s=max_s, hint_s=hint_s)
    if isinstance(problem, (TransientError, StillUnknownError)):
        return "parked", delay_s
    if isinstance(problem, ConnectorError) and problem.applied == "maybe":
        return "parked", delay_s  # the effect is in doubt: the next try looks at the vendor first
    if isinstance(problem, (AuthError, SetupError)):
        return "parked", max(delay_s, min(60.0, max_s))
    if isinstance(problem, (RejectedError, QuarantinedError)):
        return "dead", 0.0
    return ("dead", 0.0) if event.attempts >= ODD_TRIES else ("parked", delay_s)


def _reason(problem: Exception) -> str:
    """What happened, for people. Texts of unknown errors stay out: they may hold personal data."""
    if isinstance(problem, (ConnectorError, StillUnknownError, QuarantinedError, SetupError)):
        return str(problem)
    return f"{type(problem).__name__} in our own code: see the worker's log"


def _final(ended: Mapping[int, tuple[str, Outcome | None, str]]) -> State[Any]:
    states = [state for state, _, _ in ended.values()]
    first = {state: reason for state, _, reason in reversed(list(ended.values()))}
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    if "dead" in states:
        return Failed(name="DeadLetter", message=f"{counts}. {first['dead']}")
    if "parked" in states:
        return Failed(name="Parked", message=f"{counts}. {first['parked']}")
    if "held" in states:
        return Completed(name="Held", message=f"{counts}. {first['held']}")
    only = next(iter(ended.values()))[2] if len(ended) == 1 else counts
    return Completed(message=only)


async def _show(s: Services, work: _Work) -> None:
    """One artifact a deal, whose key makes it the deal's time line in the UI; nothing where nothing happened."""
    told: dict[str, tuple[Event, str, Outcome | None, str]] = {}
    for event_id, (state, outcome, reason) in work.ended.items():
        event = work.events[event_id]
        deal_id = (outcome.deal_id if outcome else None) or event.deal_id
        silent = state in ("ignored", "lost") or (state == "done" and outcome and not outcome.steps)
        if deal_id and not silent:
            told[deal_id] = (event, state, outcome, reason)
    for deal_id, (event, state, outcome, reason) in told.items():
        try:
            await acreate_markdown_artifact(
                markdown=report(s, event, deal_id, state, outcome, reason),
                key=f"deal-{deal_id}",
                description=f"{event.kind}: {reason}"[:200],
            )
        except Exception:
            log.warning("artifact not written deal_id=%s", deal_id, exc_info=True)
    await _name_after_deal(work)


async def _name_after_deal(work: _Work) -> None:
    """A run that only now learnt which deal it is about (a lead's) gets the deal into its name and tags."""
    run = get_run_context().flow_run  # type: ignore[union-attr]
    outcomes = [outcome for _, outcome, _ in work.ended.values()]
    deal_id = outcomes[0].deal_id if len(outcomes) == 1 and outcomes[0] else None
    if run is None or not deal_id or deal_id in (run.name or ""):
        return
    flow_name = (run.name or "").split(" ")[0]
    try:
        async with get_client() as client:
            await client.update_flow_run(
                run.id, name=f"{flow_name} deal-{deal_id}", tags=[*run.tags, f"deal:{deal_id}"]
            )
    except Exception:
        log.warning("run not renamed deal_id=%s", deal_id, exc_info=True)


def report(s: Services, event: Event, deal_id: str, state: str, outcome: Outcome | None, reason: str) -> str:
    """What was done for a deal and why, as Markdown: links first, then a table."""
    links = {"Deal": s.deal_url(deal_id), **(outcome.links if outcome else {})}
    lines = [f"### Deal {deal_id}: {reason}", ""]
    lines.append(" · ".join(f"[{name}]({url})" for name, url in links.items()))
    if outcome and outcome.steps:
        lines += ["", "| What was done | Record | Why |", "|---|---|---|"]
        lines += [f"| {_cell(x.what)} | {_cell(x.record)} | {_cell(x.why)} |" for x in outcome.steps]
    if outcome and outcome.reasons:
        lines += ["", "**Waiting for**", "", *(f"- {text}" for text in outcome.reasons)]
    waited_s = (s.clock() - event.received_at).total_seconds()
    lines += [
        "",
        f"Event {event.id} `{event.kind}`, {state} {waited_s:.1f} s after it came in, try {event.attempts}.",
    ]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


async def order_for_deals(kind: str, deal_ids: Sequence[str]) -> State[Any]:
    """An operator asked for this in the Prefect UI: put it into the inbox, where each deal's order is kept."""
    run_id = str(get_run_context().flow_run.id)  # type: ignore[union-attr]
    async with services.use() as s:
        wanted = [
            NewEvent("operator", f"{kind}:{run_id}:{d}", kind, f"deal:{d}", {"by": "operator"}, deal_id=d)
            for d in dict.fromkeys(str(d).strip() for d in deal_ids)
            if d
        ]
        async with s.ledger.write() as tx:
            recorded = await inbox.record(tx, wanted, now=s.clock())
    return Completed(message=f"{len(recorded.new)} deal(s) put into the inbox as {kind}.")
