"""The flows that operators see in Prefect: names, descriptions and parameters. What they do needs no Prefect and is
found through `flows.processes`; what happens around it inside a run is in `flows.worker.runs`.

Every flow here has a deployment of the same name in deployments/prefect.yaml. Parameters are ids only, because Prefect
stores and shows them. Prefect shows the text under `Args` beside each parameter.
"""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.worker import runs

EventIds = list[int] | None
DealIds = list[str] | None


@flow(
    name="intake-leads",
    description="Inbound leads become company, contact and deal; one buyer, one open deal.",
    persist_result=False,
)
async def intake_leads(event_ids: EventIds = None) -> State[Any]:
    """Bring leads into HubSpot.

    Args:
        event_ids: Inbox events to handle; the worker fills this in.
    """
    return await runs.handle_events("intake_leads", event_ids)


@flow(
    name="sync-deals",
    description="Reads changed deals from HubSpot and notices stage entries.",
    persist_result=False,
)
async def sync_deals(event_ids: EventIds = None, deal_ids: DealIds = None, full: bool = False) -> State[Any]:
    """Without ids: every deal that changed since the last run.

    Args:
        event_ids: Inbox events to handle; the worker fills this in.
        deal_ids: HubSpot ids of deals to read now.
        full: Read every deal instead of those that changed since the last run.
    """
    if deal_ids or event_ids:
        return await runs.handle_events("sync_deals", event_ids, deal_ids)
    return await runs.run("sync_deals", full=full)


@flow(
    name="generate-proposal",
    description="Renders the proposal and files it on the deal.",
    persist_result=False,
)
async def generate_proposal(event_ids: EventIds = None, deal_ids: DealIds = None) -> State[Any]:
    """Make proposals.

    Args:
        event_ids: Inbox events to handle; the worker fills this in.
        deal_ids: HubSpot ids of deals to make a proposal for now.
    """
    return await runs.handle_events("generate_proposal", event_ids, deal_ids)


@flow(
    name="send-contract",
    description="Sends the contract for e-signature, once, when every check passes.",
    persist_result=False,
)
async def send_contract(event_ids: EventIds = None, deal_ids: DealIds = None) -> State[Any]:
    """Send contracts.

    Args:
        event_ids: Inbox events to handle; the worker fills this in.
        deal_ids: HubSpot ids of deals to send the contract for now. All checks apply.
    """
    return await runs.handle_events("send_contract", event_ids, deal_ids)


@flow(
    name="advance-on-signature",
    description="Reads signature requests back, files signed PDFs, moves deals.",
    persist_result=False,
)
async def advance_on_signature(event_ids: EventIds = None, deal_ids: DealIds = None) -> State[Any]:
    """Act on what signers did.

    Args:
        event_ids: Inbox events to handle; the worker fills this in.
        deal_ids: HubSpot ids of deals whose contract to check now.
    """
    return await runs.handle_events("advance_on_signature", event_ids, deal_ids)


@flow(
    name="follow-up",
    description="Follows up stalled deals as their stage's plan says, and tells owners of events that failed for good.",
    persist_result=False,
)
async def follow_up(event_ids: EventIds = None, deal_ids: DealIds = None) -> State[Any]:
    """Without ids: look for deals to follow up.

    Args:
        event_ids: Inbox events to handle; the worker fills this in.
        deal_ids: HubSpot ids of deals to follow up now.
    """
    if deal_ids or event_ids:
        return await runs.handle_events("follow_up", event_ids, deal_ids)
    return await runs.run("follow_up")


@flow(
    name="guard-stage",
    description="Judges deals that entered a stage without its proof: tells the owner or moves them back, as the "
    "stage's mode says.",
    persist_result=False,
)
async def guard_stage(event_ids: EventIds = None, deal_ids: DealIds = None) -> State[Any]:
    """Judge stage entries.

    Args:
        event_ids: Inbox events to handle; the worker fills this in.
        deal_ids: HubSpot ids of deals whose newest stage entry to judge now.
    """
    return await runs.handle_events("guard_stage", event_ids, deal_ids)


@flow(
    name="hand-over",
    description="A won deal gets a debrief and tasks for its account manager, once.",
    persist_result=False,
)
async def hand_over(event_ids: EventIds = None, deal_ids: DealIds = None) -> State[Any]:
    """Hand over won deals.

    Args:
        event_ids: Inbox events to handle; the worker fills this in.
        deal_ids: HubSpot ids of won deals to hand over now.
    """
    return await runs.handle_events("hand_over", event_ids, deal_ids)


@flow(
    name="reconcile",
    description="Compares HubSpot, Dropbox Sign and the ledger: what was missed is made up for, the rest is reported.",
    persist_result=False,
)
async def reconcile() -> State[Any]:
    """Ends in `LookAt` when a person has something to look at."""
    return await runs.run("reconcile")


@flow(
    name="explain-deals",
    description="Lists the deals that stand in a stage without proof, what each lacks and who can provide it.",
    persist_result=False,
)
async def explain_deals(deal_ids: DealIds = None, stage: str | None = None) -> State[Any]:
    """Ends in `Unproven` when a deal lacks proof, and fails when a deal asked for cannot be explained.

    Args:
        deal_ids: HubSpot ids of deals to explain; without any, all deals of the pipeline.
        stage: Key of the stage to ask about, for deals named in deal_ids; without it, the stage that comes next.
    """
    return await runs.run("explain_deals", deal_ids=deal_ids, stage=stage)
