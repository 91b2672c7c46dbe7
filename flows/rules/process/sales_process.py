"""The sales process file as typed values: stages, exit criteria, who sells, who gets a lead, who signs."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from flows.rules.criteria.evidence import CompanyEvidence as CompanyEvidence
from flows.rules.criteria.evidence import ContactEvidence as ContactEvidence
from flows.rules.criteria.evidence import DocumentEvidence as DocumentEvidence
from flows.rules.criteria.evidence import Evidence as Evidence
from flows.rules.criteria.evidence import LineItemEvidence as LineItemEvidence
from flows.rules.criteria.evidence import PropertyEvidence as PropertyEvidence
from flows.rules.criteria.evidence import SignatureEvidence as SignatureEvidence
from flows.rules.criteria.evidence import leaves, placed
from flows.rules.criteria.kinds.base import Action
from flows.rules.process.buyer import Buyer, Material
from flows.rules.process.call_notes import CallNotes
from flows.rules.process.error import ProcessError as ProcessError
from flows.rules.process.error import WrongAt, problem_of, repeated
from flows.rules.process.follow_up_plan import FollowUp
from flows.rules.process.hand_over_plan import HandOver
from flows.rules.process.part import Key, Label, Part, Sentence
from flows.rules.process.plans import BuyerPlan, refuse_shared_fields
from flows.rules.process.seller import CounterSigner as CounterSigner
from flows.rules.process.seller import Routing as Routing
from flows.rules.process.seller import RoutingRule as RoutingRule
from flows.rules.process.seller import Seller as Seller

OnEnter = Action
Mode = Literal["observe", "warn", "revert"]


class Criterion(Part):
    """One thing that must be true for a deal to leave its stage, and what in the CRM proves it."""

    key: Key
    kind: Literal["action", "indicator", "information", "commitment"]
    """What somebody did, what shows it, what is known, or what the buyer has committed to."""
    says: Sentence
    """A plain sentence that is true or false."""
    supplied_by: Literal["rep", "buyer", "worker", "manager"]
    """Who can make it true."""
    evidence: Evidence
    """What in the CRM proves it."""


class Stage(Part):
    """A place where the buyer cannot go on alone."""

    key: Key
    """Ours: stored in the ledger, so it stays when the label changes."""
    label: Label
    hubspot_stage: str = ""
    """HubSpot's stage, by id or label, where it is not called as `label`."""
    probability: Annotated[float, Field(ge=0, le=1)]
    closed: Literal["won", "lost"] | None = None
    buyer_step: Sentence
    """What the buyer does here."""
    help: Sentence
    """What the rep does for the buyer here."""
    materials: tuple[Material, ...] = ()
    """What the buyer is given here."""
    mode: Mode = "warn"
    """A deal that is moved here with its gate unmet: count it, tell its owner, or move it back."""
    enter_from: tuple[Key, ...] = ()
    """Stages that a deal may come here from; from anywhere where none is named. Any other way in counts as unproven."""
    on_enter: tuple[OnEnter, ...] = ()
    """What the worker does when a deal comes in."""
    exit_criteria: tuple[Criterion, ...] = ()
    """What must be true for a deal to go on."""
    follow_up: FollowUp | None = None
    """What happens to a deal whose exit criteria stay unmet."""

    @property
    def hubspot_name(self) -> str:
        """What to look for in HubSpot's pipeline."""
        return self.hubspot_stage or self.label

    @model_validator(mode="after")
    def _closed_as_hubspot_closes(self) -> "Stage":
        # HubSpot knows won from lost by a closed stage's probability, 1.0 or 0.0
        # (developers.hubspot.com, crm/pipelines/guide, 2026-04-13).
        wanted = {"won": 1.0, "lost": 0.0, None: None}[self.closed]
        if wanted is not None and self.probability != wanted:
            raise WrongAt(f"a stage that is closed: {self.closed} has probability {wanted}", "probability")
        if self.closed is not None and self.follow_up is not None:
            raise WrongAt("a closed stage has no follow_up: nothing is waited for", "follow_up")
        return self


RoleLabel = Annotated[str, Field(min_length=1)]


class Roles(Part):
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


class OutcomeRule(Part):
    """What an ended signature request does to the deal: move it to a stage, or leave it and tell."""

    move_to: Key | None = None
    stay: bool = False

    @model_validator(mode="after")
    def _one(self) -> "OutcomeRule":
        if (self.move_to is None) == (not self.stay):
            raise ValueError("give exactly one of: move_to, stay: true")
        return self


