"""Finds stalled deals in the pipeline, and puts an event for each into the inbox.

The mirror says which deals have been in their stage long enough. Those are read fresh and assessed, so that a veto
costs no event. Only stays that began after the first start count, so that a pipeline of old deals is not flooded.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from connectors.http.pacing import Lane
from flows.follow_up.assess import Assessment, Outside, assess, calls_for_action, past_of, read_files
from flows.ledger import follow_ups, inbox, mirror
from flows.ledger.follow_ups import FollowUpRow
from flows.ledger.inbox import NewEvent
from flows.processes import FOLLOW_UP_DUE
from flows.rules.follow_up import Due, NotNow, due_day
from flows.services import Portal, Services

log = logging.getLogger(__name__)

SOURCE = "follow_up"
_CHUNK = 50
_SHOWN = 200


@dataclass
class Swept:
    """The result of a sweep. `assessed`: deals that were read, by id; `flagged`: those listed for disqualification."""

    standing: int = 0
    assessed: dict[str, Assessment | Outside] = field(default_factory=dict)
    events: int = 0
    flagged: list[FollowUpRow] = field(default_factory=list)

    @property
    def due(self) -> list[tuple[Assessment, Due]]:
        """The deals that are followed up now."""
        read = (x for x in self.assessed.values() if isinstance(x, Assessment))
        return [(x, x.decision) for x in read if isinstance(x.decision, Due)]

    @property
    def vetoed(self) -> list[tuple[Assessment, NotNow]]:
        """The deals that are left alone because of recent activity."""
        read = (x for x in self.assessed.values() if isinstance(x, Assessment))
        decided = ((x, x.decision) for x in read if isinstance(x.decision, NotNow))
        return [(x, decision) for x, decision in decided if decision.why == "active"]

    @property
    def summary(self) -> str:
        """One line."""
        return (
            f"{self.standing} deals are in stages with a follow-up plan, {len(self.assessed)} were checked: "
            f"{self.events} put into the inbox, {len(self.vetoed)} vetoed by activity; {len(self.flagged)} flagged"
        )

    def report(self, s: Services) -> str:
        """The sweep as Markdown; it contains only ids and keys of the process file."""
        due = [
            (x.file.id, x.stage.key, str(d.number), d.reason, ", ".join(sorted(x.unmet))) for x, d in self.due
        ]
        flagged = [
            (x.deal_id, x.stage, f"{x.begun_at:%Y-%m-%d}", str(x.number), ", ".join(x.unmet))
            for x in self.flagged
        ]
        flagged += [
            (x.file.id, x.stage.key, "now", str(d.number), ", ".join(sorted(x.unmet)))
            for x, d in self.due
            if d.flag
        ]
        left = [(x.file.id, x.stage.key, d.reason) for x, d in self.vetoed]
        lines = [self.summary + "."]
        lines += _table(s, "Deals to disqualify?", ("Stage", "Flagged", "Follow-ups", "Unmet"), flagged)
        lines += _table(s, "Followed up", ("Stage", "Number", "Why", "Unmet"), due)
        lines += _table(s, "Left alone", ("Stage", "Why"), left)
        return "\n".join(lines)


def _table(s: Services, title: str, heads: Sequence[str], rows: Sequence[tuple[str, ...]]) -> Iterable[str]:
    """A Markdown table whose rows begin with a deal id; nothing without rows."""
    if not rows:
        return
    yield from ["", f"### {title}", "", f"| Deal | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for deal_id, *cells in rows[:_SHOWN]:
        yield f"| [{deal_id}]({s.deal_url(deal_id)}) | {' | '.join(cells)} |"
    if len(rows) > _SHOWN:
        yield f"\nand {len(rows) - _SHOWN} more"


async def sweep(s: Services) -> Swept:
    """Assess every deal whose next follow-up may be due, or whose flag may have to go. Raises ConnectorError."""
    portal = await s.portal()
    bulk = replace(s, hubspot=s.hubspot.in_lane(Lane.BULK))  # contracts come first under the vendor's limit
    swept = Swept()
    ids = await _candidates(s, portal, swept)
    for at in range(0, len(ids), _CHUNK):
        chunk = ids[at : at + _CHUNK]
        files = await read_files(bulk, chunk)
        swept.assessed |= await assess(bulk, {deal_id: files.get(deal_id) for deal_id in chunk})
    wanted = [_event(i, x, s.clock()) for i, x in swept.assessed.items() if calls_for_action(x)]
    async with s.ledger.write() as tx:
        swept.events = len((await inbox.record(tx, wanted, now=s.clock())).new)
        swept.flagged = await follow_ups.flagged(tx)
    log.info("follow-ups swept %s", swept.summary)
    return swept


async def _candidates(s: Services, portal: Portal, swept: Swept) -> list[str]:
    """Ids from the mirror and the ledger; deals that already have an open event are left out."""
    today = s.clock().astimezone(UTC).date()
    async with s.ledger.read() as tx:
        by_stage = await mirror.deals_by_stage(tx)
        since = await mirror.cursor(tx, mirror.WATCH_SINCE)
        waiting = {deal_id for deal_id, kind, _ in await inbox.open_on_deals(tx) if kind == FOLLOW_UP_DUE}
        flagged = {row.deal_id for row in await follow_ups.flagged(tx)}
        stays = {
            deal_id: (stage, entered_at)
            for stage in s.process.stages
            if stage.follow_up is not None
            for deal_id, _, _, entered_at in by_stage.get(portal.stage_ids[stage.key], ())
            if entered_at is not None and since is not None and entered_at >= datetime.fromisoformat(since)
        }
        done = await follow_ups.of_deals(tx, sorted(stays))
    swept.standing = len(stays)
    found = set(flagged)
    for deal_id, (stage, entered_at) in stays.items():
        assert stage.follow_up is not None
        here = [r for r in done.get(deal_id, ()) if (r.stage, r.entered_at) == (stage.key, entered_at)]
        ended = [past_of(row) for row in here if row.ended_at is not None]
        if due_day(stage.follow_up, entered_at, ended) <= today:
            found.add(deal_id)
    return sorted(found - waiting, key=int)


def _event(deal_id: str, found: Assessment | Outside, now: datetime) -> NewEvent:
    """One event a day for a cause. The ledger, not this key, knows what was done before."""
    if isinstance(found, Assessment):
        number = found.decision.number if isinstance(found.decision, Due) else len(found.past)
        moment = int(found.entered_at.timestamp() * 1000)
        cause = f"{found.stage.key}:{moment}:{number}"
    else:
        cause = "left"
    return NewEvent(
        SOURCE,
        f"{deal_id}:{cause}:{now:%Y-%m-%d}",
        FOLLOW_UP_DUE,
        f"deal:{deal_id}",
        {"by": SOURCE},
        deal_id=deal_id,
        occurred_at=now,
    )
