"""Exit criteria: what proves each, what is missing, and the gate before a stage."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.rules.exit_criteria import DealFacts, gate, judge, unmet
from flows.rules.sales_process import Criterion, SalesProcess, parse_process


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
    ({"line_items": 2}, {"line_items": frozenset({"1", "2"})}, "2 line item(s)"),
    ({"line_items": 2}, {"line_items": frozenset({"1"})}, ""),
    ({"document": "proposal"}, {"documents": frozenset({"proposal"})}, "proposal on file"),
    ({"document": "proposal"}, {"documents": frozenset({"contract"})}, ""),
    ({"signature": "completed"}, {"signature": "completed"}, "signature completed"),
    ({"signature": "completed"}, {"signature": "declined"}, ""),
    ({"signature": "completed"}, {}, ""),
]


@pytest.mark.parametrize(("evidence", "known", "proof"), CASES)
def test_each_kind_of_evidence(evidence: dict[str, Any], known: dict[str, Any], proof: str) -> None:
    """Met exactly when a record proves it, and then it names that record; else it says what would meet it."""
    (verdict,) = judge([criterion(evidence)], facts(**known))
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
        ({"line_items": 2}, "at least 2 line item(s), 0 found"),
        ({"document": "proposal"}, "a filed proposal"),
        ({"signature": "completed"}, "the signature request to be completed"),
    ],
)
def test_what_is_missing_is_said_so_that_a_rep_can_mend_it(evidence: dict[str, Any], missing: str) -> None:
    """The smallest thing that would meet the criterion."""
    (verdict,) = judge([criterion(evidence)], facts())
    assert verdict.missing == missing


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
