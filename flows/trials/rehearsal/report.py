"""The report of a rehearsal: the funnel, the worker's actions, where deals are stuck and why, broken promises."""

import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from flows.deals.activities import Happened
from flows.rules.criteria.judge import DealFacts, gate, judge, unmet
from flows.rules.process.sales_process import Stage
from flows.trials.rehearsal.checks import Check, check, entered_by, is_debrief
from flows.trials.rehearsal.play import Played

_EXAMPLES = 3


@dataclass(frozen=True)
class FunnelRow:
    """One stage: deals that entered it, that left it, that are in it; median days of a visit."""

    stage: str
    label: str
    entered: int
    left: int
    still_there: int
    median_days: float | None


@dataclass(frozen=True)
class StuckRow:
    """Open deals stuck in one stage by one criterion, with a few examples."""

    stage: str
    criterion: str
    says: str
    deals: int
    median_days: float
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """The whole report, as plain data."""

    plan: dict[str, Any]
    funnel: tuple[FunnelRow, ...]
    outcome: dict[str, Any]
    worker: dict[str, Any]
    holds: tuple[dict[str, Any], ...]
    calls: dict[str, int]
    stuck: tuple[StuckRow, ...]
    odd: tuple[str, ...]
    checks: tuple[Check, ...]
    fingerprint: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        return not any(c.broken for c in self.checks)

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "ok": self.ok}


def report(played: Played) -> Report:
    """Make the report from the result of the simulation."""
    plan = played.plan
    visits = {deal["id"]: _visits(played, deal) for deal in played.deals}
    return Report(
        plan={
            "process": str(plan.process_file),
            "name": played.process.name,
            "deals": plan.deals,
            "days": plan.days,
            "seed": plan.seed,
            "from": f"{plan.starts:%Y-%m-%d}",
            "to": f"{played.ends:%Y-%m-%d}",
        },
        funnel=tuple(_funnel_row(stage, visits) for stage in played.process.stages),
        outcome=_outcome(played),
        worker=_worker(played),
        holds=_holds(played),
        calls=dict(sorted(played.tally.calls.items(), key=lambda pair: (-pair[1], pair[0]))),
        stuck=_stuck(played, visits),
        odd=tuple(_odd(played)),
        checks=check(played),
        fingerprint=played.fingerprint,
        seconds=round(played.seconds, 1),
    )


@dataclass(frozen=True)
class _Visit:
    stage: str | None
    days: float
    over: bool


def _visits(played: Played, deal: Mapping[str, Any]) -> list[_Visit]:
    """Each stay of a deal in a stage, in order."""
    keys = {stage_id: key for key, stage_id in played.stage_ids.items()}
    moves = [
        (v["value"], datetime.fromisoformat(v["timestamp"])) for v in deal["history"].get("dealstage", [])
    ]
    ends = [at for _, at in moves[1:]]
    found = []
    for (value, began), ended in zip(moves, [*ends, None], strict=True):
        span = (ended or played.ends) - began
        found.append(_Visit(keys.get(value), span.total_seconds() / 86_400, ended is not None))
    return found


def _funnel_row(stage: Stage, visits: Mapping[str, list[_Visit]]) -> FunnelRow:
    entered = [some for some in visits.values() if any(v.stage == stage.key for v in some)]
    there = [some for some in entered if some[-1].stage == stage.key]
    done = [v.days for some in entered for v in some if v.stage == stage.key and v.over]
    median = round(statistics.median(done), 1) if done else None
    return FunnelRow(stage.key, stage.label, len(entered), len(entered) - len(there), len(there), median)


def _outcome(played: Played) -> dict[str, Any]:
    """Won, lost and open deals: number and value."""
    closed = {s.key: s.closed for s in played.process.stages}
    keys = {stage_id: key for key, stage_id in played.stage_ids.items()}
    count: Counter[str] = Counter()
    worth: dict[str, Decimal] = {}
    for deal in played.deals:
        values = deal["properties"]
        how = closed.get(keys.get(values.get("dealstage", ""), "")) or "open"
        count[how] += 1
        worth[how] = worth.get(how, Decimal(0)) + Decimal(values.get("amount") or 0)
    currency = played.process.currency
    return {
        how: {"deals": count[how], "amount": f"{worth.get(how, Decimal(0)):.2f}", "currency": currency}
        for how in ("won", "lost", "open")
    }


