"""A process file on mirrored history: what it would have stopped, against the process in force.

Reads: the mirror, documents and contracts of the ledger; asked for, also histories and activities fresh from HubSpot.
Writes nothing. Needs (asked for): scopes as in deals.py and activities.py.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from connectors.http.errors import TransientError
from connectors.http.pacing import Lane
from connectors.hubspot.records import Record
from flows.deals.activities import read_for
from flows.deals.past_values import versions, whole_histories
from flows.errors import FlowError
from flows.ledger import mirror
from flows.ledger.database import Ledger
from flows.ledger.past_deals import past_deals
from flows.retries import reading
from flows.rules.backtest.backtest import Judge, Judged
from flows.rules.backtest.past_deal import Coverage, PastDeal
from flows.rules.backtest.report import Backtest, Ending, report, side
from flows.rules.backtest.stage_map import StageMap, map_stages
from flows.rules.criteria.judge import properties_of
from flows.rules.process.sales_process import SalesProcess
from flows.services import Services

_CHUNK = 100
Progress = Callable[[int, int], None]
"""Called with how many deals were read afresh, and of how many."""


class BacktestError(FlowError):
    """There is nothing to judge by. The text says what to do."""


@dataclass(frozen=True)
class Named:
    """A process and what to call it in sentences."""

    name: str
    process: SalesProcess


@dataclass(frozen=True)
class Plan:
    """What to compare with what. `in_force`: the process by which the mirror was made; `since`: only later moves."""

    new: Named
    old: Named
    in_force: SalesProcess
    since: datetime | None = None


@dataclass(frozen=True)
class _Past:
    """The mirror, as far as it matters here."""

    deals: list[PastDeal]
    labels: Mapping[str, str]
    keys: Mapping[str, str]
    coverage: Coverage


async def backtest(
    plan: Plan,
    ledger: Ledger,
    *,
    hubspot: Services | None = None,
    progress: Progress = lambda _done, _all: None,
) -> Backtest:
    """Judge both processes. `hubspot`: services by which histories and activities are read afresh.

    Raises BacktestError; ConnectorError when HubSpot is asked.
    """
    past = await _read(plan, ledger)
    both = (plan.new, plan.old)
    maps = {one.name: _stages(one, past) for one in both}
    stage_ids = {stage_id for found in maps.values() for stage_id in found.keys}
    deals = [deal for deal in past.deals if any(stage in stage_ids for stage, _ in deal.entries)]
    seen = await _freshened(hubspot, both, deals, progress) if hubspot is not None else (deals, deals)
    endings = {deal.deal_id: _ending(plan, maps, deal.stage_id) for deal in deals}
    moves: dict[str, list[Judged]] = {}
    for one, as_seen in zip(both, seen, strict=True):
        judge = Judge(one.process, maps[one.name].keys, past.coverage)
        moves[one.name] = [move for deal in as_seen for move in judge.moves(deal, plan.since)]
    new, old = (side(one.name, one.process, moves[one.name], endings) for one in (plan.new, plan.old))
    if not new.moves:
        since = f" since {plan.since:%Y-%m-%d}" if plan.since else ""
        raise BacktestError(f"no deal in the mirror moved forward through a gate of {plan.new.name}{since}")
    return report(new, old, moves[plan.new.name], endings, _notes(plan, maps))


async def _read(plan: Plan, ledger: Ledger) -> _Past:
    async with ledger.read() as tx:
        facts = await mirror.portal_facts(tx)
        since = await mirror.cursor(tx, mirror.WATCH_SINCE)
        deals = await past_deals(tx)
    if not deals:
        raise BacktestError("the mirror holds no deals: run `dealflow sync --full` first")
    keys: dict[str, str] = facts.get("stages", {})
    # A ledger of before 0006 knows no labels: those of the process by which it was made.
    names = {s.key: s.hubspot_name for s in plan.in_force.stages}
    labels = facts.get("labels") or {keys[key]: name for key, name in names.items() if key in keys}
    roles = frozenset(facts.get("roles") or plan.in_force.role_labels)
    return _Past(deals, labels, keys, Coverage(roles, datetime.fromisoformat(since) if since else None))


def _stages(one: Named, past: _Past) -> StageMap:
    found = map_stages(one.process, past.labels, past.keys)
    if not found.fits:
        has = (
            f"has {', '.join(past.labels.values())}"
            if past.labels
            else "is not known yet: run `dealflow sync`"
        )
        raise BacktestError(
            f"the stages of {one.name} are not those of the mirrored pipeline, which {has}; "
            "say with hubspot_stage which is which"
        )
    return found


def _ending(plan: Plan, maps: Mapping[str, StageMap], stage_id: str) -> Ending:
    """What became of a deal that stands there now."""
    for one in (plan.old, plan.new):
        key = maps[one.name].keys.get(stage_id)
        if key is not None:
            return one.process.stage(key).closed or "open"
    return "open"


async def _freshened(
    s: Services, both: Sequence[Named], deals: Sequence[PastDeal], progress: Progress
) -> tuple[list[PastDeal], ...]:
    """The deals with the past of every property and the activities that either process asks for, from HubSpot: as each
    of them would see these.
    """
    s = replace(s, hubspot=s.hubspot.in_lane(Lane.BULK).read_only())
    processes = [one.process for one in both]
    names = tuple(dict.fromkeys(name for process in processes for name in properties_of(process)))
    seen: tuple[list[PastDeal], ...] = tuple([] for _ in processes)
    for at in range(0, len(deals), _CHUNK):
        some = {deal.deal_id: deal for deal in deals[at : at + _CHUNK]}
        read = await reading(
            lambda ids=list(some): s.hubspot.read_batch("deals", ids, properties=names, history=names)  # type: ignore[misc]
        )
        for error in read.failed.values():
            raise TransientError(
                "hubspot", "read_batch_deals", detail="a row was not read", category=error.category
            )
        happened = await read_for(s, list(some), processes)
        for deal_id, deal in some.items():
            fresh = _with_history(deal, read.records.get(deal_id), names)
            for as_seen, by_deal in zip(seen, happened, strict=True):
                one = by_deal[deal_id]
                as_seen.append(replace(fresh, activities=one.activities, objections=one.objections))
        progress(min(at + _CHUNK, len(deals)), len(deals))
    return seen


def _with_history(deal: PastDeal, record: Record | None, names: Sequence[str]) -> PastDeal:
    """With all that HubSpot tells of the past of these properties; a deal that is gone stays as it was mirrored."""
    if record is None:
        return deal
    known = {name: dict(found) for name, found in deal.versions.items()}
    for past in versions(record, names):
        known.setdefault(past.property, {})[past.at] = past.value
    return replace(
        deal,
        properties={**deal.properties, **record.properties},
        versions={name: sorted(found.items()) for name, found in known.items()},
        whole=deal.whole | set(whole_histories(record, names)),
    )


def _notes(plan: Plan, maps: Mapping[str, StageMap]) -> list[str]:
    """What a reader must know about how it was judged."""
    notes: list[str] = []
    for one in (plan.new, plan.old):
        found = maps[one.name]
        if found.missing:
            names = ", ".join(one.process.stage(key).hubspot_name for key in found.missing)
            notes.append(
                f"{one.name}: HubSpot has no stage {names}: nobody moved there, and what it asks for is asked later on"
            )
        if found.by_key:
            names = ", ".join(one.process.stage(key).hubspot_name for key in found.by_key)
            notes.append(
                f"{one.name}: HubSpot does not know {names} by that name: taken for the stage with its key"
            )
        if one.process.pipeline != plan.in_force.pipeline:
            notes.append(
                f"{one.name} is for the pipeline {one.process.pipeline}: judged on deals of {plan.in_force.pipeline}"
            )
    return notes
