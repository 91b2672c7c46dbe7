"""Exit criteria: what proves each, what is missing, and the gate before a stage."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.rules.criteria.judge import (
    Activity,
    DealFacts,
    Objection,
    Proof,
    entered_at,
    gate,
    judge,
    unmet,
)
from flows.rules.process.sales_process import Criterion, SalesProcess, parse_process


def criterion(evidence: dict[str, Any], **more: Any) -> Criterion:
    values = {
        "key": "c1",
        "kind": "information",
        "says": "It is so",
        "supplied_by": "rep",
        "evidence": evidence,
    }
    return Criterion.model_validate({**values, **more})


def facts(**more: Any) -> DealFacts:
    return DealFacts("1", None, **more)


NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ENTERED = NOW - timedelta(days=3)


def done(kind: Any, ident: str, days_ago: float) -> Activity:
    return Activity(kind, ident, NOW - timedelta(days=days_ago))


def today(**more: Any) -> dict[str, Any]:
    return {"read_at": NOW, "entered": {"s": ENTERED}, **more}


def day(value: str | None, **more: str) -> dict[str, Any]:
    return today(properties={"d": value, **more})


CASES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"property": "need", "is": "set"}, {"properties": {"need": "an engine"}}, "deal property need"),
    ({"property": "need", "is": "set"}, {"properties": {"need": "  "}}, ""),
    ({"property": "need", "is": "set"}, {"properties": {"need": None}}, ""),
    ({"property": "need", "is": "set"}, {}, ""),
    ({"property": "p", "equals": "yes"}, {"properties": {"p": " yes "}}, "deal property p"),
    ({"property": "p", "equals": "yes"}, {"properties": {"p": "Yes"}}, ""),
    ({"property": "p", "one_of": ["a", "b"]}, {"properties": {"p": "b"}}, "deal property p"),
    ({"property": "p", "one_of": ["a", "b"]}, {"properties": {"p": "ab"}}, ""),
    ({"property": "p", "one_of": ["a", "b"]}, {"properties": {"p": ""}}, ""),
    ({"property": "amount", "at_least": 1}, {"properties": {"amount": "1"}}, "deal property amount"),
    ({"property": "amount", "at_least": 0.1}, {"properties": {"amount": "0.10"}}, "deal property amount"),
    ({"property": "amount", "at_least": 1}, {"properties": {"amount": "0.99"}}, ""),
    ({"property": "amount", "at_least": 0}, {"properties": {"amount": ""}}, ""),
    ({"property": "amount", "at_least": 0}, {"properties": {}}, ""),
    ({"property": "amount", "at_least": 1}, {"properties": {"amount": "many"}}, ""),
    ({"property": "amount", "at_least": 1}, {"properties": {"amount": "NaN"}}, ""),
    ({"property": "amount", "at_least": 1}, {"properties": {"amount": "sNaN"}}, ""),
    ({"property": "amount", "at_least": 1}, {"properties": {"amount": "Infinity"}}, ""),
    ({"property": "amount", "at_least": 1}, {"properties": {"amount": "1,000"}}, ""),
    ({"contact": "any"}, {"contacts": {"9": frozenset(), "7": frozenset()}}, "contact 7"),
    ({"contact": "any"}, {}, ""),
    ({"contact": "signer"}, {"contacts": {"9": frozenset({"signer"}), "7": frozenset()}}, "contact 9"),
    ({"contact": "signer"}, {"contacts": {"7": frozenset({"decision_maker"})}}, ""),
    ({"company": "any"}, {"companies": frozenset({"5", "4"})}, "company 4"),
    ({"company": "any"}, {}, ""),
    ({"line_items": 2}, {"line_items": frozenset({"1", "2"})}, "2 line items"),
    ({"line_items": 2}, {"line_items": frozenset({"1"})}, ""),
    ({"document": "proposal"}, {"documents": frozenset({"proposal"})}, "proposal on file"),
    ({"document": "proposal"}, {"documents": frozenset({"contract"})}, ""),
    ({"signature": "completed"}, {"signature": "completed"}, "signature completed"),
    ({"signature": "completed"}, {"signature": "declined"}, ""),
    ({"signature": "completed"}, {}, ""),
    ({"property": "n", "at_most": 5}, {"properties": {"n": "5.0"}}, "deal property n"),
    ({"property": "n", "at_most": 5}, {"properties": {"n": "5.01"}}, ""),
    ({"property": "n", "at_most": 5}, {"properties": {"n": ""}}, ""),
    ({"property": "n", "at_most": 5}, {"properties": {"n": "-Infinity"}}, ""),
    ({"contacts": 2}, {"contacts": {"9": frozenset(), "7": frozenset({"signer"})}}, "2 contacts"),
    ({"contacts": 2}, {"contacts": {"7": frozenset({"signer", "legal"})}}, ""),
    ({"date": "d", "not_past": True}, day("2026-11-22"), "deal property d"),
    ({"date": "d", "not_past": True}, day("2026-11-21T23:59:59Z"), ""),
    ({"date": "d", "not_past": True}, day("2026-11-22T00:30:00+02:00"), ""),
    ({"date": "d", "not_past": True}, day("soon"), ""),
    ({"date": "d", "not_past": True}, day(None), ""),
    ({"date": "d", "not_past": True}, {"properties": {"d": "2099-01-01"}}, ""),
    ({"date": "d", "within_days": 3}, day("2026-11-22"), "deal property d"),
    ({"date": "d", "within_days": 3}, day("2026-11-25T22:00:00Z"), "deal property d"),
    ({"date": "d", "within_days": 3}, day("2026-11-26"), ""),
    ({"date": "d", "within_days": 3}, day("2026-11-21"), ""),
    ({"date": "d", "after": "e"}, day("2026-11-23", e="2026-11-22"), "deal property d"),
    ({"date": "d", "after": "e"}, day("2026-11-22", e="2026-11-22T23:00:00Z"), ""),
    ({"date": "d", "after": "e"}, day("2026-11-23"), ""),
    ({"activity": "call"}, today(activities=[done("call", "4", 30)]), "call 4"),
    ({"activity": "call"}, today(activities=[done("email", "4", 30)]), ""),
    ({"activity": "call"}, today(activities=[done("call", "4", -1)]), ""),
    ({"activity": "any"}, today(activities=[done("note", "4", 1)]), "note 4"),
    (
        {"activity": ["call", "meeting"], "at_least": 2},
        today(activities=[done("call", "1", 9), done("meeting", "2", 1), done("call", "3", 5)]),
        "meeting 2, call 3",
    ),
    ({"activity": "meeting", "at_least": 2}, today(activities=[done("meeting", "1", 1)]), ""),
    ({"activity": "call", "since": "stage_entry"}, today(activities=[done("call", "1", 3)]), "call 1"),
    ({"activity": "call", "since": "stage_entry"}, today(activities=[done("call", "1", 3.01)]), ""),
    (
        {"activity": "call", "since": "stage_entry"},
        {"read_at": NOW, "entered": {"other": ENTERED}, "activities": [done("call", "1", 1)]},
        "",
    ),
    ({"activity": "call", "within_days": 7}, today(activities=[done("call", "1", 7)]), "call 1"),
    ({"activity": "call", "within_days": 7}, today(activities=[done("call", "1", 7.01)]), ""),
    ({"activity": "call", "within_days": 7}, {"activities": [done("call", "1", 1)]}, ""),
    ({"any_of": [{"company": "any"}, {"contact": "any"}]}, {"contacts": {"7": frozenset()}}, "contact 7"),
    ({"any_of": [{"company": "any"}, {"contact": "any"}]}, {}, ""),
    ({"all_of": [{"company": "any"}, {"line_items": 1}]}, {"companies": frozenset("4")}, ""),
    (
        {"all_of": [{"company": "any"}, {"line_items": 1}]},
        {"companies": frozenset("4"), "line_items": frozenset("8")},
        "company 4, 1 line item",
    ),
    (
        {"any_of": [{"all_of": [{"company": "any"}, {"contact": "legal"}]}, {"property": "p", "is": "set"}]},
        {"companies": frozenset("4"), "contacts": {"7": frozenset({"legal"})}},
        "company 4, contact 7",
    ),
]


def noted(ident: str, days_ago: float, *empty: str, form: str = "discovery") -> Activity:
    """A note that carries a form."""
    return Activity("note", ident, NOW - timedelta(days=days_ago), form, empty)


def objection(ident: str, listed: float, closed: float | None = None) -> Objection:
    """Listed and closed so many days ago."""
    at = NOW - timedelta(days=closed) if closed is not None else None
    return Objection(ident, NOW - timedelta(days=listed), at)


NOTES = {"call_notes": "discovery"}
SINCE = {"call_notes": "discovery", "since": "stage_entry"}
CLOSED = {"objections": "closed"}
CASES += [
    (NOTES, today(activities=[noted("7", 30)]), "note 7"),
    (NOTES, today(activities=[noted("7", 30, "Next step")]), ""),
    (NOTES, today(activities=[noted("7", 30, form="demo"), done("note", "8", 1)]), ""),
    (NOTES, today(activities=[noted("7", -1)]), ""),
    (SINCE, today(activities=[noted("7", 2), noted("8", 1, "Next step")]), "note 7"),
    (SINCE, today(activities=[noted("7", 30)]), ""),
    (SINCE, today(activities=[noted("7", 2)], entered={}), ""),
    (CLOSED, today(), "no objection is listed"),
    (CLOSED, today(objections=[objection("7", 9, 1), objection("8", 9, 2)]), "task 7, task 8"),
    (CLOSED, today(objections=[objection("7", 9, 1), objection("8", 9)]), ""),
    (CLOSED, today(objections=[objection("7", 9, -1)]), ""),  # closed later than now
    (CLOSED, today(objections=[objection("7", -1)]), "no objection is listed"),  # listed later
    ({**CLOSED, "at_least": 1}, today(), ""),
    ({**CLOSED, "at_least": 2}, today(objections=[objection("7", 9, 1)]), ""),
]


@pytest.mark.parametrize(("evidence", "known", "proof"), CASES)
def test_each_kind_of_evidence(evidence: dict[str, Any], known: dict[str, Any], proof: str) -> None:
    """Met exactly when a record proves it, and then it names that record; else it says what would meet it."""
    (verdict,) = judge([criterion(evidence)], facts(**known), "s")
    assert (verdict.met, verdict.proof) == (bool(proof), proof)
    assert bool(verdict.missing) != verdict.met
    assert (verdict.criterion, verdict.says, verdict.supplied_by) == ("c1", "It is so", "rep")


@pytest.mark.parametrize(
    ("evidence", "missing"),
    [
        ({"property": "need", "is": "set"}, "deal property need to be set"),
        ({"property": "p", "equals": "yes"}, "deal property p to be yes"),
        ({"property": "p", "one_of": ["a", "b"]}, "deal property p to be one of a, b"),
        ({"property": "amount", "at_least": 1000}, "deal property amount of at least 1000"),
        ({"contact": "any"}, "a contact on the deal"),
        ({"contact": "decision_maker"}, "a contact labelled as decision maker on the deal"),
        ({"company": "any"}, "a company on the deal"),
        ({"line_items": 2}, "at least 2 line items, 0 found"),
        ({"document": "proposal"}, "a filed proposal"),
        ({"signature": "completed"}, "the signature request to be completed"),
        ({"property": "n", "at_most": 5}, "deal property n of at most 5"),
        ({"contacts": 2}, "at least 2 contacts, 0 found"),
        ({"date": "d", "not_past": True}, "deal property d to be today or a later day"),
        ({"date": "d", "within_days": 3}, "deal property d to be a day within 3 days from today"),
        ({"date": "d", "after": "e"}, "deal property d to be a day after deal property e"),
        ({"activity": "call"}, "at least 1 call, 0 found"),
        (
            {"activity": ["meeting", "call"], "at_least": 2, "since": "stage_entry"},
            "at least 2 calls or meetings since the deal entered our stage, 0 found",
        ),
        ({"activity": "any", "within_days": 7}, "at least 1 activity record within 7 days, 0 found"),
        (
            {"any_of": [{"company": "any"}, {"document": "proposal"}]},
            "one of: a company on the deal; or a filed proposal",
        ),
        (
            {"all_of": [{"company": "any"}, {"document": "proposal"}]},
            "a company on the deal and a filed proposal",
        ),
    ],
)
def test_what_is_missing_is_said_so_that_a_rep_can_mend_it(evidence: dict[str, Any], missing: str) -> None:
    """The smallest thing that would meet the criterion."""
    (verdict,) = judge([criterion(evidence)], facts(), "our_stage")
    assert verdict.missing == missing


@pytest.mark.parametrize(
    ("evidence", "known", "missing"),
    [
        (SINCE, {}, "the call notes discovery, filled in, in a note or call since the deal entered s"),
        (
            NOTES,
            {"activities": [noted("7", 3, "Next step", "Answers")]},
            "the call notes discovery, filled in, in a note or call; note 7 says nothing under Next step, Answers",
        ),
        (CLOSED, {"objections": [objection("7", 9)]}, "1 objection to be closed (task 7)"),
        (
            {**CLOSED, "at_least": 3},
            {"objections": [objection("7", 9)]},
            "1 objection to be closed (task 7) and 2 more objections to be listed as a task, and closed",
        ),
    ],
)
def test_what_is_missing_of_talks_and_objections(
    evidence: dict[str, Any], known: dict[str, Any], missing: str
) -> None:
    """Headings and ids are named, never what was written."""
    (verdict,) = judge([criterion(evidence)], facts(**today(**known)), "s")
    assert verdict.missing == missing


def plan_process(**plan: Any) -> SalesProcess:
    """One open stage that asks for a plan."""
    words = {"probability": 0.5, "buyer_step": "does", "help": "helps"}
    asks = {**criterion(CLOSED).model_dump(exclude={"evidence"}), "evidence": {"plan": "mutual"}}
    fields = [
        {"property": "steps", "label": "Steps"},
        {"property": "go_live", "label": "Go-live", "type": "date", "not_past": True},
    ]
    return parse_process(
        {
            "name": "P",
            "pipeline": "P",
            "seller": {"name": "S", "address": "A", "email": "s@seller.example"},
            "plans": {"mutual": {"label": "Mutual plan", "fields": fields, **plan}},
            "stages": [
                {"key": "open", "label": "Open", **words, "exit_criteria": [asks]},
                {"key": "won", "label": "Won", **words, "closed": "won", "probability": 1},
                {"key": "lost", "label": "Lost", **words, "closed": "lost", "probability": 0},
            ],
            "signature_outcomes": {
                "completed": {"move_to": "won"},
                **{end: {"stay": True} for end in ("declined", "expired", "canceled", "failed")},
            },
        }
    )


@pytest.mark.parametrize(
    ("properties", "missing"),
    [
        ({"steps": "1, 2, 3", "go_live": "2026-11-22"}, ""),
        (
            {"steps": "1, 2, 3", "go_live": "2026-11-21"},
            "plan mutual: deal property go_live to be today or a later day",
        ),
        (
            {},
            "plan mutual: deal property steps to be set and deal property go_live to be today or a later day",
        ),
    ],
)
def test_a_plan_is_complete_when_every_field_is(properties: dict[str, str], missing: str) -> None:
    """A day that has passed has to be agreed on anew; what is missing is named field by field."""
    (verdict,) = gate(plan_process(), "won", facts(properties=properties, read_at=NOW))
    assert (verdict.met, verdict.missing) == (missing == "", missing)
    assert verdict.proof == ("the plan mutual on the deal" if verdict.met else "")


@pytest.mark.parametrize(
    ("owner", "met"),
    [
        (None, False),  # not known: asked
        (frozenset({"enterprise"}), False),
        (frozenset({"mara@seller.example", "inside sales"}), False),
        (frozenset({"inside sales"}), True),
        (frozenset(), True),
    ],
)
def test_a_plan_is_asked_of_those_who_use_it(owner: frozenset[str] | None, met: bool) -> None:
    """By HubSpot team or address; of others nothing is asked, and the verdict says so."""
    process = plan_process(used_by=["Enterprise", "Mara@seller.example"])
    (verdict,) = gate(process, "won", facts(owner=owner, read_at=NOW))
    assert verdict.met is met
    assert verdict.proof == ("the plan mutual is not asked of this owner's deals" if met else "")


def test_a_verdict_names_the_records_and_since_when() -> None:
    """What has a time of its own counts from then, the rest from the reading; of several, the oldest."""
    known = facts(
        read_at=NOW,
        properties={"p": "x"},
        documents=frozenset({"proposal"}),
        filed={"proposal": Proof("document", "77", ENTERED)},
        activities=[done("call", "5", 1), done("meeting", "6", 2)],
    )
    asked: list[tuple[dict[str, Any], tuple[Proof, ...], datetime]] = [
        ({"property": "p", "is": "set"}, (Proof("deal", "1"),), NOW),
        ({"document": "proposal"}, (Proof("document", "77", ENTERED),), ENTERED),
        (
            {"activity": "any", "at_least": 2},
            (Proof("call", "5", NOW - timedelta(days=1)), Proof("meeting", "6", NOW - timedelta(days=2))),
            NOW - timedelta(days=2),
        ),
        (
            {"all_of": [{"property": "p", "is": "set"}, {"document": "proposal"}]},
            (Proof("deal", "1"), Proof("document", "77", ENTERED)),
            ENTERED,
        ),
    ]
    for evidence, records, proven_at in asked:
        (verdict,) = judge([criterion(evidence)], known)
        assert (verdict.records, verdict.proven_at) == (records, proven_at)
    (not_met,) = judge([criterion({"document": "contract"})], known)
    assert (not_met.records, not_met.proven_at) == ((), None)


@pytest.fixture
def process() -> SalesProcess:
    def stage(key: str, *criteria: str, **more: Any) -> dict[str, Any]:
        own = [
            {
                "key": c,
                "kind": "information",
                "says": f"{c} it is",
                "supplied_by": "rep",
                "evidence": {"property": c, "is": "set"},
            }
            for c in criteria
        ]
        words = {"label": key, "probability": 0.5, "buyer_step": "does", "help": "helps"}
        return {"key": key, **words, "exit_criteria": own, **more}

    stay = {"stay": True}
    return parse_process(
        {
            "name": "Two steps",
            "pipeline": "P",
            "seller": {"name": "S", "address": "A", "email": "s@seller.example"},
            "stages": [
                stage("first", "a", "b"),
                stage("lost", "never", closed="lost", probability=0),
                stage("second", "c"),
                stage("won", closed="won", probability=1),
            ],
            "signature_outcomes": {
                "completed": {"move_to": "won"},
                **dict.fromkeys(("declined", "expired", "canceled", "failed"), stay),
            },
        }
    )


@pytest.mark.parametrize(
    ("target", "asked"),
    [("first", []), ("second", ["a", "b"]), ("won", ["a", "b", "c"]), ("lost", ["a", "b"])],
)
def test_the_gate_before_a_stage(process: SalesProcess, target: str, asked: list[str]) -> None:
    """The criteria of all open stages before it, in order; those of closed stages are in nobody's way."""
    verdicts = gate(process, target, facts())
    assert [v.criterion for v in verdicts] == asked
    assert unmet(verdicts) == verdicts


