"""What a kind of evidence states about itself, with defaults: a simple kind needs its fields, `check` and `text`.

To add a kind: write its file here, and add its class to `KINDS` in ../evidence.py.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from flows.rules.criteria.deal_facts import ActivityType, DealFacts, Found
from flows.rules.criteria.kinds.phrases import as_written
from flows.rules.criteria.need import Need, Wanted
from flows.rules.criteria.weight import Weight

if TYPE_CHECKING:
    from flows.rules.backtest.past_deal import Coverage, PastDeal, Sight
    from flows.rules.process.sales_process import SalesProcess

Action = Literal["generate_proposal", "send_contract", "hand_over"]
"""What the worker does when a deal enters a stage."""


class Held(NamedTuple):
    """What a deal property in HubSpot holds: its type, and its choices (value -> label)."""

    name: str
    type: str
    options: Mapping[str, str]


class Misfit(NamedTuple):
    """A test that does not fit the property. `never`: no value of it can pass; else only a doubt."""

    text: str
    never: bool = False


class BaseEvidence(BaseModel):
    """What in the CRM proves an exit criterion. The first field of a kind is the key that only this kind has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kept_by_us: ClassVar[bool] = False
    """Whether our people write it into HubSpot, so that a buyer cannot supply it."""
    combined: ClassVar[bool] = False
    """Whether it is made of other evidence that stands in the file."""

    # The process file

    @classmethod
    def key(cls) -> str:
        """The key by which the file names this kind."""
        return next(iter(cls.model_fields))

    @classmethod
    def complete_schema(cls, schema: dict[str, Any], roles: Sequence[str]) -> None:
        """Add to this kind's JSON schema what only validators know. `roles`: those that a process may have."""

    def parts(self) -> tuple["BaseEvidence", ...]:
        """The evidence that this one is written of."""
        return ()

    def unknown_name(self, process: "SalesProcess") -> tuple[str, str] | None:
        """A name that the file does not have: the key under which it stands, and what is wrong."""
        return None

    def bind(self, process: "SalesProcess") -> None:
        """Take from the file what this evidence refers to: once, when the file is read."""

    # What it is made of

    def leaves(self) -> Iterator["LeafEvidence"]:
        """The single pieces of evidence, in the order of the file."""
        raise NotImplementedError

    def ways(self, owner: frozenset[str] | None) -> tuple[tuple["LeafEvidence", ...], ...]:
        """The alternatives that each meet it. `owner`: the names of the deal's owner."""
        raise NotImplementedError

    def count_ways(self) -> int:
        """How many ways there are, without listing them."""
        return 1

    def required(self) -> Iterator["BaseEvidence"]:
        """The evidence itself, and what must hold with it."""
        yield self

    # Judging

    def check(self, facts: DealFacts, stage: str) -> Found:
        """What proves it. `stage`: whose criterion asks for it."""
        raise NotImplementedError

    def weigh(self, leaf: Callable[["LeafEvidence"], Weight]) -> Weight:
        """Whether it was there at a past moment. `leaf` weighs a single piece."""
        raise NotImplementedError

    def mirrored(self, properties: Collection[str]) -> bool:
        """Whether the mirror's closed deals show it. `properties`: the deal properties that the mirror has."""
        return False

    # Words for people

    def text(self, process: "SalesProcess", labels: Mapping[str, str]) -> str:
        """What to look for in HubSpot. `labels`: of deal properties. Default: as the file writes it."""
        return ", ".join(as_written(self.model_dump(by_alias=True, exclude_defaults=True)))

    # Lint

    def made_by(self) -> Action | None:
        """The action of the worker without which it cannot come about; None: people supply it."""
        return None

    def not_by_worker(self) -> str:
        """What the worker does not do, where this evidence would take it ("labels no contacts"); else empty."""
        return ""

    def always_true(self) -> str:
        """Why every deal has it; empty when some deals lack it."""
        return ""

    def shows_offer(self) -> bool:
        """Whether a deal that has it has an offer that the buyer or we have approved, as a contract needs."""
        return False

    def implies(self, other: "BaseEvidence") -> bool:
        """Whether a deal with this evidence always has the other."""
        return self == other or self.covers(other) or other.covered_by(self)

    def covers(self, other: "BaseEvidence") -> bool:
        """Which other evidence it includes, besides its equal."""
        return False

    def covered_by(self, given: "BaseEvidence") -> bool:
        """Whether the other evidence includes all of this; for kinds that are made of others."""
        return False


class LeafEvidence(BaseEvidence):
    """Evidence that is not made of other evidence: most kinds.

    A kind writes its fields, `check` and `text`, and of the rest what applies to it:

    - what it asks HubSpot for: `properties`, `shown_in`, `activities`, `objects`, `roles`, `from_entry`, `misfits`
    - the process file: `complete_schema`, `unknown_name`, `bind`, `kept_by_us`
    - lint: `made_by`, `not_by_worker`, `always_true`, `shows_offer`, `covers`
    - what would open the gate: `about`, `fewest`
    - the back-test: `unknown`, `only_by_today`, `mirrored`
    """

    def leaves(self) -> Iterator["LeafEvidence"]:
        """Itself."""
        yield self

    def ways(self, owner: frozenset[str] | None) -> tuple[tuple["LeafEvidence", ...], ...]:
        """One way: itself."""
        return ((self,),)

    def weigh(self, leaf: Callable[["LeafEvidence"], Weight]) -> Weight:
        """As `leaf` weighs it."""
        return leaf(self)

    # What it asks HubSpot for

    def properties(self) -> tuple[str, ...]:
        """The deal properties it looks at, what it is about first."""
        return ()

    def shown_in(self) -> tuple[str, ...]:
        """The deal properties in which a person finds what it is about."""
        return self.properties()

    def activities(self) -> Mapping[ActivityType, tuple[str, ...]]:
        """The types of activity it needs, each with the properties read besides time and state."""
        return {}

    def objects(self) -> tuple[str, ...]:
        """Object types to be read besides the deal's contacts, companies and line items, as HubSpot names them."""
        return ()

    def roles(self) -> tuple[str, ...]:
        """The roles of contacts it looks for."""
        return ()

    def from_entry(self) -> bool:
        """Whether it counts from the deal's entry into the criterion's stage (then the stage history is read)."""
        return False

    def misfits(self, held: Held) -> Iterator[Misfit]:
        """What does not fit a deal property that HubSpot has."""
        return iter(())

    # What would open the gate

    def about(self) -> tuple[str, ...]:
        """The separate thing it is about. Evidence about one thing is searched together; several join them."""
        return (self.key(),)

    def fewest(self, wanted: Sequence[Wanted], facts: DealFacts) -> tuple[Need, ...] | None:
        """The fewest facts that meet all of `wanted` (all about this thing, not all met); None when none do."""
        name = self.key()
        says = self.check(facts, wanted[0].stage).missing
        return (Need(name, str(getattr(self, name)), says, tuple(one.leaf for one in wanted)),)

    # The back-test

    def unknown(self, past: "PastDeal", sight: "Sight", coverage: "Coverage") -> str:
        """Why nobody can say whether it was there; empty when one can. Default: what it asks for was not read."""
        for name in self.properties():
            if name in sight.unread:
                return f"deal property {name} was never read"
        if past.activities is None and self.activities():
            return "activities are not mirrored"
        return f"{' and '.join(self.objects())} are not mirrored" if self.objects() else ""

    def only_by_today(self, sight: "Sight") -> bool:
        """Whether it looks at a property that is only known as it is now."""
        return not sight.by_today.isdisjoint(self.properties())
