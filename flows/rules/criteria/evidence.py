"""What in the CRM proves an exit criterion: the kinds of evidence, as the process file writes them."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Discriminator, Field, PrivateAttr, Tag, model_validator

ActivityType = Literal["call", "email", "meeting", "note", "task"]
ACTIVITY_TYPES: tuple[ActivityType, ...] = get_args(ActivityType)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PropertyEvidence(_Part):
    """A deal property is set, equals a value, is one of several, or is a number of at least or at most so much."""

    property: str
    is_: Literal["set"] | None = Field(None, alias="is")
    equals: Annotated[str, Field(min_length=1)] | None = None
    one_of: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    at_least: Decimal | None = None
    at_most: Decimal | None = None

    @model_validator(mode="after")
    def _one_test(self) -> "PropertyEvidence":
        given = [self.is_, self.equals, self.one_of or None, self.at_least, self.at_most]
        if sum(value is not None for value in given) != 1:
            raise ValueError("give exactly one of: is: set, equals, one_of, at_least, at_most")
        return self


class DateEvidence(_Part):
    """A deal property is a day: from today to `within_days` ahead, today or later (`not_past`), or later than the day
    in another deal property (`after`). Days are UTC.
    """

    date: Annotated[str, Field(min_length=1)]
    within_days: Annotated[int, Field(ge=0, le=3650)] | None = None
    not_past: Literal[True] | None = None
    after: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_test(self) -> "DateEvidence":
        given = [self.within_days, self.not_past, self.after]
        if sum(value is not None for value in given) != 1:
            raise ValueError("give exactly one of: within_days, not_past: true, after")
        if self.after == self.date:
            raise ValueError("after: a day is never later than itself; name another deal property")
        return self


class ContactEvidence(_Part):
    """A contact is on the deal: `any`, or one with a role from `roles`."""

    contact: str


class ContactsEvidence(_Part):
    """At least so many contacts are on the deal, whatever their roles."""

    contacts: Annotated[int, Field(ge=1, le=50)]


class CompanyEvidence(_Part):
    """A company is on the deal."""

    company: Literal["any"]


class LineItemEvidence(_Part):
    """At least so many line items are on the deal."""

    line_items: Annotated[int, Field(ge=1)]


class DocumentEvidence(_Part):
    """A document of this kind is filed on the deal."""

    document: Literal["proposal", "contract"]


class SignatureEvidence(_Part):
    """The deal's signature request, read back from Dropbox Sign, stands so."""

    signature: Literal["completed"]


class ActivityEvidence(_Part):
    """At least so many activities of one of these types: ever, since the deal entered the criterion's stage, or
    within the last days.

    What counts has taken place: no open tasks, no meetings or calls that came to nothing, none of our own notes.
    """

    activity: Literal["any"] | ActivityType | Annotated[tuple[ActivityType, ...], Field(min_length=1)]
    at_least: Annotated[int, Field(ge=1, le=20)] = 1
    since: Literal["stage_entry"] | None = None
    within_days: Annotated[int, Field(ge=1, le=3650)] | None = None

    @model_validator(mode="after")
    def _one_beginning(self) -> "ActivityEvidence":
        if self.since is not None and self.within_days is not None:
            raise ValueError("give since: stage_entry or within_days, not both")
        return self

    @property
    def types(self) -> tuple[ActivityType, ...]:
        """The types that count, without repeats."""
        if self.activity == "any":
            return ACTIVITY_TYPES
        given = (self.activity,) if isinstance(self.activity, str) else self.activity
        return tuple(kind for kind in ACTIVITY_TYPES if kind in given)


class CallNotesEvidence(_Part):
    """A note or call carries this form from `call_notes`, every heading filled in: ever, or since the deal entered the
    criterion's stage. A note or call carries one form.
    """

    call_notes: str
    since: Literal["stage_entry"] | None = None


class ObjectionsEvidence(_Part):
    """Objections are tasks whose subject begins with `objection_prefix`: every one on the deal is completed, and at
    least so many were listed.
    """

    objections: Literal["closed"]
    at_least: Annotated[int, Field(ge=0, le=20)] = 0


class PlanEvidence(_Part):
    """Every field of this plan from `plans` is filled in; asked only of deals whose owner uses the plan."""

    plan: str
    _fields: tuple["PropertyEvidence | DateEvidence", ...] = PrivateAttr(default=())
    _used_by: frozenset[str] = PrivateAttr(default=frozenset())

    def bind(self, fields: Iterable["PropertyEvidence | DateEvidence"], used_by: Iterable[str]) -> None:
        """Learn what the plan asks for and of whom: once, when the file is read."""
        self._fields = tuple(fields)
        self._used_by = frozenset(name.casefold() for name in used_by)

    @property
    def fields(self) -> tuple["PropertyEvidence | DateEvidence", ...]:
        """What its fields ask for, one each."""
        return self._fields

    @property
    def for_some(self) -> bool:
        """Whether only some owners use it."""
        return bool(self._used_by)

    def asked_of(self, owner: frozenset[str] | None) -> bool:
        """Whether it is asked of a deal whose owner goes by these names (see DealFacts); None: not known, so it is."""
        return not self._used_by or owner is None or not self._used_by.isdisjoint(owner)


