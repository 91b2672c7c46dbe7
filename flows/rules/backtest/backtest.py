"""A process judged on the past: which moves of deals it would have stopped, flagged or counted, and what was missing.

What is a move and what follows from it is decided as for deals of today (stage_moves.py, stage_guard.py). It is judged
by what was on the deal a minute later: no guard looks sooner, and what is filled in with the stage is saved with it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from flows.rules.backtest.past_deal import Coverage, PastDeal, Sight, by_today, see, why_unknown
from flows.rules.criteria.evidence import Evidence, Leaf
from flows.rules.criteria.judge import Verdict, asked_before, entered_at, properties_of
from flows.rules.criteria.stage_guard import Ruling, rule
from flows.rules.criteria.stage_moves import Move, Passage, passage_of
from flows.rules.criteria.weight import Weight as Weight
from flows.rules.process.sales_process import Criterion, SalesProcess

GRACE = timedelta(minutes=1)
JUMP = "enter_from"
"""Stands among the missing criteria of a move from where the stage may not be entered."""
Result = Literal["stopped", "flagged", "counted", "passed"]
RESULTS: tuple[Result, ...] = ("stopped", "flagged", "counted", "passed")
"""The worst comes first."""


@dataclass(frozen=True)
class Judged:
    """One forward stage entry under a process: what was missing, by criterion key, and how sure that is.

    `skipped`: open stages that it jumped over. `unjudged`: why, by criterion key.
    """

    deal_id: str
    stage: str
    at: datetime
    result: Result
    missing: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    by_today: tuple[str, ...] = ()
    unjudged: Mapping[str, str] = field(default_factory=dict)


class Judge:
    """A process with the stages of HubSpot that are its own (`stages`: HubSpot's id -> key)."""

    def __init__(self, process: SalesProcess, stages: Mapping[str, str], coverage: Coverage) -> None:
        self.process = process
        self._stages, self._coverage = stages, coverage
        self._asked = {key: asked_before(process, key) for key in process.keys}
        self._properties = properties_of(process)

    def moves(self, past: PastDeal, since: datetime | None = None) -> Iterator[Judged]:
        """Every judged move of this deal, oldest first; into stages that ask for nothing there is nothing to judge."""
        walked: list[Move] = []
        for stage_id, at in past.entries:
            walked.append(Move(self._stages.get(stage_id), stage_id, at))
            passage = passage_of(self.process, walked)
            if passage is None or not passage.forward or (since is not None and at < since):
                continue
            stage = self.process.stage(passage.move.stage or "")
            if self._asked[stage.key] or stage.enter_from:
                entries = [(move.stage, move.at) for move in walked if move.stage is not None]
                yield self._judged(past, passage, entries)

    def _judged(self, past: PastDeal, passage: Passage, entries: Sequence[tuple[str, datetime]]) -> Judged:
        key, at = entries[-1]
        sight = see(past, self._properties, at + GRACE, key, entered_at(self.process, key, entries))
        weights = {c.key: self._weigh(c, past, sight, stage) for stage, c in self._asked[key]}
        verdicts = [
            Verdict(c.key, c.says, weights[c.key].met is not False, c.supplied_by)
            for _, c in self._asked[key]
        ]
        ruling = rule(self.process, passage, None, verdicts, sight.likely)
        known = self._stages.values()
        return Judged(
            past.deal_id,
            key,
            at,
            _result(ruling),
            (*ruling.missing, *((JUMP,) if ruling.jump else ())),
            tuple(stage for stage in passage.skipped if stage in known),
            tuple(name for name, weight in weights.items() if weight.today),
            {name: weight.why for name, weight in weights.items() if weight.met is None},
        )

    def _weigh(self, criterion: Criterion, past: PastDeal, sight: Sight, stage: str) -> Weight:
        def leaf(one: Leaf) -> Weight:
            if why := why_unknown(one, past, sight, self._coverage):
                return Weight(None, why=why)
            if one.check(sight.sure, stage).text:
                return Weight(True)
            if sight.likely is not sight.sure and one.check(sight.likely, stage).text:
                return Weight(True, today=True)
            return Weight(False, today=by_today(one, sight))

        return weigh(criterion.evidence, leaf)


def _result(ruling: Ruling) -> Result:
    """What it would have come to for the one who moves the deal."""
    if ruling.found != "unproven":
        return "passed"
    return "stopped" if ruling.action == "move_back" else "flagged" if ruling.action == "task" else "counted"


def weigh(evidence: Evidence, leaf: Callable[[Leaf], Weight]) -> Weight:
    """Evidence made of other evidence, judged by its parts; what is sure counts before what is likely."""
    return evidence.weigh(leaf)
