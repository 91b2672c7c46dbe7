"""The fewest activities that meet everything asked of a deal's activities: one may count for several criteria.

Call notes are written in a note or call, an objection is closed by completing its task: those are activities, too.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from flows.rules.criteria.activities import counted, in_words, listed, look_for_call_notes
from flows.rules.criteria.counting import number_of
from flows.rules.criteria.deal_facts import DealFacts
from flows.rules.criteria.evidence import (
    ACTIVITY_TYPES,
    ActivityEvidence,
    ActivityType,
    CallNotesEvidence,
    Leaf,
    ObjectionsEvidence,
)
from flows.rules.criteria.need import Need, Wanted

_FORMS: tuple[ActivityType, ...] = ("note", "call")


@dataclass(frozen=True)
class _Short:
    """So many activities of these types lack, for the criteria of this stage."""

    leaf: ActivityEvidence
    stage: str
    lacking: int


def missing_activities(wanted: Sequence[Wanted], facts: DealFacts) -> tuple[Need, ...]:
    """What is to take place now. It lies within every bound, so its type alone decides what it counts for."""
    short = [
        _Short(one.leaf, one.stage, lacking)
        for one in wanted
        if isinstance(one.leaf, ActivityEvidence)
        and (lacking := one.leaf.at_least - len(counted(one.leaf, facts, one.stage))) > 0
    ]
    forms: dict[str, list[Wanted]] = {}
    for one in wanted:
        if (
            isinstance(one.leaf, CallNotesEvidence)
            and not look_for_call_notes(one.leaf, facts, one.stage).text
        ):
            forms.setdefault(one.leaf.call_notes, []).append(one)
    closing = _closing(wanted, facts)
    choices: list[tuple[list[ActivityType], list[tuple[int, tuple[ActivityType, ...]]]]] = []
    for calls in range(len(forms) + 1):
        written = [_FORMS[0]] * (len(forms) - calls) + [_FORMS[1]] * calls
        come = [*written, *(["task"] * sum(closing.values()))]
        left = {
            at: one.lacking - sum(kind in one.leaf.types for kind in come) for at, one in enumerate(short)
        }
        choices.append((written, _fewest(short, left)))
    written, more = min(choices, key=lambda choice: sum(count for count, _ in choice[1]))
    same = all(len({kind in one.leaf.types for kind in _FORMS}) == 1 for one in short)
    return (
        *(
            _form(asked, _FORMS if same else (kind,), short, facts)
            for asked, kind in zip(forms.values(), written, strict=True)
        ),
        *(_objections(name, count, wanted, short, facts) for name, count in closing.items() if count),
        *(_activity(count, types, short, facts) for count, types in more),
    )


def _closing(wanted: Sequence[Wanted], facts: DealFacts) -> Mapping[str, int]:
    """How many objections are to be closed: those that are open, and new ones to be listed first."""
    least = [one.leaf.at_least for one in wanted if isinstance(one.leaf, ObjectionsEvidence)]
    if not least:
        return {}
    still_open, closed = listed(facts)
    return {"open": len(still_open), "new": max(0, max(least) - len(still_open) - len(closed))}


def _fewest(short: Sequence[_Short], left: Mapping[int, int]) -> list[tuple[int, tuple[ActivityType, ...]]]:
    """The fewest activities besides: how many, and which types would do. `left`: what each one still lacks."""
    lack = [at for at, lacking in left.items() if lacking > 0]
    if not lack:
        return []
    # Types that count for the same criteria are worth the same: one of each kind is enough to try.
    alike: dict[tuple[bool, ...], list[ActivityType]] = {}
    for kind in ACTIVITY_TYPES:
        counts_for = tuple(kind in short[at].leaf.types for at in lack)
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
    asked: Sequence[Wanted], types: Sequence[ActivityType], short: Sequence[_Short], facts: DealFacts
) -> Need:
    leaf = asked[0].leaf
    assert isinstance(leaf, CallNotesEvidence)
    own = [one.stage for one in asked if isinstance(one.leaf, CallNotesEvidence) and one.leaf.since]
    served, later = _counts_for(types, short, facts, own)
    says = f"the call notes {leaf.call_notes.replace('_', ' ')}, filled in, in a {in_words(types)} {_when(later)}"
    return Need(
        "call_notes",
        leaf.call_notes,
        says.strip(),
        (*dict.fromkeys(one.leaf for one in asked), *served),
        options=tuple(types),
        after_entry_of=later,
    )


def _objections(
    name: str, count: int, wanted: Sequence[Wanted], short: Sequence[_Short], facts: DealFacts
) -> Need:
    served, later = _counts_for(("task",), short, facts)
    says = f"{number_of(count, 'open objection')} to be closed"
    if name == "new":
        says = f"{number_of(count, 'objection')} to be listed as a task, and closed"
    asking: tuple[Leaf, ...] = tuple(one.leaf for one in wanted if isinstance(one.leaf, ObjectionsEvidence))
    return Need(
        "objection",
        name,
        f"{says} {_when(later)}".strip(),
        (*dict.fromkeys(asking), *served),
        count=count,
        after_entry_of=later,
    )


def _counts_for(
    types: Sequence[ActivityType], short: Sequence[_Short], facts: DealFacts, stages: Iterable[str] = ()
) -> tuple[tuple[Leaf, ...], tuple[str, ...]]:
    """The evidence that an activity of any of these types counts for, and the stages that must be entered before."""
    served = [one for one in short if set(types) <= set(one.leaf.types)]
    asked = [*stages, *(one.stage for one in served if one.leaf.since is not None)]
    later = tuple(stage for stage in dict.fromkeys(asked) if stage not in facts.entered)
    return tuple(dict.fromkeys(one.leaf for one in served)), later


def _when(later: Sequence[str]) -> str:
    if not later:
        return ""
    return f"once the deal has entered {' and '.join(key.replace('_', ' ') or 'its stage' for key in later)}"