class AnyOf(_Part):
    """One of these is enough."""

    any_of: Annotated[tuple["Evidence", ...], Field(min_length=2)]

    @model_validator(mode="after")
    def _few_ways(self) -> "AnyOf":
        return _bounded(self)


class AllOf(_Part):
    """Each of these is needed."""

    all_of: Annotated[tuple["Evidence", ...], Field(min_length=2)]

    @model_validator(mode="after")
    def _few_ways(self) -> "AllOf":
        return _bounded(self)


_KINDS = (
    "property",
    "date",
    "contact",
    "contacts",
    "company",
    "line_items",
    "document",
    "signature",
    "activity",
    "call_notes",
    "objections",
    "plan",
    "any_of",
    "all_of",
)


def _kind_of_evidence(given: Any) -> str | None:
    """Which of our kinds a mapping means, by the one key that only this kind has."""
    names = given if isinstance(given, Mapping) else getattr(type(given), "model_fields", ())
    kinds = [kind for kind in _KINDS if kind in names]
    return kinds[0] if len(kinds) == 1 else None


Leaf = (
    PropertyEvidence
    | DateEvidence
    | ContactEvidence
    | ContactsEvidence
    | CompanyEvidence
    | LineItemEvidence
    | DocumentEvidence
    | SignatureEvidence
    | ActivityEvidence
    | CallNotesEvidence
    | ObjectionsEvidence
)
"""Evidence that is not made of other evidence."""
Evidence = Annotated[
    Annotated[PropertyEvidence, Tag("property")]
    | Annotated[DateEvidence, Tag("date")]
    | Annotated[ContactEvidence, Tag("contact")]
    | Annotated[ContactsEvidence, Tag("contacts")]
    | Annotated[CompanyEvidence, Tag("company")]
    | Annotated[LineItemEvidence, Tag("line_items")]
    | Annotated[DocumentEvidence, Tag("document")]
    | Annotated[SignatureEvidence, Tag("signature")]
    | Annotated[ActivityEvidence, Tag("activity")]
    | Annotated[CallNotesEvidence, Tag("call_notes")]
    | Annotated[ObjectionsEvidence, Tag("objections")]
    | Annotated[PlanEvidence, Tag("plan")]
    | Annotated[AnyOf, Tag("any_of")]
    | Annotated[AllOf, Tag("all_of")],
    Discriminator(
        _kind_of_evidence,
        custom_error_type="evidence",
        custom_error_message="give exactly one of: " + ", ".join(_KINDS),
    ),
]
AnyOf.model_rebuild()
AllOf.model_rebuild()

_Combined = TypeVar("_Combined", AnyOf, AllOf)
_MOST_WAYS = 64


def placed(
    evidence: Evidence, place: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], Evidence]]:
    """The evidence itself and all that it is written of, each with the way to it through the file."""
    yield place, evidence
    if isinstance(evidence, AnyOf | AllOf):
        key = "any_of" if isinstance(evidence, AnyOf) else "all_of"
        for number, part in enumerate(_parts(evidence)):
            yield from placed(part, (*place, key, number))


def nodes(evidence: Evidence) -> Iterator[Evidence]:
    """The same without the ways."""
    return (node for _, node in placed(evidence))


def leaves(evidence: Evidence) -> Iterator[Leaf]:
    """What the evidence is made of, in the order of the file; a plan is made of its fields."""
    for node in nodes(evidence):
        if isinstance(node, PlanEvidence):
            yield from node.fields
        elif not isinstance(node, AnyOf | AllOf):
            yield node


def ways(evidence: Evidence, owner: frozenset[str] | None = None) -> tuple[tuple[Leaf, ...], ...]:
    """The alternatives that each meet the evidence: sets of leaves that must all hold, in the order of the file.

    `owner`: the names of the deal's owner, for plans that only some use.
    """
    if isinstance(evidence, AnyOf):
        return tuple(way for part in evidence.any_of for way in ways(part, owner))
    if isinstance(evidence, AllOf):
        product = itertools.product(*(ways(part, owner) for part in evidence.all_of))
        return tuple(tuple(itertools.chain.from_iterable(chosen)) for chosen in product)
    if isinstance(evidence, PlanEvidence):
        return (evidence.fields if evidence.asked_of(owner) else (),)
    return ((evidence,),)


def _parts(evidence: AnyOf | AllOf) -> tuple[Evidence, ...]:
    return evidence.any_of if isinstance(evidence, AnyOf) else evidence.all_of


def _bounded(evidence: _Combined) -> _Combined:
    """Raises ValueError when there are too many ways to compare them all. Counts without listing them."""
    if _count(evidence) > _MOST_WAYS:
        raise ValueError(
            f"there are more than {_MOST_WAYS} ways to meet this: split it into several criteria"
        )
    return evidence


def _count(evidence: Evidence) -> int:
    if isinstance(evidence, AnyOf):
        return sum(_count(part) for part in evidence.any_of)
    return math.prod(_count(part) for part in evidence.all_of) if isinstance(evidence, AllOf) else 1
