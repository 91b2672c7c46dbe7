"""What in the CRM proves an exit criterion: six kinds of evidence, as the process file writes them."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PropertyEvidence(_Part):
    """A deal property is set, equals a value, is one of several, or is at least a number."""

    property: str
    is_: Literal["set"] | None = Field(None, alias="is")
    equals: Annotated[str, Field(min_length=1)] | None = None
    one_of: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    at_least: Decimal | None = None

    @model_validator(mode="after")
    def _one_test(self) -> "PropertyEvidence":
        given = [self.is_, self.equals, self.one_of or None, self.at_least]
        if sum(value is not None for value in given) != 1:
            raise ValueError("give exactly one of: is: set, equals, one_of, at_least")
        return self


class ContactEvidence(_Part):
    """A contact is on the deal: `any`, or one with a role from `roles`."""

    contact: str


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


_KINDS_OF_EVIDENCE = ("property", "contact", "company", "line_items", "document", "signature")


def _kind_of_evidence(given: Any) -> str | None:
    """Which of our kinds a mapping means, by the one key that only this kind has."""
    names = given if isinstance(given, Mapping) else getattr(type(given), "model_fields", ())
    return next((kind for kind in _KINDS_OF_EVIDENCE if kind in names), None)


Evidence = Annotated[
    Annotated[PropertyEvidence, Tag("property")]
    | Annotated[ContactEvidence, Tag("contact")]
    | Annotated[CompanyEvidence, Tag("company")]
    | Annotated[LineItemEvidence, Tag("line_items")]
    | Annotated[DocumentEvidence, Tag("document")]
    | Annotated[SignatureEvidence, Tag("signature")],
    Discriminator(
        _kind_of_evidence,
        custom_error_type="evidence",
        custom_error_message="give one of: " + ", ".join(_KINDS_OF_EVIDENCE),
    ),
]
