"""What a backtest tells: counted per stage, per criterion, per deal, under two processes."""

from datetime import UTC, datetime
from typing import Any

import pytest

from flows.rules.backtest.backtest import Judged
from flows.rules.backtest.report import Backtest, Side, report, side
from flows.rules.process.sales_process import SalesProcess, parse_process

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
WON, LOST, OPEN = "w", "l", "o"


def process() -> SalesProcess:
    words = {"probability": 0.5, "buyer_step": "does", "help": "helps"}
    criterion = {"kind": "action", "says": "it is", "supplied_by": "rep"}
    asks = [{**criterion, "key": key, "evidence": {"property": key, "is": "set"}} for key in ("a", "b")]
    return parse_process(
        {
            "name": "P",
            "pipeline": "P",
            "seller": {"name": "S", "address": "A", "email": "s@seller.example"},
            "stages": [
                {"key": "first", "label": "First", **words, "exit_criteria": asks},
                {"key": "second", "label": "Second", **words},
                {"key": "won", "label": "Won", **words, "closed": "won", "probability": 1},
                {"key": "lost", "label": "Lost", **words, "closed": "lost", "probability": 0},
            ],
            "signature_outcomes": {
                "completed": {"move_to": "won"},
                **{end: {"stay": True} for end in ("declined", "expired", "canceled", "failed")},
            },
        }
    )


def move(deal_id: str, stage: str = "second", *missing: str, result: str = "", **more: Any) -> Judged:
    """Stopped where something is missing, unless another result is given."""
    found: Any = result or ("stopped" if missing else "passed")
    return Judged(deal_id, stage, more.pop("at", AT), found, missing, **more)


def counted(*moves: Judged) -> Side:
    """Deal ids begin with what became of them."""
    return side("NEW", process(), moves, _endings(*moves))


def _endings(*moves: Judged) -> Any:
    names = {WON: "won", LOST: "lost", OPEN: "open"}
    return {m.deal_id: names[m.deal_id[0]] for m in moves}


def test_stages_count_moves_and_deals() -> None:
    """Moves by result; deals once, those whose gate was ever shut apart from those that always passed."""
    found = counted(
        move("w1", "second", "a"),
        move("w1", "second"),
        move("w2"),
        move("l1", "second", "a", "b", skipped=("first",)),
        move("o1", "second", "b", result="flagged"),
        move("o1", "won", skipped=("second",)),
        move("l2", "won", skipped=("second",)),
    )
    second, won = found.stages
    assert (second.moves, won.moves, found.moves, found.deals) == (5, 2, 7, 5)
    assert second.results == {"stopped": 2, "flagged": 1, "counted": 0, "passed": 2}
    assert second.shut == {"won": 1, "lost": 1, "open": 1}
    assert second.passed == {"won": 1, "lost": 0, "open": 0}
    assert (second.skipping, second.skipped) == (1, {"first": 1})
    assert (won.skipping, won.skipped) == (2, {"second": 2})


def test_criteria_count_what_they_shut_alone() -> None:
    """By result; won deals once; what rests on today and what nobody can say is counted over all moves."""
    unread = {"b": "unread"}
    found = counted(
        move("w1", "second", "a"),
        move("w1", "won", "a"),
        move("w2", "second", "a", "b"),
        move("l1", "second", "a", result="flagged"),
        move("o1", "second", by_today=("a",), unjudged=unread),
        move("o2", "second", "a", by_today=("a",), unjudged=unread),
    )
    a, b = found.criteria
    assert a.part == {"stopped": 4, "flagged": 1, "counted": 0}
    assert a.alone == {"stopped": 3, "flagged": 1, "counted": 0}
    assert (a.won, a.won_alone, a.by_today, a.unjudged) == (2, 1, 2, {})
    assert (b.won, b.won_alone, b.by_today, b.unjudged) == (1, 0, 0, {"unread": 2})


def test_forbidden_ways_in_have_a_row_of_their_own() -> None:
    """Once there are any: no criterion of the file stands for them."""
    found = counted(move("w1", "second", "enter_from"), move("l1", "second", "a", "enter_from"))
    row = found.criteria[-1]
    assert (row.criterion, row.part["stopped"], row.alone["stopped"], row.won) == ("enter_from", 2, 1, 1)
    assert len(counted(move("w1", "second", "a")).criteria) == 2


def compared(new: list[Judged], old: list[Judged]) -> Backtest:
    endings = {**_endings(*new), **_endings(*old)}
    sides = (side(name, process(), m, endings) for name, m in (("NEW", new), ("OLD", old)))
    return report(*sides, new, endings)


def test_deals_that_cost_most_come_first() -> None:
    """Stopped before flagged, won before lost, changed before unchanged; the first of the worst moves is shown."""
    later = datetime(2026, 12, 1, tzinfo=UTC)
    new = [
        move("w9"),
        move("w8", "second", "b", result="flagged"),
        move("l1", "second", "a"),
        move("w2", "second", "a"),
        move("w1", "second", "b", result="flagged"),
        move("w1", "won", "a", "b", at=later),
        move("w1", "won", "a"),
        move("o1"),
    ]
    old = [move("w2", "second", "a"), move("o1", "second", "a")]
    rows = compared(new, old).deals
    assert [(r.deal_id, r.ending, r.result, r.before) for r in rows] == [
        ("w1", "won", "stopped", None),
        ("w2", "won", "stopped", "stopped"),
        ("l1", "lost", "stopped", None),
        ("w8", "won", "flagged", None),
        ("o1", "open", "passed", "stopped"),  # let through from now on
    ]
    assert (rows[0].stage, rows[0].missing, rows[0].at) == ("won", ("a", "b"), "2026-12-01T00:00:00+00:00")


@pytest.mark.parametrize(
    ("new", "verdict"),
    [
        (
            [move("w1", "second", "b"), move("w2", "second", "b"), move("l1", "second", "a"), move("o1")],
            "would have stopped 3 of 4 deals; 2 of those were won: look at b first (OLD: stopped 1)",
        ),
        (
            [
                move("w1", "second", "b"),
                move("w2", "second", "a", result="flagged"),
                move("o1", "second", "a", "b"),
            ],
            "would have stopped 2 and flagged 1 of 3 deals; 1 of the stopped were won: look at b first "
            "(OLD: stopped 1)",
        ),
        ([move("w1"), move("l1")], "would have stopped or flagged none of 2 deals (OLD: stopped 1)"),
    ],
)
def test_the_verdict_is_one_line(new: list[Judged], verdict: str) -> None:
    """How many of how many, how many of those were won, and the criterion that kept most won deals alone."""
    assert compared(new, [move("w1", "second", "a")]).verdict == verdict


def test_as_json_is_plain_and_limited() -> None:
    """The list of deals is cut, and says of how many; nothing else is."""
    new = [move(f"w{n}", "second", "a") for n in range(5)]
    found = compared(new, []).as_json(2)
    assert (len(found["deals"]), found["deals_listed_of"]) == (2, 5)
    assert set(found) == {"verdict", "new", "old", "deals", "deals_listed_of", "notes"}
    assert found["new"]["stages"][0]["results"]["stopped"] == 5 and "worst" not in found["new"]
