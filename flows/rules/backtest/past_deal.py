"""A deal as it was at a past moment, as far as its history shows; and what is only known as it is now."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from flows.rules.criteria.deal_facts import Activity, DealFacts, Objection
from flows.rules.criteria.evidence import Leaf


class Span(NamedTuple):
    """A record beside the deal, or a role that a contact carries (`role`; empty: being on the deal at all).

    It came after `absent_at` (None: nobody knows) and not after `seen_at`, and was gone by `gone_at`.
    """

    kind: str  # contacts, companies, line_items
    id: str
    role: str
    seen_at: datetime | None
    absent_at: datetime | None = None
    gone_at: datetime | None = None


class PastContract(NamedTuple):
    """A contract revision; `state` is how it ended, at `ended_at`."""

    created_at: datetime
    ended_at: datetime | None
    state: str


@dataclass(frozen=True)
class PastDeal:
    """All that is known of a deal. Stages are HubSpot's ids; everything that has an order is oldest first.

    `properties` are as they are now, `versions` what they were; `whole` names those of which every version is known.
    """

    deal_id: str
    stage_id: str
    entries: Sequence[tuple[str, datetime]] = ()
    properties: Mapping[str, str | None] = field(default_factory=dict)
    versions: Mapping[str, Sequence[tuple[datetime, str | None]]] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()
    spans: Sequence[Span] = ()
    documents: Mapping[str, datetime] = field(default_factory=dict)  # kind -> first filed
    contracts: Sequence[PastContract] = ()
    activities: Sequence[Activity] | None = None  # None: they were not read, and no objections either
    objections: Sequence[Objection] = ()


@dataclass(frozen=True)
class Coverage:
    """What can be known at all: roles whose labels are read, and since when documents and signatures are ours."""

    roles: frozenset[str]
    since: datetime | None = None


@dataclass(frozen=True)
class Sight:
    """A deal at one moment. `sure` holds what is known to have been so; `likely` besides what is there now and may
    have been there then. `by_today`: properties that are only known as they are now, `unread` not even that.
    """

    sure: DealFacts
    likely: DealFacts
    by_today: frozenset[str]
    unread: frozenset[str]
    moment: datetime


def see(
    past: PastDeal, properties: Iterable[str], moment: datetime, stage: str, entered: Mapping[str, datetime]
) -> Sight:
    """The deal at that moment; of its properties these. `stage` and `entered`: as in DealFacts."""
    sure: dict[str, str | None] = {}
    now: dict[str, str | None] = {}
    unread: set[str] = set()
    for name in properties:
        found = [value for at, value in past.versions.get(name, ()) if at <= moment]
        if found or name in past.whole:
            sure[name] = found[-1] if found else None
        elif name in past.properties:
            now[name] = past.properties[name]
        else:
            unread.add(name)
    there = [span for span in past.spans if _was_there(span, moment)]
    maybe = [span for span in past.spans if _may_have_been(span, moment)]
    known = DealFacts(
        past.deal_id,
        stage,
        properties=sure,
        contacts=_contacts(there),
        companies=_ids(there, "companies"),
        line_items=_ids(there, "line_items"),
        documents=frozenset(kind for kind, at in past.documents.items() if at <= moment),
        signature=_signature(past.contracts, moment),
        activities=past.activities or (),
        objections=past.objections,
        entered=entered,
        read_at=moment,
    )
    likely = known
    if maybe or now:
        beside = [*there, *maybe]
        likely = replace(
            known,
            properties={**sure, **now},
            contacts=_contacts(beside),
            companies=_ids(beside, "companies"),
            line_items=_ids(beside, "line_items"),
        )
    return Sight(known, likely, frozenset(now), frozenset(unread), moment)


def why_unknown(leaf: Leaf, past: PastDeal, sight: Sight, coverage: Coverage) -> str:
    """Why nobody can say whether this evidence was there; empty when one can."""
    return leaf.unknown(past, sight, coverage)


def by_today(leaf: Leaf, sight: Sight) -> bool:
    """Whether this evidence looks at a property that is only known as it is now."""
    return leaf.only_by_today(sight)


def _was_there(span: Span, moment: datetime) -> bool:
    seen = span.seen_at is not None and span.seen_at <= moment
    return seen and (span.gone_at is None or moment < span.gone_at)


def _may_have_been(span: Span, moment: datetime) -> bool:
    """It was seen only later, and nobody saw that it was not there yet."""
    if span.gone_at is not None and moment >= span.gone_at:
        return False
    unseen = span.seen_at is None or moment < span.seen_at
    return unseen and (span.absent_at is None or moment > span.absent_at)


def _contacts(spans: Iterable[Span]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for span in spans:
        if span.kind == "contacts":
            found[span.id] = found.get(span.id, frozenset()) | ({span.role} - {""})
    return found


def _ids(spans: Iterable[Span], kind: str) -> frozenset[str]:
    return frozenset(span.id for span in spans if span.kind == kind)


def _signature(contracts: Sequence[PastContract], moment: datetime) -> str | None:
    begun = [one for one in contracts if one.created_at <= moment]
    if not begun:
        return None
    newest = begun[-1]
    return newest.state if newest.ended_at is not None and newest.ended_at <= moment else "open"
