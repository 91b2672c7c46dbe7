"""A deal property and what its value must be."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from flows.rules.criteria.deal_facts import DealFacts, Found, Proof
from flows.rules.criteria.kinds.base import BaseEvidence, Held, Misfit
from flows.rules.criteria.kinds.phrases import property_text
from flows.rules.criteria.kinds.properties import OfProperties

if TYPE_CHECKING:
    from flows.rules.process.sales_process import SalesProcess

# HubSpot fills these on every deal; the intake fills the name.
_ALWAYS_SET = frozenset(
    "dealname dealstage pipeline createdate hs_createdate hs_object_id hs_lastmodifieddate".split()
)
# Besides our own properties (dealflow_...), what the intake takes over from a lead.
_WORKER_SETS = frozenset({"amount", "hubspot_owner_id"}) | _ALWAYS_SET
_APPROVAL = ("approv", "freig", "genehm")


class PropertyEvidence(OfProperties):
    """A deal property is set, equals a value, is one of several, or is a number of at least or at most so much."""

    property: str
    is_: Literal["set"] | None = Field(None, alias="is")
    equals: Annotated[str, Field(min_length=1)] | None = None
    one_of: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    at_least: Decimal | None = None
    at_most: Decimal | None = None

    kept_by_us = True

    @model_validator(mode="after")
    def _one_test(self) -> "PropertyEvidence":
        given = [self.is_, self.equals, self.one_of or None, self.at_least, self.at_most]
        if sum(value is not None for value in given) != 1:
            raise ValueError("give exactly one of: is: set, equals, one_of, at_least, at_most")
        return self

    @classmethod
    def complete_schema(cls, schema: dict[str, Any], roles: Sequence[str]) -> None:
        """One test beside the property's name: only the validator knows."""
        schema["minProperties"] = 2

    def properties(self) -> tuple[str, ...]:
        """The one."""
        return (self.property,)

    def choices(self) -> tuple[str, ...]:
        """The values that the file names."""
        return (self.equals,) if self.equals is not None else self.one_of

    def bounds(self) -> tuple[Decimal, ...]:
        """The numbers that the file names."""
        return tuple(bound for bound in (self.at_least, self.at_most) if bound is not None)

    def check(self, facts: DealFacts, stage: str) -> Found:
        """The deal, when the value passes."""
        value = (facts.properties.get(self.property) or "").strip()
        name = self.property
        if self.at_least is not None:
            number = _number(value)
            met = number is not None and number >= self.at_least
            missing = f"deal property {name} of at least {self.at_least}"
        elif self.at_most is not None:
            number = _number(value)
            met = number is not None and number <= self.at_most
            missing = f"deal property {name} of at most {self.at_most}"
        elif self.equals is not None:
            met, missing = value == self.equals, f"deal property {name} to be {self.equals}"
        elif self.one_of:
            met, missing = value in self.one_of, f"deal property {name} to be one of {', '.join(self.one_of)}"
        else:
            met, missing = value != "", f"deal property {name} to be set"
        return Found(f"deal property {name}" if met else "", missing, (Proof("deal", facts.deal_id),))

    def mirrored(self, properties: Collection[str]) -> bool:
        """Whether the mirror asked for the property."""
        return self.property in properties

    def misfits(self, held: Held) -> Iterator[Misfit]:
        """A number asked of another type; a value that is none of the property's choices."""
        if self.bounds() and held.type != "number":
            yield Misfit(f"treats deal property {held.name} as a number, but it holds {held.type} values")
        missing = [value for value in self.choices() if value not in held.options]
        if held.type != "enumeration" or not held.options or not missing:
            return
        by_label = {label: value for value, label in held.options.items()}
        meant = [f"{value} is the label of {by_label[value]}" for value in missing if value in by_label]
        takes = ", ".join(held.options) + (f"; {', '.join(meant)}" if meant else "")
        text = f"asks deal property {held.name} to be {' or '.join(missing)}, which are not among its values ({takes})"
        yield Misfit(text, never=True)

    def text(self, process: "SalesProcess", labels: Mapping[str, str]) -> str:
        """The property and its test."""
        return f"{property_text(self.property, labels)} {self._test()}"

    def _test(self) -> str:
        if self.is_:
            return "is set"
        if self.equals is not None:
            return f"is “{self.equals}”"
        if self.one_of:
            return "is one of " + ", ".join(f"“{v}”" for v in self.one_of)
        if self.at_least is not None:
            return f"is at least {self.at_least}"
        return f"is at most {self.at_most}"

    def not_by_worker(self) -> str:
        """The worker writes its own properties and what a lead brings."""
        ours = self.property.startswith("dealflow_") or self.property in _WORKER_SETS
        return "" if ours else f"does not write {self.property}"

    def always_true(self) -> str:
        """Some properties are set on every deal."""
        if self.is_ and self.property in _ALWAYS_SET:
            return f"deal property {self.property} is set on every deal"
        return ""

    def shows_offer(self) -> bool:
        """A property about an approval."""
        return any(word in self.property.lower() for word in _APPROVAL)

    def covers(self, other: BaseEvidence) -> bool:
        """A narrower test of the same property includes a wider one."""
        if not isinstance(other, PropertyEvidence) or other.property != self.property:
            return False
        if other.is_ == "set":
            return True
        values = set(self.choices())
        if other.at_least is not None:
            least = other.at_least
            if self.at_least is not None:
                return self.at_least >= least
            numbers = [_number(value) for value in values]
            return bool(values) and all(number is not None and number >= least for number in numbers)
        wanted = set(other.choices())
        return bool(values) and bool(wanted) and values <= wanted


def _number(value: str) -> Decimal | None:
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
