"""Each day the deals that stand in a stage without proof are listed; on demand one deal is explained.

Trigger: schedule; on demand, with `deal_ids` (and `stage`, else the one that comes next) or without.
Reads: all deals of the pipeline with everything around them, in bulk, or those asked for; filed papers, contracts.
Writes: artifacts; the list into the ledger, for the gateway's page /deals. Nothing at a vendor.
Needs: scopes as in deals.py and activities.py.
"""

from dataclasses import replace
from typing import Any

from prefect import flow
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from connectors.pace import Lane
from flows import services
from flows.explain import explain_each, unproven
from flows.explain_report import KEY, deal_markdown, list_markdown, report
from flows.ledger import reports
from flows.rules.counting import number_of
from flows.services import Services


@flow(name="explain-deals", persist_result=False)
async def explain_deals(deal_ids: list[str] | None = None, stage: str | None = None) -> State[Any]:
    """Ends in `Unproven` when a deal lacks proof, and fails when a deal asked for cannot be explained."""
    if stage is not None and not deal_ids:
        return Failed(message="stage is asked of deals: give deal_ids too")
    async with services.use() as s:
        # Contracts that are going out come first under HubSpot's limits.
        s = replace(s, hubspot=s.hubspot.in_lane(Lane.BULK))
        return await _some(s, deal_ids, stage) if deal_ids else await _all(s)


async def _all(s: Services) -> State[Any]:
    read_at = s.clock()
    done = report(await unproven(s))
    async with s.ledger.write() as tx:
        await reports.keep(tx, KEY, done.as_json(), now=read_at)
    await acreate_markdown_artifact(
        markdown=list_markdown(done, s.process, read_at),
        key=KEY,
        description="Deals that stand in a stage whose exit criteria they do not meet",
    )
    if done.total:
        return Completed(name="Unproven", message=f"{number_of(done.total, 'deal')} without proof")
    return Completed(message="every deal has the proof for the stage it stands in")


async def _some(s: Services, deal_ids: list[str], stage: str | None) -> State[Any]:
    found, not_found = await explain_each(s, deal_ids, stage)
    for one in found:
        await acreate_markdown_artifact(
            markdown=deal_markdown(one, s.process),
            key=f"explain-{one.explanation.deal_id}",
            description=f"Why deal {one.explanation.deal_id} may stand in a stage, or not",
        )
    if not_found:
        return Failed(message="; ".join(not_found))
    shut = [
        f"{one.explanation.deal_id} to {one.explanation.target}" for one in found if not one.explanation.open
    ]
    if shut:
        return Completed(name="Unproven", message=f"gates that are shut: deal {', deal '.join(shut)}")
    return Completed(message=f"{number_of(len(found), 'deal')} explained: every gate is open")
