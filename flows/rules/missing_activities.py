"""The fewest activities that meet everything asked of a deal's activities: one may count for several criteria."""

import itertools
from collections.abc import Sequence

from flows.rules.counting import number_of
from flows.rules.evidence import ACTIVITY_TYPES, ActivityEvidence, ActivityType
from flows.rules.exit_criteria import DealFacts, counted, in_words
from flows.rules.need import Need, Wanted


def missing_activities(wanted: Sequence[Wanted], facts: DealFacts) -> tuple[Need, ...]:
    """What is to take place now. It lies within every bound, so its type alone decides what it counts for."""
    short: list[tuple[Wanted, ActivityEvidence, int]] = []
    for one in wanted:
        if isinstance(one.leaf, ActivityEvidence):
            lacking = one.leaf.at_least - len(counted(one.leaf, facts, one.stage))
            if lacking > 0:
                short.append((one, one.leaf, lacking))
    # Types that count for the same criteria are worth the same: one of each kind is enough to try.
    alike: dict[tuple[bool, ...], list[ActivityType]] = {}
    for kind in ACTIVITY_TYPES:
        counts_for = tuple(kind in leaf.types for _, leaf, _ in short)
        if any(counts_for):
            alike.setdefault(counts_for, []).append(kind)
    groups = list(alike.items())
    for total in itertools.count(max(lacking for _, _, lacking in short)):
        for chosen in itertools.combinations_with_replacement(range(len(groups)), total):
            if all(
                sum(groups[group][0][at] for group in chosen) >= lacking
                for at, (_, _, lacking) in enumerate(short)
            ):
                return tuple(
                    _need(chosen.count(group), groups[group][1], groups[group][0], short, facts)
                    for group in dict.fromkeys(chosen)
                )
    raise AssertionError("unreachable: enough activities of every type meet everything")


def _need(
    count: int,
    types: Sequence[ActivityType],
    counts_for: Sequence[bool],
    short: Sequence[tuple[Wanted, ActivityEvidence, int]],
    facts: DealFacts,
) -> Need:
    served = [one for one, counts in zip(short, counts_for, strict=True) if counts]
    stages = dict.fromkeys(one.stage for one, leaf, _ in served if leaf.since is not None)
    later = tuple(stage for stage in stages if stage not in facts.entered)
    many = number_of(count, in_words(types))
    says = f"{many} that {'takes' if count == 1 else 'take'} place now"
    if later:
        says = f"{many} once the deal has entered {_stages(later)}"
    return Need(
        "activity",
        types[0],
        says,
        tuple(leaf for _, leaf, _ in served),
        count=count,
        options=tuple(types),
        after_entry_of=later,
    )


def _stages(keys: Sequence[str]) -> str:
    return " and ".join(key.replace("_", " ") or "its stage" for key in keys)
