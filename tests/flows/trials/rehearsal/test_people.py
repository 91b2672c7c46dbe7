"""The simulated people alone: their leads, and the rates that can be changed."""

from datetime import UTC, datetime

import pytest

from flows.rules.leads import parse_lead
from flows.trials.rehearsal.buyers import buyers, leads
from flows.trials.rehearsal.calendar import STARTS, ticks
from flows.trials.rehearsal.rates import Rates, RatesError, parse_rates


def test_nobody_acts_at_night_or_on_weekends() -> None:
    """Every tick lies on a working day at a working hour, in order, within the days asked for."""
    found = list(ticks(90))
    assert found == sorted(found) and found[0] == STARTS
    assert all(t.weekday() < 5 and 9 <= t.hour <= 17 for t in found)
    assert len({t.date() for t in found}) == 65  # twelve weeks and six days


def test_the_calendar_does_not_know_today() -> None:
    """A rehearsal begins on a fixed Monday."""
    assert datetime(2026, 1, 5, 9, tzinfo=UTC) == STARTS and STARTS.weekday() == 0


def test_same_seed_same_people() -> None:
    """Leads are the same for one seed, and others for another."""

    def forms(seed: int) -> list[dict[str, str]]:
        everybody = buyers(50, seed=seed, rates=Rates())
        return [lead.fields for lead in leads(everybody, starts=STARTS, days=90, rates=Rates())]

    assert forms(7) == forms(7)
    assert forms(7) != forms(8)


def test_one_more_buyer_changes_nothing_for_the_others() -> None:
    """Each buyer has its own random generator."""
    few, many = (buyers(n, seed=3, rates=Rates()) for n in (10, 11))
    assert few == many[:10]


def test_every_lead_is_one_the_gateway_takes() -> None:
    """Also those without budget, need or e-mail address; nobody writes from a real domain."""
    everybody = buyers(300, seed=1, rates=Rates())
    sent = list(leads(everybody, starts=STARTS, days=90, rates=Rates()))
    assert len(sent) > 300  # some ask twice
    for lead in sent:
        parsed = parse_lead(lead.fields)
        assert parsed.email.endswith(".example") or (not parsed.email and parsed.phone)
    keys = [parse_lead(lead.fields).key for lead in sent]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("rate", "field"), [("lead_without_budget", "budget"), ("lead_without_need", "message")]
)
def test_a_rate_decides(rate: str, field: str) -> None:
    """At 0 every lead has it, at 1 none has it."""
    for value, least, most in ((0.0, 100, 100), (1.0, 0, 0)):
        rates = parse_rates({rate: value, "asks_twice": 0})
        sent = leads(buyers(100, seed=5, rates=rates), starts=STARTS, days=30, rates=rates)
        assert least <= sum(field in lead.fields for lead in sent) <= most


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"declines": 2}, "declines"),
        ({"decline": 0.1}, "decline"),
        ({"signs_after_days": 0}, "signs_after_days"),
    ],
)
def test_a_wrong_people_file_is_refused(content: dict[str, float], says: str) -> None:
    """The text names the key."""
    with pytest.raises(RatesError, match=says):
        parse_rates(content)
