"""The data of the ops page, read from the ledger in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flows.gates.report import KEY, Report, report_of
from flows.ledger import contracts, effects, follow_ups, inbox, mirror, presence, reports, stage_checks
from flows.ledger.contracts import Contract
from flows.ledger.database import Ledger
from flows.ledger.effects import Effect
from flows.ledger.follow_ups import FollowUpRow
from flows.ledger.inbox import Event
from flows.ledger.stage_checks import StageCheck
from flows.rules.process.sales_process import SalesProcess, Stage

LONG_PARKED = 5
"""An event with this many failures in a row is listed as needing a person: it has failed for minutes at least."""


@dataclass(frozen=True)
class DealLine:
    """One mirrored deal on the page."""

    deal_id: str
    name: str
    amount: str
    since: datetime | None


@dataclass(frozen=True)
class Column:
    """One stage of the pipeline with its deals, newest first."""

    stage: Stage
    deals: tuple[DealLine, ...]


@dataclass(frozen=True)
class Unproven:
    """Deals without proof, from the last run of the flow `explain_deals`."""

    report: Report
    read_at: datetime


@dataclass(frozen=True)
class Flagged:
    """A deal whose follow-ups had no effect: `unmet` in the sentences of the process file."""

    deal_id: str
    name: str
    stage: str
    since: datetime
    follow_ups: int
    unmet: tuple[str, ...]


@dataclass(frozen=True)
class Overview:
    """All data of the page."""

    columns: tuple[Column, ...]
    contracts: tuple[Contract, ...]
    flagged: tuple[Flagged, ...]
    stuck: tuple[Event, ...]
    waiting: tuple[Event, ...]
    recent: tuple[Event, ...]
    doubtful: tuple[Effect, ...]
    bypassed: tuple[StageCheck, ...]
    inbox_states: dict[str, int]
    refused: int
    portal_id: str
    workers: tuple[presence.Worker, ...]
    synced_at: datetime | None
    unproven: Unproven | None


async def unproven(ledger: Ledger) -> Unproven | None:
    """The last list of deals without proof; None before the first."""
    async with ledger.read() as tx:
        return _unproven(await reports.last(tx, KEY))


def _unproven(kept: tuple[Any, datetime] | None) -> Unproven | None:
    return Unproven(report_of(kept[0]), kept[1]) if kept else None


async def overview(process: SalesProcess, ledger: Ledger, now: datetime) -> Overview:
    """Read everything in one transaction."""
    async with ledger.read() as tx:
        rows = await mirror.deals_by_stage(tx)
        cursor = await mirror.cursor(tx, "deals")
        portal = await mirror.portal_facts(tx)
        bindings = portal.get("stages", {})
        return Overview(
            columns=tuple(
                Column(
                    stage,
                    tuple(DealLine(*r) for r in rows.get(bindings.get(stage.key, ""), ())),
                )
                for stage in process.stages
            ),
            contracts=tuple(await contracts.recent(tx, limit=20)),
            flagged=_flagged(process, await follow_ups.flagged(tx), rows),
            stuck=(
                *await inbox.listing(tx, states=("dead",), limit=30),
                *await inbox.listing(tx, states=("parked",), min_failures=LONG_PARKED, limit=30),
            ),
            waiting=tuple(
                e
                for e in await inbox.listing(tx, states=inbox.OPEN, limit=60)
                if e.state != "parked" or e.failures < LONG_PARKED
            )[:30],
            recent=tuple(await inbox.listing(tx, states=("done",), limit=20)),
            doubtful=tuple(await effects.listing(tx, states=("unknown", "quarantined"), limit=20)),
            bypassed=tuple(
                await stage_checks.listing(tx, found=("unproven", "overridden", "fight", "skipped"), limit=15)
            ),
            inbox_states=await inbox.tally(tx),
            refused=sum(n for name, n in (await presence.totals(tx)).items() if name.startswith("refused.")),
            portal_id=str(portal.get("portal_id", "0")),
            workers=tuple(await presence.alive(tx, since=now - timedelta(seconds=30))),
            synced_at=datetime.fromisoformat(cursor) if cursor else None,
            unproven=_unproven(await reports.last(tx, KEY)),
        )


def _flagged(
    process: SalesProcess,
    rows: Sequence[FollowUpRow],
    deals: Mapping[str, Sequence[tuple[str, str, str, datetime | None]]],
) -> tuple[Flagged, ...]:
    """Stages and criteria that the process file no longer has are shown by their keys."""
    labels = {stage.key: stage.label for stage in process.stages}
    says = {c.key: c.says for stage in process.stages for c in stage.exit_criteria}
    names = {deal_id: name for lines in deals.values() for deal_id, name, _, _ in lines}
    return tuple(
        Flagged(
            row.deal_id,
            names.get(row.deal_id, ""),
            labels.get(row.stage, row.stage),
            row.begun_at,
            row.number,
            tuple(says.get(key, key) for key in row.unmet),
        )
        for row in rows
    )
