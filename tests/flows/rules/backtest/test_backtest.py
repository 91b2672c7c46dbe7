"""A process on the past: which moves are judged, by what, and what comes of a shut gate."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.rules.backtest.backtest import Judge, Judged, Weight, weigh
from flows.rules.backtest.past_deal import Coverage, PastContract, PastDeal, Span
from flows.rules.criteria.judge import Activity, Objection
from flows.rules.process.sales_process import Criterion, SalesProcess, parse_process
from tests.amount import examples

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ROLES = ("signer", "decision_maker", "budget_holder", "legal")
COVERAGE = Coverage(frozenset(ROLES))


def process(
    first: list[dict[str, Any]],
    second: list[dict[str, Any]] | None = None,
    modes: dict[str, str] | None = None,
    **won: Any,
) -> SalesProcess:
    """Three open stages, two ask for this evidence; what comes too early is moved back, unless told otherwise."""

    def stage(key: str, evidence: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        criteria = [
            {"key": f"{key}_{n}", "kind": "action", "says": f"{key} {n}", "supplied_by": "rep", "evidence": e}
            for n, e in enumerate(evidence)
        ]
        words = {"label": key, "probability": 0.5, "buyer_step": "does", "help": "helps"}
        mode = (modes or {}).get(key, "revert")
        return {"key": key, **words, "mode": mode, "exit_criteria": criteria, **more}

    return parse_process(
        {
            "name": "P",
            "pipeline": "P",
            "seller": {"name": "S", "address": "A", "email": "s@seller.example"},
            "call_notes": {"discovery": {"after": ["Next step"]}},
            "plans": {
                "all": {"label": "For all", "fields": [{"property": "s", "label": "S"}]},
                "some": {"label": "For some", "used_by": ["E"], "fields": [{"property": "t", "label": "T"}]},
            },
            "stages": [
                stage("first", first),
                stage("second", second or []),
                stage("third", []),
                stage("won", [], closed="won", probability=1, **won),
                stage("lost", [], closed="lost", probability=0),
            ],
            "signature_outcomes": {
                "completed": {"move_to": "won"},
                **{end: {"stay": True} for end in ("declined", "expired", "canceled", "failed")},
            },
        }
    )


def at(day: float) -> datetime:
    return NOW + timedelta(days=day)


def moves(found: SalesProcess, past: PastDeal, since: datetime | None = None, **stages: str) -> list[Judged]:
    """HubSpot's stage ids are the keys in capitals."""
    ids = stages or {key.upper(): key for key in found.keys}
    return list(Judge(found, ids, COVERAGE).moves(past, since))


def walked(*entries: str, **more: Any) -> PastDeal:
    """A deal that came into these stages, one a day."""
    return PastDeal("1", "X", [(stage.upper(), at(day)) for day, stage in enumerate(entries)], **more)


COMPANY = [{"company": "any"}]


@pytest.mark.parametrize(
    ("entries", "judged"),
    [
        ("first", []),  # nothing is asked before it
        ("first second third won", ["second", "third", "won"]),
        ("first second first second", ["second", "second"]),
        ("first second lost second third", ["second", "second", "third"]),  # opened again, it starts again
        ("first second lost third", ["second", "third"]),
        ("first lost", []),
        ("first other second", ["second"]),  # another pipeline in between
        ("third", ["third"]),
        ("third second first", ["third"]),
    ],
)
def test_forward_moves_are_judged(entries: str, judged: list[str]) -> None:
    """Not the way back, not into lost, not into what asks for nothing, not outside the process."""
    assert [move.stage for move in moves(process(COMPANY), walked(*entries.split()))] == judged


@pytest.mark.parametrize(
    ("entries", "skipped"),
    [
        ("first second third", [(), ()]),
        ("first third won", [("second",), ()]),
        ("third", [()]),
        ("first won", [("second", "third")]),
        ("first lost won", [("second", "third")]),
    ],
)
def test_skipped_stages_are_named(entries: str, skipped: list[tuple[str, ...]]) -> None:
    """Open stages between where it came from and where it went; a deal that was made further on skipped none."""
    assert [move.skipped for move in moves(process(COMPANY), walked(*entries.split()))] == skipped