def _worker(played: Played) -> dict[str, Any]:
    """The worker's results in the stand-ins, and how its events ended."""
    ended = played.tally.ended
    revisions = [int(r["metadata"].get("revision", 1)) for r in played.requests]
    names = Counter(str(f["name"]).split("-")[0] for f in played.files)
    return {
        "leads": played.leads,
        "deals made": len(played.deals),
        "leads that joined a deal": played.joined,
        "proposals filed": names["proposal"],
        "contracts sent": len(revisions),
        "of these later revisions": sum(r > 1 for r in revisions),
        "contracts by end": dict(Counter(r["phase"] for r in played.requests)),
        "signed PDFs filed": names["signed"],
        "deals handed over": sum(is_debrief(n) for n in played.notes),
        "follow-on deals": len(played.follow_ons),
        "notes": len(played.notes),
        "tasks": len(played.tasks),
        **(_follow_ups(played) if played.plan.follow_ups else {}),
        "events handled": sum(ended.values()),
        "events by end": dict(sorted(ended.items())),
        "given up": [f"{kind}: {reason}" for kind, reason in played.tally.dead[:10]],
        "vendor calls": sum(played.tally.calls.values()),
    }


def _follow_ups(played: Played) -> dict[str, int]:
    done = (n for what, n in played.tally.summaries.items() if what.startswith("follow_up.due: follow-up"))
    flagged = sum(bool(d["properties"].get("dealflow_flag")) for d in played.deals)
    return {"follow-ups": sum(done), "deals flagged at the end": flagged}


def _holds(played: Played) -> tuple[dict[str, Any], ...]:
    """The reasons of held events, most frequent first (retries of one event count once)."""
    rows = [(len(ids), kind, reason) for (kind, reason), ids in played.tally.held.items()]
    rows.sort(key=lambda row: (-row[0], row[1], row[2]))
    return tuple({"events": n, "kind": kind, "reason": reason} for n, kind, reason in rows)


def _stuck(played: Played, visits: Mapping[str, list[_Visit]]) -> tuple[StuckRow, ...]:
    """Open deals by the first criterion that each still needs to leave its stage."""
    found: dict[tuple[str, str, str], list[tuple[float, str]]] = {}
    for deal in played.deals:
        last = visits[deal["id"]][-1]
        stage = played.process.stage(last.stage) if last.stage else None
        if stage is None or stage.closed is not None:
            continue
        facts = _facts(played, deal, stage)
        before = gate(played.process, stage.key, facts)
        missing = unmet([*before, *judge(stage.exit_criteria, facts, stage.key)])
        key = (
            (stage.key, missing[0].criterion, missing[0].says)
            if missing
            else (stage.key, "", "nothing: it can move on")
        )
        found.setdefault(key, []).append((last.days, deal["id"]))
    rows = [
        StuckRow(
            stage,
            criterion,
            says,
            len(deals),
            round(statistics.median(days for days, _ in deals), 1),
            tuple(deal_id for _, deal_id in sorted(deals, reverse=True)[:_EXAMPLES]),
        )
        for (stage, criterion, says), deals in found.items()
    ]
    return tuple(sorted(rows, key=lambda r: (-r.deals, r.stage, r.criterion)))


def _facts(played: Played, deal: Mapping[str, Any], stage: Stage) -> DealFacts:
    """The deal at the end, from the stand-in's record."""
    roles = {label: role for role, label in played.process.role_labels.items()}
    associated = deal["associations"]
    happened = played.happened.get(deal["id"], Happened())
    return DealFacts(
        deal_id=deal["id"],
        stage=stage.key,
        properties=deal["properties"],
        contacts={
            link["id"]: frozenset(roles[label] for label in link["labels"] if label in roles)
            for link in associated.get("contacts", [])
        },
        companies=frozenset(link["id"] for link in associated.get("companies", [])),
        line_items=frozenset(link["id"] for link in associated.get("line_items", [])),
        documents=frozenset({"proposal"} if deal["properties"].get("dealflow_proposal_file_id") else ()),
        signature=deal["properties"].get("dealflow_contract_status"),
        activities=happened.activities,
        objections=happened.objections,
        entered=entered_by(played, deal, played.ends),
        read_at=played.ends,
    )


def _odd(played: Played) -> list[str]:
    """Not broken, but worth checking: the process file may need a rule for it."""
    keys = {stage_id: key for key, stage_id in played.stage_ids.items()}
    stage = {d["id"]: keys.get(d["properties"].get("dealstage", "")) for d in played.deals}
    lost = {s.key for s in played.process.stages if s.closed == "lost"}
    signed = sorted(
        {
            str(r["metadata"].get("deal_id"))
            for r in played.requests
            if r["phase"] == "complete" and stage.get(str(r["metadata"].get("deal_id"))) in lost
        }
    )
    waiting = sorted(
        {
            str(r["metadata"].get("deal_id"))
            for r in played.requests
            if r["phase"] == "open" and stage.get(str(r["metadata"].get("deal_id"))) in lost
        }
    )
    found = []
    if signed:
        found.append(
            f"{len(signed)} contract(s) signed on deals that a rep had lost: {', '.join(signed[:_EXAMPLES])}"
        )
    if waiting:
        found.append(
            f"{len(waiting)} contract(s) still out for signature on lost deals: {', '.join(waiting[:_EXAMPLES])}"
        )
    return found
