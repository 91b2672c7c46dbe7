"""The sales process file as typed values: stages, exit criteria, who sells, who gets a lead, who signs."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

Key = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Sentence = Annotated[str, Field(min_length=3, max_length=300)]
Email = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")]
OnEnter = Literal["generate_proposal", "send_contract"]


class ProcessError(Exception):
    """The process file says something that cannot be meant. The text names the key."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PropertyEvidence(_Part):
    """A deal property is set, equals a value, is one of several, or is at least a number."""

    property: str
    is_: Literal["set"] | None = Field(None, alias="is")
    equals: str | None = None
    one_of: tuple[str, ...] = ()
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


Evidence = (
    PropertyEvidence
    | ContactEvidence
    | CompanyEvidence
    | LineItemEvidence
    | DocumentEvidence
    | SignatureEvidence
)


class Criterion(_Part):
    """One thing that must be true for a deal to leave its stage, and what in the CRM proves it."""

    key: Key
    kind: Literal["action", "indicator", "information", "commitment"]
    says: Sentence
    supplied_by: Literal["rep", "buyer", "worker", "manager"]
    evidence: Evidence


class Stage(_Part):
    """A place where the buyer cannot go on alone. `hubspot_stage`: id or label in the pipeline."""

    key: Key
    label: Annotated[str, Field(min_length=1, max_length=100)]
    hubspot_stage: str = ""
    probability: Annotated[float, Field(ge=0, le=1)]
    closed: Literal["won", "lost"] | None = None
    buyer_step: Sentence
    help: Sentence
    on_enter: tuple[OnEnter, ...] = ()
    exit_criteria: tuple[Criterion, ...] = ()

    @property
    def hubspot_name(self) -> str:
        """What to look for in HubSpot's pipeline."""
        return self.hubspot_stage or self.label


class Person(_Part):
    """Someone with a name and an address."""

    name: Annotated[str, Field(min_length=1)]
    email: Email


class CounterSigner(Person):
    """Who signs for us, after the client."""

    title: str = ""


class Seller(_Part):
    """Who sells: printed on documents. The counter-signer signs after the client."""

    name: Annotated[str, Field(min_length=1)]
    address: Annotated[str, Field(min_length=1)]
    email: Email
    governing_law: str = ""
    payment_days: Annotated[int, Field(ge=0, le=365)] = 30
    counter_signer: CounterSigner | None = None


class RoutingRule(_Part):
    """Leads from these countries (ISO codes) go to this owner."""

    country: Annotated[tuple[str, ...], Field(min_length=1)]
    owner: Email


class Routing(_Part):
    """Who gets a new deal."""

    rules: tuple[RoutingRule, ...] = ()
    otherwise: Literal["take_turns"] | Email = "take_turns"


class Roles(_Part):
    """Association labels between deal and contact that carry a role."""

    signer: str = "Signer"
    decision_maker: str = "Decision maker"


class OutcomeRule(_Part):
    """What an ended signature request does to the deal: move it to a stage, or leave it and tell."""

    move_to: Key | None = None
    stay: bool = False

    @model_validator(mode="after")
    def _one(self) -> "OutcomeRule":
        if (self.move_to is None) == (not self.stay):
            raise ValueError("give exactly one of: move_to, stay: true")
        return self


class SignatureOutcomes(_Part):
    """Every way a signature request can end must be answered."""

    completed: OutcomeRule
    declined: OutcomeRule
    expired: OutcomeRule
    canceled: OutcomeRule
    failed: OutcomeRule


class SalesProcess(_Part):
    """The whole file."""

    name: str
    pipeline: Annotated[str, Field(min_length=1)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "EUR"
    locale: str = "en_US"
    seller: Seller
    routing: Routing = Routing()
    roles: Roles = Roles()
    stages: Annotated[tuple[Stage, ...], Field(min_length=2)]
    signature_outcomes: SignatureOutcomes

    @field_validator("stages")
    @classmethod
    def _stages_fit(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        keys = [s.key for s in stages]
        if len(set(keys)) != len(keys):
            raise ValueError("stage keys must differ")
        if [s.closed for s in stages].count("won") != 1 or [s.closed for s in stages].count("lost") != 1:
            raise ValueError("exactly one stage is closed: won and exactly one is closed: lost")
        criteria = [c.key for s in stages for c in s.exit_criteria]
        if len(set(criteria)) != len(criteria):
            raise ValueError("criterion keys must differ across all stages")
        return stages

    @model_validator(mode="after")
    def _references_fit(self) -> "SalesProcess":
        for name, rule in self.signature_outcomes:
            if rule.move_to is not None and rule.move_to not in self.keys:
                raise ValueError(f"signature_outcomes.{name}: there is no stage {rule.move_to!r}")
        roles = {"any", *type(self.roles).model_fields}
        for stage in self.stages:
            for criterion in stage.exit_criteria:
                evidence = criterion.evidence
                if isinstance(evidence, ContactEvidence) and evidence.contact not in roles:
                    raise ValueError(f"criterion {criterion.key}: there is no role {evidence.contact!r}")
        return self

    def stage(self, key: str) -> Stage:
        """The stage with this key. Raises KeyError."""
        for stage in self.stages:
            if stage.key == key:
                return stage
        raise KeyError(key)

    @property
    def keys(self) -> tuple[str, ...]:
        """Stage keys in order."""
        return tuple(s.key for s in self.stages)

    @property
    def won(self) -> Stage:
        """The stage of won deals."""
        return next(s for s in self.stages if s.closed == "won")

    @property
    def first(self) -> Stage:
        """The stage of new deals."""
        return next(s for s in self.stages if s.closed is None)

    def stage_for(self, action: OnEnter) -> Stage | None:
        """The stage whose entry calls for this action."""
        return next((s for s in self.stages if action in s.on_enter), None)

    def gate_before(self, key: str) -> tuple[Criterion, ...]:
        """All criteria a deal must meet to stand in the stage `key`: those of every open stage before it."""
        gate: list[Criterion] = []
        for stage in self.stages:
            if stage.key == key:
                break
            if stage.closed is None:
                gate.extend(stage.exit_criteria)
        return tuple(gate)


def parse_process(content: Mapping[str, Any]) -> SalesProcess:
    """The process from a parsed YAML mapping. Raises ProcessError naming the key and what is wrong."""
    try:
        return SalesProcess.model_validate(content)
    except ValidationError as problem:
        lines = []
        for error in problem.errors()[:5]:
            place = ".".join(str(part) for part in error["loc"]) or "file"
            lines.append(f"{place}: {error['msg']}")
        raise ProcessError("; ".join(lines)) from None