def test_stages_that_hubspot_does_not_have_are_not_skipped() -> None:
    """A new process may have a stage that nobody could ever enter; what it asks for is asked all the same."""
    found = moves(process([], COMPANY), walked("first", "third"), FIRST="first", THIRD="third")
    assert [(m.stage, m.skipped, m.missing) for m in found] == [("third", (), ("second_0",))]


def test_the_mode_of_the_target_decides() -> None:
    """Moved back, told, or only counted; with its evidence it passes everywhere."""
    modes = {"second": "warn", "third": "observe", "won": "revert"}
    deal = walked("first", "second", "third", "won")
    assert [m.result for m in moves(process(COMPANY, modes=modes), deal)] == ["flagged", "counted", "stopped"]
    deal = replace(deal, spans=[Span("companies", "7", "", at(-1))])
    assert [m.result for m in moves(process(COMPANY, modes=modes), deal)] == ["passed"] * 3


def test_a_signed_contract_is_never_taken_back() -> None:
    """As the guard does: what the signature brought to won stays there, its owner is told of what is missing."""
    signed = [PastContract(at(0), at(0.5), "completed")]
    deal = walked("first", "won", contracts=signed)
    assert [m.result for m in moves(process(COMPANY), deal)] == ["flagged"]
    assert [m.result for m in moves(process(COMPANY), walked("first", "won"))] == ["stopped"]


def test_a_forbidden_way_in_is_missing_too() -> None:
    """`enter_from` names others: judged where nothing else is asked, and beside what is asked."""
    only_from_third = process([], enter_from=["third"])
    (move,) = moves(only_from_third, walked("first", "won"))
    assert (move.result, move.missing) == ("stopped", ("enter_from",))
    (move,) = moves(only_from_third, walked("third", "won"))
    assert (move.result, move.missing) == ("passed", ())
    asks = process(COMPANY, enter_from=["third"])
    assert moves(asks, walked("first", "won"))[0].missing == ("first_0", "enter_from")


def test_only_moves_since_a_day() -> None:
    """Older ones are walked through, for where the deal came from, and not judged."""
    found = moves(process(COMPANY), walked("first", "second", "third"), since=at(2))
    assert [(m.stage, m.skipped) for m in found] == [("third", ())]


@pytest.mark.parametrize(("seconds", "missing"), [(-1, ()), (59, ()), (61, ("first_0",))])
def test_what_comes_within_a_minute_counts(seconds: int, missing: tuple[str, ...]) -> None:
    """Saved in the same dialogue as the stage, or before any guard has looked."""
    moment = at(1) + timedelta(seconds=seconds)
    deal = walked("first", "second", versions={"p": [(moment, "x")]}, whole=frozenset("p"))
    (move,) = moves(process([{"property": "p", "is": "set"}]), deal)
    assert (move.missing, move.by_today, move.unjudged) == (missing, (), {})


def test_activities_count_since_the_entry_into_their_own_stage() -> None:
    """As they would have then: not those before, not those after the move."""
    asks = process([], [{"activity": "call", "since": "stage_entry"}])
    deal = walked("first", "second", "third")
    for day, missing in ((0.5, ("second_0",)), (1.5, ()), (2.5, ("second_0",))):
        calls = [Activity("call", "9", at(day))]
        assert moves(asks, replace(deal, activities=calls))[0].missing == missing
    (move,) = moves(asks, deal)
    assert (move.result, move.unjudged) == ("passed", {"second_0": "activities are not mirrored"})