def test_what_is_met_opens_the_gate(process: SalesProcess) -> None:
    """Only what is not met keeps the gate shut."""
    known = facts(properties={"a": "1", "c": "1"})
    assert [v.criterion for v in unmet(gate(process, "won", known))] == ["b"]
    assert unmet(gate(process, "won", facts(properties=dict.fromkeys("abc", "x")))) == ()


def test_since_when_a_deal_has_been_in_a_stage(process: SalesProcess) -> None:
    """The newest entry counts; a stage that was jumped over counts with the next one, a later one not at all."""
    first, again, second = (NOW - timedelta(days=d) for d in (9, 5, 2))
    entries = [("first", first), ("first", again), ("second", second)]
    assert entered_at(process, "second", entries) == {"first": again, "second": second}
    assert entered_at(process, "second", entries[2:]) == {"first": second, "second": second}
    assert entered_at(process, "first", entries[:1]) == {"first": first}
    assert entered_at(process, None, []) == {}
    # A deal that came back from Lost has not passed through what it left out.
    assert entered_at(process, "lost", [("lost", second)]) == {"lost": second}


def test_a_gate_counts_activities_since_each_stage_of_its_own(process: SalesProcess) -> None:
    """A call made in the first stage still proves its criterion after the deal has moved on."""
    asked = {"activity": "call", "since": "stage_entry"}
    first, *others = process.stages
    grown = process.model_copy(
        update={"stages": (first.model_copy(update={"exit_criteria": (criterion(asked),)}), *others)}
    )
    entered = {"first": NOW - timedelta(days=5), "second": NOW - timedelta(days=1)}
    known = DealFacts(
        "1", "second", read_at=NOW, entered=entered, activities=[done("call", "8", 3)], properties={"c": "x"}
    )
    assert unmet(gate(grown, "won", known)) == ()
    assert [v.stage for v in gate(grown, "won", known)] == ["first", "second"]


@given(
    st.sampled_from([evidence for evidence, _, _ in CASES]),
    st.dictionaries(st.sampled_from(["need", "p", "amount"]), st.none() | st.text() | st.floats().map(str)),
    st.dictionaries(st.text("123", min_size=1), st.frozensets(st.sampled_from(["signer", "decision_maker"]))),
    st.frozensets(st.text("123", min_size=1)),
    st.sampled_from([None, "completed", "declined", ""]),
)
def test_any_facts_are_judged(
    evidence: dict[str, Any],
    properties: dict[str, str | None],
    contacts: dict[str, frozenset[str]],
    ids: frozenset[str],
    signature: str | None,
) -> None:
    """Whatever the CRM holds: a verdict, the same each time, with a proof or with what is missing, never both."""
    known = facts(
        properties=properties,
        contacts=contacts,
        companies=ids,
        line_items=ids,
        documents=ids,
        signature=signature,
    )
    (verdict,) = judge([criterion(evidence)], known)
    assert (verdict.met, bool(verdict.proof), not verdict.missing) in ((True,) * 3, (False,) * 3)
    assert judge([criterion(evidence)], known) == (verdict,)
