"""The smallest set of facts that opens a gate: it opens it, nothing less does, and no smaller set exists."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.rules.criteria.evidence import ACTIVITY_TYPES
from flows.rules.criteria.judge import Activity, DealFacts, Objection, asked_before, judge, unmet
from flows.rules.criteria.need import Need
from flows.rules.criteria.smallest import Explanation, explain, smallest
from flows.rules.process.sales_process import Criterion, SalesProcess, parse_process
from tests.amount import examples

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ROLES = ("signer", "decision_maker", "budget_holder", "legal")
FORMS = ("discovery", "demo")
PLANS = {
    "all": {
        "label": "For all",
        "fields": [
            {"property": "p", "label": "P"},
            {"property": "d", "label": "D", "type": "date", "not_past": True},
        ],
    },
    "some": {"label": "For some", "used_by": ["Enterprise"], "fields": [{"property": "q", "label": "Q"}]},
}


def process(first: list[dict[str, Any]], second: list[dict[str, Any]] | None = None) -> SalesProcess:
    """Two open stages whose criteria ask for this evidence."""

    def stage(key: str, evidence: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        criteria = [
            {"key": f"{key}_{n}", "kind": "action", "says": f"{key} {n}", "supplied_by": by, "evidence": one}
            for n, (one, by) in enumerate(zip(evidence, itertools.cycle(["rep", "buyer"])))
        ]
        words = {"label": key, "probability": 0.5, "buyer_step": "does", "help": "helps"}
        return {"key": key, **words, "exit_criteria": criteria, **more}

    return parse_process(
        {
            "name": "P",
            "pipeline": "P",
            "seller": {"name": "S", "address": "A", "email": "s@seller.example"},
            "call_notes": {form: {"after": ["Next step"]} for form in FORMS},
            "plans": PLANS,
            "stages": [
                stage("first", first),
                stage("second", second or []),
                stage("won", [], closed="won", probability=1),
                stage("lost", [], closed="lost", probability=0),
            ],
            "signature_outcomes": {
                "completed": {"move_to": "won"},
                **{end: {"stay": True} for end in ("declined", "expired", "canceled", "failed")},
            },
        }
    )


def deal(**more: Any) -> DealFacts:
    """A deal that stands in the first stage, read now."""
    known = {"stage": "first", "read_at": NOW, "entered": {"first": NOW - timedelta(days=10)}, **more}
    return DealFacts("1", **known)


def units(needs: Iterable[Need]) -> list[Need]:
    """Each fact by itself."""
    return [replace(need, count=1) for need in needs for _ in range(need.count)]


def supply(facts: DealFacts, needs: Iterable[Need]) -> DealFacts:
    """The deal once somebody has done what the needs say, and not more."""
    for need in units(needs):
        facts = _supplied(facts, need)
    return facts


def _supplied(facts: DealFacts, need: Need) -> DealFacts:
    new = f"new-{len(facts.contacts)}-{len(facts.line_items)}-{len(facts.activities)}"
    match need.kind:
        case "property":
            value = need.options[0] if need.options else "something"
            return replace(facts, properties={**facts.properties, need.name: value})
        case "contact":
            roles = frozenset({need.name} - {"any"})
            who = new if need.new or not facts.contacts else min(facts.contacts)
            return replace(
                facts, contacts={**facts.contacts, who: facts.contacts.get(who, frozenset()) | roles}
            )
        case "company":
            return replace(facts, companies=facts.companies | {new})
        case "line_item":
            return replace(facts, line_items=facts.line_items | {new})
        case "document":
            return replace(facts, documents=facts.documents | {need.name})
        case "signature":
            return replace(facts, signature=need.name)
        case "activity":
            entered = {**dict.fromkeys(need.after_entry_of, NOW), **facts.entered}
            kind: Any = need.options[-1]  # any of them must do
            return replace(facts, entered=entered, activities=[*facts.activities, Activity(kind, new, NOW)])
        case "call_notes":
            entered = {**dict.fromkeys(need.after_entry_of, NOW), **facts.entered}
            written: Any = Activity(need.options[-1], new, NOW, form=need.name)  # type: ignore[arg-type]
            return replace(facts, entered=entered, activities=[*facts.activities, written])
        case "objection":
            entered = {**dict.fromkeys(need.after_entry_of, NOW), **facts.entered}
            still_open = [one for one in facts.objections if one.closed_at is None]
            one = Objection(new, NOW) if need.name == "new" or not still_open else still_open[0]
            rest = [other for other in facts.objections if other is not one]
            closed = Activity("task", one.id, NOW)  # the task that lists it is completed
            return replace(
                facts,
                entered=entered,
                objections=[*rest, one._replace(closed_at=NOW)],
                activities=[*facts.activities, closed],
            )
    raise AssertionError(need.kind)


def is_open(asked: Any, facts: DealFacts) -> bool:
    return not any(unmet(judge([criterion], facts, stage)) for stage, criterion in asked)


DAYS = ("2026-11-20", "2026-11-22", "2026-11-25", "2027-06-01")
LEAVES = st.one_of(
    st.builds(lambda p: {"property": p, "is": "set"}, st.sampled_from("pq")),
    st.builds(lambda p, v: {"property": p, "equals": v}, st.sampled_from("pq"), st.sampled_from("ab")),
    st.builds(lambda p: {"property": p, "one_of": ["b", "7"]}, st.sampled_from("pq")),
    st.builds(lambda p, n: {"property": p, "at_least": n}, st.sampled_from("pq"), st.sampled_from([3, 7])),
    st.builds(lambda p, n: {"property": p, "at_most": n}, st.sampled_from("pq"), st.sampled_from([2, 5])),
    st.builds(lambda p, n: {"date": p, "within_days": n}, st.sampled_from("de"), st.sampled_from([0, 3])),
    st.builds(lambda p: {"date": p, "not_past": True}, st.sampled_from("de")),
    st.sampled_from([{"date": "d", "after": "e"}, {"date": "e", "after": "d"}]),
    st.builds(lambda r: {"contact": r}, st.sampled_from(("any", *ROLES))),
    st.builds(lambda n: {"contacts": n}, st.integers(1, 3)),
    st.just({"company": "any"}),
    st.builds(lambda n: {"line_items": n}, st.integers(1, 3)),
    st.builds(lambda k: {"document": k}, st.sampled_from(["proposal", "contract"])),
    st.just({"signature": "completed"}),
    st.builds(
        lambda types, n, bound: {"activity": types, "at_least": n, **bound},
        st.sampled_from(["any", "call", ["call", "meeting"], ["meeting", "email"], ["note", "task"]]),
        st.integers(1, 2),
        st.sampled_from([{}, {"since": "stage_entry"}, {"within_days": 5}]),
    ),
    st.builds(
        lambda form, bound: {"call_notes": form, **bound},
        st.sampled_from(FORMS),
        st.sampled_from([{}, {"since": "stage_entry"}]),
    ),
    st.builds(lambda n: {"objections": "closed", "at_least": n}, st.integers(0, 2)),
    st.builds(lambda name: {"plan": name}, st.sampled_from(list(PLANS))),
)
EVIDENCE = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        lambda kind, parts: {kind: parts},
        st.sampled_from(["any_of", "any_of", "all_of"]),
        st.lists(inner, min_size=2, max_size=3),
    ),
    max_leaves=4,
)
DEALS = st.builds(
    deal,
    properties=st.dictionaries(st.sampled_from("pqde"), st.sampled_from(["a", "4", "8", "", *DAYS])),
    contacts=st.dictionaries(st.sampled_from("12"), st.frozensets(st.sampled_from(ROLES), max_size=2)),
    companies=st.sampled_from([frozenset(), frozenset("1")]),
    line_items=st.sampled_from([frozenset(), frozenset("1"), frozenset("12")]),
    documents=st.sampled_from([frozenset(), frozenset({"proposal"})]),
    signature=st.sampled_from([None, "completed"]),
    activities=st.lists(
        st.builds(
            Activity,
            st.sampled_from(ACTIVITY_TYPES),
            st.just("9"),
            st.sampled_from([NOW - timedelta(days=d) for d in (1, 8, 30)]),
            st.sampled_from(["", *FORMS]),
            st.sampled_from([(), (), ("Next step",)]),
        ),
        max_size=2,
    ),
    objections=st.lists(
        st.builds(
            Objection,
            st.sampled_from("78"),
            st.just(NOW - timedelta(days=20)),
            st.sampled_from([None, NOW - timedelta(days=2)]),
        ),
        unique_by=lambda one: one.id,
        max_size=2,
    ),
    owner=st.sampled_from([None, frozenset(), frozenset({"enterprise"})]),
)


def _everything(facts: DealFacts) -> list[Any]:
    """Each single fact that anybody could supply in these cases, as a change to the deal."""
    steps: list[Any] = []
    for name in "pq":
        for value in ("a", "b", "7", "3", "2", "5"):
            steps.append(Need("property", name, "", options=(value,)))
    for name in "de":
        for day in [NOW.date() + timedelta(days=d) for d in range(-4, 5)]:
            steps.append(Need("property", name, "", options=(day.isoformat(),)))
        steps += [Need("property", name, "", options=(day,)) for day in (*DAYS, "2027-05-31", "2027-06-02")]
    for role in ("any", *ROLES):
        steps += [Need("contact", role, "", new=new) for new in (True, False)]
    steps += [Need("company", "any", ""), Need("line_item", "any", ""), Need("signature", "completed", "")]
    steps += [Need("document", kind, "") for kind in ("proposal", "contract")]
    steps += [Need("activity", t, "", options=(t,), after_entry_of=("second",)) for t in ACTIVITY_TYPES]
    steps += [
        Need("call_notes", form, "", options=(t,), after_entry_of=("second",))
        for form in FORMS
        for t in ("note", "call")
    ]
    steps += [Need("objection", name, "", after_entry_of=("second",)) for name in ("open", "new")]
    return steps


def _some(steps: list[Need], size: int) -> Iterator[tuple[Need, ...]]:
    return itertools.combinations_with_replacement(steps, size)


@settings(max_examples=examples(400))
@given(st.lists(EVIDENCE, max_size=4), st.lists(EVIDENCE, max_size=2), DEALS)
def test_the_set_opens_the_gate_and_nothing_less_does(first: Any, second: Any, facts: DealFacts) -> None:
    """Supplying exactly the set opens the gate; leaving out any part of it does not."""
    asked = asked_before(process(first, second), "won")
    found = smallest(asked, facts)
    assert found.exact
    if found.needs is None:
        return
    assert is_open(asked, supply(facts, found.needs)), found.text
    parts = units(found.needs)
    assert len(parts) == found.count
    for size in range(min(len(parts), 6)):
        for some in itertools.combinations(parts, size):
            assert not is_open(asked, supply(facts, some)), (found.text, some)
    for need in found.needs:
        assert need.criteria and need.supplied_by and set(need.supplied_by) <= {"rep", "buyer"}
    assert smallest(asked, facts) == found


@settings(max_examples=examples(150))
@given(st.lists(EVIDENCE, min_size=1, max_size=3), DEALS)
def test_no_smaller_set_exists(first: Any, facts: DealFacts) -> None:
    """Every smaller set of facts that anybody could think of leaves the gate shut; so does any, where there is none."""
    asked = asked_before(process(first), "won")
    found = smallest(asked, facts)
    steps = _everything(facts)
    sizes = range(found.count) if found.needs is not None else range(3)
    for size in sizes:
        if size > 2:  # some tens of thousands of sets each: enough is enough
            break
        for some in _some(steps, size):
            assert not is_open(asked, supply(facts, some)), (found.text, some)


def needs_of(evidence: list[dict[str, Any]], facts: DealFacts) -> list[str]:
    found = smallest(asked_before(process(evidence), "won"), facts)
    assert found.needs is not None
    return [need.says for need in found.needs]


CASES: list[tuple[list[dict[str, Any]], DealFacts, list[str]]] = [
    ([], deal(), []),
    # One fact may serve two criteria.
    ([{"contact": "any"}, {"contact": "signer"}], deal(), ["a contact labelled as signer on the deal"]),
    (
        [{"contacts": 2}, {"contact": "signer"}],
        deal(contacts={"7": frozenset()}),
        ["another contact labelled as signer on the deal"],
    ),
    (
        [{"contacts": 3}, {"contact": "legal"}],
        deal(contacts={"7": frozenset()}),
        ["another contact labelled as legal on the deal", "1 more contact on the deal"],
    ),
    (
        [{"line_items": 1}, {"line_items": 3}],
        deal(line_items=frozenset("1")),
        ["2 more line items on the deal"],
    ),
    (
        [{"property": "amount", "at_least": 1}, {"property": "amount", "at_least": 500}],
        deal(),
        ["deal property amount of at least 1 and of at least 500"],
    ),
    # A choice takes the smaller way, and the one that is needed anyway.
    (
        [{"any_of": [{"line_items": 3}, {"property": "p", "is": "set"}]}],
        deal(),
        ["deal property p to be set"],
    ),
    (
        [{"any_of": [{"company": "any"}, {"property": "p", "is": "set"}]}, {"property": "p", "equals": "a"}],
        deal(),
        ["deal property p to be set and to be a"],
    ),
    ([{"any_of": [{"company": "any"}, {"document": "proposal"}]}], deal(), ["a company on the deal"]),
    # What is met and stays as it is: changing p to b would break the first criterion.
    (
        [{"property": "p", "equals": "a"}, {"any_of": [{"property": "p", "equals": "b"}, {"line_items": 2}]}],
        deal(properties={"p": "a"}),
        ["2 more line items on the deal"],
    ),
    # Activities: one meeting counts for both.
    (
        [{"activity": ["call", "meeting"], "at_least": 2}, {"activity": ["meeting", "email"]}],
        deal(),
        ["1 call that takes place now", "1 meeting that takes place now"],
    ),
    (
        [{"activity": "any", "since": "stage_entry"}],
        deal(entered={}),
        ["1 activity record once the deal has entered first"],
    ),
    # Call notes are a note or a call, and count as one; where only calls count, they are best written in the call.
    (
        [{"call_notes": "discovery"}, {"activity": ["call", "meeting"]}],
        deal(),
        ["the call notes discovery, filled in, in a call"],
    ),
    (
        [{"call_notes": "discovery", "since": "stage_entry"}, {"call_notes": "demo"}],
        deal(entered={}),
        [
            "the call notes discovery, filled in, in a note or call once the deal has entered first",
            "the call notes demo, filled in, in a note or call",
        ],
    ),
    # An objection is closed by completing its task, which is an activity.
    (
        [{"objections": "closed", "at_least": 3}, {"activity": "task", "at_least": 2}],
        deal(objections=[Objection("7", NOW - timedelta(days=3))]),
        ["1 open objection to be closed", "2 objections to be listed as a task, and closed"],
    ),
    # A plan asks for its fields; of those who do not use it nothing is asked.
    ([{"plan": "some"}], deal(), ["deal property q to be set"]),
    ([{"plan": "some"}], deal(owner=frozenset({"inside sales"})), []),
    (
        [{"plan": "all"}, {"property": "p", "equals": "a"}],
        deal(properties={"d": "2026-11-25"}),
        ["deal property p to be set and to be a"],
    ),
    # Days: the later one is moved, unless it is bound to be near.
    (
        [{"date": "d", "after": "e"}],
        deal(properties={"d": "2026-11-22", "e": "2026-11-25"}),
        ["deal property d to be a day after deal property e"],
    ),
    (
        [{"date": "d", "after": "e"}, {"date": "d", "within_days": 3}],
        deal(properties={"d": "2026-11-23", "e": "2027-06-01"}),
        ["deal property e to be a day before d"],
    ),
]


@pytest.mark.parametrize(("evidence", "facts", "says"), CASES)
def test_what_is_the_smallest(evidence: list[dict[str, Any]], facts: DealFacts, says: list[str]) -> None:
    """In the words that a rep reads."""
    assert needs_of(evidence, facts) == says


def test_criteria_that_contradict_each_other_are_told() -> None:
    """No value is both: there is no set, and the explanation says so."""
    evidence = [{"property": "p", "equals": "a"}, {"property": "p", "equals": "b"}]
    found = explain(process(evidence), "won", deal())
    assert found.smallest.needs is None and "contradict" in found.smallest.text
    assert not found.open and set(found.by_criterion) == {"first_0", "first_1"}


def test_an_explanation_names_everything() -> None:
    """Verdicts in order with their stage, what each lacks, who supplies it and for which criteria."""
    found: Explanation = explain(
        process([{"contact": "any"}, {"contact": "signer"}], [{"company": "any"}]),
        "won",
        deal(companies=frozenset("5")),
    )
    assert [(v.criterion, v.stage, v.met) for v in found.verdicts] == [
        ("first_0", "first", False),
        ("first_1", "first", False),
        ("second_0", "second", True),
    ]
    (need,) = found.smallest.needs or ()
    assert need.criteria == ("first_0", "first_1") and need.supplied_by == ("rep", "buyer")
    assert found.by_criterion["first_0"].text == "a contact on the deal"
    assert (found.smallest.count, found.open) == (1, False)
    done = explain(process([{"company": "any"}]), "second", deal(companies=frozenset("5")))
    assert done.open and done.smallest.needs == ()


def test_too_many_ways_are_admitted() -> None:
    """Twelve criteria with eight ways each, none shared: it stops in time and does not claim to be exact."""
    ways = [[{"property": f"p{c}w{w}", "is": "set"} for w in range(8)] for c in range(12)]
    criteria = [
        Criterion.model_validate(
            {
                "key": f"c{n}",
                "kind": "action",
                "says": "it is",
                "supplied_by": "rep",
                "evidence": {"any_of": [{"all_of": [x, {"company": "any"}]} for x in some]},
            }
        )
        for n, some in enumerate(ways)
    ]
    found = smallest([("first", c) for c in criteria], deal())
    assert not found.exact and found.count == 13
