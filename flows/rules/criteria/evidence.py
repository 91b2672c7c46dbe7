"""What in the CRM proves an exit criterion: all kinds of evidence, and the union by which the process file is read.

A kind is one file in kinds/ and its line in `KINDS`. The error "give exactly one of: ..." and the JSON schema follow.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import Discriminator, Tag

from flows.rules.criteria.deal_facts import ACTIVITY_TYPES as ACTIVITY_TYPES
from flows.rules.criteria.deal_facts import ActivityType as ActivityType
from flows.rules.criteria.kinds.activity import ActivityEvidence as ActivityEvidence
from flows.rules.criteria.kinds.base import BaseEvidence, LeafEvidence
from flows.rules.criteria.kinds.call_notes import CallNotesEvidence as CallNotesEvidence
from flows.rules.criteria.kinds.combined import AllOf as AllOf
from flows.rules.criteria.kinds.combined import AnyOf as AnyOf
from flows.rules.criteria.kinds.company import CompanyEvidence as CompanyEvidence
from flows.rules.criteria.kinds.contact import ContactEvidence as ContactEvidence
from flows.rules.criteria.kinds.contact import ContactsEvidence as ContactsEvidence
from flows.rules.criteria.kinds.date import DateEvidence as DateEvidence
from flows.rules.criteria.kinds.document import DocumentEvidence as DocumentEvidence
from flows.rules.criteria.kinds.line_items import LineItemEvidence as LineItemEvidence
from flows.rules.criteria.kinds.objections import ObjectionsEvidence as ObjectionsEvidence
from flows.rules.criteria.kinds.plan import PlanEvidence as PlanEvidence
from flows.rules.criteria.kinds.property import PropertyEvidence as PropertyEvidence
from flows.rules.criteria.kinds.quote import QuoteEvidence as QuoteEvidence
from flows.rules.criteria.kinds.signature import SignatureEvidence as SignatureEvidence

Leaf = LeafEvidence
"""Evidence that is not made of other evidence."""
KINDS: tuple[type[BaseEvidence], ...] = (
    PropertyEvidence,
    DateEvidence,
    ContactEvidence,
    ContactsEvidence,
    CompanyEvidence,
    LineItemEvidence,
    DocumentEvidence,
    SignatureEvidence,
    QuoteEvidence,
    ActivityEvidence,
    CallNotesEvidence,
    ObjectionsEvidence,
    PlanEvidence,
    AnyOf,
    AllOf,
)
"""Every kind, in the order in which people are shown them."""

_KEYS = tuple(kind.key() for kind in KINDS)


def _kind_of_evidence(given: Any) -> str | None:
    """Which kind a mapping means, by the one key that only this kind has."""
    names = given if isinstance(given, Mapping) else getattr(type(given), "model_fields", ())
    kinds = [key for key in _KEYS if key in names]
    return kinds[0] if len(kinds) == 1 else None


if TYPE_CHECKING:
    Evidence = BaseEvidence
else:
    Evidence = Annotated[
        Union[tuple(Annotated[kind, Tag(kind.key())] for kind in KINDS)],  # noqa: UP007
        Discriminator(
            _kind_of_evidence,
            custom_error_type="evidence",
            custom_error_message="give exactly one of: " + ", ".join(_KEYS),
        ),
    ]
for _combined in (AnyOf, AllOf):
    _combined.model_rebuild(_types_namespace={"Evidence": Evidence})


def placed(
    evidence: BaseEvidence, place: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], BaseEvidence]]:
    """The evidence itself and all that it is written of, each with the way to it through the file."""
    yield place, evidence
    for number, part in enumerate(evidence.parts()):
        yield from placed(part, (*place, evidence.key(), number))


def leaves(evidence: BaseEvidence) -> Iterator[Leaf]:
    """What the evidence is made of, in the order of the file; a plan is made of its fields."""
    return evidence.leaves()


def ways(evidence: BaseEvidence, owner: frozenset[str] | None = None) -> tuple[tuple[Leaf, ...], ...]:
    """The alternatives that each meet the evidence: sets of leaves that must all hold, in the order of the file.

    `owner`: the names of the deal's owner, for plans that only some use.
    """
    return evidence.ways(owner)
