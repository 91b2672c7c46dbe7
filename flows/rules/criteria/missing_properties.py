"""The fewest deal properties to change so that everything asked of them holds together.

Values are tried, not derived: the evidence itself gives away the few that matter (its bounds, its choices, days next
to them), and `look` says whether they do.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, timedelta
from decimal import Decimal

from flows.rules.criteria.evidence import DateEvidence, Leaf, PropertyEvidence
from flows.rules.criteria.judge import DealFacts, day_of, look
from flows.rules.criteria.need import Need, Wanted

_ANY = "any value"


def missing_properties(wanted: Sequence[Wanted], facts: DealFacts) -> tuple[Need, ...] | None:
    """Which properties to change, each with what is asked of it; None when the evidence contradicts itself."""
    asked = [one.leaf for one in wanted]
    names = tuple(dict.fromkeys(name for leaf in asked for name in _names(leaf)))
    tests = {name: [leaf for leaf in asked if name in _names(leaf)] for name in names}
    tries = {name: _values(name, asked, facts) for name in names}
    for count in range(1, len(names) + 1):
        for changed in itertools.combinations(names, count):
            values = next(_that_do(changed, asked, tries, facts), None)
            if values is not None:
                return tuple(_need(name, values[name], tests[name], facts) for name in changed)
    return None


def _names(leaf: Leaf) -> tuple[str, ...]:
    """The properties that a piece of evidence looks at; what it is about comes first."""
    if isinstance(leaf, DateEvidence):
        return (leaf.date, leaf.after) if leaf.after else (leaf.date,)
    return (leaf.property,) if isinstance(leaf, PropertyEvidence) else ()


def _that_do(
    changed: Sequence[str], asked: Sequence[Leaf], tries: Mapping[str, Sequence[str]], facts: DealFacts
) -> Iterator[dict[str, str]]:
    """Values for these properties under which everything holds; tests that need no more than is chosen come early."""

    def choose(at: int, chosen: dict[str, str]) -> Iterator[dict[str, str]]:
        open_names = set(changed[at:])
        known = replace(facts, properties={**facts.properties, **chosen})
        for leaf in asked:
            if open_names.isdisjoint(_names(leaf)) and not look(leaf, known, "").text:
                return
        if at == len(changed):
            yield chosen
            return
        for value in tries[changed[at]]:
            yield from choose(at + 1, {**chosen, changed[at]: value})

    return choose(0, {})


def _values(name: str, asked: Sequence[Leaf], facts: DealFacts) -> list[str]:
    """Enough values to find one that does, if any does: what the evidence names, and days around the days it names."""
    found: list[str] = []
    numbers: list[Decimal] = []
    for leaf in asked:
        if isinstance(leaf, PropertyEvidence) and leaf.property == name:
            found += [leaf.equals] if leaf.equals else []
            found += leaf.one_of
            numbers += [bound for bound in (leaf.at_least, leaf.at_most) if bound is not None]
    found += [format(number, "f") for number in numbers]
    if any(isinstance(leaf, DateEvidence) and name in _names(leaf) for leaf in asked):
        found += [day.isoformat() for day in _days(asked, facts)]
    return list(dict.fromkeys(found)) or [_ANY]


def _days(asked: Sequence[Leaf], facts: DealFacts) -> list[date]:
    """Bounds, and days so near to them that a chain of "later than" finds room."""
    dates = [leaf for leaf in asked if isinstance(leaf, DateEvidence)]
    reach = sum(leaf.after is not None for leaf in dates)
    bounds: list[date | None] = []
    if facts.read_at is not None:
        today = facts.read_at.astimezone(UTC).date()
        bounds.append(today)
        bounds += [today + timedelta(days=leaf.within_days) for leaf in dates if leaf.within_days is not None]
    bounds += [day_of(facts.properties.get(name)) for leaf in dates for name in _names(leaf)]
    for leaf in asked:
        if isinstance(leaf, PropertyEvidence):
            bounds += [day_of(value) for value in (leaf.equals, *leaf.one_of)]
    known = list(dict.fromkeys(day for day in bounds if day is not None)) or [date(2000, 1, 1)]
    near = sorted(range(-reach, reach + 1), key=lambda step: (abs(step), -step))
    return list(dict.fromkeys(_moved(day, step) for day in known for step in near))


def _moved(day: date, days: int) -> date:
    try:
        return day + timedelta(days=days)
    except OverflowError:  # the end of the calendar
        return day


def _need(name: str, value: str, tests: Sequence[Leaf], facts: DealFacts) -> Need:
    about = [leaf for leaf in tests if _names(leaf)[0] == name]
    texts = dict.fromkeys(
        look(leaf, facts, "").missing.removeprefix(f"deal property {name} ") for leaf in about
    )
    asks = " and ".join(texts) or f"to be a day before {' and '.join(_names(leaf)[0] for leaf in tests)}"
    example = () if value == _ANY else (value,)
    return Need("property", name, f"deal property {name} {asks}", tuple(tests), options=example)
