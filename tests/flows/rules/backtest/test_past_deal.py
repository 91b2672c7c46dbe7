"""A deal as it was: what is known of a past moment, what is only known as it is now, what nobody can say."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter

from flows.rules.backtest.past_deal import Coverage, PastContract, PastDeal, Span, by_today, see, why_unknown
from flows.rules.criteria.evidence import Evidence

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
EVIDENCE: TypeAdapter[Any] = TypeAdapter(Evidence)


def days(count: float) -> datetime:
    """So many days after NOW."""
    return NOW + timedelta(days=count)


def sight(past: PastDeal, *names: str) -> Any:
    return see(past, names, NOW, "first", {})


@pytest.mark.parametrize(
    ("past", "known"),
    [
        # Of several versions the last one before the moment counts; one at the very moment is before it.
        ({"versions": {"p": [(days(-2), "a"), (days(-1), "b"), (days(1), "c")]}}, ("sure", "b")),
        ({"versions": {"p": [(days(-2), "a"), (days(0), None)]}}, ("sure", None)),
        # Set later, and all versions are known: it was empty.
        ({"versions": {"p": [(days(1), "a")]}, "whole": {"p"}, "properties": {"p": "a"}}, ("sure", None)),
        ({"whole": {"p"}}, ("sure", None)),
        # Set later, but older versions may have been cut off: what is there today stands for it.
        ({"versions": {"p": [(days(1), "a")]}, "properties": {"p": "c"}}, ("today", "c")),
        ({"properties": {"p": "c"}}, ("today", "c")),
        ({"properties": {"p": None}}, ("today", None)),
        ({"properties": {"q": "c"}}, ("unread", None)),
    ],
)
def test_a_property_as_it_was(past: dict[str, Any], known: tuple[str, str | None]) -> None:
    """From its versions, else as it is now, else not at all."""
    found = sight(PastDeal("1", "s", **{**past, "whole": frozenset(past.get("whole", ()))}), "p")
    how, value = known
    assert ("p" in found.sure.properties) == (how == "sure")
    assert ("p" in found.by_today) == (how == "today") and ("p" in found.unread) == (how == "unread")
    assert found.likely.properties.get("p") == value
    assert (found.likely is found.sure) == (how != "today")


@pytest.mark.parametrize(
    ("span", "known"),
    [
        ((days(-1), days(-2), None), "sure"),
        ((days(0), None, None), "sure"),
        ((days(-2), None, days(-1)), "no"),
        ((days(-2), None, days(1)), "sure"),
        ((days(1), days(0), None), "no"),  # read without it at that very moment
        ((days(2), days(1), None), "no"),
        ((days(1), days(-1), None), "maybe"),  # it came between two looks
        ((days(1), None, None), "maybe"),  # there at the first look, which was later
        ((None, None, None), "maybe"),  # there since before anybody noted
        ((days(1), None, days(2)), "maybe"),
    ],
)
def test_a_link_as_it_was(span: tuple[Any, ...], known: str) -> None:
    """Seen before, seen to be missing, or neither: then it may have been there."""
    seen_at, absent_at, gone_at = span
    spans = [
        Span(kind, "7", role, seen_at, absent_at, gone_at)
        for kind, role in (("contacts", "signer"), ("companies", ""), ("line_items", ""))
    ]
    found = sight(PastDeal("1", "s", spans=spans))
    for facts, there in ((found.sure, known == "sure"), (found.likely, known != "no")):
        assert facts.contacts == ({"7": frozenset({"signer"})} if there else {})
        assert facts.companies == facts.line_items == (frozenset("7") if there else frozenset())


def test_a_role_may_come_later_than_its_contact() -> None:
    """The contact was there, the label was not."""
    spans = [Span("contacts", "7", "", days(-9)), Span("contacts", "7", "signer", days(2), days(1))]
    found = sight(PastDeal("1", "s", spans=spans))
    assert found.likely.contacts == {"7": frozenset()}


@pytest.mark.parametrize(
    ("contracts", "state"),
    [
        ([], None),
        ([PastContract(days(1), days(2), "completed")], None),
        ([PastContract(days(-3), days(1), "completed")], "open"),
        ([PastContract(days(-3), None, "open")], "open"),
        ([PastContract(days(-3), days(0), "completed")], "completed"),
        (
            [PastContract(days(-3), days(-2), "declined"), PastContract(days(-1), days(3), "completed")],
            "open",
        ),
    ],
)
def test_documents_and_signature_as_they_were(contracts: list[PastContract], state: str | None) -> None:
    """The newest revision that had been begun, and only what had ended by then."""
    documents = {"proposal": days(-1), "contract": days(1)}
    found = sight(PastDeal("1", "s", documents=documents, contracts=contracts))
    assert (found.sure.signature, found.sure.documents) == (state, frozenset({"proposal"}))


@pytest.mark.parametrize(
    ("evidence", "why"),
    [
        ({"property": "p", "is": "set"}, "deal property p was never read"),
        ({"date": "q", "after": "p"}, "deal property p was never read"),
        ({"date": "q", "not_past": True}, ""),
        ({"contact": "any"}, ""),
        ({"contact": "signer"}, ""),
        ({"contact": "legal"}, "the label of the role legal was never read"),
        ({"document": "proposal"}, "it was before dealflow began to file and to send"),
        ({"signature": "completed"}, "it was before dealflow began to file and to send"),
        ({"activity": "call"}, "activities are not mirrored"),
        ({"call_notes": "demo"}, "activities are not mirrored"),
        ({"objections": "closed"}, "activities are not mirrored"),
        ({"company": "any"}, ""),
    ],
)
def test_what_nobody_can_say(evidence: dict[str, Any], why: str) -> None:
    """It is told why; what was read is no such case."""
    past = PastDeal("1", "s", properties={"q": None})
    coverage = Coverage(frozenset({"signer"}), since=days(1))
    leaf = EVIDENCE.validate_python(evidence)
    assert why_unknown(leaf, past, sight(past, "p", "q"), coverage) == why
    assert by_today(leaf, sight(past, "p", "q")) == (evidence.get("date") == "q")
    read = PastDeal("1", "s", whole=frozenset("pq"), activities=())
    everything = Coverage(frozenset({"signer", "legal"}), since=days(-1))
    assert why_unknown(leaf, read, sight(read, "p", "q"), everything) == ""
    assert not by_today(leaf, sight(read, "p", "q"))
