"""The fields of plans as deal properties to create if HubSpot does not have them."""

from collections.abc import Mapping

from flows.provision.properties import OwnProperty
from flows.rules.process.plans import FieldType
from flows.rules.process.sales_process import SalesProcess

_TYPES: Mapping[FieldType, tuple[str, str]] = {
    "text": ("string", "text"),
    "long_text": ("string", "textarea"),
    "number": ("number", "number"),
    "date": ("date", "date"),
}


def plan_properties(process: SalesProcess) -> tuple[OwnProperty, ...]:
    """One property for each field, in the order of the file."""
    return tuple(
        OwnProperty(
            "deals",
            field.property,
            field.label,
            f"{plan.label}: {field.description or field.label}",
            type=_TYPES[field.type][0],
            field_type=_TYPES[field.type][1],
            shared=True,
        )
        for plan in process.plans.values()
        for field in plan.fields
    )
