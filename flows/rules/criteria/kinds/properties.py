"""Evidence about deal properties, and the fewest properties to change so that everything asked of them holds together.

Values are tried, not derived: the evidence itself gives away the few that matter (its bounds, its choices, days next
to them), and `check` says whether they do.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from flows.rules.criteria.deal_facts import DealFacts
from flows.rules.criteria.kinds.base import LeafEvidence
from flows.rules.criteria.need import Need, Wanted

_ANY = "any value"


class OfProperties(LeafEvidence):
    """Evidence about deal properties. A kind says which values it gives away; they are tried."""

    def about(self) -> tuple[str, ...]:
        """Each property is a thing of its own; those that are compared are searched together."""
        return tuple(f"property {name}" for name in self.properties())

    def fewest(self, wanted: Sequence[Wanted], facts: DealFacts) -> tuple[Need, ...] | None:
        """Which properties to change."""
        return _missing([one.leaf for one in wanted if isinstance(one.leaf, OfProperties)], facts)

    def choices(self) -> tuple[str, ...]:
        """Values that meet it."""
        return ()

    def bounds(self) -> tuple[Decimal, ...]:
        """Numbers at which it is just met."""
        return ()

    def days(self, today: date) -> tuple[date, ...] | None:
        """Days at which it is just met; None when it is not about days."""
        return None

    def compares(self) -> bool:
        """Whether it compares two properties."""
        return len(self.properties()) > 1


def day_of(value: str | None) -> date | None:
    """The day (UTC) in a date or datetime property, which HubSpot gives as ISO 8601; None for anything else."""
    try:
        moment = datetime.fromisoformat((value or "").strip())
        return moment.astimezone(UTC).date() if moment.tzinfo else moment.date()
    except (ValueError, OverflowError):
        return None


def _missing(asked: Sequence[OfProperties], facts: DealFacts) -> tuple[Need, ...] | None:
    """Which properties to change, each with what is asked of it; None when the evidence contradicts itself."""
    names = tuple(dict.fromkeys(name for leaf in asked for name in leaf.properties()))
    tests = {name: [leaf for leaf in asked if name in leaf.properties()] for name in names}
    tries = {name: _values(name, asked, facts) for name in names}
    for count in range(1, len(names) + 1):
        for changed in itertools.combinations(names, count):
            values = next(_that_do(changed, asked, tries, facts), None)
            if values is not None:
                return tuple(_need(name, values[name], tests[name], facts) for name in changed)
    return None


def _that_do(
    changed: Sequence[str],
    asked: Sequence[OfProperties],
    tries: Mapping[str, Sequence[str]],
    facts: DealFacts,
) -> Iterator[dict[str, str]]:
    """Values for these properties under which everything holds; tests that need no more than is chosen come early."""

    def choose(at: int, chosen: dict[str, str]) -> Iterator[dict[str, str]]:
        open_names = set(changed[at:])
        known = replace(facts, properties={**facts.properties, **chosen})
        for leaf in asked:
            if open_names.isdisjoint(leaf.properties()) and not leaf.check(known, "").text:
                return
        if at == len(changed):
            yield chosen
            return
        for value in tries[changed[at]]:
            yield from choose(at + 1, {**chosen, changed[at]: value})

    return choose(0, {})


def _values(name: str, asked: Sequence[OfProperties], facts: DealFacts) -> list[str]:
    """Enough values to find one that does, if any does: what the evidence names, and days around the days it names."""
    of_name = [leaf for leaf in asked if name in leaf.properties()]
    found = [value for leaf in of_name for value in leaf.choices()]
    found += [format(number, "f") for leaf in of_name for number in leaf.bounds()]
    if any(leaf.days(_NO_DAY) is not None for leaf in of_name):
        found += [day.isoformat() for day in _days(asked, facts)]
    return list(dict.fromkeys(found)) or [_ANY]


_NO_DAY = date(2000, 1, 1)


def _days(asked: Sequence[OfProperties], facts: DealFacts) -> list[date]:
    """Bounds, and days so near to them that a chain of "later than" finds room."""
    dates = [leaf for leaf in asked if leaf.days(_NO_DAY) is not None]
    reach = sum(leaf.compares() for leaf in dates)
    bounds: list[date | None] = []
    if facts.read_at is not None:
        today = facts.read_at.astimezone(UTC).date()
        bounds.append(today)
        bounds += [day for leaf in dates for day in leaf.days(today) or ()]
    bounds += [day_of(facts.properties.get(name)) for leaf in dates for name in leaf.properties()]
    bounds += [day_of(value) for leaf in asked for value in leaf.choices()]
    known = list(dict.fromkeys(day for day in bounds if day is not None)) or [_NO_DAY]
    near = sorted(range(-reach, reach + 1), key=lambda step: (abs(step), -step))
    return list(dict.fromkeys(_moved(day, step) for day in known for step in near))


def _moved(day: date, days: int) -> date:
    try:
        return day + timedelta(days=days)
    except OverflowError:  # the end of the calendar
        return day


def _need(name: str, value: str, tests: Sequence[OfProperties], facts: DealFacts) -> Need:
    about = [leaf for leaf in tests if leaf.properties()[0] == name]
    texts = dict.fromkeys(
        leaf.check(facts, "").missing.removeprefix(f"deal property {name} ") for leaf in about
    )
    asks = " and ".join(texts) or f"to be a day before {' and '.join(leaf.properties()[0] for leaf in tests)}"
    example = () if value == _ANY else (value,)
    return Need("property", name, f"deal property {name} {asks}", tuple(tests), options=example)
