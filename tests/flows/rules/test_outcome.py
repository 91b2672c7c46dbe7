"""What handling an event came to."""

import json

import pytest

from flows.rules.outcome import Outcome, Step, ignored


def test_an_outcome_goes_into_the_ledger_whole() -> None:
    """Summary, steps, reasons and links are kept as JSON, in order."""
    outcome = Outcome(
        "held",
        "contract not sent",
        deal_id="1",
        steps=(Step("looked", "deal 1", "asked"), Step("left it", "deal 1", "not ready")),
        reasons=("no signer", "no amount"),
        links={"Deal": "https://app.example/1"},
    )
    assert json.loads(json.dumps(outcome.as_json())) == {
        "summary": "contract not sent",
        "steps": [["looked", "deal 1", "asked"], ["left it", "deal 1", "not ready"]],
        "reasons": ["no signer", "no amount"],
        "links": {"Deal": "https://app.example/1"},
    }


def test_ignored_says_why_and_nothing_else() -> None:
    """Nothing of ours: no deal, no steps."""
    assert ignored("not ours") == Outcome("ignored", "not ours")


def test_outcomes_do_not_change() -> None:
    """What was decided cannot be rewritten on its way to the ledger."""
    with pytest.raises(AttributeError):
        ignored("x").summary = "y"  # type: ignore[misc]
