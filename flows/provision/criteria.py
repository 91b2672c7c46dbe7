"""Checks the deal properties of exit criteria against those in HubSpot: a typing error would never show later,
the criterion would just stay unmet forever.
"""

from collections.abc import Iterator, Mapping, Set
from difflib import get_close_matches

from connectors.hubspot.portal import Portal
from connectors.hubspot.records import Property
from flows.provision.changes import Note, Problem
from flows.rules.criteria.evidence import Leaf, leaves
from flows.rules.criteria.kinds.base import Held
from flows.rules.process.sales_process import SalesProcess

_OBJECT = "criterion"


def criteria_properties(portal: Portal, process: SalesProcess, ours: Set[str]) -> Iterator[Problem | Note]:
    """Criteria that HubSpot's deal properties can never meet. `ours`: properties that provision itself creates."""
    live = {known.name: known for known in portal.list_properties("deals")}
    for stage in process.stages:
        for criterion in stage.exit_criteria:
            name = f"{criterion.key} of stage {stage.label}"
            for leaf in leaves(criterion.evidence):
                yield from _leaf(name, leaf, live, ours)


def _leaf(name: str, leaf: Leaf, live: Mapping[str, Property], ours: Set[str]) -> Iterator[Problem | Note]:
    for one in leaf.properties():
        known = live.get(one)
        if known is None and one not in ours:
            yield _unknown(name, one, {*live, *ours})
        elif known is not None:
            yield from _never(name, leaf, known)


def _unknown(name: str, asked: str, names: Set[str]) -> Problem:
    near = get_close_matches(asked, sorted(names), n=1, cutoff=0.75)
    guess = f" (did you mean {near[0]}?)" if near else ""
    return Problem(
        _OBJECT,
        name,
        f"uses deal property {asked}, which HubSpot does not have{guess}",
        "correct the name in the process file, or create (or restore) the property in HubSpot, Settings > Properties",
    )


def _never(name: str, leaf: Leaf, known: Property) -> Iterator[Problem | Note]:
    """A value that the property does not take; a test that does not go with what the property holds."""
    held = Held(known.name, known.type, {option.value: option.label for option in known.options})
    way_out = "name one of its values, or add that option in HubSpot, Settings > Properties"
    for misfit in leaf.misfits(held):
        if misfit.never:
            yield Problem(_OBJECT, name, misfit.text, way_out)
        else:
            yield Note(f"criterion {name} {misfit.text}")
