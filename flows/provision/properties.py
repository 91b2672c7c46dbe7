"""Compares our properties in HubSpot with their definitions: missing, archived, changed or conflicting."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from connectors.hubspot.portal import Portal
from connectors.hubspot.records import Option, Property
from flows.provision.changes import Change, Difference, Found, Problem
from flows.rules.criteria.evidence import leaves
from flows.rules.process.sales_process import SalesProcess

GROUP = "dealflow"
_GROUP_LABEL = "Dealflow"
_SINGULAR = {"deals": "deal", "companies": "company", "contacts": "contact"}


@dataclass(frozen=True)
class OwnProperty:
    """A custom property that we need. `unique` cannot be added to an existing property. `shared`: if it exists already,
    outside our group, it belongs to the company and stays as it is.
    """

    object_type: str
    name: str
    label: str
    description: str
    field_type: str = "text"
    type: str = "string"
    unique: bool = False
    options: tuple[Option, ...] = ()
    shared: bool = False


def own_properties(portal: Portal, process: SalesProcess, wanted: Sequence[OwnProperty]) -> Iterator[Found]:
    """What to create, restore or correct, for each object type."""
    for object_type in dict.fromkeys(own.object_type for own in wanted):
        mine = [own for own in wanted if own.object_type == object_type]
        live = {known.name: known for known in portal.list_properties(object_type)}
        archived: dict[str, Property] = {}
        if any(own.name not in live for own in mine):
            archived = {known.name: known for known in portal.list_properties(object_type, archived=True)}
        if GROUP not in portal.list_property_groups(object_type):
            yield _new_group(portal, object_type)
        for own in mine:
            known = live.get(own.name) or archived.get(own.name)
            yield from _one(portal, own, described(own, process), known)


def described(own: OwnProperty, process: SalesProcess) -> str:
    """The help text in HubSpot: its purpose, and the stages that cannot be left without it."""
    asked = [
        f"Needed to leave {stage.label}: {criterion.says.rstrip('.')}."
        for stage in process.stages
        for criterion in stage.exit_criteria
        if own.object_type == "deals"
        and any(own.name in leaf.shown_in() for leaf in leaves(criterion.evidence))
    ]
    return " ".join([f"{own.description.rstrip('.')}.", *asked])


def _new_group(portal: Portal, object_type: str) -> Change:
    return Change(
        "create",
        f"{_SINGULAR[object_type]} property group",
        GROUP,
        (Difference("label", None, _GROUP_LABEL),),
        lambda: portal.create_property_group(object_type, GROUP, _GROUP_LABEL),
    )


def _one(portal: Portal, own: OwnProperty, description: str, known: Property | None) -> Iterator[Found]:
    name = f"{'unique ' if own.unique else ''}{_SINGULAR[own.object_type]} property"
    if known is not None and (clash := _clash(own, known)):
        yield Problem(name, own.name, clash, _WAY_OUT)
    elif own.shared and known is not None and known.group_name != GROUP:
        return
    elif known is None:
        new = _differences(own, description, None)
        yield Change("create", name, own.name, new, lambda: _create(portal, own, description), own.label)
    elif known.archived:
        back = (Difference("archived", True, False), *_differences(own, description, known))
        yield Change(
            "restore",
            name,
            own.name,
            back,
            lambda: _restore(portal, own, description, known),
            "from HubSpot's archive, with its values",
        )
    elif different := _differences(own, description, known):
        yield Change("update", name, own.name, different, lambda: _set(portal, own, description, known))


_WAY_OUT = (
    "export its values if you need them, archive it in HubSpot (Settings > Properties), delete it there "
    "from the archived properties too, then run provision again"
)


def _clash(own: OwnProperty, known: Property) -> str:
    """What cannot be changed in place; empty when the property fits."""
    if known.type != own.type:
        return f"holds {known.type} values, and {own.type} values are needed"
    if own.unique and not known.has_unique_value:
        return "exists but is not unique, and HubSpot cannot change that"
    return ""


def _differences(own: OwnProperty, description: str, known: Property | None) -> tuple[Difference, ...]:
    """The differences by field; all fields of a new property."""
    fields: list[tuple[str, object, object]] = [
        ("label", known and known.label, own.label),
        ("type", known and known.type, own.type),
        ("field_type", known and known.field_type, own.field_type),
        ("group", known and known.group_name, GROUP),
        ("description", known and known.description, description),
    ]
    if known is None and own.unique:
        fields.append(("unique", None, True))
    values = [option.value for option in known.options] if known else []
    missing = [option.value for option in own.options if option.value not in values]
    if missing:
        fields.append(("options", values or None, [*values, *missing]))
    return tuple(Difference(*one) for one in fields if one[1] != one[2])


def _create(portal: Portal, own: OwnProperty, description: str) -> None:
    portal.create_property(
        own.object_type,
        own.name,
        label=own.label,
        group=GROUP,
        type=own.type,
        field_type=own.field_type,
        description=description,
        unique=own.unique,
        options=own.options,
    )


def _restore(portal: Portal, own: OwnProperty, description: str, known: Property) -> None:
    """Restore an archived property by creating its name again. Whether it gets the new definition is not documented,
    so the definition is set as well.
    """
    _create(portal, own, description)
    _set(portal, own, description, known)


def _set(portal: Portal, own: OwnProperty, description: str, known: Property) -> None:
    had = {option.value for option in known.options}
    portal.update_property(
        own.object_type,
        own.name,
        label=own.label,
        group=GROUP,
        type=own.type,
        field_type=own.field_type,
        description=description,
        options=(*known.options, *(option for option in own.options if option.value not in had)),
    )
