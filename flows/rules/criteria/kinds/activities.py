"""Evidence about activities, and the fewest activities that meet all of it: one may count for several criteria.

Call notes are written in a note or call, an objection is closed by completing its task: those are activities, too.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from flows.rules.criteria.counting import number_of
from flows.rules.criteria.deal_facts import ACTIVITY_TYPES, ActivityType, DealFacts
from flows.rules.criteria.kinds.base import LeafEvidence
from flows.rules.criteria.need import Need, Wanted

FORMS: tuple[ActivityType, ...] = ("note", "call")
"""What carries call notes."""


class OfActivities(LeafEvidence):
    """Evidence about activities: all of it is searched together. A kind says which of three things it still needs."""

    def about(self) -> tuple[str, ...]:
        """All activities are one thing."""
        return ("activities",)

    def fewest(self, wanted: Sequence[Wanted], facts: DealFacts) -> tuple[Need, ...]:
        """What is to take place now."""
        asked = [_Asked(one.leaf, one.stage) for one in wanted if isinstance(one.leaf, OfActivities)]
        return _missing(asked, facts)

    def counts(self) -> tuple[ActivityType, ...]:
        """The types of activity that count towards `lacking`."""
        return ()

    def lacking(self, facts: DealFacts, stage: str) -> int:
        """How many more activities it needs."""
        return 0

    def form(self, facts: DealFacts, stage: str) -> str:
        """The form that it needs filled in; empty when none."""
        return ""

    def closing(self, facts: DealFacts) -> Mapping[str, int]:
        """How many objections must be closed: `open` ones, and `new` ones to be listed first."""
        return {}


@dataclass(frozen=True)
class _Asked:
    leaf: OfActivities
    stage: str


@dataclass(frozen=True)
class _Short:
    """So many activities of these types lack, for the criteria of this stage."""

    leaf: OfActivities
    types: tuple[ActivityType, ...]
    stage: str
    lacking: int


def in_words(types: Sequence[str]) -> str:
    """Several activity types as one noun."""
    return "activity record" if len(types) > 4 else " or ".join(types)


def since_entry(stage: str) -> str:
    """Since when activities count, in what is missing."""
    return f" since the deal entered {stage.replace('_', ' ')}" if stage else " since stage entry"


def _missing(wanted: Sequence[_Asked], facts: DealFacts) -> tuple[Need, ...]:
    """What is to take place now. It lies within every bound, so its type alone decides what it counts for."""
    short = [
        _Short(one.leaf, one.leaf.counts(), one.stage, lacking)
        for one in wanted
        if (lacking := one.leaf.lacking(facts, one.stage)) > 0
    ]
    forms: dict[str, list[_Asked]] = {}
    for one in wanted:
        if form := one.leaf.form(facts, one.stage):
            forms.setdefault(form, []).append(one)
    closing = [(one.leaf, one.leaf.closing(facts)) for one in wanted]
    closing = [(leaf, count) for leaf, count in closing if count]
    to_close = {name: max(count[name] for _, count in closing) for name in (closing[0][1] if closing else ())}
    choices: list[tuple[list[ActivityType], list[tuple[int, tuple[ActivityType, ...]]]]] = []
    for calls in range(len(forms) + 1):
        written = [FORMS[0]] * (len(forms) - calls) + [FORMS[1]] * calls
        come = [*written, *(["task"] * sum(to_close.values()))]
        left = {at: one.lacking - sum(kind in one.types for kind in come) for at, one in enumerate(short)}
        choices.append((written, _fewest(short, left)))
    written, more = min(choices, key=lambda choice: sum(count for count, _ in choice[1]))
    same = all(len({kind in one.types for kind in FORMS}) == 1 for one in short)
    closers = tuple(dict.fromkeys(leaf for leaf, _ in closing))
    return (
        *(
            _form(form, asked, FORMS if same else (kind,), short, facts)
            for (form, asked), kind in zip(forms.items(), written, strict=True)
        ),
        *(_objections(name, count, closers, short, facts) for name, count in to_close.items() if count),
        *(_activity(count, types, short, facts) for count, types in more),
    )


def _fewest(short: Sequence[_Short], left: Mapping[int, int]) -> list[tuple[int, tuple[ActivityType, ...]]]:
    """The fewest activities besides: how many, and which types would do. `left`: what each one still lacks."""
    lack = [at for at, lacking in left.items() if lacking > 0]
    if not lack:
        return []
    # Types that count for the same criteria are worth the same: one of each kind is enough to try.
    alike: dict[tuple[bool, ...], list[ActivityType]] = {}
    for kind in ACTIVITY_TYPES:
        counts_for = tuple(kind in short[at].types for at in lack)
        if any(counts_for):
            alike.setdefault(counts_for, []).append(kind)
    groups = list(alike.items())
    for total in itertools.count(max(left[at] for at in lack)):
        for chosen in itertools.combinations_with_replacement(range(len(groups)), total):
            if all(sum(groups[group][0][n] for group in chosen) >= left[at] for n, at in enumerate(lack)):
                return [(chosen.count(group), tuple(groups[group][1])) for group in dict.fromkeys(chosen)]
    raise AssertionError("unreachable: enough activities of every type meet everything")


def _activity(count: int, types: Sequence[ActivityType], short: Sequence[_Short], facts: DealFacts) -> Need:
    served, later = _counts_for(types, short, facts)
    now = f"that {'takes' if count == 1 else 'take'} place now"
    says = f"{number_of(count, in_words(types))} {_when(later) or now}"
    options = tuple(types)
    return Need("activity", types[0], says, served, count=count, options=options, after_entry_of=later)


def _form(
    form: str,
    asked: Sequence[_Asked],
    types: Sequence[ActivityType],
    short: Sequence[_Short],
    facts: DealFacts,
) -> Need:
    own = [one.stage for one in asked if one.leaf.from_entry()]
    served, later = _counts_for(types, short, facts, own)
    says = (
        f"the call notes {form.replace('_', ' ')}, filled in, in a {in_words(types)} {_when(later)}".strip()
    )
    serves = (*dict.fromkeys(one.leaf for one in asked), *served)
    return Need("call_notes", form, says, serves, options=tuple(types), after_entry_of=later)


def _objections(
    name: str, count: int, asking: Sequence[LeafEvidence], short: Sequence[_Short], facts: DealFacts
) -> Need:
    served, later = _counts_for(("task",), short, facts)
    says = f"{number_of(count, 'open objection')} to be closed"
    if name == "new":
        says = f"{number_of(count, 'objection')} to be listed as a task, and closed"
    says = f"{says} {_when(later)}".strip()
    return Need("objection", name, says, (*asking, *served), count=count, after_entry_of=later)


def _counts_for(
    types: Sequence[ActivityType], short: Sequence[_Short], facts: DealFacts, stages: Iterable[str] = ()
) -> tuple[tuple[LeafEvidence, ...], tuple[str, ...]]:
    """The evidence that an activity of any of these types counts for, and the stages that must be entered before."""
    served = [one for one in short if set(types) <= set(one.types)]
    asked = [*stages, *(one.stage for one in served if one.leaf.from_entry())]
    later = tuple(stage for stage in dict.fromkeys(asked) if stage not in facts.entered)
    return tuple(dict.fromkeys(one.leaf for one in served)), later


def _when(later: Sequence[str]) -> str:
    if not later:
        return ""
    return f"once the deal has entered {' and '.join(key.replace('_', ' ') or 'its stage' for key in later)}"
