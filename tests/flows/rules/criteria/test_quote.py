"""The evidence `{quote: accepted}`: judged, explained, linted, shown, offered to editors, and tried on the past."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import config.settings
from config.files import read_yaml
from flows.rules.backtest.past_deal import Coverage, PastDeal, by_today, see, why_unknown
from flows.rules.criteria.deal_facts import DealFacts, Quote
from flows.rules.criteria.judge import Proof, evidence_of, judge
from flows.rules.criteria.smallest import explain, smallest
from flows.rules.handbook.handbook import handbook
from flows.rules.handbook.schema import process_schema
from flows.rules.handbook.text import evidence_text
from flows.rules.lint.lint import Finding, lint
from flows.rules.process.error import ProcessError
from flows.rules.process.sales_process import SalesProcess, parse_process

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
SHIPPED = Path(config.settings.__file__).with_name("sales_process.yaml")
ACCEPTED = {"quote": "accepted"}
PLACE = ("stages", 1, "exit_criteria", 0)


def content(evidence: Any = ACCEPTED, **more: str) -> Any:
    """The shipped process whose first criterion of qualification asks for a quote."""
    raw: Any = read_yaml(SHIPPED)
    stage = raw["stages"][1]
    stage["exit_criteria"][0] |= {"says": "The buyer has accepted our quote", "evidence": evidence, **more}
    return raw


def process(evidence: Any = ACCEPTED, **more: str) -> SalesProcess:
    return parse_process(content(evidence, **more))


def facts(*quotes: Quote) -> DealFacts:
    return DealFacts("1", "qualification", quotes=quotes, read_at=NOW)


WAITING, SIGNED = Quote("7", False), Quote("8", True)


@pytest.mark.parametrize(
    ("quotes", "proof", "missing"),
    [
        ((), "", "a quote on the deal to be accepted by the buyer (none is there)"),
        ((WAITING,), "", "a quote on the deal to be accepted by the buyer (not yet: 7)"),
        ((WAITING, SIGNED), "quote 8", ""),
        ((SIGNED, Quote("9", True)), "quote 8", ""),
    ],
)
def test_an_accepted_quote_is_the_proof(quotes: tuple[Quote, ...], proof: str, missing: str) -> None:
    """Its id is named, proven when the deal was read; else what is missing, and which quotes wait for the buyer."""
    criterion = process().stages[1].exit_criteria[0]
    (verdict,) = judge([criterion], facts(*quotes), "qualification")
    assert (verdict.met, verdict.proof, verdict.missing) == (bool(proof), proof, missing)
    assert verdict.records == ((Proof("quote", "8"),) if proof else ())
    assert verdict.proven_at == (NOW if proof else None)


def test_one_accepted_quote_opens_the_gate() -> None:
    """It is one fact, however many criteria ask for it; in a choice the quote is one way."""
    file = process()
    criterion = file.stages[1].exit_criteria[0]
    twice = [("qualification", criterion), ("discussion", criterion)]
    (need,) = smallest(twice, facts(WAITING)).needs or ()
    assert (need.kind, need.name, need.count) == ("quote", "accepted", 1)
    assert need.says == "a quote on the deal to be accepted by the buyer (not yet: 7)"
    assert smallest(twice, facts(SIGNED)).needs == ()
    alone = explain(file, "closing", facts(WAITING)).by_criterion[criterion.key]
    assert [one.kind for one in alone.needs or ()] == ["quote"]
    choice = process({"any_of": [{"all_of": [ACCEPTED, {"company": "any"}]}, {"signature": "completed"}]})
    asked = [("qualification", choice.stages[1].exit_criteria[0])]
    assert [one.kind for one in smallest(asked, facts(WAITING)).needs or ()] == ["signature"]
    assert [one.kind for one in smallest(asked, facts(SIGNED)).needs or ()] == ["company"]


def test_it_asks_hubspot_for_quotes_only() -> None:
    """No deal property, no activity, no stage history."""
    (leaf,) = [one for one in evidence_of(process()) if one.objects()]
    assert leaf.objects() == ("quotes",)
    assert (leaf.properties(), dict(leaf.activities()), leaf.from_entry()) == ((), {}, False)


def found(file: SalesProcess) -> list[Finding]:
    return [one for one in lint(file) if one.place[: len(PLACE)] == PLACE]


def test_lint_knows_who_brings_it() -> None:
    """The buyer accepts it, whoever asks for that; the worker never does."""
    for who in ("buyer", "rep", "manager"):
        assert found(process(supplied_by=who)) == []
    (wrong,) = found(process(supplied_by="worker"))
    assert (wrong.rule, wrong.severity) == ("nobody-supplies", "error")
    assert wrong.reason == "the worker accepts no quotes: nobody supplies this (Inspectable)"


def test_lint_knows_that_it_is_an_offer_and_when_it_repeats() -> None:
    """A contract after an accepted quote needs no proposal besides; asking for it twice decides nothing."""
    raw: Any = content()
    for stage in raw["stages"]:
        for criterion in stage.get("exit_criteria", ()):
            if criterion["evidence"] == {"document": "proposal"}:
                criterion |= {"evidence": ACCEPTED, "supplied_by": "buyer"}
    rules = [one.rule for one in lint(parse_process(raw))]
    assert "same-evidence" in rules and "contract-without-offer" not in rules
    raw["stages"][1]["exit_criteria"][0]["evidence"] = {"contacts": 2}
    assert "same-evidence" not in [one.rule for one in lint(parse_process(raw))]


def test_the_handbook_says_what_to_look_for() -> None:
    """In the words that a rep sees in HubSpot."""
    file = process()
    says = "a quote on the deal that the buyer has accepted"
    assert evidence_text(file.stages[1].exit_criteria[0].evidence, file) == says
    assert says in handbook(file)


@pytest.mark.parametrize("wrong", [{"quote": "sent"}, {"quote": "accepted", "at_least": 2}, {"quotes": 1}])
def test_other_words_are_refused(wrong: dict[str, Any]) -> None:
    """By the models with the key's name, and by the schema while typing."""
    with pytest.raises(ProcessError, match="quote"):
        process(wrong)
    schema = Draft202012Validator(process_schema())
    assert schema.is_valid(json.loads(json.dumps(content())))
    assert not schema.is_valid(json.loads(json.dumps(content(wrong))))


def test_the_past_of_quotes_is_not_known() -> None:
    """Quotes are not mirrored: nobody can say, whatever else was read."""
    (leaf,) = [one for one in evidence_of(process()) if one.objects()]
    past = PastDeal("1", "s", activities=())
    sight = see(past, (), NOW, "qualification", {})
    assert why_unknown(leaf, past, sight, Coverage(frozenset())) == "quotes are not mirrored"
    assert not by_today(leaf, sight)
