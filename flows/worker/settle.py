"""Takes an event from claimed to settled, without Prefect: handles it, and stores the result or the next try.

`runs.py` does this inside Prefect runs; a rehearsal or a test does it directly.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from connectors.http.errors import AuthError, ConnectorError, RejectedError, TransientError
from flows.errors import FlowError
from flows.ledger import inbox
from flows.ledger.database import StorageError
from flows.ledger.effects import QuarantinedError, StillUnknownError
from flows.ledger.inbox import Event, LeaseLostError, NewEvent
from flows.processes import DEAL_STUCK
from flows.retries import ODD_TRIES, park_delay_s
from flows.rules.outcome import Outcome
from flows.services import Services, SetupError

log = logging.getLogger(__name__)

Prepare = Callable[[Sequence[Event], Services], Awaitable[Any]]
"""Reads in bulk what the events need; raises only errors that affect all of them."""
Handle = Callable[[Event, Any, Services], Awaitable[Outcome]]
"""Handles one event with the result of `prepare`."""


class UnsettledError(FlowError):
    """A run ended without settling its event: it must not be repeated at once, forever."""

    def __str__(self) -> str:
        return "the run ended without settling the event: see its logs in Prefect"


@dataclass(frozen=True)
class Ended:
    """The result of one try of an event. `state`: done, ignored, held, parked, dead, lost (another worker has it)."""

    event: Event
    state: str
    reason: str
    outcome: Outcome | None = None

    @property
    def deal_id(self) -> str | None:
        """The deal of the event, which may be known only afterwards."""
        return (self.outcome.deal_id if self.outcome else None) or self.event.deal_id


async def take(s: Services, event_ids: Sequence[int]) -> list[Event]:
    """The rows that this process holds; unclaimed rows are claimed first (a run that was retried from the UI)."""
    async with s.ledger.write() as tx:
        rows = await inbox.load(tx, event_ids)
        ours = [r for r in rows if r.state == "claimed" and r.lease_owner == s.owner]
        if len(ours) == len(rows):
            return ours
        held = {r.id for r in ours}
        claimed = await inbox.claim(
            tx,
            owner=s.owner,
            now=s.clock(),
            lease_s=s.settings.worker_lease_s,
            limit=len(rows),
            only_ids=[r.id for r in rows if r.id not in held],
        )
    return sorted([*ours, *claimed], key=lambda e: e.id)


async def prepare_all(
    events: Sequence[Event], prepare: Prepare, s: Services
) -> tuple[dict[int, Any], list[Ended]]:
    """The result of `prepare` for each event, and the end of those for which it failed.

    A transient error parks all of them. Another error may be caused by one: then each is prepared alone.
    """
    try:
        shared = await prepare(events, s)
    except Exception as problem:
        if len(events) == 1 or verdict(events[0], problem, s)[0] == "parked":
            return {}, [await fail(e, problem, s) for e in events]
    else:
        return {e.id: shared for e in events}, []
    prepared: dict[int, Any] = {}
    ended: list[Ended] = []
    for event in events:
        try:
            prepared[event.id] = await prepare([event], s)
        except Exception as problem:
            ended.append(await fail(event, problem, s))
    return prepared, ended


async def finish(event: Event, handle: Handle, prepared: Any, s: Services) -> Ended:
    """Handle one event and settle it; never raises an error of the event itself."""
    try:
        outcome = await handle(event, prepared, s)
    except Exception as problem:
        return await fail(event, problem, s)
    try:
        await _settle(event, outcome, s)
    except LeaseLostError as lost:
        return Ended(event, "lost", str(lost))
    return Ended(event, outcome.state, outcome.summary, outcome)


async def fail(event: Event, problem: Exception, s: Services) -> Ended:
    """Park a failed event, or dead-letter it when a retry cannot help; the deal's owner is then notified."""
    if isinstance(problem, LeaseLostError):
        return Ended(event, "lost", str(problem))
    now = s.clock()
    state, wait_s = verdict(event, problem, s)
    reason = reason_of(problem)
    due_at = now + timedelta(seconds=wait_s) if state == "parked" else None
    if isinstance(problem, StillUnknownError):
        due_at = problem.look_at
    try:
        async with s.ledger.write() as tx:
            await inbox.settle(
                tx, event.id, owner=s.owner, state=state, now=now, reason=reason, due_at=due_at
            )
            if state == "dead":
                await inbox.record(tx, _stuck(event, event.deal_id, reason), now=now)
    except LeaseLostError as lost:
        return Ended(event, "lost", str(lost))
    log.warning(
        "event failed event_id=%s kind=%s deal_id=%s outcome=%s attempt=%s reason=%s",
        event.id,
        event.kind,
        event.deal_id,
        state,
        event.attempts,
        reason,
        exc_info=None if isinstance(problem, _UNDERSTOOD) else problem,
    )
    when = f"; next try {due_at:%Y-%m-%d %H:%M:%S} UTC" if due_at else ""
    return Ended(event, state, f"{reason}{when}")


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
        if outcome.state == "dead":
            stuck = _stuck(event, outcome.deal_id or event.deal_id, "; ".join(outcome.reasons))
            await inbox.record(tx, stuck, now=now)
    log.info(
        "event handled event_id=%s kind=%s deal_id=%s outcome=%s",
        event.id,
        event.kind,
        outcome.deal_id or event.deal_id,
        outcome.state,
    )


def _stuck(event: Event, deal_id: str | None, reason: str) -> list[NewEvent]:
    """The event that creates a task for the deal's owner, recorded in the transaction that dead-letters this event."""
    if deal_id is None or event.kind == DEAL_STUCK:
        return []
    about = {"event_id": event.id, "kind": event.kind, "reason": reason}
    return [NewEvent("dealflow", f"stuck:{event.id}", DEAL_STUCK, f"deal:{deal_id}", about, deal_id=deal_id)]


_UNDERSTOOD = (ConnectorError, StillUnknownError, QuarantinedError, SetupError, UnsettledError)


def verdict(event: Event, problem: Exception, s: Services) -> tuple[str, float]:
    """The state after a try that raised this: parked with the seconds to wait, or dead."""
    first_s, max_s = s.settings.worker_park_first_s, s.settings.worker_park_max_s
    hint_s = problem.retry_after_s if isinstance(problem, ConnectorError) else None
    delay_s = park_delay_s(event.failures + 1, first_s=first_s, max_s=max_s, hint_s=hint_s, dice=s.dice)
    if isinstance(problem, (TransientError, StillUnknownError)):
        return "parked", delay_s
    if isinstance(problem, ConnectorError) and problem.applied == "maybe":
        return "parked", delay_s  # the outcome is unknown: the next try checks the vendor first
    if isinstance(problem, (AuthError, SetupError)):
        return "parked", max(delay_s, min(60.0, max_s))
    if isinstance(problem, (RejectedError, QuarantinedError)):
        return "dead", 0.0
    # Every so many: the earlier failures may have been a vendor's long outage.
    return ("dead", 0.0) if (event.failures + 1) % ODD_TRIES == 0 else ("parked", delay_s)


def reason_of(problem: Exception) -> str:
    """The error as a text for people. Texts of unknown errors are left out: they may hold personal data."""
    if isinstance(problem, (*_UNDERSTOOD, StorageError)):
        return str(problem)
    return f"{type(problem).__name__} in our own code: see the worker's log"
