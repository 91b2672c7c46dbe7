"""The sales process file as typed values: stages, exit criteria, who sells, who gets a lead, who signs."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from flows.rules.evidence import CompanyEvidence as CompanyEvidence
from flows.rules.evidence import ContactEvidence as ContactEvidence
from flows.rules.evidence import DocumentEvidence as DocumentEvidence
from flows.rules.evidence import Evidence as Evidence
from flows.rules.evidence import LineItemEvidence as LineItemEvidence
from flows.rules.evidence import PropertyEvidence as PropertyEvidence
from flows.rules.evidence import SignatureEvidence as SignatureEvidence
from flows.rules.evidence import leaves

Key = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Sentence = Annotated[str, Field(min_length=3, max_length=300)]
Email = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")]
OnEnter = Literal["generate_proposal", "send_contract"]


class ProcessError(Exception):
    """The process file says something that cannot be meant. The text names the key.

    `places`: where in the file, as keys and list positions, for whoever knows its lines.
    """

    def __init__(self, text: str, places: Sequence[tuple[str | int, ...]] = ()) -> None:
        super().__init__(text)
        self.places = tuple(places)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


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

    @model_validator(mode="after")
    def _closed_as_hubspot_closes(self) -> "Stage":
        # HubSpot tells won from lost by a closed stage's probability, 1.0 or 0.0
        # (developers.hubspot.com, crm/pipelines/guide, 2026-04-13).
        wanted = {"won": 1.0, "lost": 0.0, None: None}[self.closed]
        if wanted is not None and self.probability != wanted:
            raise ValueError(f"a stage that is closed: {self.closed} has probability {wanted}")
        return self


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


RoleLabel = Annotated[str, Field(min_length=1)]


class Roles(_Part):
    """Association labels between deal and contact that carry a role. The optional ones are in force when they are
    named here or asked for by a criterion: see `SalesProcess.role_labels`.
    """

    signer: RoleLabel = "Signer"
    decision_maker: RoleLabel = "Decision maker"
    budget_holder: RoleLabel | None = None
    legal: RoleLabel | None = None

    @model_validator(mode="after")
    def _differ(self) -> "Roles":
        _refuse_shared([label for label in self.model_dump().values() if label])
        return self


_OPTIONAL_ROLES = {"budget_holder": "Budget holder", "legal": "Legal"}
"""Roles that not every process has, with the label they get when none is given."""


def _refuse_shared(labels: Sequence[str]) -> None:
    if len(set(labels)) != len(labels):
        raise ValueError("each role needs a label of its own")


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
    """Every way a signature request can end must be answered; a completed one moves the deal."""

    completed: OutcomeRule
    declined: OutcomeRule
    expired: OutcomeRule
    canceled: OutcomeRule
    failed: OutcomeRule

    @field_validator("completed")
    @classmethod
    def _moves(cls, rule: OutcomeRule) -> OutcomeRule:
        if rule.move_to is None:
            raise ValueError("a signed contract moves the deal: give move_to")
        return rule


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
        if all(s.closed for s in stages):
            raise ValueError("at least one stage is open")
        if len({s.hubspot_name for s in stages}) != len(stages):
            raise ValueError(
                "each stage needs a stage of its own in HubSpot: labels (or hubspot_stage) must differ"
            )
        actions = [action for s in stages for action in s.on_enter]
        if len(set(actions)) != len(actions):
            raise ValueError("an action stands in on_enter of one stage only")
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
                for evidence in leaves(criterion.evidence):
                    if isinstance(evidence, ContactEvidence) and evidence.contact not in roles:
                        raise ValueError(f"criterion {criterion.key}: there is no role {evidence.contact!r}")
        _refuse_shared(list(self.role_labels.values()))
        return self

    @property
    def role_labels(self) -> dict[str, str]:
        """The roles in force and their association labels."""
        asked = {
            evidence.contact
            for stage in self.stages
            for criterion in stage.exit_criteria
            for evidence in leaves(criterion.evidence)
            if isinstance(evidence, ContactEvidence)
        }
        given = self.roles.model_dump()
        labels = {
            role: label or (_OPTIONAL_ROLES[role] if role in asked else None) for role, label in given.items()
        }
        return {role: label for role, label in labels.items() if label}

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
        errors = problem.errors()[:5]
        lines = [f"{_place(content, e['loc'])}: {e['msg'].removeprefix('Value error, ')}" for e in errors]
        raise ProcessError("; ".join(lines), [e["loc"] for e in errors]) from None


def _place(content: Any, loc: Sequence[str | int]) -> str:
    """Where it is, in keys: list items by their own key where they have one, else by number from 1."""
    parts: list[str] = []
    here = content
    for step in loc:
        if isinstance(step, int):
            here = here[step] if isinstance(here, Sequence) and step < len(here) else None
            key = here.get("key") if isinstance(here, Mapping) else None
            parts.append(key if isinstance(key, str) and key else f"number {step + 1}")
        else:
            # A step that is not in the file is the kind of evidence, which pydantic names in between.
            here = here.get(step, here) if isinstance(here, Mapping) else here
            parts.append(step)
    return ".".join(parts) or "the file"
