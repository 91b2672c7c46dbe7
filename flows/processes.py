"""One table: every kind of event and every flow, with all that more than one module needs to know about them.

A new kind of event is a constant, a row of `EVENTS` and a handler; nothing else lists the kinds. The kinds and the
names of the flows are stored data (inbox, deployments): never change one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Final

LEAD_RECEIVED: Final = "lead.received"
DEAL_CHANGED: Final = "deal.changed"
PROPOSAL_DUE: Final = "proposal.due"
CONTRACT_DUE: Final = "contract.due"
SIGNATURE_EVENT: Final = "signature.event"
SIGNATURE_CHECK: Final = "signature.check"
DEAL_STUCK: Final = "deal.stuck"
STAGE_CHECK: Final = "stage.check"
FOLLOW_UP_DUE: Final = "follow_up.due"
HANDOVER_DUE: Final = "handover.due"


@dataclass(frozen=True)
class EventKind:
    """A kind of event in the inbox.

    `flow` handles it. `raised_by` says in words what puts it there; `action` is the `on_enter:` action of a stage that
    does. `failed` completes the sentence "For this deal ...", for the deal's owner, when such an event is given up;
    empty where the owner is not told.
    """

    kind: str
    flow: str
    raised_by: str
    failed: str
    action: str | None = None


@dataclass(frozen=True)
class Flow:
    """A flow and where its logic is: a module with `prepare` and `handle` where it handles events, and with `run` where
    it `sweeps`: finds its own work when its schedule, or a person, starts it.

    `ordered_as`: the kind of event that is recorded when an operator starts the flow with `deal_ids`. `shared_run`: all
    waiting events share one run, because each only says that something must be read again.
    """

    name: str
    logic: str
    ordered_as: str | None = None
    shared_run: bool = False
    sweeps: bool = False

    @property
    def title(self) -> str:
        """What Prefect calls the flow and its deployment."""
        return self.name.replace("_", "-")

    @property
    def deployment(self) -> str:
        """`flow/deployment` as declared in prefect.yaml: both halves are the flow's name."""
        return f"{self.title}/{self.title}"

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of event it handles; none for a flow that only its schedule, or a person, starts."""
        return tuple(event.kind for event in EVENTS.values() if event.flow == self.name)

    def load(self) -> ModuleType:
        """The module with its logic, which knows nothing of Prefect."""
        return import_module(self.logic)


def _by_kind(*events: EventKind) -> dict[str, EventKind]:
    return {event.kind: event for event in events}


def _by_name(*flows: Flow) -> dict[str, Flow]:
    return {flow.name: flow for flow in flows}


EVENTS: Final = _by_kind(
    EventKind(
        LEAD_RECEIVED,
        flow="intake_leads",
        raised_by="the gateway, for a lead posted to /leads",
        failed="a new inquiry was not taken in",
    ),
    EventKind(
        DEAL_CHANGED,
        flow="sync_deals",
        raised_by="a HubSpot webhook about a deal; reconcile, when a deal differs from the mirror",
        failed="a change of the deal was not noticed",
    ),
    EventKind(
        PROPOSAL_DUE,
        flow="generate_proposal",
        raised_by="a deal that enters a stage with this action",
        action="generate_proposal",
        failed="the proposal was not made",
    ),
    EventKind(
        CONTRACT_DUE,
        flow="send_contract",
        raised_by="a deal that enters a stage with this action; reconcile, for a contract that was left half sent",
        action="send_contract",
        failed="the contract was not sent",
    ),
    EventKind(
        SIGNATURE_EVENT,
        flow="advance_on_signature",
        raised_by="a callback about a signature request",
        failed="what the signers did was not acted on",
    ),
    EventKind(
        SIGNATURE_CHECK,
        flow="advance_on_signature",
        raised_by="reconcile, when a callback was missed",
        failed="what the signers did was not acted on",
    ),
    EventKind(
        DEAL_STUCK,
        flow="follow_up",
        raised_by="the worker, when it gives up an event of a deal",
        failed="",
    ),
    EventKind(
        STAGE_CHECK,
        flow="guard_stage",
        raised_by="a deal that enters a stage without proof, skips stages, or is moved back and forth by automations",
        failed="it was not checked whether the deal has the proof for its new stage",
    ),
    EventKind(
        FOLLOW_UP_DUE,
        flow="follow_up",
        raised_by="follow_up's daily schedule",
        failed="a follow-up was not completed",
    ),
    EventKind(
        HANDOVER_DUE,
        flow="hand_over",
        raised_by="a deal that enters a stage with this action",
        action="hand_over",
        failed="the hand-over to account management was not done",
    ),
)

FLOWS: Final = _by_name(
    Flow("intake_leads", "flows.leads.intake_leads"),
    Flow("sync_deals", "flows.deals.sync_deals", ordered_as=DEAL_CHANGED, shared_run=True, sweeps=True),
    Flow("generate_proposal", "flows.proposals.generate_proposal", ordered_as=PROPOSAL_DUE),
    Flow("send_contract", "flows.contracts.send_contract", ordered_as=CONTRACT_DUE),
    Flow("advance_on_signature", "flows.contracts.advance_on_signature", ordered_as=SIGNATURE_CHECK),
    Flow("follow_up", "flows.follow_up.follow_up", ordered_as=FOLLOW_UP_DUE, sweeps=True),
    Flow("guard_stage", "flows.gates.guard_stage", ordered_as=STAGE_CHECK),
    Flow("hand_over", "flows.hand_over.hand_over", ordered_as=HANDOVER_DUE),
    Flow("reconcile", "flows.reconcile.reconcile", sweeps=True),
    Flow("explain_deals", "flows.gates.explain_deals", sweeps=True),
)


def flow_for(kind: str) -> Flow:
    """The flow that handles this kind of event. Raises KeyError for a kind that nothing is done about."""
    return FLOWS[EVENTS[kind].flow]


def by_flow(kinds: Sequence[str]) -> tuple[Flow, ...]:
    """The flows that handle these kinds, in the order of the kinds, without repeats."""
    return tuple(dict.fromkeys(flow_for(kind) for kind in kinds))


@cache
def kind_for(action: str) -> str:
    """The kind of event that asks for this `on_enter:` action of a stage. Raises KeyError for an unknown action."""
    return {event.action: event.kind for event in EVENTS.values() if event.action}[action]