def test_talks_and_objections_are_judged_as_they_were() -> None:
    """Notes taken later do not count, an objection closed later was open, one listed later was not there."""
    asks = process([{"call_notes": "discovery"}, {"objections": "closed", "at_least": 1}])
    deal = walked("first", "second")
    (move,) = moves(asks, deal)
    assert set(move.unjudged.values()) == {"activities are not mirrored"} and move.missing == ()
    note = Activity("note", "3", at(0.5), "discovery")
    closed = Objection("7", at(0.2), at(0.5))
    for activities, objections, missing in (
        ([note], [closed], ()),
        ([note._replace(at=at(2))], [closed], ("first_0",)),
        ([note._replace(empty=("Next step",))], [closed], ("first_0",)),
        ([note], [closed._replace(closed_at=at(2))], ("first_1",)),
        ([note], [closed._replace(listed_at=at(2), closed_at=at(3))], ("first_1",)),
    ):
        (move,) = moves(asks, replace(deal, activities=activities, objections=objections))
        assert move.missing == missing


def test_a_plan_that_only_some_make_is_not_judged_when_it_is_missing() -> None:
    """Who owned the deal then is not known: missing it may have been asked or not; complete it is complete."""
    asks = process([{"plan": "all"}, {"plan": "some"}])
    deal = walked("first", "second", whole=frozenset("st"))
    (move,) = moves(asks, deal)
    assert move.missing == ("first_0",) and "the plan some was asked" in move.unjudged["first_1"]
    (move,) = moves(asks, replace(deal, versions={"s": [(at(-1), "x")], "t": [(at(-1), "x")]}))
    assert (move.result, move.unjudged) == ("passed", {})


def test_what_is_only_known_as_it_is_now_is_told() -> None:
    """It counts as it is today, for and against, and is named."""
    asks = process([{"property": "p", "is": "set"}, {"property": "q", "is": "set"}, {"company": "any"}])
    deal = walked("first", "second", properties={"p": "x", "q": ""}, spans=[Span("companies", "7", "", None)])
    (move,) = moves(asks, deal)
    assert move.missing == ("first_1",) and set(move.by_today) == {"first_0", "first_1", "first_2"}


YES, LIKELY, NO, NOT_TODAY, UNKNOWN = (
    Weight(True),
    Weight(True, today=True),
    Weight(False),
    Weight(False, today=True),
    Weight(None, why="unread"),
)


@pytest.mark.parametrize(
    ("parts", "any_of", "all_of"),
    [
        ((YES, NO), YES, NO),
        ((LIKELY, YES), YES, LIKELY),
        ((LIKELY, NO), LIKELY, NO),
        ((UNKNOWN, YES), YES, UNKNOWN),
        ((UNKNOWN, NO), UNKNOWN, NO),
        ((UNKNOWN, LIKELY), LIKELY, UNKNOWN),
        ((NO, NOT_TODAY), NOT_TODAY, NO),
        ((NOT_TODAY, YES), YES, NOT_TODAY),
        ((UNKNOWN, NOT_TODAY), UNKNOWN, NOT_TODAY),
    ],
)
def test_combined_evidence_is_as_sure_as_what_decides_it(
    parts: tuple[Weight, ...], any_of: Weight, all_of: Weight
) -> None:
    """One that is there is enough, one that is missing is enough; "nobody can say" never outweighs what is known."""
    for order in itertools.permutations(parts):
        for kind, wanted in (("any_of", any_of), ("all_of", all_of)):
            evidence = [{"property": f"p{n}", "is": "set"} for n in range(len(order))]
            criterion = Criterion.model_validate(
                {
                    "key": "c",
                    "kind": "action",
                    "says": "it is",
                    "supplied_by": "rep",
                    "evidence": {kind: evidence},
                }
            )
            found = weigh(criterion.evidence, lambda leaf, order=order: order[int(leaf.property[1:])])
            assert found == wanted


