"""What exit criteria are judged on: a deal and all around it, at one moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple, get_args

ActivityType = Literal["call", "email", "meeting", "note", "task"]
ACTIVITY_TYPES: tuple[ActivityType, ...] = get_args(ActivityType)


class Proof(NamedTuple):
    """A record that proves something: deal, contact, company, line_item, quote, document, signature, an activity type.

    `at`: since when it does, where the record itself says so.
    """

    kind: str
    id: str
    at: datetime | None = None


class Activity(NamedTuple):
    """Something that has taken place on the deal. `id`: HubSpot's. `form`: the call notes that its text carries, with
    the headings that are still `empty`; never the text.
    """

    type: ActivityType
    id: str
    at: datetime
    form: str = ""
    empty: tuple[str, ...] = ()


class Objection(NamedTuple):
    """Something that stops the buyer, listed as a task. Not closed yet: `closed_at` is None."""

    id: str
    listed_at: datetime
    closed_at: datetime | None = None


class Quote(NamedTuple):
    """A quote on the deal, and whether the buyer has accepted it."""

    id: str
    accepted: bool


@dataclass(frozen=True)
class DealFacts:
    """What the CRM and our filed documents say about a deal at one moment. Ids are HubSpot's."""

    deal_id: str
    stage: str | None  # key in the process, None when the deal stands outside it
    properties: Mapping[str, str | None] = field(default_factory=dict)
    contacts: Mapping[str, frozenset[str]] = field(default_factory=dict)  # contact id -> role keys
    companies: frozenset[str] = frozenset()
    line_items: frozenset[str] = frozenset()
    documents: frozenset[str] = frozenset()
    signature: str | None = None  # completed, declined, ... of the newest contract, read back
    activities: Sequence[Activity] = ()
    objections: Sequence[Objection] = ()
    quotes: Sequence[Quote] = ()  # read only where a criterion asks for them
    owner: frozenset[str] | None = None  # teams and address of the deal's owner, case-folded; None: not known
    entered: Mapping[str, datetime] = field(default_factory=dict)  # stage key -> see `entered_at`
    filed: Mapping[str, Proof] = field(default_factory=dict)  # the records behind documents and signature
    read_at: datetime | None = None  # without it nothing that depends on today is met


class Found(NamedTuple):
    """What there is: `text` names it (empty when it is not enough), `missing` says what would be."""

    text: str
    missing: str
    records: tuple[Proof, ...] = ()
