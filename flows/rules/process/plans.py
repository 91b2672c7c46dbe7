"""Plans that are made with the buyer and kept on the deal: each field is a deal property."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from flows.rules.criteria.kinds.date import DateEvidence
from flows.rules.criteria.kinds.property import PropertyEvidence
from flows.rules.process.error import WrongAt, repeated
from flows.rules.process.part import Label, Part, Sentence

FieldType = Literal["text", "long_text", "number", "date"]


class PlanField(Part):
    """One field: a deal property that `dealflow provision` creates where HubSpot does not have it."""

    property: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,99}$")]
    """HubSpot's internal name of the property."""
    label: Label
    """What HubSpot shows."""
    description: Sentence | None = None
    """The help text in HubSpot, and the question in the handbook."""
    type: FieldType = "text"
    not_past: Literal[True] | None = None
    """A date must be today or later; a day that has passed has to be agreed on anew."""

    @model_validator(mode="after")
    def _only_days_pass(self) -> "PlanField":
        if self.not_past and self.type != "date":
            raise ValueError("not_past goes with type: date")
        return self


class BuyerPlan(Part):
    """A plan: an opportunity plan, a mutual plan, an account plan."""

    label: Label
    """What people call it."""
    says: Sentence | None = None
    """What it is for."""
    used_by: tuple[Label, ...] = ()
    """HubSpot teams, or owners by e-mail address, that make this plan. Of the deals of others it is not asked; nobody
    named: of all.
    """
    fields: Annotated[tuple[PlanField, ...], Field(min_length=1, max_length=20)]

    @field_validator("fields")
    @classmethod
    def _differ(cls, fields: tuple[PlanField, ...]) -> tuple[PlanField, ...]:
        if (again := repeated([one.property for one in fields])) is not None:
            raise WrongAt("each field needs a deal property of its own", again, "property")
        return fields

    @property
    def evidence(self) -> tuple[PropertyEvidence | DateEvidence, ...]:
        """What shows that the plan is filled in, one for each field."""
        return tuple(map(evidence_of_field, self.fields))


def evidence_of_field(field: PlanField) -> PropertyEvidence | DateEvidence:
    """What shows that a field is filled in."""
    if field.not_past:
        return DateEvidence(date=field.property, not_past=True)
    return PropertyEvidence.model_validate({"property": field.property, "is": "set"})


def refuse_shared_fields(plans: Mapping[str, BuyerPlan]) -> None:
    """Raises WrongAt when two plans write the same deal property."""
    owner: dict[str, str] = {}
    for key, plan in plans.items():
        for at, one in enumerate(plan.fields):
            if owner.setdefault(one.property, key) != key:
                text = f"deal property {one.property} is a field of plan {owner[one.property]} already"
                raise WrongAt(text, key, "fields", at, "property")
