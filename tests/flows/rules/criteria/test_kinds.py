"""What holds for every kind of evidence, and what a new kind gets without saying anything about it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pytest

import config.settings
from config.files import read_yaml
from flows.rules.backtest.backtest import Weight
from flows.rules.backtest.past_deal import Coverage, PastDeal, see
from flows.rules.criteria.deal_facts import DealFacts, Found
from flows.rules.criteria.evidence import KINDS
from flows.rules.criteria.kinds.base import BaseEvidence, LeafEvidence
from flows.rules.criteria.need import Wanted
from flows.rules.process.sales_process import SalesProcess, parse_process

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


class Meeting(LeafEvidence):
    """A kind that says no more than it must."""

    room: Literal["booked"]

    def properties(self) -> tuple[str, ...]:
        """One of its own."""
        return ("room",)

    def check(self, facts: DealFacts, stage: str) -> Found:
        """Whether it is booked."""
        return Found("room" if facts.properties.get("room") else "", "a room to be booked")


def process() -> SalesProcess:
    return parse_process(read_yaml(Path(config.settings.__file__).with_name("sales_process.yaml")))


def test_each_kind_has_a_key_of_its_own() -> None:
    """The key decides which kind a mapping means."""
    keys = [kind.key() for kind in KINDS]
    assert len(set(keys)) == len(keys)
    others = {name for kind in KINDS for name in list(kind.model_fields)[1:]}
    assert others.isdisjoint(keys)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.key())
def test_each_kind_is_judged_and_put_in_words(kind: type[BaseEvidence]) -> None:
    """Neither is left to the default; and each explains itself to editors."""
    for name in ("check", "text"):
        assert getattr(kind, name) not in (getattr(BaseEvidence, name), getattr(LeafEvidence, name))
    assert kind.__doc__


def test_a_new_kind_needs_few_words() -> None:
    """Search, lint, handbook and back-test know what to do with it."""
    kind: Any = Meeting(room="booked")
    without = DealFacts("1", None, read_at=NOW)
    assert kind.ways(None) == ((kind,),) and list(kind.leaves()) == [kind]
    (need,) = kind.fewest([Wanted(kind)], without)
    assert (need.kind, need.name, need.says, need.serves) == (
        "room",
        "booked",
        "a room to be booked",
        (kind,),
    )
    assert kind.text(process(), {}) == "room: booked"
    assert (kind.made_by(), kind.not_by_worker(), kind.always_true(), kind.kept_by_us) == (
        None,
        "",
        "",
        False,
    )
    assert kind.implies(Meeting(room="booked")) and not kind.implies(
        process().stages[1].exit_criteria[0].evidence
    )
    assert (kind.shown_in(), kind.mirrored({"room"}), kind.unknown_name(process())) == (
        ("room",),
        False,
        None,
    )
    assert list(kind.misfits(None)) == []
    nobody = Coverage(frozenset())
    unread = see(PastDeal("1", "s"), ("room",), NOW, "s", {})
    assert kind.unknown(PastDeal("1", "s"), unread, nobody) == "deal property room was never read"
    today = PastDeal("1", "s", properties={"room": "7"})
    seen = see(today, ("room",), NOW, "s", {})
    assert kind.unknown(today, seen, nobody) == "" and kind.only_by_today(seen)
    assert kind.weigh(lambda leaf: Weight(leaf is kind)) == Weight(True)
