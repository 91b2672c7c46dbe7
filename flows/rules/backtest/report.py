"""What a backtest reports: per stage, per criterion and per deal, under a process and under the one before it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from flows.rules.backtest.backtest import JUMP, RESULTS, Judged, Result
from flows.rules.process.sales_process import SalesProcess

Ending = Literal["won", "lost", "open"]
ENDINGS: tuple[Ending, ...] = ("won", "lost", "open")


@dataclass(frozen=True)
class StageRow:
    """Moves into one stage by result, those that skipped something (and what, how often), and what became of the
    deals (each once): of those whose gate was shut, and of those that passed each time.
    """

    stage: str
    label: str
    moves: int
    results: Mapping[Result, int]
    skipping: int
    skipped: Mapping[str, int]
    shut: Mapping[Ending, int]
    passed: Mapping[Ending, int]


@dataclass(frozen=True)
class CriterionRow:
    """In how many shut gates a criterion took part and how many it shut alone, by result; won deals among them.

    `by_today`: moves judged by what is on the deal now; `unjudged`: moves for which nobody can say, by reason.
    """

    criterion: str
    stage: str
    says: str
    part: Mapping[Result, int]
    alone: Mapping[Result, int]
    won: int
    won_alone: int
    by_today: int
    unjudged: Mapping[str, int]


@dataclass(frozen=True)
class Side:
    """One process over all deals."""

    name: str
    moves: int
    deals: int
    worst: Mapping[str, Result]  # by deal id
    stages: tuple[StageRow, ...]
    criteria: tuple[CriterionRow, ...]

    def deals_with(self, result: Result) -> set[str]:
        """Deals whose worst move came to this."""
        return {deal_id for deal_id, worst in self.worst.items() if worst == result}


@dataclass(frozen=True)
class DealRow:
    """A deal under both processes: its first move of the worst result. `before`: its worst result under the other."""

    deal_id: str
    ending: Ending
    result: Result
    stage: str
    at: str
    missing: tuple[str, ...]
    skipped: tuple[str, ...]
    before: Result | None


@dataclass(frozen=True)
class Backtest:
    """Everything. `deals` lists those with a shut gate or a changed result, those that cost most first."""

    verdict: str
    new: Side
    old: Side
    deals: tuple[DealRow, ...]
    notes: tuple[str, ...] = field(default=())

    def as_json(self, limit: int | None = None) -> dict[str, Any]:
        """For `--json`; `limit`: of the list of deals."""
        found = asdict(self)
        for side in ("new", "old"):
            del found[side]["worst"]
        return found | {"deals": found["deals"][:limit], "deals_listed_of": len(self.deals)}


def side(name: str, process: SalesProcess, moves: Sequence[Judged], endings: Mapping[str, Ending]) -> Side:
    """Count the moves of all deals under one process. `name`: what to call it."""
    worst: dict[str, Result] = {}
    for move in moves:
        worst[move.deal_id] = _worse(worst.get(move.deal_id, "passed"), move.result)
    return Side(
        name,
        len(moves),
        len(worst),
        worst,
        tuple(_stages(process, moves, endings)),
        tuple(_criteria(process, moves, endings)),
    )


def report(
    new: Side, old: Side, moves: Sequence[Judged], endings: Mapping[str, Ending], notes: Sequence[str] = ()
) -> Backtest:
    """Both processes over the same deals; `moves` are those under the new one."""
    return Backtest(
        _verdict(new, old, endings), new, old, tuple(_deals(moves, new, old, endings)), tuple(notes)
    )


def _worse(one: Result, other: Result) -> Result:
    return min(one, other, key=RESULTS.index)


def _ends(deals: Iterable[str], endings: Mapping[str, Ending]) -> dict[Ending, int]:
    counted = Counter(endings[deal_id] for deal_id in deals)
    return {ending: counted[ending] for ending in ENDINGS}


def _stages(
    process: SalesProcess, moves: Sequence[Judged], endings: Mapping[str, Ending]
) -> Iterable[StageRow]:
    for stage in process.stages:
        here = [move for move in moves if move.stage == stage.key]
        if not here:
            continue
        counted = Counter(move.result for move in here)
        shut = {move.deal_id for move in here if move.missing}
        yield StageRow(
            stage.key,
            stage.label,
            len(here),
            {result: counted[result] for result in RESULTS},
            sum(bool(move.skipped) for move in here),
            dict(Counter(key for move in here for key in move.skipped)),
            _ends(shut, endings),
            _ends({move.deal_id for move in here} - shut, endings),
        )


def _criteria(
    process: SalesProcess, moves: Sequence[Judged], endings: Mapping[str, Ending]
) -> Iterable[CriterionRow]:
    shut = [move for move in moves if move.missing]
    today = Counter(name for move in moves for name in move.by_today)
    unjudged = Counter((name, why) for move in moves for name, why in move.unjudged.items())
    asked = [(c.key, stage.key, c.says) for stage in process.stages for c in stage.exit_criteria]
    if any(JUMP in move.missing for move in shut):
        asked.append((JUMP, "", "The deal came from a stage that it may come from"))
    for key, stage_key, says in asked:
        part = [move for move in shut if key in move.missing]
        alone = [move for move in part if len(move.missing) == 1]
        yield CriterionRow(
            key,
            stage_key,
            says,
            _results(part),
            _results(alone),
            _ends({move.deal_id for move in part}, endings)["won"],
            _ends({move.deal_id for move in alone}, endings)["won"],
            today[key],
            {why: n for (name, why), n in sorted(unjudged.items()) if name == key},
        )


def _results(moves: Iterable[Judged]) -> dict[Result, int]:
    counted = Counter(move.result for move in moves)
    return {result: counted[result] for result in RESULTS if result != "passed"}


def _deals(
    moves: Sequence[Judged], now: Side, before: Side, endings: Mapping[str, Ending]
) -> Iterable[DealRow]:
    """Won deals that would be stopped come first: they cost most."""
    first: dict[str, Judged] = {}
    for move in moves:
        if move.result == now.worst[move.deal_id]:
            first.setdefault(move.deal_id, move)
    rows = [
        DealRow(
            deal_id,
            endings[deal_id],
            move.result,
            move.stage,
            move.at.isoformat(),
            move.missing,
            move.skipped,
            before.worst.get(deal_id),
        )
        for deal_id, move in first.items()
        if move.result != "passed" or before.worst.get(deal_id, "passed") != "passed"
    ]
    return sorted(
        rows,
        key=lambda r: (RESULTS.index(r.result), ENDINGS.index(r.ending), r.before == r.result, r.deal_id),
    )


def _verdict(now: Side, before: Side, endings: Mapping[str, Ending]) -> str:
    """One line."""
    caught = [(result, now.deals_with(result)) for result in RESULTS[:3]]
    caught = [(result, deals) for result, deals in caught if deals]
    text = f"would have {_in_words(now)} of {now.deals} deals"
    if caught:
        worst, deals = caught[0]
        won = _ends(deals, endings)["won"]
        look = max(
            now.criteria,
            key=lambda row: (row.won_alone, row.alone[worst], row.won, row.part[worst]),
        )
        which = f"the {worst}" if len(caught) > 1 else "those"
        text += f"; {won} of {which} were won: look at {look.criterion} first"
    return f"{text} ({before.name}: {_in_words(before)})"


def _in_words(found: Side) -> str:
    said = [f"{r} {len(found.deals_with(r))}" for r in RESULTS[:3] if found.deals_with(r)]
    return " and ".join(filter(None, (", ".join(said[:-1]), *said[-1:]))) or "stopped or flagged none"