# All evidence that there is to ask for, each with what brings it; a property is asked for by one piece only.
PIECES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"property": "p", "is": "set"}, {"versions": {"p": [(at(-9), "x")]}}),
    ({"property": "n", "at_least": 5}, {"versions": {"n": [(at(-9), "7")]}}),
    ({"property": "m", "at_most": 5}, {"versions": {"m": [(at(-9), "3")]}}),
    ({"property": "e", "one_of": ["a", "b"]}, {"versions": {"e": [(at(-9), "b")]}}),
    ({"date": "d", "not_past": True}, {"versions": {"d": [(at(-9), "2027-06-01")]}}),
    ({"contact": "any"}, {"spans": [Span("contacts", "1", "", at(-9))]}),
    ({"contact": "signer"}, {"spans": [Span("contacts", "1", "signer", at(-9))]}),
    ({"contact": "legal"}, {"spans": [Span("contacts", "2", "legal", at(-9))]}),
    ({"contacts": 2}, {"spans": [Span("contacts", i, "", at(-9)) for i in "12"]}),
    ({"company": "any"}, {"spans": [Span("companies", "5", "", at(-9))]}),
    ({"line_items": 2}, {"spans": [Span("line_items", i, "", at(-9)) for i in "12"]}),
    ({"document": "proposal"}, {"documents": {"proposal": at(-9)}}),
    ({"signature": "completed"}, {"contracts": [PastContract(at(-9), at(-8), "completed")]}),
    ({"activity": "call"}, {"activities": [Activity("call", "1", at(-9))]}),
    (
        {"activity": ["note", "meeting"], "at_least": 2},
        {"activities": [Activity("note", i, at(-9)) for i in "12"]},
    ),
    ({"call_notes": "discovery"}, {"activities": [Activity("note", "3", at(-9), "discovery")]}),
    ({"objections": "closed", "at_least": 1}, {"objections": [Objection("7", at(-9), at(-8))]}),
    ({"plan": "all"}, {"versions": {"s": [(at(-9), "x")]}}),
]
NAMES = frozenset("pnmeds")
EVIDENCE = st.recursive(
    st.sampled_from([asked for asked, _ in PIECES]),
    lambda inner: st.builds(
        lambda kind, parts: {kind: parts},
        st.sampled_from(["any_of", "all_of"]),
        st.lists(inner, min_size=2, max_size=3),
    ),
    max_leaves=4,
)
ENTRIES = st.lists(st.sampled_from(["first", "second", "third", "won", "lost", "other"]), max_size=6)
BROUGHT = st.lists(st.booleans(), min_size=len(PIECES), max_size=len(PIECES))


def brought(entries: list[str], pieces: list[bool]) -> PastDeal:
    """A deal that had these pieces before all its moves, and never any other."""
    some = [brings for (_, brings), there in zip(PIECES, pieces, strict=True) if there]
    lists = {
        name: [x for brings in some for x in brings.get(name, ())]
        for name in ("spans", "contracts", "activities", "objections")
    }
    dicts = {
        name: {k: v for brings in some for k, v in brings.get(name, {}).items()}
        for name in ("versions", "documents")
    }
    return walked(*entries, **lists, **dicts, whole=NAMES)


@settings(max_examples=examples(300))
@given(st.lists(EVIDENCE, max_size=4), st.lists(EVIDENCE, max_size=3), ENTRIES)
def test_a_deal_with_everything_is_never_stopped(first: Any, second: Any, entries: list[str]) -> None:
    """All evidence before each entry: every move passes, and none rests on what is there today."""
    found = moves(process(first, second), brought(entries, [True] * len(PIECES)))
    assert all(m.result == "passed" and not m.by_today and not m.unjudged for m in found)


@settings(max_examples=examples(300))
@given(st.lists(EVIDENCE, max_size=4), st.lists(EVIDENCE, max_size=3), ENTRIES, BROUGHT, BROUGHT)
def test_dropping_evidence_only_adds_stops(
    first: Any, second: Any, entries: list[str], pieces: list[bool], kept: list[bool]
) -> None:
    """Whatever is taken away: what was missing stays missing, the same moves are judged."""
    asks = process(first, second)
    fewer = [one and other for one, other in zip(pieces, kept, strict=True)]
    before, after = (moves(asks, brought(entries, some)) for some in (pieces, fewer))
    assert [(m.stage, m.at) for m in before] == [(m.stage, m.at) for m in after]
    assert all(set(b.missing) <= set(a.missing) for b, a in zip(before, after, strict=True))
