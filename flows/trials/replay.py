"""An event once more: its very bytes read again, and what it would do now shown against what it did.

A dry run drives the flow's own `prepare` and `handle` on a throw-away excerpt of the ledger, with clients that only
read: vendors are looked at as they are now, outward writes are noted instead of made. A live replay is a new row of
the inbox; what is done already is not done again, because effects are keyed by cause.
"""

import hashlib
import json
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from connectors.http.errors import WouldWriteError
from flows.errors import FlowError
from flows.gateway.events import read_again
from flows.ledger import contracts, effects, inbox
from flows.ledger.database import Ledger
from flows.ledger.effects import Effect, Planned
from flows.ledger.excerpt import excerpt
from flows.ledger.inbox import Event, NewEvent
from flows.processes import EVENTS, flow_for
from flows.rules.leads import LeadError
from flows.rules.outcome import Outcome
from flows.services import Services
from flows.worker.settle import reason_of, verdict

log = logging.getLogger(__name__)

SOURCE = "replay"


class ReplayError(FlowError):
    """This event cannot be replayed. The text says why, and what can be done instead."""


@dataclass(frozen=True)
class Found:
    """A row of the inbox and, made from its delivery's bytes, the event that comes again.

    `origin` says for people where the event was taken from; `sha256` is that of the bytes, None without a delivery.
    """

    row: Event
    event: NewEvent
    origin: str
    sha256: str | None = None


@dataclass(frozen=True)
class Report:
    """What happened, and what would happen. Ids only, no personal data.

    `state`: how the event would end, or "unknown" when that hangs on the answer to `first_write`.
    """

    row: Event
    origin: str
    sha256: str | None
    happened: Sequence[Effect]
    state: str
    summary: str
    reasons: Sequence[str] = ()
    steps: Sequence[Sequence[str]] = ()
    planned: Sequence[Planned] = field(default_factory=list)
    first_write: str | None = None

    @property
    def writes(self) -> list[Planned]:
        """The outward writes that it would make."""
        return [p for p in self.planned if p.how == "would be done"]

    @property
    def verdict(self) -> str:
        """One line."""
        if self.first_write:
            return (
                f"would write: {self.first_write}; all that follows hangs on the answer, so it is not shown"
            )
        if self.writes:
            return f"would make {len(self.writes)} outward write(s)"
        return "would write nothing"

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        was = self.row.outcome or {}
        return {
            "id": self.row.id,
            "kind": self.row.kind,
            "deal": self.row.deal_id,
            "origin": self.origin,
            "sha256": self.sha256,
            "happened": {
                "state": self.row.state,
                "reason": self.row.reason,
                "summary": was.get("summary"),
                "steps": was.get("steps", []),
                "effects": [{"key": e.key, "kind": e.kind, "state": e.state} for e in self.happened],
            },
            "would": {
                "state": self.state,
                "summary": self.summary,
                "reasons": list(self.reasons),
                "steps": [list(step) for step in self.steps],
                "effects": [{"key": p.key, "kind": p.kind, "how": p.how} for p in self.planned],
                "first_write": self.first_write,
            },
            "verdict": self.verdict,
        }

    def lines(self) -> list[str]:
        """For people."""
        row, was = self.row, self.row.outcome or {}
        of_deal = f", deal {row.deal_id}" if row.deal_id else ""
        said = row.reason or was.get("summary") or ""
        return [
            f"event {row.id} {row.kind}{of_deal}: dry run, nothing is written",
            f"  {self.origin}",
            f"  happened: {row.state}{': ' + said if said else ''}",
            *(f"    {what}: {record} ({why})" for what, record, why in was.get("steps", [])),
            *(f"    {e.state}: {e.kind} {e.key}" for e in self.happened),
            f"  now it would be: {self.state}{': ' + self.summary if self.summary else ''}",
            *(f"    waits for: {reason}" for reason in self.reasons),
            *(f"    {what}: {record} ({why})" for what, record, why in self.steps),
            *(f"    {p.how}: {p.kind} {p.key}" for p in self.planned),
            f"  {self.verdict}",
        ]


async def find(ledger: Ledger, event_ids: Sequence[int], *, portal_id: str) -> list[Found]:
    """These rows with the events that their bytes give. Raises ReplayError for the first that cannot be replayed."""
    wanted = list(dict.fromkeys(event_ids))
    async with ledger.read() as tx:
        rows = {row.id: row for row in await inbox.load(tx, wanted)}
        deliveries = {
            row.id: await inbox.delivery(tx, row.delivery_id) for row in rows.values() if row.delivery_id
        }
    found: list[Found] = []
    for event_id in wanted:
        if event_id not in rows:
            raise ReplayError(f"there is no event {event_id} in the inbox")
        row = rows[event_id]
        if row.kind == "unreadable":
            why = f"event {row.id} is unreadable ({row.reason}): there is nothing to replay"
            raise ReplayError(f"{why}; `dealflow inbox show {row.id}` shows its bytes")
        if row.kind not in EVENTS:
            raise ReplayError(f"event {row.id}: nothing is done on {row.kind}, so there is nothing to replay")
        found.append(await _read(row, deliveries.get(row.id), portal_id))
    return found