class SignatureOutcomes(Part):
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


class SalesProcess(Part):
    """The whole file."""

    name: str
    pipeline: Annotated[str, Field(min_length=1)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "EUR"
    locale: str = "en_US"
    buyer: Buyer | None = None
    seller: Seller
    routing: Routing = Routing()
    roles: Roles = Roles()
    call_notes: Mapping[Key, CallNotes] = Field(default_factory=dict)
    """Forms for the notes of calls, by name."""
    plans: Mapping[Key, BuyerPlan] = Field(default_factory=dict)
    """Plans made with the buyer, by name."""
    objection_prefix: Annotated[str, Field(pattern=r"^\S(.{0,38}\S)?$")] = "Objection:"
    """How the subject of a task begins that lists an objection."""
    stages: Annotated[tuple[Stage, ...], Field(min_length=2)]
    signature_outcomes: SignatureOutcomes
    hand_over: HandOver = HandOver()

    @field_validator("plans")
    @classmethod
    def _plans_fit(cls, plans: Mapping[str, BuyerPlan]) -> Mapping[str, BuyerPlan]:
        refuse_shared_fields(plans)
        return plans

    @field_validator("stages")
    @classmethod
    def _stages_fit(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        if (again := repeated([s.key for s in stages])) is not None:
            raise WrongAt("stage keys must differ", again, "key")
        if [s.closed for s in stages].count("won") != 1 or [s.closed for s in stages].count("lost") != 1:
            raise ValueError("exactly one stage is closed: won and exactly one is closed: lost")
        if all(s.closed for s in stages):
            raise ValueError("at least one stage is open")
        if (again := repeated([s.hubspot_name for s in stages])) is not None:
            text = "each stage needs a stage of its own in HubSpot: labels (or hubspot_stage) must differ"
            raise WrongAt(text, again, "hubspot_stage" if stages[again].hubspot_stage else "label")
        actions = [(i, action) for i, s in enumerate(stages) for action in s.on_enter]
        if (again := repeated([action for _, action in actions])) is not None:
            raise WrongAt("an action stands in on_enter of one stage only", actions[again][0], "on_enter")
        criteria = [(i, n, c.key) for i, s in enumerate(stages) for n, c in enumerate(s.exit_criteria)]
        if (again := repeated([key for *_, key in criteria])) is not None:
            at, number, _ = criteria[again]
            raise WrongAt("criterion keys must differ across all stages", at, "exit_criteria", number, "key")
        return stages

    @model_validator(mode="after")
    def _references_fit(self) -> "SalesProcess":
        for name, rule in self.signature_outcomes:
            if rule.move_to is not None and rule.move_to not in self.keys:
                text = f"there is no stage {rule.move_to!r}: there are {', '.join(self.keys)}"
                raise WrongAt(text, "signature_outcomes", name, "move_to")
        for i, stage in enumerate(self.stages):
            for n, key in enumerate(stage.enter_from):
                if key not in self.keys or key == stage.key:
                    what = "is the stage itself" if key == stage.key else "is no stage of this file"
                    text = f"{key!r} {what}: there are {', '.join(k for k in self.keys if k != stage.key)}"
                    raise WrongAt(text, "stages", i, "enter_from", n)
        for i, stage in enumerate(self.stages):
            for n, criterion in enumerate(stage.exit_criteria):
                for place, evidence in placed(criterion.evidence):
                    if unknown := evidence.unknown_name(self):
                        kind, text = unknown
                        raise WrongAt(text, "stages", i, "exit_criteria", n, "evidence", *place, kind)
                    evidence.bind(self)
        _refuse_shared(list(self.role_labels.values()))
        return self

    @property
    def role_names(self) -> tuple[str, ...]:
        """The roles that a process may have."""
        return tuple(Roles.model_fields)

    @property
    def role_labels(self) -> dict[str, str]:
        """The roles in force and their association labels."""
        asked = {
            role
            for stage in self.stages
            for criterion in stage.exit_criteria
            for leaf in leaves(criterion.evidence)
            for role in leaf.roles()
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
        names = _names()
        raise ProcessError([problem_of(content, error, names) for error in problem.errors()[:5]]) from None


def _names() -> list[str]:
    """All keys that a process file may have, wherever."""
    schema = SalesProcess.model_json_schema()
    parts = [schema, *schema["$defs"].values()]
    return sorted({name for part in parts for name in part.get("properties", {})})
