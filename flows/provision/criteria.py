"""Checks the deal properties of exit criteria against those in HubSpot: a typing error would never show later,
the criterion would just stay unmet forever.
"""

from collections.abc import Iterator, Mapping, Set
from difflib import get_close_matches

from connectors.hubspot.portal import Portal
from connectors.hubspot.records import Property
from flows.provision.changes import Note, Problem
from flows.rules.criteria.evidence import DateEvidence, Leaf, PropertyEvidence, leaves
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
    if isinstance(leaf, DateEvidence):
        asked = [leaf.date, *([leaf.after] if leaf.after else [])]
    elif isinstance(leaf, PropertyEvidence):
        asked = [leaf.property]
    else:
        return
    for one in asked:
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
    """Problems of a value that the property does not have, or a test that does not fit its type."""
    if isinstance(leaf, DateEvidence):
        if known.type not in ("date", "datetime"):
            yield Note(
                f"criterion {name} treats deal property {known.name} as a date, but it holds {known.type} values"
            )
        return
    assert isinstance(leaf, PropertyEvidence)
    if (leaf.at_least is not None or leaf.at_most is not None) and known.type != "number":
        yield Note(
            f"criterion {name} treats deal property {known.name} as a number, but it holds {known.type} values"
        )
    wanted = [leaf.equals] if leaf.equals is not None else [*leaf.one_of]
    values = {option.value: option.label for option in known.options}
    missing = [value for value in wanted if value not in values]
    if known.type != "enumeration" or not values or not missing:
        return
    by_label = {label: value for value, label in values.items()}
    meant = [f"{value} is the label of {by_label[value]}" for value in missing if value in by_label]
    takes = ", ".join(values) + (f"; {', '.join(meant)}" if meant else "")
    text = f"asks deal property {known.name} to be {' or '.join(missing)}, which are not among its values ({takes})"
    yield Problem(
        _OBJECT, name, text, "name one of its values, or add that option in HubSpot, Settings > Properties"
    )
