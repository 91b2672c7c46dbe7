"""What every event-driven flow does inside Prefect: take its events, prepare them in bulk, handle each in its own
task, and show how each ended.

An event that fails parks alone; the rest goes on. The ledger is the record, Prefect the view: nothing here
relies on Prefect for safety, and parameters are ids only.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.context import get_run_context
from prefect.states import Completed, Failed

from flows import services
from flows.errors import FlowError
from flows.ledger import inbox, mirror
from flows.ledger.inbox import Event, NewEvent
from flows.processes import FLOWS
from flows.rules.outcome import Finished
from flows.services import Services
from flows.worker.settle import Ended, Handle, Prepare, finish, prepare_all, take

log = logging.getLogger(__name__)

_AT_ONCE = 8
DEAD_LETTERS = "dead-letters"
_DEAD_SHOWN = 50


class ParkedError(FlowError):
    """The event was put back: the text says why and when the next try is (no personal data)."""


class DeadLetteredError(FlowError):
    """The event was dead-lettered: the text says why (no personal data)."""


@dataclass(frozen=True)
class _Work:
    services: Services
    handle: Handle
    prepared: Mapping[int, Any]
    events: Mapping[int, Event]
    ended: dict[int, Ended]


_work: ContextVar[_Work] = ContextVar("dealflow_work")


async def handle_events(
    name: str, event_ids: Sequence[int] | None, deal_ids: Sequence[str] | None = None
) -> State[Any]:
    """Run the flow for these inbox rows; with `deal_ids` (an operator's order) put events into the inbox."""
    flow = FLOWS[name]
    if deal_ids and flow.ordered_as:
        return await _order_for_deals(flow.ordered_as, deal_ids)
    logic = flow.load()
    return await run_events(event_ids, prepare=logic.prepare, handle=logic.handle)


async def run(name: str, **options: Any) -> State[Any]:
    """Run a flow that finds its own work, and publish its artifacts."""
    async with services.use() as s:
        done: Finished = await FLOWS[name].load().run(s, **options)
    for artifact in done.artifacts:
        await acreate_markdown_artifact(
            markdown=artifact.markdown, key=artifact.key, description=artifact.description
        )
    if done.state == "Failed":
        return Failed(message=done.message)
    return Completed(name=done.state, message=done.message)


async def run_events(event_ids: Sequence[int] | None, *, prepare: Prepare, handle: Handle) -> State[Any]:
    """Handle these inbox rows and return the state that the flow run ends in.

    Rows that another worker holds or that have ended are skipped. Completed: all ended; Held: some wait
    for a person; Failed "Parked": some are tried again later; Failed "DeadLetter": some are dead.
    """
    async with services.use() as s:
        events = await take(s, list(event_ids or []))
        if not events:
            return await _nothing_taken(s, list(event_ids or []))
        prepared, failed = await prepare_all(events, prepare, s)
        ready = [e for e in events if e.id in prepared]
        work = _Work(s, handle, prepared, {e.id: e for e in ready}, {})
        token = _work.set(work)
        try:
            gate = asyncio.Semaphore(_AT_ONCE)
            # All tasks end before the error of one (Prefect unavailable) is raised.
            came = await asyncio.gather(*(_one(e, gate) for e in ready), return_exceptions=True)
        finally:
            _work.reset(token)
        trouble = next((x for x in came if isinstance(x, BaseException)), None)
        if trouble is not None:
            raise trouble
        ended = [*failed, *(work.ended[e.id] for e in ready if e.id in work.ended)]
        await _show(s, ended)
        return _final(ended)


async def _nothing_taken(s: Services, event_ids: list[int]) -> State[Any]:
    """Why there was nothing to do: already handled, held by another worker, or dead."""
    async with s.ledger.read() as tx:
        dead = [e for e in await inbox.load(tx, event_ids) if e.state == "dead"]
    if dead:
        return Failed(name="DeadLetter", message=f"{len(dead)} dead. {dead[0].reason}")
    return Completed(message="Nothing to do: the events are handled or held by another worker.")


async def _one(event: Event, gate: asyncio.Semaphore) -> None:
    async with gate:
        # No tags on tasks: each would cost a round trip (measured 270/s against 41/s).
        name = f"deal {event.deal_id}" if event.deal_id else f"event {event.id}"
        run = _handle_event.with_options(task_run_name=name)
        await run(event.id, return_state=True)  # type: ignore[misc]  # Prefect's overloads miss this one


@task(name="handle-event", persist_result=False, cache_policy=NO_CACHE, retries=0)
async def _handle_event(event_id: int) -> str:
    """One event. Fails visibly when the event was parked or dead-lettered; that is stored already."""
    work = _work.get()
    ended = await finish(work.events[event_id], work.handle, work.prepared[event_id], work.services)
    work.ended[event_id] = ended
    if ended.state == "dead":
        raise DeadLetteredError(ended.reason)
    if ended.state == "parked":
        raise ParkedError(ended.reason)
    return ended.reason


def _final(ended: Sequence[Ended]) -> State[Any]:
    """The flow run's state: that of its worst event."""
    states = [e.state for e in ended]
    first = {e.state: e.reason for e in reversed(ended)}
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    if "dead" in states:
        return Failed(name="DeadLetter", message=f"{counts}. {first['dead']}")
    if "parked" in states:
        return Failed(name="Parked", message=f"{counts}. {first['parked']}")
    if "held" in states:
        return Completed(name="Held", message=f"{counts}. {first['held']}")
    return Completed(message=ended[0].reason if len(ended) == 1 else counts)


async def _show(s: Services, ended: Sequence[Ended]) -> None:
    """Publish one artifact for each deal, whose key makes it the deal's timeline in the UI; none without steps."""
    shown: dict[str, Ended] = {}
    for one in ended:
        silent = one.state in ("ignored", "lost") or (
            one.state == "done" and one.outcome and not one.outcome.steps
        )
        if one.deal_id and not silent:
            shown[one.deal_id] = one
    for deal_id, one in shown.items():
        try:
            await acreate_markdown_artifact(
                markdown=report(s, deal_id, one),
                key=f"deal-{deal_id}",
                description=f"{one.event.kind}: {one.reason}"[:200],
            )
        except Exception:
            log.warning("artifact not written deal_id=%s", deal_id, exc_info=True)
    await _show_dead_letters(s)
    await _name_after_deal(ended)


async def _show_dead_letters(s: Services) -> None:
    """Publish the list of dead letters as an artifact whenever it has changed, also when it is empty again."""
    async with s.ledger.turn(DEAD_LETTERS):
        async with s.ledger.read() as tx:
            dead = await inbox.listing(tx, states=("dead",), limit=_DEAD_SHOWN)
            in_all = (await inbox.tally(tx)).get("dead", 0) if dead else 0
            shown = await mirror.cursor(tx, DEAD_LETTERS)
        now_dead = f"{in_all}: " + " ".join(f"{e.id}.{e.attempts}" for e in dead) if dead else ""
        if now_dead == (shown or ""):
            return
        try:
            await acreate_markdown_artifact(
                markdown=dead_letters(s, dead, in_all),
                key=DEAD_LETTERS,
                description=f"{in_all} dead event(s)" if dead else "None",
            )
        except Exception:
            log.warning("dead letters not shown", exc_info=True)
            return
        async with s.ledger.write() as tx:
            await mirror.move_cursor(tx, DEAD_LETTERS, now_dead, now=s.clock())


def dead_letters(s: Services, dead: Sequence[Event], in_all: int) -> str:
    """The dead events, newest first, as Markdown: why, and what a person can do."""
    if not dead:
        return "### Dead letters: none\n\nNo event is dead."
    lines = [
        f"### Dead letters: {in_all}",
        "",
        "| Event | Kind | Deal | Since (UTC) | Tries | Why | What to do |",
        "|---|---|---|---|---|---|---|",
    ]
    for e in dead:
        deal = f"[{e.deal_id}]({s.deal_url(e.deal_id)})" if e.deal_id else ""
        since = f"{e.finished_at:%Y-%m-%d %H:%M}" if e.finished_at else ""
        verbs = ("show",) if e.kind == "unreadable" else ("show", "replay", "retry")
        todo = " · ".join(f"`dealflow inbox {verb} {e.id}`" for verb in verbs)
        why = _cell(e.reason or "")
        lines.append(f"| {e.id} | {e.kind} | {deal} | {since} | {e.attempts} | {why} | {todo} |")
    if in_all > len(dead):
        lines += ["", f"and {in_all - len(dead)} older: `dealflow inbox list --state dead`"]
    return "\n".join(lines)


async def _name_after_deal(ended: Sequence[Ended]) -> None:
    """Add the deal to the name and tags of a run whose deal was unknown at its start (a lead)."""
    run = get_run_context().flow_run  # type: ignore[union-attr]
    deal_id = ended[0].deal_id if len(ended) == 1 else None
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


def report(s: Services, deal_id: str, ended: Ended) -> str:
    """The steps done for a deal and their reasons, as Markdown: links first, then a table."""
    event, outcome = ended.event, ended.outcome
    links = {"Deal": s.deal_url(deal_id), **(outcome.links if outcome else {})}
    lines = [f"### Deal {deal_id}: {ended.reason}", ""]
    lines.append(" · ".join(f"[{name}]({url})" for name, url in links.items()))
    if outcome and outcome.steps:
        lines += ["", "| What was done | Record | Why |", "|---|---|---|"]
        lines += [f"| {_cell(x.what)} | {_cell(x.record)} | {_cell(x.why)} |" for x in outcome.steps]
    if outcome and outcome.reasons:
        lines += ["", "**Waiting for**", "", *(f"- {text}" for text in outcome.reasons)]
    waited_s = (s.clock() - event.received_at).total_seconds()
    lines += [
        "",
        f"Event {event.id} `{event.kind}`, {ended.state} {waited_s:.1f} s after it came in, try {event.attempts}.",
    ]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


async def _order_for_deals(kind: str, deal_ids: Sequence[str]) -> State[Any]:
    """Put an operator's order from the Prefect UI into the inbox, which keeps the order for each deal."""
    asked = list(dict.fromkeys(str(d).strip() for d in deal_ids))
    run_id = str(get_run_context().flow_run.id)  # type: ignore[union-attr]
    async with services.use() as s:
        wanted = [
            NewEvent("operator", f"{kind}:{run_id}:{d}", kind, f"deal:{d}", {"by": "operator"}, deal_id=d)
            for d in asked
            if d.isascii() and d.isdigit()
        ]
        async with s.ledger.write() as tx:
            recorded = await inbox.record(tx, wanted, now=s.clock())
    message = f"{len(recorded.new)} deal(s) put into the inbox as {kind}."
    if len(wanted) < len(asked):
        return Failed(message=f"{message} {len(asked) - len(wanted)} left out: a deal id is a whole number.")
    return Completed(message=message)