async def _read(row: Event, delivery: Any, portal_id: str) -> Found:
    """The event from its delivery's bytes, read as the gateway reads them; without a delivery from the row."""
    as_stored = NewEvent(
        source=SOURCE,
        key=str(row.id),
        kind=row.kind,
        lane=row.lane,
        content=row.content,
        deal_id=row.deal_id,
        occurred_at=row.occurred_at,
        came_at=row.received_at,
    )
    if row.delivery_id is None:
        origin = f"it came without a delivery (source {row.source}): replayed from its stored content"
        return Found(row, as_stored, origin)
    if delivery is None:
        raise ReplayError(
            f"event {row.id}: its delivery was removed when its time of keeping was over: the bytes are gone, "
            "so it cannot be replayed"
        )
    digest = hashlib.sha256(delivery.body).hexdigest()
    if digest != delivery.sha256:
        raise ReplayError(f"event {row.id}: the stored bytes do not fit their sha256: the ledger was damaged")
    size = len(delivery.body)
    bytes_are = f"delivery {row.delivery_id}, {size} bytes, sha256 {digest[:12]}, byte for byte as it came"
    try:
        events = await read_again(
            delivery.source,
            delivery.headers,
            delivery.body,
            day=row.received_at.date(),
            portal_id=portal_id,
        )
    except LeadError:
        events = []
    read = next((e for e in events if inbox.stored_key(e.key) == row.key), None)
    if read is None and row.source == SOURCE:  # a replay's own key says nothing: what it carries does
        read = next((e for e in events if e.kind == row.kind and _same(e.content, row.content)), None)
    if read is None:
        origin = (
            f"{bytes_are}: read again it gives no event under this key (the same bytes came again under other "
            "headers, or they are read otherwise today): replayed from its stored content"
        )
        return Found(row, as_stored, origin, digest)
    origin = f"read again from {bytes_are}"
    if not _same(read.content, row.content):
        origin += "; it says something else than was stored then"
    event = replace(as_stored, content=read.content, deal_id=row.deal_id or read.deal_id, ended=read.ended)
    return Found(row, event, origin, digest)


def _same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True, default=dict) == json.dumps(other, sort_keys=True, default=dict)


async def dry_run(s: Services, found: Found) -> Report:
    """What the event would do now. Vendors and the real ledger are only read."""
    row, event = found.row, found.event
    async with s.ledger.read() as tx:
        happened = await effects.of_event(tx, row.id)
        deal_ids = await _deals_of(tx, event)
    report = Report(row, found.origin, found.sha256, happened, "unknown", "")
    if event.ended is not None:
        state, reason = event.ended
        return replace(report, state=state, summary=reason)
    planned: list[Planned] = []
    flow = flow_for(event.kind).load()
    async with excerpt(s.ledger, event, like=row, deal_ids=deal_ids, owner=s.owner, now=s.clock()) as (
        ledger,
        copy,
    ):
        trial = replace(
            s,
            ledger=ledger,
            hubspot=s.hubspot.read_only(),
            esign=s.esign.read_only(),
            planned=planned,
        )
        try:
            outcome: Outcome = await flow.handle(copy, await flow.prepare([copy], trial), trial)
        except WouldWriteError as first:
            return replace(report, planned=planned, first_write=str(first))
        except Exception as problem:
            state, _ = verdict(copy, problem, trial)
            log.warning("dry run failed event_id=%s kind=%s", row.id, row.kind, exc_info=problem)
            return replace(report, state=state, summary=reason_of(problem), planned=planned)
    return replace(
        report,
        state=outcome.state,
        summary=outcome.summary,
        reasons=outcome.reasons,
        steps=outcome.as_json()["steps"],
        planned=planned,
    )


async def _deals_of(tx: Any, event: NewEvent) -> list[str]:
    """The deals that the event may turn out to be about: named by it, or those of the contract it points to."""
    ids = {event.deal_id, *event.content.get("also", ())}
    request_id, token = event.content.get("request_id"), event.content.get("token")
    for contract in (
        await contracts.by_request(tx, str(request_id)) if request_id else None,
        await contracts.by_token(tx, str(token)) if token else None,
    ):
        ids.add(contract.deal_id if contract else None)
    return sorted(deal_id for deal_id in ids if deal_id)


async def again(ledger: Ledger, found: Sequence[Found], *, now: datetime) -> dict[int, int]:
    """Put each event into the inbox once more; the new ids by the old ones. All of them, or none.

    Raises ReplayError for one that is still open (it will be handled anyway), or that the gateway would set aside.
    """
    for one in found:
        if one.row.state in inbox.OPEN:
            raise ReplayError(
                f"event {one.row.id} is {one.row.state}: it will be handled; "
                f"`dealflow inbox retry {one.row.id}` has a parked or held one handled now"
            )
        if one.event.ended is not None:
            raise ReplayError(f"event {one.row.id} would be set aside again: {one.event.ended[1]}")
    made: dict[int, int] = {}
    async with ledger.write() as tx:
        for one in found:
            event = replace(one.event, key=f"{one.row.id}:{secrets.token_hex(8)}")
            recorded = await inbox.record(tx, [event], now=now, delivery_id=one.row.delivery_id)
            (made[one.row.id],) = recorded.new
    return made
